package dns

import (
	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
)

// Local is what is answered without asking anybody: *zone.Zone. It is asked from several goroutines, for every
// question that the cache has no answer to.
type Local interface {
	Lookup(q zone.Question, v *zone.View) (zone.Answer, bool)
}

// appendRecord packs a record behind msg. Its owner becomes a pointer to the question when it is the name asked for;
// nothing else is compressed: local answers are short.
func appendRecord(msg []byte, start int, rr miekg.RR, qname string) ([]byte, bool) {
	h := rr.Header()
	var data []byte
	switch rr := rr.(type) {
	case *miekg.A:
		data = rr.A.To4()
	case *miekg.AAAA:
		data = rr.AAAA.To16()
	}
	if h.Name == qname && data != nil {
		msg = append(msg, 0xc0, wire.HeaderLen, byte(h.Rrtype>>8), byte(h.Rrtype), byte(h.Class>>8), byte(h.Class),
			byte(h.Ttl>>24), byte(h.Ttl>>16), byte(h.Ttl>>8), byte(h.Ttl), 0, byte(len(data)))
		return append(msg, data...), true
	}
	n := miekg.Len(rr)
	at := len(msg)
	msg = append(msg, make([]byte, n)...)
	end, err := miekg.PackRR(rr, msg, at, nil, false)
	if err != nil || end-start > 0xffff {
		return msg[:at], false
	}
	return msg[:end], true
}
