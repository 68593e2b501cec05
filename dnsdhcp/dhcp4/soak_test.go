package dhcp4

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// machine is a client as RFC 2131 figure 5 has it, on an air that loses, doubles and delays.
type machine struct {
	hw     lease.HW
	id     string
	state  string // init, selecting, requesting, bound, renewing, rebinding, rebooting, off
	xid    uint32
	offer  netip.Addr
	addr   netip.Addr // has it, and may use it until
	until  clock.Instant
	t1, t2 clock.Instant
	next   clock.Instant // when it does something next
	acks   int
}

type flying struct {
	at  clock.Instant
	to  *machine // nil: to the server
	m   message
	raw []byte
}

type air struct {
	w      *world
	rnd    *rand.Rand
	all    []*machine
	flying []flying
	stats  map[string]int
	fail   bool // the disk refuses
}

func (a *air) now() clock.Instant { return a.w.clk.Now() }

// put sends something on its way.
func (a *air) put(f flying) {
	for range 1 + a.rnd.IntN(100)/95 {
		if a.rnd.IntN(100) < 8 {
			continue
		}
		f.at = a.now().Add(time.Duration(a.rnd.IntN(4)) * time.Second)
		a.flying = append(a.flying, f)
	}
}

func (a *air) send(c *machine, m message) {
	m.hw, m.xid = c.hw, c.xid
	if c.id != "" {
		m.opts = with(m.opts, 61, c.id)
	}
	if a.rnd.IntN(2) == 0 {
		m.flags = 0x8000
	}
	a.put(flying{m: m})
}

// act is what a client does when its time has come.
func (a *air) act(c *machine) {
	now := a.now()
	c.xid = a.rnd.Uint32()
	if c.addr.IsValid() && c.until <= now {
		c.addr, c.state = netip.Addr{}, "init"
	}
	wait := time.Duration(4+a.rnd.IntN(8)) * time.Second
	switch c.state {
	case "init", "selecting", "requesting":
		m := message{kind: discover}
		if c.offer.IsValid() && a.rnd.IntN(2) == 0 {
			m.opts = opts(50, c.offer)
		}
		c.state = "selecting"
		a.send(c, m)
	case "off":
		c.state = "init"
		if c.addr.IsValid() {
			c.state = "rebooting"
			a.send(c, message{kind: request, opts: opts(50, c.addr)})
		}
	case "rebooting": // no answer: it may go on with what it has (RFC 2131 section 3.2)
		c.state = "bound"
		if !c.addr.IsValid() {
			c.state = "init"
		}
	case "bound", "renewing", "rebinding":
		switch r := a.rnd.IntN(100); {
		case r < 4 && c.state == "bound":
			a.send(c, message{kind: release, ci: c.addr, to: self, opts: opts(54, self)})
			c.addr, c.state, wait = netip.Addr{}, "off", time.Duration(a.rnd.IntN(600))*time.Second
		case r < 8 && c.state == "bound":
			c.state, wait = "off", time.Duration(a.rnd.IntN(1200))*time.Second
		case r < 10:
			a.send(c, message{kind: inform, ci: c.addr, to: self})
			wait = time.Minute
		case now >= c.t2:
			c.state = "rebinding"
			a.send(c, message{kind: request, ci: c.addr})
		case now >= c.t1:
			c.state = "renewing"
			a.send(c, message{kind: request, ci: c.addr, to: self})
		default:
			c.state, wait = "bound", min(c.t1.Sub(now), 5*time.Minute)
		}
	}
	c.next = now.Add(max(wait, time.Second))
}

