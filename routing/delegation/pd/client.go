package pd

import (
	"bytes"
	"time"
)

type state int

const (
	waiting    state = iota // before the first message
	soliciting              // any server
	requesting              // one of them
	bound
	renewing   // with the server of the lease
	rebinding  // with any server
	confirming // after a start, or when the link may be another one
	releasing  // what is delegated is given back
	released
)

// Client is one requesting router on one link. It belongs to one goroutine.
type Client struct {
	DUID []byte
	IAID uint32
	// Length is that of the prefix that is asked for; 0: the server's choice.
	Length int
	// Rand gives a number from -0.1 to 0.1 (section 15), and XID three bytes that nobody can guess.
	Rand func() float64
	XID  func() [3]byte

	state state
	lease Lease
	open  bool // an exchange
	xid   [3]byte
	begin time.Time // of the exchange
	rt    time.Duration
	count int
	next  time.Time // of the next transmission, or of the end of a state
	best  Message   // advertisement
	found bool
	maxRT time.Duration
}

// Start begins: with a lease of before, which is confirmed, or without.
func (c *Client) Start(now time.Time, lease Lease) {
	*c = Client{DUID: c.DUID, IAID: c.IAID, Length: c.Length, Rand: c.Rand, XID: c.XID, maxRT: solMaxRT}
	c.lease = lease
	c.expire(now)
	if len(c.lease.Prefixes) > 0 {
		c.enter(confirming, now)
		return
	}
	c.delay(now)
}

// Release gives back a lease (section 18.2.7). Whoever calls it no longer uses the prefixes.
func (c *Client) Release(now time.Time, lease Lease) {
	*c = Client{DUID: c.DUID, IAID: c.IAID, Rand: c.Rand, XID: c.XID}
	c.lease = lease
	if c.expire(now); len(c.lease.Prefixes) == 0 {
		c.state = released
		return
	}
	c.enter(releasing, now)
}

// Released reports whether a server has what was given back, or nobody has answered four times.
func (c *Client) Released() bool { return c.state == released }

// Link says that the link may be another one now: its carrier came back.
func (c *Client) Link(now time.Time) {
	if len(c.lease.Prefixes) > 0 {
		c.enter(confirming, now)
		return
	}
	c.delay(now)
}

// delay waits a little before the first message (section 18.2.1), so that not all ask at once after
// a power cut.
func (c *Client) delay(now time.Time) {
	c.state, c.open = waiting, false
	c.next = now.Add(time.Duration((c.Rand() + 0.1) * 5 * float64(solMaxDelay)))
}

// Lease is what is delegated now.
func (c *Client) Lease() Lease { return c.lease }

// Wake is when Step has something to do; zero: never, as long as nothing comes.
func (c *Client) Wake() time.Time {
	at := c.next
	for _, p := range c.lease.Prefixes {
		if !p.Valid.IsZero() && (at.IsZero() || p.Valid.Before(at)) {
			at = p.Valid
		}
	}
	return at
}

// Step does what is due now, and says what is to be sent, if anything: to all servers
// (ff02::1:2), port 547.
func (c *Client) Step(now time.Time) *Message {
	if c.state == released {
		return nil
	}
	if c.expire(now) && len(c.lease.Prefixes) == 0 {
		if c.state == releasing {
			c.end()
			return nil
		}
		c.enter(soliciting, now)
	}
	if c.next.IsZero() || now.Before(c.next) {
		return nil
	}
	switch c.state {
	case waiting:
		c.enter(soliciting, now)
	case soliciting:
		if c.found {
			return c.request(now)
		}
	case requesting:
		if c.count >= reqMaxRC {
			c.enter(soliciting, now)
		}
	case bound:
		if c.lease.T2.IsZero() || now.Before(c.lease.T2) {
			c.enter(renewing, now)
		} else {
			c.enter(rebinding, now)
		}
	case renewing:
		if !c.lease.T2.IsZero() && !now.Before(c.lease.T2) {
			c.enter(rebinding, now)
		}
	case releasing:
		if c.count >= relMaxRC {
			c.end() // the server takes it back when it ends
			return nil
		}
	case confirming:
		if !now.Before(c.begin.Add(cnfMaxRD)) {
			// Nobody answers: what is known goes on (section 18.2.12).
			c.settle(now)
			return nil
		}
	}
	return c.transmit(now)
}

func (c *Client) end() { c.state, c.open, c.lease, c.next = released, false, Lease{}, time.Time{} }

// request takes the best advertisement.
func (c *Client) request(now time.Time) *Message {
	c.enter(requesting, now)
	return c.transmit(now)
}

// enter begins an exchange; its first message goes at once.
func (c *Client) enter(s state, now time.Time) {
	c.state, c.open, c.begin, c.rt, c.count, c.next = s, true, now, 0, 0, now
	c.xid = c.XID()
	if s == soliciting {
		c.best, c.found = Message{}, false
	}
}

// transmit makes the message of the exchange and settles when it goes again (section 15).
func (c *Client) transmit(now time.Time) *Message {
	m := &Message{Type: map[state]Type{soliciting: Solicit, requesting: Request, renewing: Renew, rebinding: Rebind, confirming: Rebind, releasing: Release}[c.state],
		XID: c.xid, Client: c.DUID, IAID: c.IAID, HasIA: true, Elapsed: now.Sub(c.begin)}
	switch c.state {
	case requesting:
		m.Server, m.Prefix = c.best.Server, c.best.Prefix
	case renewing, releasing:
		m.Server = c.lease.Server
		m.Prefix = c.held(now)
	case rebinding, confirming:
		m.Prefix = c.held(now)
	}
	initial, most := c.times()
	r := c.Rand()
	if c.rt == 0 {
		if c.state == soliciting && r < 0 {
			r = -r // section 18.2.1: all advertisements of the first second are waited for
		}
		c.rt = initial + share(initial, r)
	} else {
		c.rt = 2*c.rt + share(c.rt, r)
	}
	if c.rt > most {
		c.rt = most + share(most, r)
	}
	c.count++
	c.next = now.Add(c.rt)
	switch c.state {
	case renewing:
		c.next = earlier(c.next, c.lease.T2)
	case confirming:
		c.next = earlier(c.next, c.begin.Add(cnfMaxRD))
	}
	return m
}

