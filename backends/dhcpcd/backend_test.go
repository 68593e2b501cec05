package dhcpcd

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func m(metric uint32) *uint32 { return &metric }

func nics(f *facts.Facts) []backends.NIC {
	return []backends.NIC{
		{Link: f.Links[1], Role: facts.RoleNAT, Metric4: m(1000), Metric6: m(1000), Why: "nat"},
		{Link: f.Links[2], Role: facts.RoleBridged, Metric4: m(10), Metric6: m(10), Why: "bridged"},
	}
}

func with(text string) *facts.Facts {
	f := backendtest.Dhcpcd("10.1.0")
	backendtest.Put(f, confFile, text, 0o644)
	return f
}

func TestConformance(t *testing.T) {
	backendtest.Run(t, backendtest.Suite{
		New: func() backends.Backend { return Backend{} },
		Machines: []backendtest.Machine{
			{Name: "9.4", Facts: func() *facts.Facts { return backendtest.Dhcpcd("9.4.1") }, Lossless: true},
			{Name: "10.1", Facts: func() *facts.Facts { return backendtest.Dhcpcd("10.1.0") }, Lossless: true},
		},
	})
}

func TestDesire(t *testing.T) {
	for _, c := range []struct {
		name string
		f    *facts.Facts
		nics func(f *facts.Facts) []backends.NIC
	}{
		{"both", backendtest.Dhcpcd("10.1.0"), nics},
		{"blocks", with("persistent\nmetric 3\ninterface enp0s3\n  metric 1000 # slow\ninterface enp0s8\n  noipv4ll\nssid home\nmetric 9\n"), nics},
		{"not-persistent", with("hostname\ninterface enp0s3\npersistent\n"), nics},
		{"lazy", backendtest.Dhcpcd("10.1.0"), func(f *facts.Facts) []backends.NIC {
			n := nics(f)[:1]
			n[0].Lazy = true
			return n
		}},
		{"kernel-ra", with("persistent\nnoipv6rs\n"), nics},
		{"different-metrics-of-nat", backendtest.Dhcpcd("9.4.1"), func(f *facts.Facts) []backends.NIC {
			n := nics(f)[:1]
			n[0].Metric6 = m(1025)
			return n
		}},
		{"offline", with("persistent\n"), func(f *facts.Facts) []backends.NIC {
			f.Machine.Offline = true
			return []backends.NIC{{Link: facts.Link{Name: "eth0"}, Metric4: m(1000), Why: "nat"}}
		}},
		{"no-gateway", with("persistent\nnogateway\n"), func(f *facts.Facts) []backends.NIC { return nics(f)[:1] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Backend{}.Desire(c.f, c.nics(c.f))
			if err != nil {
				t.Fatal(err)
			}
			backendtest.Golden(t, c.name, backendtest.Text(d), *update)
		})
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func() *facts.Facts
		want string
	}{
		{"denied", func() *facts.Facts { return with("denyinterfaces veth* enp0s3\n") }, "cannot set up enp0s3 in dhcpcd: /etc/dhcpcd.conf:1: denyinterfaces veth* enp0s3 keeps dhcpcd off it"},
		{"not allowed", func() *facts.Facts { return with("persistent\nallowinterfaces wlan0\n") }, "/etc/dhcpcd.conf:2: allowinterfaces wlan0 keeps dhcpcd off it"},
		{"NUL", func() *facts.Facts { return with("a\n\x00\n") }, "/etc/dhcpcd.conf:2: NUL byte"},
		{"too large", func() *facts.Facts { return with(strings.Repeat("#\n", 40000)) }, "larger than"},
		{"missing", func() *facts.Facts { f := with(""); delete(f.Files, confFile); return f }, "is not there"},
		{"unreadable", func() *facts.Facts {
			f := with("")
			f.Unreadable = []facts.Problem{{Source: confFile, Reason: "permission denied"}}
			return f
		}, "/etc/dhcpcd.conf: permission denied"},
		{"masked", func() *facts.Facts { f := with(""); f.Files[confFile] = facts.File{Masked: true}; return f }, "masked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.f()
			d, err := Backend{}.Desire(f, nics(f))
			if err == nil || !strings.Contains(err.Error(), c.want) || len(d.Wants) > 0 {
				t.Errorf("got %v and %d wants, want an error with %q", err, len(d.Wants), c.want)
			}
		})
	}
	f := with("persistent\n")
	n := nics(f)[1:]
	n[0].Metric6 = m(20)
	if _, err := (Backend{}).Desire(f, n); err == nil || !strings.Contains(err.Error(), "one metric for both families, so it cannot have 10 for IPv4 and 20 for IPv6") {
		t.Errorf("got %v", err)
	}
}

func TestExplain(t *testing.T) {
	f := with("denyinterfaces enp0s8\nmetric 3\ninterface enp0s3\nnodhcp6\nmetric 1000\n")
	var b strings.Builder
	for _, l := range f.Links[1:] {
		for _, key := range []string{"owner", "dhcp4", "dhcp6", "metric"} {
			for _, r := range (Backend{}).Explain(f, l, key) {
				fmt.Fprintf(&b, "%s %s = %q from %s (%s)\n", l.Name, r.Key, r.Value, r.Source, r.Note)
			}
		}
	}
	g := with("")
	g.Dhcpcd.Version = "1:9.1.4-1"
	for _, version := range []string{"8.1.2", "9.4.1"} {
		g.Dhcpcd.Version = version
		for _, r := range (Backend{}).Explain(g, g.Links[1], "metric") {
			fmt.Fprintf(&b, "%s: %s (%s)\n", version, r.Value, r.Note)
		}
	}
	backendtest.Golden(t, "explain", b.String(), *update)
}
