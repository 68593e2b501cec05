package sit

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/host/rtnl"
)

func spec(last byte) Spec {
	return Spec{Name: "he-ipv6", Remote: netip.AddrFrom4([4]byte{192, 0, 2, last}), TTL: 255}
}

// network is a namespace whose kernel has such tunnels, or a skip: the guest of the lab has one.
func network(t *testing.T) {
	t.Helper()
	nstest.Network(t)
	w := Want(spec(9), "")
	err := Resource{}.Set(t.Context(), w.Name, nil, w.Attrs)
	if errors.Is(err, unix.EOPNOTSUPP) {
		if !strings.Contains(err.Error(), "module sit") {
			t.Errorf("nobody is told what is missing: %v", err)
		}
		t.Skipf("skipped: this kernel has no tunnels of the kind: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	set(t, provision.Want{Ref: w.Ref})
}

func set(t *testing.T, w provision.Want) {
	t.Helper()
	have, err := Resource{}.Get(t.Context(), w.Name)
	if err == nil {
		err = Resource{}.Set(t.Context(), w.Name, have, w.Attrs)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	a, b, c := spec(1), spec(2), spec(1)
	a.Local, a.Dev, a.Mark = netip.MustParseAddr("198.51.100.1"), "veth0", 0x2a000000
	c.TTL, c.Mark = 64, 7
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		network(t)
		nstest.IP(t, "link add veth0 type veth peer name veth1")
		free := Want(c, "").Attrs
		free[AttrTTL], free[AttrPMTUDisc] = "", "0"
		return enginetest.ResourceCase{Resource: Resource{}, Name: "he-ipv6", Optional: []string{AttrLocal, AttrTTL, AttrDev, AttrMark},
			Values: []provision.Attrs{Want(a, "").Attrs, Want(b, "").Attrs, Want(c, "").Attrs, free}}
	})
}

// ip(8) is the judge.
func TestTunnel(t *testing.T) {
	network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	s := spec(1)
	s.Local, s.Dev = netip.MustParseAddr("198.51.100.1"), "veth0"
	set(t, Want(s, ""))
	out := nstest.IP(t, "-d link show he-ipv6")
	for _, want := range []string{"sit ip6ip remote 192.0.2.1 local 198.51.100.1 dev veth0", "ttl 255", "pmtudisc", "alias provision"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	// Renumbered while it is up: the device stays the same one.
	nstest.IP(t, "link set he-ipv6 up")
	before, _, _ := strings.Cut(nstest.IP(t, "-o link show he-ipv6"), ":")
	set(t, Want(spec(2), ""))
	out = nstest.IP(t, "-d -o link show he-ipv6")
	if !strings.HasPrefix(out, before+":") || !strings.Contains(out, "remote 192.0.2.2 local any") || !strings.Contains(out, ",UP") {
		t.Errorf("renumbered: %s, was %s", out, before)
	}
}

// A process that died between making and marking a tunnel comes back to it.
func TestUnmarked(t *testing.T) {
	network(t)
	w := Want(spec(1), "")
	c, err := rtnl.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body, err := compose(spec(1), state{}, false, w.Attrs, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Do(t.Context(), unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil {
			t.Fatal(err)
		}
		set(t, provision.Want{Ref: w.Ref})
	}
	if err := c.Do(t.Context(), unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil {
		t.Fatal(err)
	}
	set(t, w)
}

func TestRefusals(t *testing.T) {
	network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	nstest.IP(t, "tunnel add theirs mode sit remote 192.0.2.7 ttl 64")
	nstest.IP(t, "link set theirs up")
	var r Resource
	foreign, err := r.Get(t.Context(), "theirs")
	if err != nil || foreign == nil {
		t.Fatal(foreign, err)
	}
	by := func(k, v string) provision.Attrs {
		a := Want(spec(1), "").Attrs
		a[k] = v
		return a
	}
	for _, tc := range []struct {
		name       string
		have, want provision.Attrs
		err        error
		text       string
	}{
		{"theirs", foreign, Want(spec(1), "").Attrs, nil, "somebody else's"},
		{"theirs", foreign, nil, nil, "somebody else's"},
		{"theirs", foreign, provision.Attrs{AttrRemote: "192.0.2.7"}, nil, ""},
		{"veth0", nil, Want(spec(1), "").Attrs, nil, "another device"},
		{"second", nil, Want(spec(7), "").Attrs, nil, "another tunnel to the same end"},
		{"he-ipv6", foreign, nil, provision.ErrStale, ""},
		{"he-ipv6", nil, nil, nil, ""},
		{"he-ipv6", nil, by(AttrDev, "none"), provision.ErrPending, ""},
		{"sit0", nil, Want(spec(1), "").Attrs, nil, "the kernel makes"},
		{"a b", nil, nil, nil, "a device's name"},
		{"he-ipv6", nil, provision.Attrs{AttrOwner: Owner}, nil, "no remote end"},
		{"he-ipv6", nil, by(AttrRemote, "0.0.0.0"), nil, "want the IPv4 address"},
		{"he-ipv6", nil, by(AttrRemote, "2001:db8::1"), nil, "want the IPv4 address"},
		{"he-ipv6", nil, by(AttrLocal, "224.0.0.1"), nil, "of this machine"},
		{"he-ipv6", nil, by(AttrTTL, "0"), nil, "1 to 255"},
		{"he-ipv6", nil, by(AttrTTL, "256"), nil, "1 to 255"},
		{"he-ipv6", nil, by(AttrMark, "1"), nil, "hexadecimal"},
		{"he-ipv6", nil, by(AttrPMTUDisc, "0"), nil, "does not fragment"},
		{"he-ipv6", nil, by(AttrOwner, "me"), nil, "somebody else's afterwards"},
		{"he-ipv6", nil, by("mtu", "1480"), nil, "unknown attribute"},
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
	if out := nstest.IP(t, "-o link"); strings.Contains(out, "he-ipv6") || strings.Contains(out, "second") || !strings.Contains(out, "theirs") {
		t.Errorf("a refused change was made: %s", out)
	}
}
