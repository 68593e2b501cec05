package lease

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
)

const minute = clock.Instant(time.Minute)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func client(n int) Client {
	hw := HW{1, string([]byte{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)})}
	return Client{Key: Key("h\x01" + hw.Addr), HW: hw}
}

func lan(more ...Reservation) Network {
	return Network{
		Name: "lan", Prefix: netip.MustParsePrefix("10.0.0.0/24"),
		Pools:        []Range{{ip("10.0.0.10"), ip("10.0.0.13")}},
		Exclude:      []netip.Addr{ip("10.0.0.1")},
		Reservations: more,
	}
}

type table struct {
	*Table
	t     *testing.T
	clock *clocktest.Fake
}

func newTable(t *testing.T, networks ...Network) table {
	t.Helper()
	c := clocktest.New()
	tab := NewTable(Options{Clock: c, Slack: DefaultSlack})
	if err := tab.Configure(networks); err != nil {
		t.Fatal(err)
	}
	return table{tab, t, c}
}

func (t table) now() clock.Instant { return t.clock.Now() }

func (t table) propose(c Client, wish string) (string, error) {
	t.t.Helper()
	var w netip.Addr
	if wish != "" {
		w = ip(wish)
	}
	p, err := t.Propose("lan", c, w, t.now()+minute, t.now())
	if err != nil {
		return "", err
	}
	return p.Lease.Addr.String(), nil
}

// bind binds, writes and returns the record.
func (t table) bind(c Client, addr string, d time.Duration) (Lease, *Record) {
	t.t.Helper()
	l, r, err := t.Bind("lan", c, ip(addr), t.now().Add(d), t.now())
	if err != nil {
		t.t.Fatalf("bind %s: %v", addr, err)
	}
	if r != nil {
		t.Written(*r)
	}
	return l, r
}

func (t table) want(c Client, wish, addr string, want error) {
	t.t.Helper()
	got, err := t.propose(c, wish)
	if got != addr || !errors.Is(err, want) {
		t.t.Errorf("proposed %q, %v; want %q, %v", got, err, addr, want)
	}
}

func TestProposeOrder(t *testing.T) {
	a, b, c, d, e := client(1), client(2), client(3), client(4), client(5)
	tab := newTable(t, lan(Reservation{Addr: ip("10.0.0.12"), HW: []HW{d.HW}}, Reservation{Addr: ip("10.0.0.99"), ClientIDs: []string{"x"}}))
	tab.want(a, "10.0.0.11", "10.0.0.11", nil)
	tab.want(a, "10.0.0.13", "10.0.0.11", nil) // what it has been offered
	tab.want(b, "10.0.0.12", must(tab.propose(b, "10.0.0.12")), nil)
	if got := must(tab.propose(b, "")); got == "10.0.0.12" {
		t.Error("a reserved address was proposed to another client")
	}
	tab.want(d, "10.0.0.13", "10.0.0.12", nil)
	e.ClientID, e.Key = "x", "ix"
	tab.want(e, "", "10.0.0.99", nil) // outside of the pool
	tab.want(c, "10.0.0.1", must(tab.propose(c, "")), nil)
	tab.want(client(6), "", "", ErrExhausted)
	tab.clock.Advance(2 * time.Minute) // the offers have gone
	tab.bind(a, "10.0.0.11", 10*time.Minute)
	tab.bind(b, "10.0.0.10", 20*time.Minute)
	tab.bind(c, "10.0.0.13", 20*time.Minute)
	if _, ok := tab.Release("lan", c.Key, ip("10.0.0.13"), tab.now()); !ok {
		t.Error("not released")
	}
	tab.clock.Advance(11 * time.Minute)
	tab.want(a, "", "10.0.0.11", nil) // had it
	tab.want(client(6), "", "10.0.0.13", nil)
	tab.want(client(7), "", "", ErrExhausted)
	tab.want(c, "", "", ErrExhausted)
	if p, err := tab.Propose("lan", a, netip.Addr{}, 0, tab.now()); err != nil || p.Probe {
		t.Errorf("%+v, %v", p, err)
	}
	tab.want(client(8), "", "", ErrExhausted)
	if _, err := tab.Propose("wan", a, netip.Addr{}, 0, tab.now()); !errors.Is(err, ErrNoNetwork) {
		t.Error(err)
	}
}

