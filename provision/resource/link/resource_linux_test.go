package link

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
)

// ip(8) is the judge.
func TestUpAndDown(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	nstest.IP(t, "link set veth0 mtu 1400 arp off")
	var r Resource
	flags := func() string {
		out := nstest.IP(t, "-o link show veth0")
		_, out, _ = strings.Cut(out, "<")
		out, _, _ = strings.Cut(out, ">")
		return out
	}
	for _, up := range []bool{true, true, false, true} {
		w := State("name:veth0", up, "")
		have, err := r.Get(t.Context(), w.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Set(t.Context(), w.Name, have, w.Attrs); err != nil {
			t.Fatal(err)
		}
		got, err := r.Get(t.Context(), w.Name)
		w.Attrs[AttrMTU] = "1400" // untouched
		if err != nil || !maps.Equal(got, w.Attrs) {
			t.Errorf("got %v, %v; want %v", got, err, w.Attrs)
		}
		text := "," + flags() + ","
		if strings.Contains(text, ",UP,") != up || !strings.Contains(text, ",NOARP,") {
			t.Errorf("wanted up %v, ip says %s", up, text)
		}
	}
	all, err := r.List(t.Context(), []string{"name:veth0", "name:veth1", "name:none"})
	want := map[string]provision.Attrs{"name:veth0": {AttrUp: "true", AttrMTU: "1400"}, "name:veth1": {AttrUp: "false", AttrMTU: "1500"}}
	if err != nil || len(all) != 2 || !maps.Equal(all["name:veth0"], want["name:veth0"]) || !maps.Equal(all["name:veth1"], want["name:veth1"]) {
		t.Errorf("list: %v, %v", all, err)
	}
}

func TestRefusals(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	var r Resource
	down := provision.Attrs{AttrUp: "false"}
	mtu := provision.Attrs{AttrUp: "false", AttrMTU: "1500"}
	for _, tc := range []struct {
		name       string
		have, want provision.Attrs
		err        error
		text       string
	}{
		{"name:veth0", provision.Attrs{AttrUp: "true"}, provision.Attrs{AttrUp: "false"}, provision.ErrStale, ""},
		{"name:veth0", nil, provision.Attrs{AttrUp: "true"}, provision.ErrStale, ""},
		{"name:veth0", down, nil, provision.ErrPending, ""},
		{"name:none", nil, provision.Attrs{AttrUp: "true"}, provision.ErrPending, ""},
		{"name:none", nil, nil, nil, ""},
		{"name:none", down, nil, provision.ErrStale, ""},
		{"name:veth0", down, provision.Attrs{AttrUp: "yes"}, nil, "want true or false"},
		{"name:veth0", down, provision.Attrs{"qlen": "9000"}, nil, "unknown attribute"},
		{"name:veth0", mtu, provision.Attrs{AttrMTU: "67"}, nil, "68 or more"},
		{"name:veth0", mtu, provision.Attrs{AttrMTU: "01400"}, nil, "68 or more"},
		{"name:veth0", mtu, provision.Attrs{AttrUp: "true", AttrMTU: "70000"}, nil, "give veth0 an mtu of 70000"},
		{"name:veth0", down, provision.Attrs{AttrMTU: "1400"}, provision.ErrStale, ""},
		{"veth0", down, provision.Attrs{AttrUp: "true"}, nil, "device selector"},
	} {
		err := r.Set(t.Context(), tc.name, tc.have, tc.want)
		switch {
		case tc.text != "":
			if err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%s %v: got %v, want it to say %q", tc.name, tc.want, err, tc.text)
			}
		case !errors.Is(err, tc.err):
			t.Errorf("%s %v: got %v, want %v", tc.name, tc.want, err, tc.err)
		}
	}
	if _, err := r.List(t.Context(), []string{"veth0", "x:y"}); err == nil || !strings.Contains(err.Error(), `"veth0"`) || !strings.Contains(err.Error(), `"x:y"`) {
		t.Errorf("both bad names must be told: %v", err)
	}
	if out := nstest.IP(t, "-o link show veth0"); strings.Contains(out, ",UP") {
		t.Errorf("a refused change was made: %s", out)
	}
}

func TestSizeAndUpAtOnce(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	w := UpMTU("name:veth0", 1380, "")
	var r Resource
	have, err := r.Get(t.Context(), w.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Set(t.Context(), w.Name, have, w.Attrs); err != nil {
		t.Fatal(err)
	}
	if out := nstest.IP(t, "-o link show veth0"); !strings.Contains(out, ",UP") || !strings.Contains(out, " mtu 1380 ") {
		t.Errorf("ip says %s", out)
	}
}
