package cache

import (
	"time"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// prepare brings all TTLs of msg within bounds and returns their places and the life of the whole: the least of them,
// and for a negative answer at most the minimum of its SOA, 0 without SOA (RFC 2308 section 5). ok is false for a
// message that cannot be kept.
func (c *Cache) prepare(msg []byte, ttls []uint16) (places []uint16, life uint32, ok bool) {
	q := wire.QuestionEnd(msg)
	if q < 0 || wire.Flags(msg)&wire.TC != 0 {
		return nil, 0, false
	}
	qtype := wire.U16(msg[q-4:])
	negative := wire.Flags(msg)&wire.RcodeMask == wire.NXDomain
	answered := false
	soa := -1
	least := uint32(c.config.MaxTTL / time.Second)
	ok = true
	_, err := wire.Walk(msg, func(r wire.Record) bool {
		at := r.TTLAt()
		if r.Type == wire.TypeOPT || at > 0xffff {
			ok = false
			return false
		}
		if r.Section == 1 && (r.Type == qtype || qtype == wire.TypeANY) {
			answered = true
		}
		ttl := wire.U32(msg[at:])
		if r.Section == 2 && r.Type == wire.TypeSOA && soa < 0 && r.End-r.DataAt() >= 22 {
			soa = at
			ttl = min(ttl, wire.U32(msg[r.End-4:]))
		}
		if ttl > 1<<31-1 {
			ttl = 0 // RFC 2181 section 8
		}
		if ttl > 0 {
			ttl = min(max(ttl, uint32(c.config.MinTTL/time.Second)), uint32(c.config.MaxTTL/time.Second))
		}
		wire.PutU32(msg[at:], ttl)
		least = min(least, ttl)
		ttls = append(ttls, uint16(at))
		return true
	})
	switch rcode := wire.Flags(msg) & wire.RcodeMask; {
	case err != nil || !ok || rcode != wire.NoError && rcode != wire.NXDomain:
		return nil, 0, false
	case negative || !answered:
		if soa < 0 {
			return ttls, 0, true
		}
		least = min(least, uint32(c.config.MaxNeg/time.Second))
		// The client must not keep it for longer than we do.
		if wire.U32(msg[soa:]) > least {
			wire.PutU32(msg[soa:], least)
		}
	}
	return ttls, least, true
}