func must(s string, err error) string {
	if err != nil {
		return err.Error()
	}
	return s
}

func TestBindErrors(t *testing.T) {
	a, b := client(1), client(2)
	tab := newTable(t, lan(Reservation{Addr: ip("10.0.0.12"), HW: []HW{b.HW}}))
	tab.bind(a, "10.0.0.10", time.Hour)
	for _, c := range []struct {
		who  Client
		addr string
		want error
	}{
		{client(3), "10.0.0.10", ErrTaken},
		{a, "10.0.0.12", ErrReserved},
		{b, "10.0.0.11", ErrReserved},
		{a, "10.0.0.1", ErrOutside},
		{a, "10.0.1.10", ErrOutside},
		{a, "10.0.0.200", ErrOutside},
		{a, "::1", ErrOutside},
		{b, "10.0.0.12", nil},
		{a, "10.0.0.11", nil}, // moves
		{client(3), "10.0.0.10", nil},
	} {
		_, r, err := tab.Bind("lan", c.who, ip(c.addr), tab.now()+minute, tab.now())
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.addr, err, c.want)
		}
		if c.addr == "10.0.0.11" && c.want == nil && r.Left != ip("10.0.0.10") {
			t.Errorf("left %v", r.Left)
		}
	}
	if _, _, err := tab.Bind("wan", a, ip("10.0.0.10"), 0, 0); !errors.Is(err, ErrNoNetwork) {
		t.Error(err)
	}
}

// A renewal is a write only when storage would hold the address for less than the client.
func TestCoalescing(t *testing.T) {
	a := client(1)
	tab := newTable(t, lan())
	writes := 0
	for i := range 20 { // a lease of an hour renewed at half time
		l, r := tab.bind(a, "10.0.0.10", time.Hour)
		if r != nil {
			writes++
			if r.Durable != l.Expiry.Add(30*time.Minute) {
				t.Errorf("record until %v of a lease until %v", r.Durable, l.Expiry)
			}
			l.Durable = r.Durable
		}
		if l.Durable < l.Expiry {
			t.Fatalf("renewal %d: acknowledged until %v, stored until %v", i, l.Expiry, l.Durable)
		}
		tab.clock.Advance(30 * time.Minute)
	}
	if writes != 10 {
		t.Errorf("%d writes for 20 renewals", writes)
	}
	tab = newTable(t, lan())
	l, r, _ := tab.Bind("lan", a, ip("10.0.0.10"), tab.now().Add(time.Hour), tab.now())
	if r == nil || l.Durable != 0 {
		t.Fatal("no record, or durable before it is written")
	}
	_, again, _ := tab.Bind("lan", a, ip("10.0.0.10"), tab.now().Add(time.Minute), tab.now())
	if again == nil || again.Durable < r.Durable {
		t.Error("a record not yet written was counted on, or the next one takes back what it promised")
	}
	tab.Release("lan", a.Key, ip("10.0.0.10"), tab.now())
	tab.clock.Advance(time.Second)
	if _, _, err := tab.Bind("lan", a, ip("10.0.0.10"), tab.now()+minute, tab.now()); err != nil {
		t.Fatal(err)
	}
	tab.Written(*r) // of the lease that has been released since
	if l, _ := tab.Of("lan", a.Key); l.Durable != 0 {
		t.Error("a record of an earlier lease was counted for this one")
	}
	if _, r := tab.bind(a, "10.0.0.10", time.Duration(Forever.Sub(tab.now()))); r == nil || r.Durable != Forever {
		t.Errorf("infinite lease: %+v", r)
	}
	if _, ok := tab.Next(); ok {
		t.Error("an infinite lease has a deadline")
	}
}

