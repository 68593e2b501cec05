package ra

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// loop is what Run's goroutine owns.
type loop struct {
	a       *Advertiser
	o       Options
	m       *Machine
	watch   Watch
	link    link.Link
	sock    *socket // nil: none is open
	packets chan received
	stopBy  clock.Instant // not 0: stopping
	began   bool          // configuration and link are known
	changed bool          // what Status says may be old

	reopen  clock.Instant // when to try to open the socket again
	backoff time.Duration
	unsaved []byte // what stable storage would not take
	retry   clock.Instant
	sent    uint64
	last    clock.Instant
}

// socket is an open Conn with the goroutine that reads from it, which must let go of a packet before it reads the next.
type socket struct {
	Conn
	quit chan struct{} // closed: nobody listens any more
	next chan struct{} // the packet has been dealt with
}

type received struct {
	from *socket
	p    Packet
	err  error
}

// read hands over what comes in until the socket breaks or is closed.
func (s *socket) read(to chan<- received) {
	buf := make([]byte, 2048) // more than anybody may send on Ethernet without fragmenting
	for {
		p, err := s.Receive(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case to <- received{s, p, err}:
		case <-s.quit:
			return
		}
		if err != nil {
			return
		}
		select {
		case <-s.next:
		case <-s.quit:
			return
		}
	}
}

func (l *loop) key() string { return "ra/" + l.o.Name }

func (l *loop) load() {
	if l.o.Memory == nil {
		return
	}
	b, ok := l.o.Memory.Load(l.key())
	if !ok {
		return
	}
	r := l.o.Clock.Read()
	list, err := decode(b, r)
	if err != nil {
		l.o.Log.Warn("announced prefixes are forgotten", "link", l.o.Name, "err", err)
	}
	l.m.Restore(r.Boot, list)
}

// take applies what is in the inbox.
func (l *loop) take(now clock.Instant) {
	l.a.mu.Lock()
	in := l.a.inbox
	l.a.inbox = inbox{}
	l.a.mu.Unlock()

	l.changed = l.changed || in != (inbox{})
	if in.uplink != nil {
		l.m.SetUplink(now, *in.uplink)
	}
	if in.config != nil {
		l.m.SetConfig(now, *in.config)
	}
	if in.link != nil {
		if in.link.Index != l.link.Index || !in.link.Up {
			l.shut()
		}
		if in.link.Index != l.link.Index || in.link.Up && !l.link.Up {
			l.reopen, l.backoff = now, 0
		}
		l.link = *in.link
	}
	if opened := l.open(now); in.link != nil || opened {
		l.tell(now)
	}
	if !l.began && l.m.configured && in.link != nil {
		l.began = true
		close(l.a.ready)
	}
}

// tell gives the machine the link, which without a socket is as good as one without a carrier.
func (l *loop) tell(now clock.Instant) {
	l.changed = true
	seen := l.link
	if l.sock == nil {
		seen.Carrier = false
	}
	l.m.SetLink(now, seen)
}

func (l *loop) wantsSocket() bool {
	return l.sock == nil && l.link.Index != 0 && l.link.Up && l.stopBy == 0
}

func (l *loop) open(now clock.Instant) bool {
	if !l.wantsSocket() || now < l.reopen {
		return false
	}
	conn, err := l.o.Listen(l.link)
	if err != nil {
		l.broken(now, err)
		return false
	}
	l.sock = &socket{Conn: conn, quit: make(chan struct{}), next: make(chan struct{}, 1)}
	go l.sock.read(l.packets)
	return true
}

func (l *loop) broken(now clock.Instant, err error) {
	l.backoff = min(max(time.Second, 2*l.backoff), 30*time.Second)
	l.reopen = now.Add(l.backoff)
	l.o.Log.Warn("cannot advertise", "link", l.o.Name, "err", err, "again in", l.backoff)
	l.record(trace.Entry{At: now, What: "socket", Reason: ReasonSocketFailed, Detail: err.Error()})
}

func (l *loop) shut() {
	if l.sock == nil {
		return
	}
	close(l.sock.quit)
	if err := l.sock.Close(); err != nil {
		l.o.Log.Debug("cannot close a socket", "link", l.o.Name, "err", err)
	}
	l.sock = nil
}

func (l *loop) wake() clock.Instant {
	at := l.m.Wake()
	if l.wantsSocket() {
		at = min(at, l.reopen)
	}
	if l.unsaved != nil {
		at = min(at, l.retry)
	}
	if l.stopBy != 0 {
		at = min(at, l.stopBy)
	}
	return at
}

