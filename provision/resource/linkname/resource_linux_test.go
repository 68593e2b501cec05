package linkname

import (
	"errors"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
)

// world has a device that an alternative name tells: no namespace has hardware of its own.
func world(t *testing.T) {
	t.Helper()
	nstest.Network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	nstest.IP(t, "link property add dev veth0 altname gadget")
	nstest.IP(t, "link property add dev veth1 altname other")
	nstest.IP(t, "link set veth0 up")
}

func called(name string) provision.Attrs { return Want("", name, "").Attrs }

func TestConformance(t *testing.T) {
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		world(t)
		return enginetest.ResourceCase{Resource: Resource{}, Name: "name:gadget", Fixed: true, Values: []provision.Attrs{called("usb0"), called("usb1")}}
	})
}

// ip(8) is the judge. What is up is up afterwards.
func TestRename(t *testing.T) {
	world(t)
	if err := (Resource{}).Set(t.Context(), "name:gadget", called("veth0"), called("usb0")); err != nil {
		t.Fatal(err)
	}
	if out := nstest.IP(t, "-o link show usb0"); !strings.Contains(out, ",UP") {
		t.Errorf("ip says %s", out)
	}
}

func TestRefusals(t *testing.T) {
	world(t)
	have := called("veth0")
	for _, tc := range []struct {
		name       string
		have, want provision.Attrs
		err        error
		text       string
	}{
		{"name:gadget", have, called("veth1"), nil, "taken by another device"},
		{"name:gadget", have, called("other"), nil, "veth1, as one of its alternative names"},
		{"name:gadget", have, called("a/b"), nil, "no name of a device"},
		{"name:gadget", have, called("usb%d"), nil, "no name of a device"},
		{"name:gadget", have, called("abcdefghijklmnop"), nil, "no name of a device"},
		{"name:gadget", have, provision.Attrs{"mtu": "1"}, nil, "unknown attribute"},
		{"name:gadget", nil, called("usb0"), provision.ErrStale, ""},
		{"name:gadget", called("veth9"), called("usb0"), provision.ErrStale, ""},
		{"name:gadget", have, nil, provision.ErrPending, ""},
		{Ref("02:00:5e:00:00:01").Name, nil, called("usb0"), provision.ErrPending, ""},
		{Ref("02:00:5e:00:00:01").Name, nil, nil, nil, ""},
		{"name:veth0", have, called("usb0"), nil, "the name that it would lose"},
		{"gadget", have, called("usb0"), nil, "device selector"},
	} {
		err := Resource{}.Set(t.Context(), tc.name, tc.have, tc.want)
		switch {
		case tc.text != "":
			if err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%s %v: got %v, want it to say %q", tc.name, tc.want, err, tc.text)
			}
		case !errors.Is(err, tc.err):
			t.Errorf("%s %v: got %v, want %v", tc.name, tc.want, err, tc.err)
		}
	}
	nstest.IP(t, "link show veth0") // as it was
}

// FuzzCheck: a name that is taken for one is one path component and a word.
func FuzzCheck(f *testing.F) {
	f.Add("usb0")
	f.Add("usb%d")
	f.Fuzz(func(t *testing.T, name string) {
		if check(name) == nil && (len(name) == 0 || len(name) > 15 || strings.ContainsAny(name, "/:% \t\n\x00") || strings.Trim(name, ".") == "" && len(name) < 3) {
			t.Errorf("%q is taken", name)
		}
	})
}
