package lease

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
)

// model is the table as one would write it without thinking of speed: a list of addresses, scanned.
type model struct {
	net   Network
	addrs map[netip.Addr]*held
	tick  int
}

type held struct {
	key       Key
	hw        HW
	state     State
	until     clock.Instant
	was       State
	touched   int // for "unused for longest"
	name      string
	writtenTo clock.Instant
	hold      clock.Instant // proposed again while Bound
}

func (h *held) live() bool { return h.state == Bound || h.state == Offered }

func (m *model) reserved(a netip.Addr) *Reservation {
	for i, r := range m.net.Reservations {
		if r.Addr == a {
			return &m.net.Reservations[i]
		}
	}
	return nil
}

func (m *model) reservation(c Client) *Reservation {
	for i, r := range m.net.Reservations {
		if slices.Contains(r.HW, c.HW) {
			return &m.net.Reservations[i]
		}
	}
	for i, r := range m.net.Reservations {
		if c.ClientID != "" && slices.Contains(r.ClientIDs, c.ClientID) {
			return &m.net.Reservations[i]
		}
	}
	return nil
}

func (m *model) dynamic(a netip.Addr) bool {
	in := false
	for _, p := range m.net.Pools {
		in = in || !a.Less(p.First) && !p.Last.Less(a)
	}
	return in && m.reserved(a) == nil && !slices.Contains(m.net.Exclude, a)
}

func (m *model) advance(now clock.Instant) {
	for { // one after the other, in the order of their ends
		var next netip.Addr
		for a, h := range m.addrs {
			if h.until <= now && (h.live() || h.state == Declined) && (!next.IsValid() || h.until < m.addrs[next].until) {
				next = a
			}
		}
		if !next.IsValid() {
			return
		}
		h := m.addrs[next]
		switch {
		case h.state == Bound && h.hold > now:
			h.state, h.was, h.until = Offered, Expired, h.hold
		case h.state == Bound:
			m.old(h, Expired)
		case h.state == Offered && h.was != 0:
			m.old(h, h.was)
		default:
			delete(m.addrs, next)
		}
	}
}

func (m *model) old(h *held, as State) {
	m.tick++
	h.state, h.was, h.touched, h.hold = as, 0, m.tick, 0
}

// checks that a proposal is one that the order allows.
func (m *model) proposal(c Client, wish netip.Addr, p Proposal, err error) error {
	var own, oldest *held
	var ownAddr, oldestAddr netip.Addr
	free := 0
	for a, h := range m.addrs {
		if h.key == c.Key && h.state != Declined && (own == nil || own.state == Offered && own.was == 0) {
			own, ownAddr = h, a
		}
		if !h.live() && h.state != Declined && m.dynamic(a) && (oldest == nil || h.touched < oldest.touched) {
			oldest, oldestAddr = h, a
		}
	}
	for a := range m.all() {
		if m.addrs[a] == nil {
			free++
		}
	}
	got := p.Lease.Addr
	want := func(a netip.Addr, why string) error {
		if err != nil || got != a {
			return fmt.Errorf("got %v, %v; want %v, %s", got, err, a, why)
		}
		return nil
	}
	if r := m.reservation(c); r != nil && r.Addr.IsValid() {
		if h := m.addrs[r.Addr]; h == nil || h.key == c.Key && h.state != Declined || !h.live() && h.state != Declined || h.live() && h.hw == c.HW {
			return want(r.Addr, "reserved")
		}
		if own != nil && own.live() && own.state != 0 && m.dynamic(ownAddr) && !(own.state == Offered && own.was == 0) {
			return want(ownAddr, "held while the reserved one is in use")
		}
		if !errors.Is(err, ErrReservedInUse) {
			return fmt.Errorf("got %v, %v; want ErrReservedInUse", got, err)
		}
		return nil
	}
	if own != nil && m.dynamic(ownAddr) {
		return want(ownAddr, "held")
	}
	if h := m.addrs[wish]; wish.IsValid() && m.dynamic(wish) && (h == nil || !h.live() && h.state != Declined && h.hw == c.HW) {
		return want(wish, "wished")
	}
	switch {
	case free > 0 && (err != nil || m.addrs[got] != nil || !m.dynamic(got)):
		return fmt.Errorf("got %v, %v; want one of %d free ones", got, err, free)
	case free > 0:
		return nil
	case oldest != nil:
		return want(oldestAddr, "longest unused")
	case !errors.Is(err, ErrExhausted):
		return fmt.Errorf("got %v, %v; want ErrExhausted", got, err)
	}
	return nil
}

func (m *model) all() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, p := range m.net.Pools {
		for a := p.First; !p.Last.Less(a); a = a.Next() {
			if m.dynamic(a) {
				out[a] = true
			}
		}
	}
	return out
}

