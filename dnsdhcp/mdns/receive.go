package mdns

import (
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// Why something was answered or not.
const (
	ReasonAnswered  = "answered"
	ReasonMalformed = "malformed"
	ReasonOffLink   = "off-link" // the sender is not on this link
	ReasonDown      = "link-down"
	ReasonProbing   = "probing"      // we do not know yet whether the name is ours
	ReasonNotOurs   = "not-ours"     // nothing of ours was asked for
	ReasonKnown     = "known-answer" // the asker has it (RFC 6762 section 7.1)
	ReasonRate      = "rate"
	ReasonConflict  = "conflict"
	ReasonTiebreak  = "tie-break"
)

const (
	maxQuestions = 64 // of one packet
	maxPending   = 64
	unicastRate  = 100 // replies to single askers per second
)

// pending is an answer that waits, for others to talk or for more known answers to come.
type pending struct {
	due     clock.Instant
	fam     int
	peer    netip.AddrPort
	records []*record
	gap     time.Duration // since each was multicast last, at least
}

type budget struct {
	since clock.Instant
	used  int
}

func (b *budget) take(now clock.Instant) bool {
	if now.Sub(b.since) >= time.Second {
		b.since, b.used = now, 0
	}
	b.used++
	return b.used <= unicastRate
}

// Receive takes a packet and returns what is to be sent at once. Next may have changed.
func (r *Responder) Receive(now clock.Instant, d Datagram) []Datagram {
	if r.phase == down {
		r.note(now, d, "", "", ReasonDown)
		return nil
	}
	if !r.onLink(d.Peer.Addr()) {
		r.note(now, d, "", "", ReasonOffLink)
		return nil
	}
	var m dns.Msg
	// RFC 6762 sections 18.3 and 18.11: opcode and response code must be zero.
	if err := m.Unpack(d.Data); err != nil || m.Opcode != 0 || m.Rcode != 0 {
		r.note(now, d, "", "", ReasonMalformed)
		return nil
	}
	if m.Response {
		// Section 11, and 6: responses come from port 5353, others are forged.
		if d.Peer.Port() == Port {
			return r.heard(now, d, &m)
		}
		return nil
	}
	return r.query(now, d, &m)
}

func (r *Responder) note(now clock.Instant, d Datagram, name, reply, reason string) {
	if r.c.Trace != nil {
		r.c.Trace.Record(trace.Entry{At: now, Link: r.c.Link, Proto: "mdns", What: "QUERY", Name: name, Addr: d.Peer.Addr().String(), Reply: reply, Reason: reason})
	}
}

// heard looks for names of ours in what others say.
func (r *Responder) heard(now clock.Instant, d Datagram, m *dns.Msg) []Datagram {
	if slices.Contains(r.up.Machine, d.Peer.Addr()) || slices.Contains(published(r.up), d.Peer.Addr()) {
		return nil // ourselves
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		h := rr.Header()
		if h.Ttl == 0 || h.Rrtype == dns.TypeNSEC || h.Rrtype == dns.TypeOPT || class(h.Class) != dns.ClassINET {
			continue
		}
		name := dns.CanonicalName(h.Name)
		for i, c := range r.claims {
			if c.fqdn() != name || slices.ContainsFunc(r.claimed(name), func(x *record) bool { return sameData(x.rr, rr) }) {
				continue
			}
			r.note(now, d, name, "", ReasonConflict)
			if r.phase == running {
				// RFC 6762 section 9: ask again. Whoever really has it will say so.
				r.again(now)
				return nil
			}
			var out []Datagram
			if i > 0 {
				out = r.goodbye(slices.DeleteFunc(slices.Clone(r.records), func(x *record) bool {
					p, ok := x.rr.(*dns.PTR)
					return !ok || x.kind != pointer || dns.CanonicalName(p.Ptr) != name
				}))
			}
			r.lost(now, c)
			return out
		}
	}
	return nil
}

// tiebreak: two probe for one name at once (RFC 6762 section 8.2). Who has the greater data goes on; the other waits
// and then finds the name taken.
func (r *Responder) tiebreak(now clock.Instant, d Datagram, m *dns.Msg) {
	if slices.Contains(r.up.Machine, d.Peer.Addr()) || slices.Contains(published(r.up), d.Peer.Addr()) {
		return
	}
	for _, c := range r.claims {
		name := c.fqdn()
		var ours, theirs [][]byte
		for _, rr := range m.Ns {
			if dns.CanonicalName(rr.Header().Name) == name && rr.Header().Rrtype != dns.TypeOPT {
				theirs = append(theirs, data(rr))
			}
		}
		if len(theirs) == 0 {
			continue
		}
		for _, x := range r.claimed(name) {
			ours = append(ours, data(x.rr))
		}
		if compareSets(ours, theirs) < 0 {
			r.note(now, d, name, "", ReasonTiebreak)
			r.begin(now, tiebreakWait)
			return
		}
	}
}

// query answers one.
func (r *Responder) query(now clock.Instant, d Datagram, m *dns.Msg) []Datagram {
	first := ""
	if len(m.Question) > 0 {
		first = m.Question[0].Name
	}
	if r.phase == probing {
		r.tiebreak(now, d, m)
		r.note(now, d, first, "", ReasonProbing)
		return nil
	}
	fam := family(d.Peer.Addr())
	legacy := d.Peer.Port() != Port
	direct := !d.Local.IsMulticast() // section 5.5: as if every question had QU
	gap := multicastGap
	if len(m.Ns) > 0 {
		gap = defenceGap // somebody is about to take a name
	}
	r.suppress(d.Peer, m.Answer)

	var all, alone, solo []*record // for everybody, for the asker, for an asker that knows no mDNS
	reason := ReasonNotOurs
	for _, q := range m.Question[:min(len(m.Question), maxQuestions)] {
		if c := class(q.Qclass); c != dns.ClassINET && c != class(dns.ClassANY) {
			continue
		}
		qu := q.Qclass&flushBit != 0 || direct
		for _, x := range r.matching(q) {
			switch age := now.Sub(x.last[fam]); {
			case known(x, m.Answer):
				reason = ReasonKnown
			case legacy:
				solo = union(solo, x)
			case qu && age < time.Duration(x.rr.Header().Ttl)*time.Second/4:
				alone = union(alone, x)
			case age < gap:
				reason = ReasonRate
			default:
				all = union(all, x)
			}
		}
	}
	var out []Datagram
	if len(alone)+len(solo) > 0 && !r.unicast.take(now) {
		reason, alone, solo = ReasonRate, nil, nil
	}
	if len(solo) > 0 {
		out = append(out, r.legacy(d, m, solo)...)
	}
	if len(alone) > 0 {
		out = append(out, r.single(d, alone)...)
	}
	if len(all) > 0 {
		wait := time.Duration(0)
		switch {
		case m.Truncated: // section 7.2: more known answers follow
			wait = 400*time.Millisecond + r.c.Rand(100*time.Millisecond)
		case slices.ContainsFunc(all, func(x *record) bool { return !x.unique() }):
			wait = 20*time.Millisecond + r.c.Rand(100*time.Millisecond)
		}
		if r.queue(pending{now.Add(wait), fam, d.Peer, all, gap}) {
			out = append(out, r.flush(now)...)
		}
	}
	if len(all)+len(alone)+len(solo) > 0 {
		r.note(now, d, first, "ANSWER", ReasonAnswered)
	} else {
		r.note(now, d, first, "", reason)
	}
	return out
}

// matching are the records that answer a question, or the one that says there are none.
func (r *Responder) matching(q dns.Question) []*record {
	name := dns.CanonicalName(q.Name)
	var out []*record
	var deny *record
	for _, x := range r.records {
		if x.name != name {
			continue
		}
		t := x.rr.Header().Rrtype
		switch {
		case x.kind == nsec && q.Qtype != dns.TypeNSEC:
			deny = x
		case q.Qtype == t || q.Qtype == dns.TypeANY:
			out = append(out, x)
		}
	}
	if len(out) == 0 && deny != nil {
		return []*record{deny}
	}
	return out
}

// known: the asker has the record for at least half of its time yet (RFC 6762 section 7.1).
func known(x *record, answers []dns.RR) bool {
	for _, rr := range answers {
		if rr.Header().Ttl >= x.rr.Header().Ttl/2 && sameData(x.rr, rr) {
			return true
		}
	}
	return false
}

// suppress takes out of the waiting answers to an asker what he says that he knows.
func (r *Responder) suppress(peer netip.AddrPort, answers []dns.RR) {
	if len(answers) == 0 {
		return
	}
	for i := range r.pending {
		if p := &r.pending[i]; p.peer == peer {
			p.records = slices.DeleteFunc(p.records, func(x *record) bool { return known(x, answers) })
		}
	}
	r.pending = slices.DeleteFunc(r.pending, func(p pending) bool { return len(p.records) == 0 })
}

// queue adds a waiting answer, without what waits already for as short a time.
func (r *Responder) queue(p pending) bool {
	for _, o := range r.pending {
		if o.fam == p.fam && o.due <= p.due {
			p.records = slices.DeleteFunc(p.records, func(x *record) bool { return slices.Contains(o.records, x) })
		}
	}
	if len(p.records) == 0 || len(r.pending) >= maxPending {
		return false
	}
	r.pending = append(r.pending, p)
	return true
}

// flush sends the answers that are due, as one. What has been sent meanwhile is left out.
func (r *Responder) flush(now clock.Instant) []Datagram {
	var out []Datagram
	for fam := range 2 {
		var due []*record
		r.pending = slices.DeleteFunc(r.pending, func(p pending) bool {
			if p.fam != fam || p.due > now {
				return false
			}
			for _, x := range p.records {
				if now.Sub(x.last[fam]) >= p.gap {
					due = union(due, x)
				}
			}
			return true
		})
		if len(due) > 0 {
			out = append(out, r.multicast(now, fam, due, r.extra(due))...)
		}
	}
	return out
}

func (r *Responder) single(d Datagram, records []*record) []Datagram {
	var a, e []dns.RR
	for _, x := range records {
		a = append(a, x.copy(true, x.rr.Header().Ttl))
	}
	for _, x := range r.extra(records) {
		e = append(e, x.copy(true, x.rr.Header().Ttl))
	}
	return messages(d.Peer, a, e)
}

// legacy answers a resolver that knows only unicast (RFC 6762 section 6.7): id and question come back, TTLs are short,
// and no bit means anything else than it is used to.
func (r *Responder) legacy(d Datagram, q *dns.Msg, records []*record) []Datagram {
	m := response()
	m.Id = q.Id
	m.Question = q.Question[:1]
	wanted := r.matching(q.Question[0])
	for _, x := range records {
		rr := x.copy(false, min(legacyTTL, x.rr.Header().Ttl))
		switch {
		case !slices.Contains(wanted, x): // of further questions, which such resolvers do not ask
		case x.kind == nsec:
			m.Ns = append(m.Ns, rr)
		default:
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer)+len(m.Ns) == 0 {
		return nil
	}
	for m.Len() > maxMessage && len(m.Answer) > 1 {
		m.Answer = m.Answer[:len(m.Answer)-1]
		m.Truncated = true
	}
	wire, err := m.Pack()
	if err != nil {
		return nil
	}
	out := Datagram{Data: wire, Peer: d.Peer}
	if !d.Local.IsMulticast() {
		out.Local = d.Local // the asker waits for an answer from there
	}
	return []Datagram{out}
}

func union(list []*record, x *record) []*record {
	if slices.Contains(list, x) {
		return list
	}
	return append(list, x)
}