func TestNames(t *testing.T) {
	a, b, c := client(1), client(2), client(3)
	a.Hostname, b.Hostname, c.Hostname = "Lap", "lap", "box"
	tab := newTable(t, lan(Reservation{HW: []HW{c.HW}, Name: "nas"}))
	tab.bind(a, "10.0.0.10", time.Hour)
	if l, _ := tab.bind(b, "10.0.0.11", 2*time.Hour); l.Hostname != "" {
		t.Errorf("second holder is called %q", l.Hostname)
	}
	if l, _ := tab.bind(c, "10.0.0.12", 2*time.Hour); l.Hostname != "nas" {
		t.Errorf("reserved name: %q", l.Hostname)
	}
	if got := tab.Addrs("LAP"); !slices.Equal(got, []netip.Addr{ip("10.0.0.10")}) {
		t.Errorf("lap is %v", got)
	}
	if got, ok := tab.Name(ip("10.0.0.10")); !ok || got != "Lap" {
		t.Errorf("%q, %v", got, ok)
	}
	tab.clock.Advance(time.Hour) // nobody has called Advance
	if got := tab.Addrs("lap"); got != nil {
		t.Errorf("expired lap is %v", got)
	}
	if _, ok := tab.Name(ip("10.0.0.10")); ok {
		t.Error("expired lease has a name")
	}
	l, r := tab.bind(b, "10.0.0.11", time.Minute)
	if l.Hostname != "lap" || r == nil {
		t.Errorf("the name is free now, but %q, %v", l.Hostname, r)
	}
	if _, r := tab.bind(b, "10.0.0.11", time.Minute); r != nil {
		t.Error("the name is written twice")
	}
	if l, _ := tab.bind(a, "10.0.0.10", time.Hour); l.Hostname != "" {
		t.Errorf("two are called %q", l.Hostname)
	}
	// A reservation takes the name from who has it.
	if err := tab.Configure([]Network{lan(Reservation{HW: []HW{a.HW}, Name: "lap"})}); err != nil {
		t.Fatal(err)
	}
	if got := tab.Addrs("lap"); !slices.Equal(got, []netip.Addr{ip("10.0.0.10")}) {
		t.Errorf("after reload: %v", got)
	}
	if l, r := tab.bind(a, "10.0.0.10", time.Hour); l.Hostname != "lap" || r == nil {
		t.Errorf("reserved for a, but %q, written %v", l.Hostname, r)
	}
	if l, _ := tab.bind(c, "10.0.0.12", time.Hour); l.Hostname != "box" || tab.Addrs("nas") != nil {
		t.Errorf("nas is no reserved name any more, but %q", l.Hostname)
	}
}

func TestDecline(t *testing.T) {
	a, b := client(1), client(2)
	tab := newTable(t, lan(Reservation{Addr: ip("10.0.0.12"), HW: []HW{b.HW}}))
	addr := must(tab.propose(a, "10.0.0.10"))
	until := tab.now() + 10*minute
	if _, ok := tab.Decline("lan", b.Key, ip(addr), until, tab.now()); ok {
		t.Error("somebody else declined")
	}
	r, ok := tab.Decline("lan", a.Key, ip(addr), until, tab.now())
	if !ok || r.State != Declined || r.Expiry != until {
		t.Errorf("%+v", r)
	}
	if got := must(tab.propose(a, addr)); got == addr {
		t.Error("quarantined address proposed")
	}
	if _, _, err := tab.Bind("lan", a, ip(addr), until, tab.now()); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}
	if r := tab.Quarantine("lan", ip("10.0.0.12"), until, tab.now()); r == nil {
		t.Error("not quarantined")
	}
	tab.want(b, "", "", ErrReservedInUse)
	tab.Withdraw("lan", a.Key)
	tab.bind(b, "10.0.0.11", time.Minute) // its own cannot be had
	tab.want(b, "", "10.0.0.11", nil)
	tab.clock.Advance(10 * time.Minute)
	tab.want(b, "", "10.0.0.12", nil)
	tab.bind(a, "10.0.0.10", time.Minute)
	if r := tab.Quarantine("lan", ip("10.0.0.10"), until, tab.now()); r != nil {
		t.Error("a live lease was quarantined")
	}
}