// drive runs random operations on both; what they are is drawn from next.
func drive(next func(n int) int, steps int) error {
	net := lan(
		Reservation{Addr: ip("10.0.0.12"), HW: []HW{client(0).HW, client(1).HW}, Name: "r0"},
		Reservation{Addr: ip("10.0.0.40"), ClientIDs: []string{"id2"}},
		Reservation{HW: []HW{client(3).HW}, Name: "h1"},
	)
	net.Pools = []Range{{ip("10.0.0.10"), ip("10.0.0.14")}, {ip("10.0.0.20"), ip("10.0.0.22")}}
	net.Exclude = []netip.Addr{ip("10.0.0.21")}
	fake := clocktest.New()
	t := NewTable(Options{Clock: fake, Slack: 0.5})
	if err := t.Configure([]Network{net}); err != nil {
		return err
	}
	m := &model{net: net, addrs: map[netip.Addr]*held{}}
	for step := range steps {
		fake.Advance(time.Duration(next(90)) * time.Second)
		now := fake.Now()
		m.advance(now)
		c := client(next(12))
		switch next(4) {
		case 0:
			c.ClientID = fmt.Sprintf("id%d", next(6))
			c.Key = Key("i" + c.ClientID)
		}
		c.Hostname = []string{"", "h1", "h2", "r0"}[next(4)]
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(8 + next(36))})
		if l, ok := t.Of("lan", c.Key); ok && next(3) > 0 {
			addr = l.Addr
		}
		h := m.addrs[addr]
		mine := h != nil && h.key == c.Key && h.live()
		what := ""
		var err error
		switch op := next(10); {
		case op < 4:
			what = "propose"
			until := now.Add(time.Duration(1+next(120)) * time.Second)
			p, e := t.Propose("lan", c, addr, until, now)
			if err = m.proposal(c, addr, p, e); err == nil && e == nil {
				m.propose(c, p, until)
			}
		case op < 7:
			what = "bind"
			expiry := now.Add(time.Duration(1+next(600)) * time.Second)
			l, r, e := t.Bind("lan", c, addr, expiry, now)
			err = m.bind(t, c, addr, l, r, e, expiry)
		case op < 8:
			what = "release"
			if _, ok := t.Release("lan", c.Key, addr, now); ok != mine {
				err = fmt.Errorf("%v, want %v", ok, mine)
			}
			if mine && h.state == Bound {
				m.old(h, Released)
			} else if mine {
				m.lapse(addr)
			}
		case op < 9:
			what = "decline"
			until := now.Add(time.Duration(1+next(300)) * time.Second)
			if next(2) == 0 {
				if _, ok := t.Decline("lan", c.Key, addr, until, now); ok != mine {
					err = fmt.Errorf("%v, want %v", ok, mine)
				}
			} else {
				r := t.Quarantine("lan", addr, until, now)
				if mine = h == nil || h.state != Bound; mine != (r != nil) {
					err = fmt.Errorf("%v, want %v", r, mine)
				}
			}
			if mine {
				m.addrs[addr] = &held{state: Declined, until: until}
			}
		default:
			what = "withdraw"
			t.Withdraw("lan", c.Key)
			for a, h := range m.addrs {
				if h.key == c.Key && h.state == Offered {
					m.lapse(a)
				}
			}
			for _, h := range m.addrs {
				if h.key == c.Key {
					h.hold = 0
				}
			}
		}
		if next(40) == 0 { // a reload changes nothing
			if err := t.Configure([]Network{net}); err != nil {
				return err
			}
		}
		if err == nil {
			err = m.compare(t, now)
		}
		if err != nil {
			return fmt.Errorf("step %d, %s %v by %x: %w", step, what, addr, c.Key, err)
		}
	}
	return nil
}

func (m *model) lapse(a netip.Addr) {
	if h := m.addrs[a]; h.was != 0 {
		m.old(h, h.was)
		return
	}
	delete(m.addrs, a)
}

func (m *model) propose(c Client, p Proposal, until clock.Instant) {
	for a, h := range m.addrs {
		if h.key == c.Key && h.state == Offered && h.was == 0 && a != p.Lease.Addr {
			delete(m.addrs, a)
		}
	}
	h := m.addrs[p.Lease.Addr]
	switch {
	case h == nil || h.key != c.Key:
		m.addrs[p.Lease.Addr] = &held{key: c.Key, hw: c.HW, state: Offered, until: until}
	case h.state == Offered:
		h.until = max(h.until, until)
	case h.state == Bound:
		h.hold = max(h.hold, until)
	default:
		h.was, h.state, h.until = h.state, Offered, until
	}
}