func (l *loop) receive(r received) {
	if r.from != l.sock {
		return // of an earlier socket
	}
	now := l.o.Clock.Now()
	if r.err != nil {
		l.shut()
		l.broken(now, r.err)
		l.tell(now)
		return
	}
	// The machine has copied what it needs when this returns.
	defer func() { r.from.next <- struct{}{} }()
	l.backoff = 0
	switch {
	case l.stopBy != 0:
	case r.p.Index != l.link.Index:
		l.record(trace.Entry{At: now, What: what(r.p), Addr: r.p.Src.String(), Reason: ReasonWrongLink})
	case l.own(r.p.Src): // multicast that came back
	case len(r.p.Data) > 0 && r.p.Data[0] == TypeAdvertisement:
		l.foreign(now, r.p)
	default:
		l.solicited(now, r.p)
	}
}

func what(p Packet) string {
	if len(p.Data) > 0 && p.Data[0] == TypeAdvertisement {
		return "RA"
	}
	return "RS"
}

func (l *loop) own(ip netip.Addr) bool {
	return slices.ContainsFunc(l.link.Addrs, func(a link.Addr) bool { return a.Prefix.Addr() == ip })
}

func (l *loop) solicited(now clock.Instant, p Packet) {
	e := trace.Entry{At: now, What: "RS", Addr: p.Src.String()}
	from, mac, reason := Solicitation(p)
	e.HW = string(mac[:min(len(mac), 20)])
	if reason == "" {
		var answered bool
		if answered, reason = l.m.Solicit(now, from); answered {
			e.Reply = "RA"
		}
	}
	e.Reason = reason
	l.record(e)
}

func (l *loop) foreign(now clock.Instant, p Packet) {
	e := trace.Entry{At: now, What: "RA", Addr: p.Src.String()}
	theirs, reason := Advertisement(p)
	e.HW = string(theirs.SourceMAC)
	if reason != "" {
		e.Reason = reason
		l.record(e)
		return
	}
	ours, ready := l.m.Current(now)
	if !ready {
		return // nothing to compare with
	}
	for _, f := range l.watch.Observe(now, p.Src, &theirs, &ours) {
		e.Reason, e.Detail = f.Reason, f.Detail
		l.record(e)
		l.o.Log.Warn("another router on the link disagrees", "link", l.o.Name, "router", p.Src, "what", f.Reason, "says", f.Detail)
	}
}

// flush sends what is due. What must outlive a power cut is on stable storage first.
func (l *loop) flush(now clock.Instant) {
	sends := l.m.Poll(now)
	l.store(now)
	for _, s := range sends {
		l.send(now, s)
	}
	if len(sends) == 0 && !l.changed {
		return
	}
	l.changed = false
	msg, ready := l.m.Current(now)
	st := Status{Sent: l.sent, Last: l.last, Next: l.m.Wake()}
	if ready {
		st.Source, st.Message = l.m.src, msg
	}
	l.a.mu.Lock()
	l.a.status = st
	l.a.mu.Unlock()
}

func (l *loop) store(now clock.Instant) {
	if l.o.Memory == nil {
		return
	}
	if l.m.Dirty() {
		l.unsaved, l.retry = encode(l.m.Saved(now), l.o.Clock.Read()), now
	}
	if l.unsaved == nil || now < l.retry {
		return
	}
	if err := l.o.Memory.Save(l.key(), l.unsaved); err != nil {
		// To advertise is more important than to remember having done so.
		l.retry = now.Add(time.Minute)
		l.o.Log.Warn("cannot remember announced prefixes", "link", l.o.Name, "err", err)
		l.record(trace.Entry{At: now, What: "save", Reason: ReasonSaveFailed, Detail: err.Error()})
		return
	}
	l.unsaved = nil
}

func (l *loop) send(now clock.Instant, s Send) {
	err := errors.New("the link has no socket")
	if l.sock != nil {
		var payloads [][]byte
		payloads, err = s.Message.Payloads(s.Limit)
		for _, b := range payloads {
			err = errors.Join(err, l.sock.Send(b, s.Src, s.To))
		}
	}
	if err != nil {
		l.record(trace.Entry{At: now, What: s.Why, Addr: s.To.String(), Reason: ReasonSendFailed, Detail: err.Error()})
		l.o.Log.Debug("cannot send an advertisement", "link", l.o.Name, "to", s.To, "err", err)
		if s.To == allNodes {
			l.m.Unsent(now)
		}
		return
	}
	l.sent++
	l.last = now
	if s.To == allNodes {
		l.record(trace.Entry{At: now, What: "timer", Addr: s.To.String(), Reply: "RA", Reason: s.Why})
	}
}

func (l *loop) record(e trace.Entry) {
	if l.o.Recorder == nil {
		return
	}
	e.Link, e.Proto = l.o.Name, "ra"
	l.o.Recorder.Record(e)
}
