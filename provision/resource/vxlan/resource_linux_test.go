package vxlan

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

func spec(vni uint32, last byte) Spec {
	return Spec{Name: "vx-b", VNI: vni, Remote: netip.AddrFrom4([4]byte{10, 97, 0, last}), Local: netip.AddrFrom4([4]byte{10, 97, 0, 1}),
		Port: Port, Dev: "veth0", MAC: "02:00:5e:00:00:01"}
}

func network(t *testing.T) {
	t.Helper()
	nstest.Network(t)
	nstest.IP(t, "link add veth0 mtu 1420 type veth peer name veth1")
	nstest.IP(t, "link set veth0 up")
	nstest.IP(t, "addr add 10.97.0.1/24 dev veth0")
	nstest.IP(t, "addr add fd97::1/64 dev veth0 nodad")
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
	a, b, c := spec(1, 2), spec(MaxVNI, 3), spec(7, 2)
	b.MAC, b.Dev, b.TxChecksum = "02:00:5e:00:00:02", "", true
	c.Remote, c.Local, c.Port = netip.MustParseAddr("fd97::2"), netip.MustParseAddr("fd97::1"), 8472
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		network(t)
		free := Want(c, "").Attrs
		free[AttrLocal], free[AttrDev] = "", ""
		return enginetest.ResourceCase{Resource: Resource{}, Name: "vx-b", Optional: []string{AttrLocal, AttrDev},
			Values: []provision.Attrs{Want(a, "").Attrs, Want(b, "").Attrs, Want(c, "").Attrs, free}}
	})
}

