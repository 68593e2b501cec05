package dns

import (
	"net/netip"
	"sync/atomic"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/cache"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// Miss is a question that an upstream is to be asked, and all that is needed to reply later.
type Miss struct {
	s    *settings
	q    wire.Query
	from Peer
	key  []byte
	ask  forward.Question

	hasStale bool
	prefetch bool
	aliases  []miekg.RR // local records before what upstream says about their target
	told     atomic.Bool
}

func (h *Handler) newMiss(s *settings, q *wire.Query, from Peer, hasStale bool) *Miss {
	m := &Miss{s: s, from: from, hasStale: hasStale}
	m.q.CopyFrom(q)
	m.key = m.q.Key(from.Link.view)
	m.ask = forward.Question{Wire: m.q.Folded(), DO: q.DO, CD: q.CD(), Group: s.group(m.q.Name, from.Link)}
	return m
}

// group is where a name is asked for.
func (s *settings) group(name []byte, l *ServedLink) string {
	if s.Routes != nil {
		if g, ok := s.Routes.Route(wire.Text(name)); ok && g != "" {
			return string(g)
		}
	}
	return l.Group
}

func (m *Miss) prefetching() *Miss {
	m.prefetch = true
	return m
}

// chasing makes m ask for the target of an alias; nil if that is no name.
func (m *Miss) chasing(target string, aliases []miekg.RR) *Miss {
	var b [wire.MaxName + 1]byte
	n, err := miekg.PackDomainName(target, b[:], 0, nil, false)
	if err != nil {
		return nil
	}
	m.aliases = aliases
	tail := m.ask.Wire[len(m.ask.Wire)-4:]
	m.ask.Wire = append(append([]byte(nil), b[:n]...), tail...)
	for i := range m.ask.Wire[:n] {
		m.ask.Wire[i] = wire.Lower(m.ask.Wire[i])
	}
	m.ask.Group = m.s.group(m.ask.Wire[:n], m.from.Link)
	m.key = append(append([]byte(nil), m.ask.Wire...), m.key[len(m.key)-wire.KeyExtra:]...)
	return m
}

// Resolve has the question of a miss asked, and calls send with the reply: once, soon or on another goroutine later.
// It does not wait. For a miss that came with a reply send is not called and may be nil.
func (h *Handler) Resolve(m *Miss, c clock.Clock, send func(reply []byte)) {
	if m.aliases != nil {
		// The target may be known already: newMiss looked for the alias.
		if msg, hit := m.s.cache.Get(m.key, c.Now(), nil); hit.State == cache.Fresh {
			send(h.reply(m, &forward.Result{Msg: msg, Rcode: int(wire.Flags(msg) & wire.RcodeMask)}, c.Now()))
			return
		}
	}
	settle := func(r *forward.Result) { h.settle(m, r, c.Now()) }
	if m.prefetch {
		h.forward.Ask(m.key, m.ask, settle, nil)
		return
	}
	var timer *time.Timer
	if m.hasStale {
		timer = time.AfterFunc(m.s.StaleAfter, func() {
			if !m.told.Load() {
				if reply, ok := h.stale(m, c.Now()); ok && !m.told.Swap(true) {
					send(reply)
				}
			}
		})
	}
	admission := h.forward.Ask(m.key, m.ask, settle, func(r *forward.Result) {
		if timer != nil {
			timer.Stop()
		}
		if !m.told.Swap(true) {
			send(h.reply(m, r, c.Now()))
		}
	})
	if admission == forward.Asked || admission == forward.Joined {
		return
	}
	if timer != nil {
		timer.Stop()
	}
	if m.told.Swap(true) {
		return
	}
	if reply, ok := h.stale(m, c.Now()); ok {
		send(reply)
		return
	}
	reason := ReasonBusy
	if admission == forward.Crowded {
		reason = ReasonCrowded
	}
	reply, _ := h.refuse(m.s, &m.q, m.from, c.Now(), nil, wire.ServFail, wire.EDEOther, reason)
	send(reply)
}

// settle makes the answer one that may be kept, or remembers the failure, before anybody is told.
func (h *Handler) settle(m *Miss, r *forward.Result, now clock.Instant) {
	s := m.s
	switch r.Failure {
	case forward.None:
		if s.rebinds(m.ask.Wire, r.Msg) {
			r.Failure, r.Msg = forward.Forbidden, nil
			s.cache.Put(m.key, nil, now) // takes out what was there
			return
		}
		if h.learn(s, m.q.Name, m.ask.Wire, r.Msg) != nil {
			r.Failure, r.Msg = forward.Unlearnt, nil
			s.cache.Put(m.key, nil, now)
			return
		}
		r.Msg = minimal(r.Msg, m.ask.DO)
		wire.PutU16(r.Msg[2:], wire.Flags(r.Msg)&(wire.RcodeMask|wire.AD|wire.TC))
		s.cache.Put(m.key, r.Msg, now)
	case forward.NoUpstream, forward.Stopped, forward.Looping:
	default:
		s.cache.Fail(m.key, now)
	}
}

// rebinds says whether an answer from upstream holds an address that a name of the world must not have.
func (s *settings) rebinds(question, msg []byte) bool {
	if s.Rebind == nil || s.Rebind.Allowed(wire.Text(question[:len(question)-4])) {
		return false
	}
	bad := false
	wire.Walk(msg, func(r wire.Record) bool {
		switch {
		case r.Type == wire.TypeA && r.End-r.DataAt() == 4:
			bad = s.Rebind.Private(netip.AddrFrom4([4]byte(msg[r.DataAt():])))
		case r.Type == wire.TypeAAAA && r.End-r.DataAt() == 16:
			bad = s.Rebind.Private(netip.AddrFrom16([16]byte(msg[r.DataAt():])))
		case r.Type == wire.TypeHTTPS || r.Type == wire.TypeSVCB:
			rr, _, err := miekg.UnpackRR(msg, r.Start)
			bad = err != nil || s.Rebind.Rebinds(rr)
		}
		return !bad
	})
	return bad
}

// minimal leaves away the authority section of an answer that does not need it: it is needed to keep a negative
// answer, and by validators to believe a wildcard.
func minimal(msg []byte, do bool) []byte {
	if do || wire.Count(msg, 1) == 0 || wire.Count(msg, 2) == 0 {
		return msg
	}
	end, soa := 0, false
	wire.Walk(msg, func(r wire.Record) bool {
		if r.Section == 1 {
			end = r.End
		}
		soa = soa || r.Section == 2 && r.Type == wire.TypeSOA
		return !soa
	})
	if soa || end == 0 {
		return msg
	}
	wire.SetCount(msg, 2, 0)
	return msg[:end]
}

// stale is the reply from what has run out.
func (h *Handler) stale(m *Miss, now clock.Instant) ([]byte, bool) {
	if !m.hasStale || m.aliases != nil {
		return nil, false
	}
	msg, ok := m.s.cache.Stale(m.key, now, nil)
	if !ok {
		return nil, false
	}
	if h.learn(m.s, m.q.Name, nil, msg) != nil {
		return nil, false
	}
	h.outcomes[Stale].Add(1)
	h.log.add(&m.q, m.from, now, Stale, int(wire.Flags(msg)&wire.RcodeMask))
	return finish(m.s, &m.q, m.from, msg, 0, staleEDE(msg)), true
}

// reply is what an asker is told of a result.
func (h *Handler) reply(m *Miss, r *forward.Result, now clock.Instant) []byte {
	if r.Failure == forward.None {
		tc := wire.Flags(r.Msg)&wire.TC != 0
		switch {
		case m.aliases != nil && !tc:
			if out, ok := m.chased(r); ok {
				h.outcomes[Resolved].Add(1)
				h.log.add(&m.q, m.from, now, Resolved, r.Rcode)
				return out
			}
		case m.aliases == nil && !(tc && m.from.TCP):
			h.outcomes[Resolved].Add(1)
			h.log.add(&m.q, m.from, now, Resolved, r.Rcode)
			out := append(make([]byte, 0, len(r.Msg)+wire.OPTLen+6), r.Msg...)
			return finish(m.s, &m.q, m.from, out, 0, wire.NoEDE)
		}
		r = &forward.Result{Failure: forward.Garbage}
	}
	if out, ok := h.stale(m, now); ok && r.Failure != forward.Forbidden && r.Failure != forward.Unlearnt {
		return out
	}
	h.outcomes[Failed].Add(1)
	rcode, ede, reason := failure(r)
	h.record(&m.q, m.from, now, wire.RcodeName(rcode), reason)
	h.log.add(&m.q, m.from, now, Failed, rcode)
	out := m.q.AppendHeader(nil, wire.RA|uint16(rcode))
	return m.q.AppendOPT(out, 0, m.s.UDPSize, rcode, ede)
}

// failure is how a failure is told: response code, extended error, reason.
func failure(r *forward.Result) (rcode, ede int, reason string) {
	reason = r.Failure.String()
	switch r.Failure {
	case forward.Forbidden:
		return wire.Refused, wire.EDEBlocked, ReasonRebind
	case forward.NoUpstream:
		return wire.Refused, wire.EDENotAuth, reason
	case forward.Rejected:
		if r.Rcode == wire.Refused {
			return wire.Refused, wire.EDEProhibited, reason
		}
		return wire.ServFail, wire.EDENoReachable, reason
	case forward.Timeout, forward.Dead, forward.Looping:
		return wire.ServFail, wire.EDENoReachable, reason
	case forward.Network:
		return wire.ServFail, wire.EDENetworkError, reason
	case forward.Stopped:
		return wire.ServFail, wire.EDENotReady, reason
	case forward.Unlearnt:
		return wire.ServFail, wire.EDEOther, reason
	}
	return wire.ServFail, wire.EDEInvalidData, reason
}

// chased puts the local aliases before the answer for their target.
func (m *Miss) chased(r *forward.Result) ([]byte, bool) {
	var up miekg.Msg
	if up.Unpack(r.Msg) != nil {
		return nil, false
	}
	out := m.q.AppendHeader(nil, wire.RA|wire.Flags(r.Msg)&wire.RcodeMask)
	answer := append(append([]miekg.RR(nil), m.aliases...), up.Answer...)
	out, ok := appendAll(out, 0, wire.Text(m.q.Name), answer, up.Ns)
	if !ok {
		return nil, false
	}
	return seal(m.s, &m.q, m.from, out, 0, r.Rcode, wire.NoEDE), true
}