func (m *model) bind(t *Table, c Client, addr netip.Addr, l Lease, r *Record, err error, expiry clock.Instant) error {
	h := m.addrs[addr]
	var want error
	res := m.reserved(addr)
	wish := m.reservation(c)
	own := res != nil && wish != nil && wish.Addr == addr
	obtainable := func(a netip.Addr) bool {
		h := m.addrs[a]
		w := m.reservation(c)
		return h == nil || h.state != Declined && (!h.live() || h.key == c.Key || w != nil && w.Addr == a && h.hw == c.HW)
	}
	switch {
	case !m.net.Prefix.Contains(addr):
		want = ErrOutside
	case res != nil && !own:
		want = ErrReserved
	case res == nil && wish != nil && wish.Addr.IsValid() && obtainable(wish.Addr):
		want = ErrReserved
	case res == nil && !m.dynamic(addr):
		want = ErrOutside
	case !obtainable(addr):
		want = ErrTaken
	}
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		return fmt.Errorf("%v, want %v", err, want)
	}
	if err != nil {
		return nil
	}
	for a, o := range m.addrs {
		if o.key == c.Key && o.state != Declined && a != addr {
			delete(m.addrs, a)
		}
	}
	if h == nil || h.key != c.Key {
		h = &held{key: c.Key}
		m.addrs[addr] = h
	}
	if h.state != Bound {
		h.writtenTo, h.was = 0, 0
	}
	h.hw, h.state, h.until, h.name, h.hold = c.HW, Bound, expiry, l.Hostname, 0
	if r != nil {
		if r.Durable < expiry || r.Durable < h.writtenTo {
			return fmt.Errorf("record until %v for a lease until %v, written %v", r.Durable, expiry, h.writtenTo)
		}
		h.writtenTo = r.Durable
		t.Written(*r)
	}
	if h.writtenTo < expiry {
		return fmt.Errorf("acknowledged until %v, written until %v", expiry, h.writtenTo)
	}
	return nil
}

func (m *model) compare(t *Table, now clock.Instant) error {
	t.Advance(now)
	all := t.All()
	if len(all) != len(m.addrs) {
		return fmt.Errorf("%d leases, want %d: %+v", len(all), len(m.addrs), all)
	}
	names := map[string]Lease{}
	live := map[Key]Lease{}
	for _, l := range all {
		h := m.addrs[l.Addr]
		if h == nil || l.State != h.state || h.state != Declined && l.Key != h.key || h.live() && l.Expiry != h.until {
			return fmt.Errorf("%+v, want %+v", l, h)
		}
		if l.State == Bound {
			if o, ok := live[l.Key]; ok {
				return fmt.Errorf("%x holds %v and %v", l.Key, o.Addr, l.Addr)
			}
			live[l.Key] = l
			if l.Hostname != "" {
				if o, ok := names[l.Hostname]; ok && o.HW != l.HW && o.Key != l.Key && m.reservation(o.Client) != m.reservation(l.Client) {
					return fmt.Errorf("%v and %v are both %s", o.Addr, l.Addr, l.Hostname)
				}
				names[l.Hostname] = l
			}
			if got, ok := t.Of("lan", l.Key); !ok || got.Addr != l.Addr {
				return fmt.Errorf("of %x: %+v, want %v", l.Key, got, l.Addr)
			}
		}
		if n := len(t.ByHW("lan", l.HW)); l.State != Declined && n == 0 {
			return fmt.Errorf("%x is not found by hardware address", l.HW.Addr)
		}
	}
	for _, name := range []string{"h1", "h2", "r0"} {
		var want []netip.Addr
		for _, l := range all {
			if l.State == Bound && l.Hostname == name {
				want = append(want, l.Addr)
			}
		}
		if got := slices.SortedFunc(slices.Values(t.Addrs(name)), netip.Addr.Compare); !slices.Equal(got, want) {
			return fmt.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	free := 0
	for a := range m.all() {
		if h := m.addrs[a]; h == nil || !h.live() && h.state != Declined {
			free++
		}
	}
	if u, _ := t.Usage("lan"); u.Free != free {
		return fmt.Errorf("%d free, want %d", u.Free, free)
	}
	return nil
}

func TestModel(t *testing.T) {
	seeds := uint64(40)
	if os.Getenv("PROVISION_SOAK") != "" {
		seeds = 10_000
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 7))
		if err := drive(rnd.IntN, 400); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("propose and bind, and let go"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		steps := len(data) / 7
		next := func(n int) int {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int(b) % n
		}
		if err := drive(next, steps); err != nil {
			t.Fatal(err)
		}
	})
}