// hear is a reply at its client.
func (a *air) hear(c *machine, raw []byte) {
	var p wire.Packet
	if err := p.Decode(raw); err != nil {
		a.w.t.Fatal(err)
	}
	if p.XID != c.xid {
		return
	}
	now := a.now()
	switch p.Type() {
	case wire.Offer:
		if c.state == "selecting" {
			c.state, c.offer = "requesting", p.YIAddr
			id := self
			if a.rnd.IntN(50) == 0 {
				id, c.state = addr("10.0.255.9"), "init" // another server was quicker
			}
			a.send(c, message{kind: request, opts: opts(50, p.YIAddr, 54, id)})
			c.next = now.Add(6 * time.Second)
		}
	case wire.Ack:
		if p.YIAddr.IsUnspecified() {
			return
		}
		if c.state != "requesting" && c.state != "renewing" && c.state != "rebinding" && c.state != "rebooting" {
			return
		}
		if c.state == "requesting" && a.rnd.IntN(60) == 0 { // its own ARP probe finds somebody
			a.send(c, message{kind: decline, opts: opts(50, p.YIAddr, 54, self)})
			c.state, c.addr, c.next = "init", netip.Addr{}, now.Add(10*time.Second)
			return
		}
		if c.addr.IsValid() && c.state != "requesting" && c.addr != p.YIAddr {
			a.w.t.Errorf("%x has %s and is told %s when it is %s", c.hw.Addr, c.addr, p.YIAddr, c.state)
		}
		s, _ := p.U32(wire.OptLeaseTime)
		d := time.Duration(s) * time.Second
		c.addr, c.until, c.t1, c.t2 = p.YIAddr, now.Add(d-4*time.Second), now.Add(d/2), now.Add(d*7/8) // counted from the REQUEST
		c.state, c.next = "bound", now.Add(d/2)
		c.acks++
	case wire.Nak:
		if c.state != "selecting" && c.state != "off" {
			c.addr, c.state, c.next = netip.Addr{}, "init", now.Add(time.Second)
		}
	}
}

// arrive is a packet at the server.
func (a *air) arrive(f flying) {
	w := a.w
	raw := f.m.packet()
	from := netip.IPv4Unspecified()
	if f.m.ci.IsValid() {
		from = f.m.ci
	}
	to := f.m.to
	if !to.IsValid() {
		to = everybody
	}
	in := Arrival{Link: &w.link, From: netip.AddrPortFrom(from, 68), To: to}
	w.h.Handle(w.rules, w.env(), in, raw, &w.out)
	w.check(in, raw)
	if w.out.Probe.IsValid() {
		if a.rnd.IntN(100) == 0 { // in use
			w.table.Quarantine("lab", w.out.Probe, w.clk.Now().Add(DefaultQuarantine), w.clk.Now())
		} else {
			in.Probed = w.out.Probe
		}
		in.Again = true
		w.h.Handle(w.rules, w.env(), in, raw, &w.out)
		w.check(in, raw)
	}
	o := &w.out
	a.stats[o.Entry.What+" "+o.Entry.Reason]++
	failed := a.fail && len(o.Records) > 0
	for _, r := range o.Records {
		if !failed {
			w.table.Written(r)
		}
	}
	if len(o.Reply) == 0 || failed && o.Wait {
		return
	}
	for _, c := range a.all {
		if c.hw == f.m.hw {
			a.put(flying{to: c, raw: append([]byte(nil), o.Reply...)})
		}
	}
}

// TestSoak: hundreds of clients, hours of virtual time, everything that can go wrong on the way; at no time do two of them
// believe to have the same address.
func TestSoak(t *testing.T) {
	soak(t, *soakSeed, *soakHours)
}

var (
	soakHours = flag.Int("soak", 3, "hours of virtual time that the soak lasts")
	soakSeed  = flag.Uint64("seed", 0, "what its chances are made of")
)

