package ra

import (
	"net/netip"
	"reflect"
	"slices"
	"sort"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// Random returns a duration from 0 to limit, both included, each as likely as the others.
type Random func(limit time.Duration) time.Duration

// Send is one advertisement to be sent: Message as Payloads of the link's MTU, from Src to To.
type Send struct {
	Src, To netip.Addr
	Limit   int // bytes of one payload
	Message Message
	Why     string // a Because constant
}

// Why an advertisement is sent.
const (
	BecauseInitial   = "initial"   // one of the first on the link, or after a change
	BecausePeriodic  = "periodic"  // the interval is over
	BecauseSolicited = "solicited" // somebody asked
	BecauseFinal     = "final"     // we stop: router lifetime 0
)

var allNodes = netip.MustParseAddr("ff02::1")

const (
	maxInitial         = 3                // MAX_INITIAL_RTR_ADVERTISEMENTS
	maxInitialInterval = 16 * time.Second // MAX_INITIAL_RTR_ADVERT_INTERVAL
	maxFinal           = 3                // MAX_FINAL_RTR_ADVERTISEMENTS
	// finalGap: RFC 4861 section 6.2.5 gives no spacing for the last advertisements. With that of section 6.2.6, which is
	// there against storms of solicitations, shutting down would take 9 s, and service managers and people do not wait.
	// Three in 0.8 s survive the loss of two, and of anything shorter than that.
	finalGap = 400 * time.Millisecond
	// afterCarrier is the rest between a carrier and the first advertisement. When Linux finds an NCM gadget it switches
	// the link on, off and on again at once (drivers/net/usb/cdc_ncm.c, cdc_ncm_bind_common). What is sent in between
	// stays in the gadget, with all that comes after it, the DHCP offer too, until 32 packets have come together: the
	// timer that sends a part has fired while there was no link (drivers/usb/gadget/function/f_ncm.c, ncm_tx_timeout).
	// Who is in a hurry solicits, and is answered.
	afterCarrier = 100 * time.Millisecond
)

// Machine decides what is advertised on one link and when. It is a state machine: events come in with their time,
// Poll returns what is to be sent at a time, Wake when to poll next. It is not safe for concurrent use.
type Machine struct {
	random Random

	cfg        Config
	configured bool
	link       link.Link
	src        netip.Addr // our link-local address; not valid while there is nothing to send from
	self       netip.Addr // ourselves as resolver
	default6   debounce
	forwarding debounce

	book   book
	again  clock.Instant // when the book must be looked at again
	dns    told[netip.Addr]
	search told[string]
	routes told[netip.Prefix]
	nat64  told[netip.Prefix]

	next     clock.Instant // next advertisement to all nodes
	why      string
	initial  int
	last     clock.Instant // last one to all nodes on this incarnation of the link, if sent
	sent     bool
	spoken   bool    // anything was sent on this incarnation
	shown    Message // that
	askers   askers
	stopping bool
	finals   int
}

// NewMachine returns a machine without a link, configuration or uplink.
func NewMachine(random Random) *Machine {
	return &Machine{
		random: random,
		book:   book{entries: map[netip.Prefix]*known{}},
		askers: askers{m: map[netip.Addr]*asker{}},
		next:   forever,
		again:  forever,
	}
}

// debounce takes over a new value only when it has stayed for a while.
type debounce struct {
	value, seen, known bool
	since              clock.Instant
}

func (d *debounce) set(now clock.Instant, v bool) {
	if !d.known {
		d.known, d.value = true, v
	}
	if v != d.seen {
		d.seen, d.since = v, now
	}
}

// due is when seen becomes the value.
func (d *debounce) due(down, up time.Duration) clock.Instant {
	switch {
	case d.seen == d.value:
		return forever
	case d.seen:
		return d.since.Add(up)
	}
	return d.since.Add(down)
}

func (d *debounce) settle(now clock.Instant, down, up time.Duration) {
	if d.due(down, up) <= now {
		d.value = d.seen
	}
}

// Restore takes in the prefixes that an earlier process announced. It must come before everything else.
func (m *Machine) Restore(now clock.Instant, list []Saved) { m.book.restore(now, list) }

// Dirty says that Saved returns something else than what was saved or restored last.
func (m *Machine) Dirty() bool { return m.book.dirty }

// Saved returns what is to outlive a restart, and clears Dirty.
func (m *Machine) Saved(now clock.Instant) []Saved { return m.book.saved(now) }

// SetConfig changes what is advertised. Nothing is taken down by it but what the new configuration does not have.
func (m *Machine) SetConfig(now clock.Instant, c Config) {
	changed := !m.configured || !reflect.DeepEqual(m.cfg, c)
	m.cfg, m.configured = c, true
	m.refresh(now)
	if changed {
		m.burst(now)
	}
}

// SetUplink changes what hosts may expect of us as router. The first call counts at once, later ones when they have
// been true for as long as the configuration says.
func (m *Machine) SetUplink(now clock.Instant, u Uplink) {
	m.default6.set(now, u.Default6)
	m.forwarding.set(now, u.Forwarding)
	m.refresh(now)
}

// SetLink changes the link; Index 0 is one that is not there.
func (m *Machine) SetLink(now clock.Instant, l link.Link) {
	was := m.src
	came := l.Index == m.link.Index && l.Carrier && !m.link.Carrier
	if l.Index != m.link.Index {
		// Another interface under the same name: nobody there has heard us.
		m.sent, m.spoken, was = false, false, netip.Addr{}
		m.askers.clear()
	}
	m.link = l
	m.src = source(&l, m.src)
	m.self = Self(l)
	switch {
	case !m.src.IsValid():
		m.next, m.again, m.initial, m.finals = forever, forever, 0, 0
		m.askers.clear()
	case !was.IsValid():
		m.refresh(now)
		m.burst(now)
		if came {
			m.next = max(m.next, now.Add(afterCarrier))
		}
	default:
		m.refresh(now)
	}
}

// source is the link-local address that we advertise from, the same as long as it is there: hosts know routers by it
// (RFC 4861 section 6.2.8). It is not valid on a link that nothing can be sent on, nor before the address is known to be
// nobody else's.
func source(l *link.Link, before netip.Addr) netip.Addr {
	if l.Index == 0 || !l.Up || !l.Carrier {
		return netip.Addr{}
	}
	var best netip.Addr
	for _, a := range l.Addrs {
		ip := a.Prefix.Addr()
		if a.Tentative || !ip.Is6() || !ip.IsLinkLocalUnicast() {
			continue
		}
		if ip == before {
			return ip
		}
		if !best.IsValid() || ip.Less(best) {
			best = ip
		}
	}
	return best
}

// ready says that there is something to say and somewhere to say it.
func (m *Machine) ready() bool { return m.configured && m.src.IsValid() && !m.stopping }

// refresh computes anew what is to be said and has it said soon if it is not what was said last.
func (m *Machine) refresh(now clock.Instant) {
	m.default6.settle(now, m.cfg.UplinkDown, m.cfg.UplinkUp)
	m.forwarding.settle(now, m.cfg.UplinkDown, m.cfg.UplinkUp)
	if !m.ready() {
		return
	}
	wants, until := wanted(&m.cfg, &m.link, now, &m.book)
	m.again = min(until, m.book.update(now, wants))
	if !m.sent {
		return
	}
	if msg := m.compose(now, wants); news(&m.shown, &msg) || shortened(m.shown.Prefixes, msg.Prefixes, m.last, now) {
		m.burst(now)
	}
}

// burst starts the first advertisements (RFC 4861 section 6.2.4), also after a change of what they say.
func (m *Machine) burst(now clock.Instant) {
	if !m.ready() {
		return
	}
	m.initial = maxInitial
	m.schedule(m.earliest(now), BecauseInitial)
}

// earliest is when all nodes may be told next (RFC 4861 section 6.2.6).
func (m *Machine) earliest(now clock.Instant) clock.Instant {
	if !m.sent {
		return now
	}
	return max(now, m.last.Add(multicastGap))
}

func (m *Machine) schedule(at clock.Instant, why string) {
	if at < m.next {
		m.next, m.why = at, why
	}
}

// Solicit takes in a valid solicitation (see Solicitation). It returns whether it will be answered, and why so.
func (m *Machine) Solicit(now clock.Instant, from netip.Addr) (answered bool, reason string) {
	if !m.ready() {
		return false, ReasonNotReady
	}
	delay := m.random(maxDelay)
	switch {
	case from.IsUnspecified():
		reason = ReasonNoSource
	case !m.onLink(from):
		reason = ReasonOffLink
	default:
		if reason = m.askers.add(now, now.Add(delay), from); reason != ReasonFlood {
			return true, reason
		}
	}
	m.schedule(max(now.Add(delay), m.earliest(now)), BecauseSolicited)
	return true, reason
}

// onLink says that an answer to ip stays on the link: a solicitation is no means to have packets sent elsewhere.
func (m *Machine) onLink(ip netip.Addr) bool {
	if ip.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(m.link.Addrs, func(a link.Addr) bool { return a.Prefix.Contains(ip) })
}

// Stop begins the end: final advertisements say that we are no router any more (RFC 4861 section 6.2.5). Done says when
// they are out.
func (m *Machine) Stop(now clock.Instant) {
	if m.stopping {
		return
	}
	m.askers.clear()
	m.again = forever
	m.next = forever
	if m.ready() && m.spoken {
		m.finals = maxFinal
		m.next, m.why = now, BecauseFinal
	}
	m.stopping = true
}

// Done says that Stop was called and there is nothing more to send.
func (m *Machine) Done() bool { return m.stopping && (m.finals == 0 || !m.src.IsValid()) }

// Wake is when Poll must be called next; clock.Never for not before the next event.
func (m *Machine) Wake() clock.Instant {
	if !m.configured || !m.src.IsValid() {
		return forever // the uplink settles when it matters again
	}
	at := min(m.next, m.again, m.askers.next())
	if !m.stopping {
		at = min(at, m.default6.due(m.cfg.UplinkDown, m.cfg.UplinkUp), m.forwarding.due(m.cfg.UplinkDown, m.cfg.UplinkUp))
	}
	return at
}

// Poll returns what is to be sent now. What Dirty says must be on stable storage before it is sent.
func (m *Machine) Poll(now clock.Instant) []Send {
	if m.stopping {
		return m.pollFinal(now)
	}
	if now < m.Wake() {
		return nil // a flood of solicitations costs little
	}
	m.refresh(now)
	if !m.ready() {
		return nil
	}
	var out []Send
	alone := m.askers.take(now)
	sort.Slice(alone, func(i, j int) bool { return alone[i].Compare(alone[j]) < 0 })
	if len(alone) == 0 && now < m.next {
		return nil
	}
	wants, _ := wanted(&m.cfg, &m.link, now, &m.book)
	msg := m.compose(now, wants)
	m.announced(now, wants, &msg)
	if now >= m.next {
		out = append(out, m.send(allNodes, msg, m.why))
		m.last, m.sent, m.shown = now, true, msg
		m.reschedule(now)
	}
	for _, to := range alone {
		out = append(out, m.send(to, msg, BecauseSolicited))
	}
	m.spoken = true
	return out
}

// reschedule sets the time of the next advertisement to all nodes (RFC 4861 section 6.2.4).
func (m *Machine) reschedule(now clock.Instant) {
	interval := m.cfg.MinInterval + m.random(m.cfg.MaxInterval-m.cfg.MinInterval)
	m.initial = max(0, m.initial-1)
	why := BecausePeriodic
	if m.initial > 0 {
		interval, why = min(interval, maxInitialInterval), BecauseInitial
	}
	m.next, m.why = now.Add(max(interval, multicastGap)), why
}

// Unsent takes back that the last advertisement to all nodes was sent: it is tried again soon.
func (m *Machine) Unsent(now clock.Instant) {
	if m.ready() {
		m.initial = min(maxInitial, m.initial+1)
		m.schedule(now.Add(multicastGap), m.why)
	}
}

// Current is what would be said now.
func (m *Machine) Current(now clock.Instant) (msg Message, ready bool) {
	if !m.ready() {
		return Message{}, false
	}
	wants, _ := wanted(&m.cfg, &m.link, now, &m.book)
	return m.compose(now, wants), true
}

func (m *Machine) pollFinal(now clock.Instant) []Send {
	if m.finals == 0 || now < m.next || !m.src.IsValid() {
		return nil
	}
	wants, _ := wanted(&m.cfg, &m.link, now, &m.book)
	msg := m.compose(now, wants)
	withdraw(&msg)
	m.finals--
	m.next = forever
	if m.finals > 0 {
		m.next = now.Add(finalGap)
	}
	return []Send{m.send(allNodes, msg, BecauseFinal)}
}

func (m *Machine) send(to netip.Addr, msg Message, why string) Send {
	// Not more than Ethernet's, whatever ours is: hosts on the link may have a smaller one.
	const ipv6Header = 40
	return Send{Src: m.src, To: to, Limit: min(max(1280, m.link.MTU), 1500) - ipv6Header, Message: msg, Why: why}
}
