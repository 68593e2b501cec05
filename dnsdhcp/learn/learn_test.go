package learn

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

var (
	_ zone.Source = (*Learner)(nil)
	_ Leases      = (*lease.Table)(nil)
)

// table is a lease table of few words.
type table []lease.Lease

func (t table) Addrs(label string) (out []netip.Addr) {
	for _, l := range t {
		if l.Hostname == label && l.State == lease.Bound {
			out = append(out, l.Addr)
		}
	}
	return out
}

func (t table) At(a netip.Addr) (lease.Lease, bool) {
	for _, l := range t {
		if l.Addr == a {
			return l, true
		}
	}
	return lease.Lease{}, false
}

func (t table) ByHW(network string, hw lease.HW) (out []lease.Lease) {
	for _, l := range t {
		if l.Network == network && l.HW == hw {
			out = append(out, l)
		}
	}
	return out
}

func held(network, addr, mac, name string) lease.Lease {
	return lease.Lease{
		Client:  lease.Client{HW: lease.HW{Type: 1, Addr: string(hw(mac))}, Hostname: name},
		Network: network, Addr: netip.MustParseAddr(addr), State: lease.Bound, Expiry: lease.Forever,
	}
}

func hw(s string) net.HardwareAddr {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

const (
	macA = "02:00:00:00:00:0a"
	macB = "02:00:00:00:00:0b"
)

type world struct {
	*Learner
	t   *testing.T
	clk *clocktest.Fake
	tab table
}

func start(t *testing.T, c Config) *world {
	w := &world{t: t, clk: clocktest.New()}
	w.tab = table{held("lab", "10.0.0.2", macA, "alpha"), held("lab", "10.0.0.3", macB, "beta"), held("guest", "10.9.0.2", macB, "beta")}
	c.Clock, c.Leases = w.clk, w
	w.Learner = New(c)
	w.SetLink(3, Link{Networks: []string{"lab"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00:1::/64"), netip.MustParsePrefix("2001:db8:1::/64")}})
	return w
}

// The Learner's methods hide those of the same name, so the world is the table for it and not for the test.
func (w *world) At(a netip.Addr) (lease.Lease, bool)            { return w.tab.At(a) }
func (w *world) ByHW(network string, hw lease.HW) []lease.Lease { return w.tab.ByHW(network, hw) }
func (w *world) Addrs(label string) []netip.Addr                { return w.tab.Addrs(label) }
func (w *world) seen(addr, mac string)                          { w.event(addr, mac, 3, true, false) }
func (w *world) stale(addr, mac string)                         { w.event(addr, mac, 3, false, false) }
func (w *world) gone(addr string)                               { w.event(addr, "", 3, false, true) }
func (w *world) event(addr, mac string, index int, reachable, gone bool) {
	n := link.Neighbour{Index: index, Addr: netip.MustParseAddr(addr), Reachable: reachable, Gone: gone}
	if mac != "" {
		n.MAC = hw(mac)
	}
	w.Neighbour(n)
}

func (w *world) expect(what, label, want string) {
	w.t.Helper()
	if got := fmt.Sprint(w.Learner.Addrs(label)); got != want {
		w.t.Errorf("%s: %s has %s, want %s", what, label, got, want)
	}
	for _, a := range w.Learner.Addrs(label) {
		if n, ok := w.Name(a); !ok || n != label {
			w.t.Errorf("%s: the name of %s is %q, %v", what, a, n, ok)
		}
	}
}

func (w *world) nameless(addr string) {
	w.t.Helper()
	if n, ok := w.Name(netip.MustParseAddr(addr)); ok {
		w.t.Errorf("%s is %s", addr, n)
	}
}

func TestJoin(t *testing.T) {
	w := start(t, Config{})
	w.seen("fd00:1::a", macA)
	w.clk.Advance(time.Second)
	w.stale("2001:db8:1::a", macA)
	w.expect("two prefixes, the newest first", "alpha", "[2001:db8:1::a fd00:1::a]")
	for _, a := range []string{"fe80::a", "fe80::a%eth0", "ff02::1", "::1", "::", "10.0.0.2", "::ffff:10.0.0.2"} {
		w.seen(a, macA)
	}
	w.seen("fd00:2::a", macA) // outside of the prefixes
	w.stale("fd00:1::bad", "33:33:00:00:00:01")
	w.stale("fd00:1::bad", "00:00:00:00:00:00")
	w.event("fd00:1::dead", "", 3, false, false) // INCOMPLETE
	w.event("fd00:1::77", macA, 9, true, false)  // a link that is not served
	w.expect("nothing more", "alpha", "[2001:db8:1::a fd00:1::a]")
	w.expect("nobody", "nobody", "[]")
	for _, a := range []string{"fd00:2::a", "fe80::a", "fd00:1::bad", "fd00:1::77", "fd00:1::99"} {
		w.nameless(a)
	}
}

func TestLeaseLater(t *testing.T) {
	w := start(t, Config{})
	w.tab = nil
	w.seen("fd00:1::a", macA)
	w.nameless("fd00:1::a")
	w.tab = table{held("lab", "10.0.0.2", macA, "late")}
	w.expect("the lease came after the neighbour", "late", "[fd00:1::a]")
	w.tab[0].State = lease.Expired
	w.nameless("fd00:1::a")
	w.tab[0].State, w.tab[0].Expiry = lease.Bound, w.clk.Now()
	w.nameless("fd00:1::a")
	w.tab[0].Expiry, w.tab[0].Hostname = lease.Forever, ""
	w.nameless("fd00:1::a")
}

// A host with two leases in two networks on two links has, on each, the addresses of that one.
func TestNetworkOfLink(t *testing.T) {
	w := start(t, Config{})
	w.SetLink(4, Link{Networks: []string{"guest"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00:9::/64")}})
	w.event("fd00:9::b", macB, 4, true, false)
	w.event("fd00:9::a", macA, 4, true, false) // has no lease there
	w.expect("beta", "beta", "[fd00:9::b]")
	w.expect("alpha", "alpha", "[]")
	w.nameless("fd00:9::a")
}

func TestPrefixesChange(t *testing.T) {
	w := start(t, Config{})
	w.seen("fd00:5::a", macA)
	w.expect("before", "alpha", "[]")
	w.SetLink(3, Link{Networks: []string{"lab"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00:5::/64")}})
	w.expect("after", "alpha", "[fd00:5::a]")
}

func TestAgeing(t *testing.T) {
	w := start(t, Config{Grace: time.Minute, Stale: time.Hour})
	w.seen("fd00:1::a", macA)
	w.gone("fd00:1::a")
	w.clk.Advance(time.Minute - 1)
	w.gone("fd00:1::a") // again: the grace does not begin anew
	w.expect("within the grace", "alpha", "[fd00:1::a]")
	w.clk.Advance(1)
	w.expect("after it", "alpha", "[]")
	w.nameless("fd00:1::a")
	w.stale("fd00:1::a", macA)
	w.expect("back", "alpha", "[fd00:1::a]")
	w.event("fd00:1::a", "", 4, false, true)
	w.clk.Advance(2 * time.Minute)
	w.expect("gone from another link", "alpha", "[fd00:1::a]")

	w.clk.Advance(time.Hour - 2*time.Minute - 1)
	w.stale("fd00:1::a", macA) // the table was read again
	w.expect("stale", "alpha", "[fd00:1::a]")
	w.clk.Advance(1)
	w.expect("too long", "alpha", "[]")

	w.seen("fd00:1::b", macA)
	w.clk.Advance(48 * time.Hour)
	w.expect("reachable all the time", "alpha", "[fd00:1::b]")
	w.stale("fd00:1::b", macA)
	w.clk.Advance(time.Hour - 1)
	w.expect("stale from then on", "alpha", "[fd00:1::b]")
	w.clk.Advance(1)
	w.expect("and too long", "alpha", "[]")
	if n := len(w.All()); n != 0 {
		t.Error(n)
	}
	w.seen("fd00:1::c", macA)
	if n := len(w.addrs); n != 1 {
		t.Errorf("%d addresses kept", n)
	}
}

func TestMoved(t *testing.T) {
	w := start(t, Config{})
	w.seen("fd00:1::a", macA)
	w.seen("fd00:1::a", macB)
	w.expect("alpha", "alpha", "[]")
	w.expect("beta", "beta", "[fd00:1::a]")
}

func TestLinkRecreated(t *testing.T) {
	w := start(t, Config{})
	w.seen("fd00:1::a", macA)
	k := w.links[3]
	w.RemoveLink(3)
	w.expect("no link", "alpha", "[]")
	w.SetLink(7, k)
	w.event("fd00:1::a", macA, 7, false, false)
	w.expect("its next incarnation", "alpha", "[fd00:1::a]")
}

func TestBounds(t *testing.T) {
	w := start(t, Config{PerMAC: 3, Total: 20})
	w.seen("fd00:1::b", macB)
	for i := range 10 {
		w.clk.Advance(time.Second)
		w.seen(fmt.Sprintf("fd00:1::a%d", i), macA)
	}
	w.expect("the newest of one", "alpha", "[fd00:1::a9 fd00:1::a8 fd00:1::a7]")
	w.gone("fd00:1::a9")
	w.seen("fd00:1::aa", macA)
	w.expect("the one that is gone goes first", "alpha", "[fd00:1::aa fd00:1::a8 fd00:1::a7]")
	w.expect("others are not touched", "beta", "[fd00:1::b]")
	var mac [6]byte
	for i := range 1000 {
		w.clk.Advance(time.Millisecond)
		binary.BigEndian.PutUint32(mac[2:], uint32(i+1000))
		w.stale(fmt.Sprintf("fd00:1::f:%x", i), net.HardwareAddr(mac[:]).String())
	}
	if len(w.addrs) != 20 || len(w.macs) != 20 {
		t.Error(len(w.addrs), len(w.macs))
	}
	n := 0
	for mac, of := range w.macs {
		n += len(of)
		for _, e := range of {
			if w.addrs[e.addr] != e || e.mac != mac {
				t.Error("the two indexes differ")
			}
		}
	}
	if n != len(w.addrs) {
		t.Error(n)
	}
}

func BenchmarkName(b *testing.B) {
	clk := clocktest.New()
	l := New(Config{Clock: clk, Leases: table{held("lab", "10.0.0.2", macA, "alpha")}})
	l.SetLink(1, Link{Networks: []string{"lab"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00:1::/64")}})
	a := netip.MustParseAddr("fd00:1::1")
	l.Neighbour(link.Neighbour{Index: 1, Addr: a, MAC: hw(macA), Reachable: true})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := l.Name(a); !ok || len(l.Addrs("alpha")) != 1 {
			b.Fatal("lost")
		}
	}
}

// A host of the configuration is known by its hardware address, whether it has a lease or not.
func TestHostsNeedNoLease(t *testing.T) {
	const macC = "02:00:00:00:00:0c"
	w := start(t, Config{})
	w.seen("fd00:1::c", macC)
	w.nameless("fd00:1::c")
	w.SetHosts(map[string]string{string(hw(macC)): "gamma", string(hw(macA)): "delta"})
	w.expect("a host without a lease", "gamma", "[fd00:1::c]")
	w.seen("fd00:9::c", macC)
	w.expect("what is not on the link is told to nobody", "gamma", "[fd00:1::c]")
	w.nameless("fd00:9::c")
	w.seen("fd00:1::a", macA)
	w.expect("the configuration's name goes before that of the lease", "delta", "[fd00:1::a]")
	w.SetHosts(nil)
	w.nameless("fd00:1::c")
}