func soak(t *testing.T, seed uint64, hours int) {
	n := lab()
	n.Prefix, n.Probe, n.Lease, n.Max, n.RapidCommit = prefix("10.0.0.0/16"), true, 20*time.Minute, 0, true
	w := newWorld(t, n, func(c *Config, nets *[]lease.Network) {
		(*nets)[0].Pools = pools("10.0.1.1", "10.0.2.20")
		for i := range 5 {
			a := netip.AddrFrom4([4]byte{10, 0, 3, byte(1 + i)})
			(*nets)[0].Reservations = append((*nets)[0].Reservations, lease.Reservation{Addr: a, HW: []lease.HW{ether(i + 1)}})
		}
	})
	w.link.Addrs = []link.Addr{{Prefix: prefix("10.0.0.1/16")}}
	a := &air{w: w, rnd: rand.New(rand.NewPCG(seed, 1)), stats: map[string]int{}}
	for i := range 250 {
		c := &machine{hw: ether(i + 1), state: "init", next: w.clk.Now().Add(time.Duration(a.rnd.IntN(60)) * time.Second)}
		switch {
		case i%5 == 1:
			c.id = fmt.Sprintf("\xffid-%d", i)
		case i%50 == 2, i%50 == 3:
			c.id = fmt.Sprintf("\xffclone-%d", i/50)
		}
		a.all = append(a.all, c)
	}
	for s := range hours * 3600 {
		now := w.clk.Now()
		switch s % 7200 {
		case 3600:
			a.fail = true // for five minutes the disk refuses without the server knowing, then it is known
		case 3900:
			a.fail, w.ro = false, true
		case 4200:
			w.ro = false
		}
		keep := a.flying[:0:0]
		due := a.flying
		a.flying = nil
		for _, f := range due {
			switch {
			case f.at > now:
				keep = append(keep, f)
			case f.to == nil:
				a.arrive(f)
			default:
				a.hear(f.to, f.raw)
			}
		}
		a.flying = append(keep, a.flying...)
		holder := map[netip.Addr]*machine{}
		for _, c := range a.all {
			if c.next <= now {
				a.act(c)
			}
			if !c.addr.IsValid() || c.until <= now {
				continue
			}
			if o := holder[c.addr]; o != nil {
				t.Fatalf("after %ds: %x (%s) and %x (%s) both have %s", s, c.hw.Addr, c.state, o.hw.Addr, o.state, c.addr)
			}
			holder[c.addr] = c
		}
		if s%600 == 0 {
			w.unique()
			w.table.Advance(now)
		}
		w.clk.Advance(time.Second)
	}
	for i, c := range a.all {
		if c.acks < hours {
			t.Errorf("client %d was acknowledged %d times in %d hours, is %s", i, c.acks, hours, c.state)
		}
	}
	for _, want := range []string{
		"DISCOVER offered", "DISCOVER offered-known", "DISCOVER reserved", "DISCOVER read-only", "REQUEST bound", "REQUEST reserved",
		"REQUEST renewed", "REQUEST rebound", "REQUEST rebooted", "REQUEST shortened", "REQUEST other-server", "DECLINE declined",
		"RELEASE released", "INFORM informed",
	} {
		if a.stats[want] == 0 {
			t.Errorf("never: %s", want)
		}
	}
	t.Log(a.stats)
}

// TestStarvation: who holds a lease is served while somebody makes up 10,000 hardware addresses a second, and no memory
// grows with those.
func TestStarvation(t *testing.T) {
	n := lab()
	n.Prefix = prefix("10.0.0.0/16")
	w := newWorld(t, n, func(c *Config, nets *[]lease.Network) { (*nets)[0].Pools = pools("10.0.1.1", "10.0.60.254") })
	w.link.Addrs = []link.Addr{{Prefix: prefix("10.0.0.1/16")}}
	held := map[int]netip.Addr{}
	for i := range 200 {
		o := w.handle(message{kind: discover, hw: ether(i + 1), opts: opts(61, fmt.Sprintf("\x01c%d", i))})
		a := yiaddr(t, o)
		w.handle(message{kind: request, hw: ether(i + 1), opts: opts(61, fmt.Sprintf("\x01c%d", i), 50, a, 54, self)})
		held[i] = a
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	served := 0
	reasons := map[string]int{}
	for s := range 6 {
		for i := range 10000 {
			o := w.handle(message{kind: discover, hw: ether(1<<20 + rnd.IntN(1<<23)), opts: opts(50, netip.IPv4Unspecified())})
			reasons[o.Entry.Reason]++
			if i%50 == 49 { // all 200 renew within this second
				c := i / 50
				o := w.handle(message{kind: request, hw: ether(c + 1), ci: held[c], to: self, opts: opts(61, fmt.Sprintf("\x01c%d", c))})
				if o.Entry.Reply != "ACK" {
					t.Fatalf("second %d: client %d gets %s %s", s, c, o.Entry.Reply, o.Entry.Reason)
				}
				served++
			}
			w.clk.Advance(100 * time.Microsecond)
		}
	}
	if len(w.h.offers.until) > maxOffers {
		t.Errorf("%d offers", len(w.h.offers.until))
	}
	if all := len(w.table.All()); all > maxOffers+200 {
		t.Errorf("the table has %d entries", all)
	}
	t.Log(served, reasons)
}

// One client that asks without end is cut off, and only that one.
func TestFlood(t *testing.T) {
	w := newWorld(t, lab())
	a := w.lease(ether(1), nil)
	got := map[string]int{}
	for range 1000 {
		got[w.handle(message{kind: request, hw: ether(1), ci: a, to: self}).Entry.Reason]++
		got[w.handle(message{kind: discover, hw: ether(2)}).Entry.Reason]++
		w.clk.Advance(10 * time.Millisecond)
	}
	if got[ReasonRenewed] > 150 || got[ReasonRenewed] < 100 || got[ReasonFlood] < 1600 {
		t.Errorf("%v", got)
	}
	if o := w.handle(message{kind: discover, hw: ether(3)}); o.Entry.Reply != "OFFER" {
		t.Error(o.Entry.Reason)
	}
}