func share(d time.Duration, r float64) time.Duration { return time.Duration(float64(d) * r) }

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

func (c *Client) times() (initial, most time.Duration) {
	switch c.state {
	case requesting:
		return reqTimeout, reqMaxRT
	case renewing:
		return renTimeout, renMaxRT
	case rebinding:
		return rebTimeout, rebMaxRT
	case confirming:
		return cnfTimeout, cnfMaxRT
	case releasing:
		return relTimeout, relMaxRT
	}
	return solTimeout, c.maxRT
}

// held are the prefixes as they are told to servers.
func (c *Client) held(time.Time) []Prefix {
	var out []Prefix
	for _, p := range c.lease.Prefixes {
		out = append(out, Prefix{Prefix: p.Prefix}) // section 21.22: the client's lifetimes are 0
	}
	return out
}

// Receive takes a message. What is to be sent because of it is returned.
func (c *Client) Receive(m Message, now time.Time) *Message {
	if !c.valid(m) {
		return nil
	}
	if m.MaxRT >= time.Minute && m.MaxRT <= 24*time.Hour {
		c.maxRT = m.MaxRT // also of a server that has nothing (section 18.2.9)
	}
	if m.Type == Advertise {
		return c.advertised(m, now)
	}
	if c.state == releasing {
		c.end() // whatever its status: NoBinding means that the server knew nothing of it
		return nil
	}
	c.replied(m, now)
	return nil
}

func (c *Client) advertised(m Message, now time.Time) *Message {
	list, ok := usable(m)
	if !ok || m.Status != Success || m.IA != Success || !some(list) {
		return nil
	}
	m.Prefix = list
	if !c.found || m.Pref > c.best.Pref {
		c.best, c.found = m, true
	}
	// The first second is for all servers, unless one says that none is better (section 18.2.9).
	if m.Pref == 255 || c.count > 1 {
		return c.request(now)
	}
	return nil
}

func (c *Client) replied(m Message, now time.Time) {
	list, ok := usable(m)
	if !ok || m.Status != Success && m.Status != NoBinding {
		return // it is asked again, or somebody else is
	}
	switch {
	case m.IA == NoBinding || m.Status == NoBinding:
		if c.state == renewing || c.state == rebinding || c.state == confirming {
			// The server has forgotten: what there is stays until it ends, and is asked for anew (section 18.2.10.1).
			c.best = Message{Server: m.Server, Prefix: c.held(now)}
			c.enter(requesting, now)
		}
		return
	case m.IA != Success && !some(list):
		if c.state == requesting {
			c.enter(soliciting, now)
			c.next = now.Add(nothingPause)
		}
		return
	}
	if c.state == requesting && !some(list) {
		c.enter(soliciting, now)
		c.next = now.Add(nothingPause)
		return
	}
	if len(list) == 0 {
		return // nothing about our prefixes: asked again
	}
	c.take(m, list, now)
}

// take makes the reply's prefixes those of the lease.
func (c *Client) take(m Message, list []Prefix, now time.Time) {
	if !bytes.Equal(c.lease.Server, m.Server) {
		c.lease.Server = bytes.Clone(m.Server)
	}
	until := func(d time.Duration) time.Time {
		if d >= Infinity {
			return time.Time{}
		}
		return now.Add(d)
	}
	for _, p := range list {
		kept := c.lease.Prefixes[:0:0]
		for _, o := range c.lease.Prefixes {
			if o.Prefix != p.Prefix {
				kept = append(kept, o)
			}
		}
		if p.Valid > 0 {
			kept = append(kept, Delegated{p.Prefix, until(p.Preferred), until(p.Valid)})
		}
		c.lease.Prefixes = kept
	}
	if len(c.lease.Prefixes) == 0 {
		c.enter(soliciting, now)
		return
	}
	t1, t2 := m.T1, m.T2
	if t1 == 0 || t2 == 0 {
		// The client's choice: a half and four fifths of the shortest preferred lifetime (section 21.21).
		short := Infinity
		for _, p := range list {
			if p.Valid > 0 {
				short = min(short, max(p.Preferred, time.Minute))
			}
		}
		if t1 == 0 {
			t1 = short / 2
		}
		if t2 == 0 {
			t2 = max(t1, short/5*4)
		}
	}
	// A server that wants to be asked all the time is not.
	t1 = max(t1, leastT1)
	c.lease.T1, c.lease.T2 = until(t1), until(max(t1, t2))
	c.settle(now)
}

// settle waits for the renewal.
func (c *Client) settle(now time.Time) {
	c.state, c.open = bound, false
	c.next = c.lease.T1
	if !c.next.IsZero() && c.next.Before(now) {
		c.next = now
	}
}

// expire takes away what has ended, and reports whether anything has.
func (c *Client) expire(now time.Time) bool {
	kept := c.lease.Prefixes[:0:0]
	for _, p := range c.lease.Prefixes {
		if p.Valid.IsZero() || now.Before(p.Valid) {
			kept = append(kept, p)
		}
	}
	gone := len(kept) != len(c.lease.Prefixes)
	c.lease.Prefixes = kept
	if len(kept) == 0 {
		c.lease = Lease{}
	}
	return gone
}
