package dns

import (
	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
)

// local makes a reply of local data. If the answer is the alias of a name of the world, that is asked for first.
func (h *Handler) local(s *settings, q *wire.Query, name string, a *zone.Answer, from Peer, now clock.Instant, out []byte) ([]byte, *Miss) {
	if a.Kind == zone.Refused || a.Kind == zone.Failed {
		ede := wire.EDENotSupported
		if a.Kind == zone.Failed {
			ede = wire.EDEOther
		}
		return h.refuse(s, q, from, now, out, a.Rcode, ede, a.Reason)
	}
	if a.Chase != "" && q.Flags&wire.RD != 0 {
		if m := h.newMiss(s, q, from, false).chasing(a.Chase, a.Answer); m != nil {
			h.outcomes[Asked].Add(1)
			return out, m
		}
	}
	ede := wire.NoEDE
	switch a.Reason {
	case zone.ReasonFilter, zone.ReasonWin2k:
		ede = wire.EDEFiltered
	}
	start := len(out)
	flags := wire.RA | uint16(a.Rcode)&wire.RcodeMask
	if a.Authoritative {
		flags |= wire.AA
	}
	out = q.AppendHeader(out, flags)
	out, ok := appendAll(out, start, name, a.Answer, a.Authority)
	if !ok {
		return h.refuse(s, q, from, now, out[:start], wire.ServFail, wire.EDEOther, ReasonLocalError)
	}
	h.outcomes[Locally].Add(1)
	h.log.add(q, from, now, Locally, a.Rcode)
	if policy(a.Reason) {
		h.record(q, from, now, wire.RcodeName(a.Rcode), a.Reason)
	}
	return seal(s, q, from, out, start, a.Rcode, ede), nil
}

// policy is for answers that somebody may wonder about: the world would have said something else.
func policy(reason string) bool {
	switch reason {
	case zone.ReasonBogusPriv, zone.ReasonDomainNeeded, zone.ReasonRouteNever, zone.ReasonFilter, zone.ReasonWin2k, zone.ReasonCanary:
		return true
	}
	return false
}

// appendAll packs records behind a header and a question, and counts them. Authority that does not fit into any
// message is an error, as are records that cannot be packed.
func appendAll(out []byte, start int, qname string, answer, authority []miekg.RR) ([]byte, bool) {
	ok := true
	for _, rr := range answer {
		if out, ok = appendRecord(out, start, rr, qname); !ok {
			return out, false
		}
	}
	for _, rr := range authority {
		if out, ok = appendRecord(out, start, rr, qname); !ok {
			return out, false
		}
	}
	wire.SetCount(out[start:], 1, len(answer))
	wire.SetCount(out[start:], 2, len(authority))
	return out, true
}
