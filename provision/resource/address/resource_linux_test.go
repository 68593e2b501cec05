package address

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func put(t *testing.T, w provision.Want) {
	t.Helper()
	var r Resource
	have, err := r.Get(t.Context(), w.Name)
	if err == nil {
		err = r.Set(t.Context(), w.Name, have, w.Attrs)
	}
	if err != nil {
		t.Fatalf("%s: %v", w.Name, err)
	}
}

// addresses are those that ip(8) sees on veth0.
func addresses(t *testing.T) []string {
	t.Helper()
	var out []string
	for line := range strings.SplitSeq(nstest.IP(t, "-o addr show dev veth0"), "\n") {
		f := strings.Fields(line)
		if len(f) > 3 {
			line = strings.Join(f[3:], " ")
			line, _, _ = strings.Cut(line, "\\")
			out = append(out, strings.TrimSpace(line))
		}
	}
	slices.Sort(out)
	return out
}

func veth(t *testing.T) {
	t.Helper()
	nstest.Network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	nstest.IP(t, "link set veth0 addrgenmode none")
	nstest.IP(t, "link set veth0 up")
	nstest.IP(t, "link set veth1 up")
}

// ip(8) is the judge.
func TestAddresses(t *testing.T) {
	veth(t)
	put(t, Want("name:veth0", pfx("192.0.2.1/29"), ""))
	put(t, Want("name:veth0", pfx("192.0.2.9/31"), ""))
	put(t, Want("name:veth0", pfx("fd00::1/64"), "", NoDAD))
	put(t, Want("name:veth0", pfx("fe80::1/64"), "", NoDAD))
	got := addresses(t)
	for i, want := range []string{"192.0.2.1/29 brd 192.0.2.7 scope global", "192.0.2.9/31 scope global", "fd00::1/64 scope global nodad", "fe80::1/64 scope link nodad"} {
		// iproute2 shows the protocol by number; older ones not at all.
		if i >= len(got) || !strings.HasPrefix(strings.Replace(got[i], " proto 158", "", 1), want) || strings.Contains(got[i], "tentative") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The kernel takes the others of a network away with its first address; only one was meant.
func TestRemovesOnlyThat(t *testing.T) {
	veth(t)
	nstest.IP(t, "addr add 192.0.2.1/24 dev veth0")
	nstest.IP(t, "addr add 192.0.2.2/24 brd + dev veth0 label veth0:x")
	nstest.IP(t, "addr add 192.0.2.3/24 dev veth0 valid_lft 1000 preferred_lft 500")
	nstest.IP(t, "addr add 198.51.100.1/24 dev veth0")
	put(t, provision.Want{Ref: Ref("name:veth0", pfx("192.0.2.1/24"))})
	got := strings.Join(addresses(t), "\n")
	if strings.Contains(got, "192.0.2.1/") || !strings.Contains(got, "192.0.2.2/24 brd 192.0.2.255 scope global veth0:x") ||
		!strings.Contains(got, "192.0.2.3/24") || !strings.Contains(got, "198.51.100.1/24") {
		t.Errorf("got %s", got)
	}
}

// An address with a lifetime is its daemon's; wanted, it becomes permanent.
func TestLeased(t *testing.T) {
	veth(t)
	nstest.IP(t, "addr add 192.0.2.1/24 dev veth0 valid_lft 1000 preferred_lft 500")
	w := Want("name:veth0", pfx("192.0.2.1/24"), "")
	var r Resource
	if have, err := r.Get(t.Context(), w.Name); have != nil || err != nil {
		t.Fatalf("got %v, %v", have, err)
	}
	put(t, w)
	if have, err := r.Get(t.Context(), w.Name); have == nil || err != nil {
		t.Errorf("got %v, %v", have, err)
	}
	if out := nstest.IP(t, "addr show dev veth0"); strings.Contains(out, "dynamic") {
		t.Errorf("still has a lifetime: %s", out)
	}
}

// What somebody else has set beside it stays: the other end of a tunnel, a label.
func TestPeer(t *testing.T) {
	veth(t)
	nstest.IP(t, "addr add 192.0.2.1 peer 192.0.2.2/32 dev veth0 label veth0:p")
	name := Ref("name:veth0", pfx("192.0.2.1/32")).Name
	put(t, provision.Want{Ref: provision.Ref{Kind: Kind, Name: name}, Attrs: provision.Attrs{AttrMetric: "9"}})
	if got := strings.Join(addresses(t), "\n"); !strings.Contains(got, "192.0.2.1 peer 192.0.2.2/32 metric 9") || !strings.Contains(got, "veth0:p") {
		t.Errorf("got %s", got)
	}
}

func TestRefusals(t *testing.T) {
	veth(t)
	nstest.IP(t, "addr add 192.0.2.1/24 dev veth0")
	four, six := "name:veth0 192.0.2.1/24", "name:veth0 fd00::1/64"
	var r Resource
	have, err := r.Get(t.Context(), four)
	if err != nil || have == nil {
		t.Fatal(have, err)
	}
	for _, tc := range []struct {
		name       string
		have, want provision.Attrs
		err        error
		text       string
	}{
		{four, nil, provision.Attrs{}, provision.ErrStale, ""},
		{six, provision.Attrs{}, nil, provision.ErrStale, ""},
		{"name:none 192.0.2.1/24", nil, provision.Attrs{}, provision.ErrPending, ""},
		{"name:none 192.0.2.1/24", nil, nil, nil, ""},
		{four, have, provision.Attrs{AttrFlags: "nodad"}, nil, "is for IPv6"},
		{six, nil, provision.Attrs{AttrFlags: "noprefixroute nodad"}, nil, "in this order"},
		{six, nil, provision.Attrs{AttrFlags: "nodad "}, nil, "in this order"},
		{four, have, provision.Attrs{AttrMetric: "x"}, nil, "no number"},
		{four, have, provision.Attrs{AttrProto: "300"}, nil, "no protocol"},
		{four, have, provision.Attrs{"label": "x"}, nil, "unknown attribute"},
		{"name:veth0", nil, nil, nil, "device selector"},
		{"veth0 192.0.2.1/24", nil, nil, nil, "device selector"},
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
	if got := addresses(t); len(got) != 1 {
		t.Errorf("a refused change was made: %q", got)
	}
	if !r.Wrote(provision.Attrs{AttrProto: "158"}) || r.Wrote(have) {
		t.Error("own work is told by its number")
	}
}

// FuzzDecode: whatever comes, decoding ends, and what is understood can be asked for again.
func FuzzDecode(f *testing.F) {
	f.Add(entry{index: 2, addr: pfx("192.0.2.1/24"), metric: 3, proto: 158}.encode())
	f.Add(entry{index: 2, addr: pfx("fe80::1/64"), flags: 2}.encode())
	f.Fuzz(func(t *testing.T, msg []byte) {
		e, err := decode(msg)
		if err != nil || !e.addr.IsValid() {
			return
		}
		again, err := decode(e.encode())
		if err != nil || again.addr != e.addr || !again.same(e) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}