// One network card changes its identity between boot loader and system: its reserved address goes with it.
func TestReservedTakeover(t *testing.T) {
	a := client(1)
	loader := a
	loader.Key, loader.ClientID = "iuuid", "uuid"
	dock := client(2)
	tab := newTable(t, lan(Reservation{Addr: ip("10.0.0.50"), HW: []HW{a.HW, dock.HW}}))
	tab.bind(loader, "10.0.0.50", time.Hour)
	tab.want(a, "", "10.0.0.50", nil)
	tab.bind(a, "10.0.0.50", time.Hour)
	if l, ok := tab.Of("lan", loader.Key); ok {
		t.Errorf("the loader still has %+v", l)
	}
	tab.want(dock, "", "", ErrReservedInUse) // another card: may be alive beside it
	if _, ok := tab.Release("lan", a.Key, ip("10.0.0.50"), tab.now()); !ok {
		t.Error("not released")
	}
	tab.want(dock, "", "10.0.0.50", nil)
}

func TestReload(t *testing.T) {
	a, b := client(1), client(2)
	tab := newTable(t, lan())
	tab.bind(a, "10.0.0.10", time.Hour)
	tab.bind(b, "10.0.0.11", time.Hour)
	other := lan()
	other.Pools = []Range{{ip("10.0.0.11"), ip("10.0.0.20")}}
	if err := tab.Configure([]Network{other}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tab.Bind("lan", a, ip("10.0.0.10"), tab.now()+90*minute, tab.now()); !errors.Is(err, ErrOutside) {
		t.Errorf("renewed outside of the pool: %v", err)
	}
	if got := must(tab.propose(a, "")); got == "10.0.0.10" || got == "10.0.0.11" {
		t.Errorf("proposed %s", got)
	}
	if l, ok := tab.Of("lan", a.Key); !ok || l.State != Bound || l.Addr != ip("10.0.0.10") {
		t.Errorf("%+v", l)
	}
	if err := tab.Configure(nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tab.Bind("lan", b, ip("10.0.0.11"), tab.now()+90*minute, tab.now()); !errors.Is(err, ErrNoNetwork) {
		t.Error(err)
	}
	if _, ok := tab.At(ip("10.0.0.11")); !ok {
		t.Error("lease gone with its network")
	}
	renamed := lan()
	renamed.Name = "home"
	if err := tab.Configure([]Network{renamed}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tab.Bind("home", b, ip("10.0.0.11"), tab.now()+90*minute, tab.now()); err != nil {
		t.Errorf("renewing under the network's new name: %v", err)
	}
	if got := len(tab.Advance(tab.now() + 100*minute)); got != 2 {
		t.Errorf("%d leases expired", got)
	}
	if err := tab.Configure([]Network{lan(), renamed}); err == nil {
		t.Error("overlapping networks accepted")
	}
}

func TestRestore(t *testing.T) {
	a, b, c := client(1), client(2), client(3)
	tab := newTable(t, lan())
	now := tab.now()
	a.Hostname, b.Hostname = "x", "x"
	tab.Restore([]Lease{
		{Client: b, Network: "lan", Addr: ip("10.0.0.11"), State: Bound, Since: now - 1, Expiry: now + 2*minute, Durable: now + minute},
		{Client: a, Network: "lan", Addr: ip("10.0.0.10"), State: Bound, Since: now - 2, Expiry: now + 2*minute, Durable: now + minute},
		{Client: c, Network: "lan", Addr: ip("10.0.0.12"), State: Bound, Since: now - 9, Expiry: now - 1, Durable: now - minute},
		{Network: "lan", Addr: ip("10.0.0.13"), State: Declined, Since: now - 9, Expiry: now + minute},
	}, now)
	if got := tab.Addrs("x"); !slices.Equal(got, []netip.Addr{a2(tab, a)}) {
		t.Errorf("x is %v", got)
	}
	if got := tab.Advance(now); len(got) != 1 || got[0].Addr != ip("10.0.0.12") {
		t.Errorf("expired: %+v", got)
	}
	tab.want(c, "", "10.0.0.12", nil)
	tab.want(client(9), "", "", ErrExhausted)
	if _, r, err := tab.Bind("lan", a, ip("10.0.0.10"), now+minute, now); err != nil || r != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if _, r, err := tab.Bind("lan", a, ip("10.0.0.10"), now+minute+1, now); err != nil || r == nil {
		t.Errorf("%+v, %v", r, err)
	}
}

func a2(tab table, c Client) netip.Addr {
	l, _ := tab.Of("lan", c.Key)
	return l.Addr
}

func TestValidate(t *testing.T) {
	for _, c := range []func(*Network){
		func(n *Network) { n.Name = "" },
		func(n *Network) { n.Prefix = netip.Prefix{} },
		func(n *Network) { n.Prefix = netip.MustParsePrefix("fd00::/64") },
		func(n *Network) { n.Pools = []Range{{ip("10.0.0.9"), ip("10.0.0.8")}} },
		func(n *Network) { n.Pools = []Range{{ip("10.0.0.9"), ip("10.0.1.8")}} },
		func(n *Network) {
			n.Pools = []Range{{ip("10.0.0.9"), ip("10.0.0.20")}, {ip("10.0.0.20"), ip("10.0.0.30")}}
		},
		func(n *Network) { n.Reservations = []Reservation{{Addr: ip("10.0.1.1"), HW: []HW{{1, "a"}}}} },
		func(n *Network) { n.Reservations = []Reservation{{Addr: ip("10.0.0.1")}} },
		func(n *Network) { n.Reservations = []Reservation{{HW: []HW{{1, "a"}}}, {HW: []HW{{1, "a"}}}} },
	} {
		n := lan()
		c(&n)
		if Validate([]Network{n}) == nil {
			t.Errorf("%+v accepted", n)
		}
	}
	big := Network{Name: "big", Prefix: netip.MustParsePrefix("10.0.0.0/8"), Pools: []Range{{ip("10.0.0.0"), ip("10.255.255.255")}}}
	if err := Validate([]Network{big}); err != nil {
		t.Error(err)
	}
}

// Old clients refuse x.x.x.0 and x.x.x.255; the ends of a prefix are no addresses at all, except in a /31.
func TestEdges(t *testing.T) {
	for _, c := range []struct {
		prefix string
		want   int
	}{
		{"10.0.0.0/22", 1024 - 8},
		{"10.0.0.0/24", 254},
		{"10.0.0.128/25", 126},
		{"10.0.0.0/30", 2},
		{"10.0.0.0/31", 2},
		{"10.0.0.7/32", 1},
	} {
		p := netip.MustParsePrefix(c.prefix)
		n := Network{Name: "n", Prefix: p, Pools: []Range{{p.Addr(), last(p)}}}
		tab := newTable(t, n)
		u, _ := tab.Usage("n")
		if u.Total != c.want || u.Free != c.want {
			t.Errorf("%s: %+v, want %d", c.prefix, u, c.want)
		}
		got := map[netip.Addr]bool{}
		for i := range c.want + 1 {
			p, err := tab.Propose("n", client(i), netip.Addr{}, tab.now()+minute, tab.now())
			if (err != nil) != (i == c.want) {
				t.Fatalf("%s: client %d: %v", c.prefix, i, err)
			}
			if err == nil {
				got[p.Lease.Addr] = true
			}
		}
		if len(got) != c.want {
			t.Errorf("%s: %d addresses given", c.prefix, len(got))
		}
	}
}

func last(p netip.Prefix) netip.Addr {
	return address(number(p.Addr()) | uint32(uint64(1)<<(32-p.Bits())-1))
}

func ExampleTable() {
	t := NewTable(Options{Clock: clocktest.New()})
	if err := t.Configure([]Network{lan()}); err != nil {
		fmt.Println(err)
	}
	c := client(1)
	p, err := t.Propose("lan", c, ip("10.0.0.10"), minute, 0)
	fmt.Println(p.Lease.Addr, p.Probe, err)
	l, rec, err := t.Bind("lan", c, p.Lease.Addr, 60*minute, 0)
	fmt.Println(l.State == Bound, rec.Durable == 60*minute, err)
	// Output:
	// 10.0.0.10 true <nil>
	// true true <nil>
}