// ip(8) is the judge.
func TestDevice(t *testing.T) {
	network(t)
	set(t, Want(spec(7, 2), ""))
	out := nstest.IP(t, "-d link show vx-b")
	for _, want := range []string{"vxlan id 7 remote 10.97.0.2 local 10.97.0.1 dev veth0 ", "dstport 4789 ", "nolearning", "link/ether 02:00:5e:00:00:01", "mtu 1370 ", "alias provision"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if sum, err := checksum("vx-b"); err != nil || sum != "off" {
		t.Errorf("tx-checksum is %s, %v", sum, err)
	}
}

// A wire that is made anew stays where it was: up, of its size, a port of its bridge.
func TestAnew(t *testing.T) {
	network(t)
	set(t, Want(spec(7, 2), ""))
	nstest.IP(t, "link add br0 type bridge")
	nstest.IP(t, "link set vx-b master br0 mtu 1300 up")
	six := spec(8, 2)
	six.Remote, six.Local = netip.MustParseAddr("fd97::2"), netip.MustParseAddr("fd97::1")
	set(t, Want(six, ""))
	out := nstest.IP(t, "-d link show vx-b")
	for _, want := range []string{"vxlan id 8 remote fd97::2 local fd97::1 dev veth0", "master br0", "mtu 1300 ", ",UP"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	// One that cannot be made leaves the old one.
	nstest.IP(t, "link add other type vxlan id 9 dstport 4789 remote 10.97.0.9 dev veth0")
	w := Want(spec(9, 2), "")
	have, err := Resource{}.Get(t.Context(), w.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Resource{}).Set(t.Context(), w.Name, have, w.Attrs); !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "its own VNI") {
		t.Errorf("a VNI twice: %v", err)
	}
	if out := nstest.IP(t, "-d link show vx-b"); !strings.Contains(out, "vxlan id 8 remote fd97::2") || !strings.Contains(out, "master br0") || !strings.Contains(out, "alias provision") {
		t.Errorf("after a change that failed: %s", out)
	}
}

// A process that died between making and marking a device comes back to it.
func TestUnmarked(t *testing.T) {
	network(t)
	w := Want(spec(7, 2), "")
	c, err := rtnl.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := state{}.with(w.Attrs)
	s.name, s.link = w.Name, 0
	for range 2 {
		if err := c.Do(t.Context(), unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, compose(s)); err != nil {
			t.Fatal(err)
		}
		set(t, provision.Want{Ref: w.Ref})
	}
	if err := c.Do(t.Context(), unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, compose(s)); err != nil {
		t.Fatal(err)
	}
	set(t, w)
}

func TestRefusals(t *testing.T) {
	network(t)
	nstest.IP(t, "link add theirs type vxlan id 7 dstport 4789 remote 10.97.0.7 dev veth0")
	nstest.IP(t, "link set theirs up")
	var r Resource
	foreign, err := r.Get(t.Context(), "theirs")
	if err != nil || foreign == nil {
		t.Fatal(foreign, err)
	}
	by := func(k, v string) provision.Attrs {
		a := Want(spec(1, 2), "").Attrs
		a[k] = v
		return a
	}
	for _, tc := range []struct {
		name       string
		have, want provision.Attrs
		err        error
		text       string
	}{
		{"theirs", foreign, Want(spec(1, 2), "").Attrs, nil, "somebody else's"},
		{"theirs", foreign, nil, nil, "somebody else's"},
		{"theirs", foreign, provision.Attrs{AttrVNI: "7"}, nil, ""},
		{"veth0", nil, Want(spec(1, 2), "").Attrs, nil, "another device"},
		{"vx-b", nil, Want(spec(7, 2), "").Attrs, unix.EEXIST, ""},
		{"vx-b", nil, Want(spec(7, 2), "").Attrs, nil, "the same VNI on the same port"},
		{"vx-b", foreign, nil, provision.ErrStale, ""},
		{"vx-b", nil, nil, nil, ""},
		{"vx-b", nil, by(AttrDev, "none"), provision.ErrPending, ""},
		{"a b", nil, nil, nil, "a device's name"},
		{"vx-b", nil, provision.Attrs{AttrOwner: Owner}, nil, "have to be given"},
		{"vx-b", nil, by(AttrRemote, "0.0.0.0"), nil, "the other end"},
		{"vx-b", nil, by(AttrRemote, "239.0.0.1"), nil, "the other end"},
		{"vx-b", nil, by(AttrRemote, "fd97::2"), nil, "not of one family"},
		{"vx-b", nil, by(AttrLocal, "x"), nil, "of this machine"},
		{"vx-b", nil, by(AttrVNI, "0"), nil, "1 to 16777215"},
		{"vx-b", nil, by(AttrVNI, "16777216"), nil, "1 to 16777215"},
		{"vx-b", nil, by(AttrPort, "0"), nil, "1 to 65535"},
		{"vx-b", nil, by(AttrDev, "vx-b"), nil, "another device's"},
		{"vx-b", nil, by(AttrMAC, "01:00:5e:00:00:01"), nil, "a device can have"},
		{"vx-b", nil, by(AttrTxSum, "1"), nil, "on or off"},
		{"vx-b", nil, by(AttrOwner, "me"), nil, "somebody else's afterwards"},
		{"vx-b", nil, by("mtu", "1480"), nil, "unknown attribute"},
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
	if out := nstest.IP(t, "-o link"); strings.Contains(out, "vx-b") || !strings.Contains(out, "theirs") {
		t.Errorf("a refused change was made: %s", out)
	}
}

// FuzzDecode: whatever comes, decoding ends, and what was composed is read back.
func FuzzDecode(f *testing.F) {
	for _, sp := range []Spec{spec(7, 2), {VNI: MaxVNI, Remote: netip.MustParseAddr("fd97::2"), Local: netip.MustParseAddr("fd97::1"), Port: 8472, MAC: "02:00:5e:00:00:02"}} {
		asked := state{}.with(Want(sp, "").Attrs)
		asked.name, asked.link = "vx", 3
		s, err := decode(compose(asked))
		if err != nil || s.vni != sp.VNI || s.remote != sp.Remote || s.local != sp.Local || s.port != sp.Port || s.link != 3 || s.mac != sp.MAC || s.name != "vx" {
			f.Fatalf("%+v, %v", s, err)
		}
		f.Add(compose(asked))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if s, err := decode(msg); err == nil && s.kind == Kind {
			if a := s.attrs(); len(a) != 8 {
				t.Errorf("%v", a)
			}
		}
	})
}
