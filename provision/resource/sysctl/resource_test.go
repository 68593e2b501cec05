package sysctl

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
)

// kernel holds parameters by path and takes numbers only, as most of them do.
type kernel map[string]string

func (k kernel) ReadFile(p string, _ int64) ([]byte, error) {
	v, ok := k[p]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: p, Err: fs.ErrNotExist}
	}
	return []byte(v), nil
}

func (k kernel) WriteValue(p, value string) error {
	if strings.Trim(value, "0123456789 \n") != "" {
		return &fs.PathError{Op: "write", Path: p, Err: syscall.EINVAL}
	}
	if strings.HasSuffix(p, "/clamped") {
		value = "7\n"
	}
	k[p] = strings.ReplaceAll(value, " ", "\t")
	return nil
}

func resource(k kernel) (*Resource, *int) {
	dumps := new(int)
	return &Resource{Files: k, Devices: func(context.Context) (*netdev.Table, error) {
		*dumps++
		return &netdev.Table{Devices: []netdev.Device{
			{Index: 2, Name: "eth0.5", MAC: "08:00:27:00:00:0a", Type: netdev.Ethernet},
		}}, nil
	}}, dumps
}

func TestGet(t *testing.T) {
	r, dumps := resource(kernel{
		"/proc/sys/net/ipv6/conf/eth0.5/ra_defrtr_metric": "1024\n",
		"/proc/sys/net/ipv4/neigh/eth0.5/gc_stale_time":   "60\n",
		"/proc/sys/net/ipv4/tcp_rmem":                     "4096\t131072\t6291456\n",
	})
	names := []string{
		LinkRef("ipv6", "mac:08:00:27:00:00:0a", "ra_defrtr_metric").Name,
		LinkRef("ipv6", "name:eth0.5", "ra_defrtr_metric").Name,
		"ipv4.neigh name:eth0.5 gc_stale_time",
		GlobalRef("net.ipv4.tcp_rmem").Name,
		LinkRef("ipv6", "name:eth0.5", "none").Name,
		LinkRef("ipv6", "name:eth9", "ra_defrtr_metric").Name,
	}
	got, err := r.List(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"1024", "1024", "60", "4096 131072 6291456", "", ""} {
		if a := got[names[i]]; a[AttrValue] != want || (a == nil) != (want == "") {
			t.Errorf("%s: got %v, want %q", names[i], a, want)
		}
	}
	if *dumps != 1 {
		t.Errorf("%d dumps of the devices, want 1", *dumps)
	}
	if a, err := r.Get(t.Context(), names[3]); err != nil || !maps.Equal(a, Global("net.ipv4.tcp_rmem", "4096 131072 6291456", "").Attrs) {
		t.Errorf("got %v, %v", a, err)
	}
}

func TestSet(t *testing.T) {
	const one, clamped = "ipv6.conf name:eth0.5 ra_defrtr_metric", "global net.clamped"
	k := kernel{
		"/proc/sys/net/ipv6/conf/eth0.5/ra_defrtr_metric": "1024\n", "/proc/sys/net/clamped": "1\n", "/proc/sys/net/ipv4/tcp_rmem": "1\t2\t3\n",
	}
	r, _ := resource(k)
	value := func(v string) provision.Attrs { return provision.Attrs{AttrValue: v} }
	for _, tc := range []struct {
		name       string
		have, want provision.Attrs
		err        error
		text       string
	}{
		{one, value("1024"), value("10"), nil, ""},
		{one, value("10"), value("10"), nil, ""},
		{one, value("10"), provision.Attrs{}, nil, ""},
		{"global net.ipv4.tcp_rmem", value("1 2 3"), value("4 5 6"), nil, ""},
		{one, value("1024"), value("20"), provision.ErrStale, ""},
		{one, nil, value("20"), provision.ErrStale, ""},
		{one, value("10"), nil, provision.ErrPending, ""},
		{"ipv6.conf name:eth9 x", nil, value("1"), provision.ErrPending, ""},
		{"ipv6.conf name:eth9 x", nil, nil, nil, ""},
		{one, value("10"), value("ten"), syscall.EINVAL, "does not take"},
		{one, value("10"), value("1\n"), nil, "one blank"},
		{one, value("10"), value("1  2"), nil, "one blank"},
		{one, value("10"), provision.Attrs{"x": "1"}, nil, "unknown attribute"},
		{clamped, value("1"), value("9"), nil, `made "7" of it`},
	} {
		err := r.Set(t.Context(), tc.name, tc.have, tc.want)
		if tc.text == "" && !errors.Is(err, tc.err) || tc.text != "" && (err == nil || !strings.Contains(err.Error(), tc.text)) {
			t.Errorf("%s from %v to %v: got %v, want %v %q", tc.name, tc.have, tc.want, err, tc.err, tc.text)
		}
	}
	if got := k["/proc/sys/net/ipv6/conf/eth0.5/ra_defrtr_metric"]; got != "10\n" {
		t.Errorf("the kernel holds %q", got)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"":                             "want",
		"global":                       "want",
		"global kernel.sysrq":          "below net",
		"global net":                   "below net",
		"global net..x":                "below net",
		"global net./etc/x":            "below net",
		"ipv5.conf name:eth0 x":        "want ipv4.conf",
		"ipv4.route name:eth0 x":       "want ipv4.conf",
		"ipv4.conf eth0 x":             "device selector",
		"ipv4.conf name:.. x":          "device selector",
		"ipv4.conf name:eth0 ../x":     "one key",
		"ipv4.conf name:eth0 a.b":      "one key",
		"ipv4.conf name:eth0":          "want",
		"ipv4.conf name:eth0 x y":      "want",
		"ipv4.conf name:eth0 x\n":      "one key",
		"ipv4.conf.x name:eth0 x":      "want ipv4.conf",
		"global net.ipv4.ip_forward x": "want",
	} {
		r, _ := resource(kernel{})
		if _, err := r.Get(t.Context(), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", name, err, want)
		}
	}
}

// Whatever name parses leads to a file below /proc/sys/net.
func FuzzName(f *testing.F) {
	for _, s := range []string{"global net.ipv4.ip_forward", "ipv6.conf name:eth0.5 accept_ra", "ipv4.neigh mac:08:00:27:00:00:0a x", "global net.../etc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, err := parse(name)
		if err != nil {
			return
		}
		table := &netdev.Table{}
		if sel, err := netdev.Parse(p.selector); err == nil && sel.Name != "" {
			table.Devices = []netdev.Device{{Name: sel.Name}}
		}
		at, err := p.path(table)
		if err != nil || at == "" {
			return
		}
		if path.Clean(at) != at || !strings.HasPrefix(at, "/proc/sys/net/") {
			t.Fatalf("%q leads to %q", name, at)
		}
	})
}
