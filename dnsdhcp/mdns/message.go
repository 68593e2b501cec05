package mdns

import (
	"net/netip"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
)

// maxMessage keeps a packet within one Ethernet frame over IPv6 (RFC 6762 section 17).
const maxMessage = 1440

// families that the link can carry: 0 for IPv4, 1 for IPv6.
func (r *Responder) families() []int {
	var out []int
	for fam := range 2 {
		for _, ip := range published(r.up) {
			if ip.Is6() == (fam == 1) {
				out = append(out, fam)
				break
			}
		}
	}
	return out
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func group(fam int) netip.AddrPort {
	if fam == 0 {
		return Group4
	}
	return Group6
}

// copy is what is sent: if flush, with the cache-flush bit where the name is ours alone.
func (x *record) copy(flush bool, ttl uint32) dns.RR {
	rr := dns.Copy(x.rr)
	h := rr.Header()
	h.Ttl = ttl
	if flush && x.unique() {
		h.Class |= flushBit
	}
	return rr
}

func response() *dns.Msg {
	m := new(dns.Msg)
	m.Response, m.Authoritative, m.Compress = true, true, true
	return m
}

// messages packs the records into as few messages as they fit into. Extra ones are left out if they do not.
func messages(peer netip.AddrPort, answers, extra []dns.RR) []Datagram {
	var out []Datagram
	m := response()
	send := func() {
		if len(m.Answer) == 0 {
			return
		}
		if wire, err := m.Pack(); err == nil {
			out = append(out, Datagram{Data: wire, Peer: peer})
		}
		m = response()
	}
	for _, rr := range answers {
		m.Answer = append(m.Answer, rr)
		if len(m.Answer) > 1 && m.Len() > maxMessage {
			m.Answer = m.Answer[:len(m.Answer)-1]
			send()
			m.Answer = append(m.Answer, rr)
		}
	}
	for _, rr := range extra {
		m.Extra = append(m.Extra, rr)
		if m.Len() > maxMessage {
			m.Extra = m.Extra[:len(m.Extra)-1]
			break
		}
	}
	send()
	return out
}

// multicast sends to the group of a family and remembers that.
func (r *Responder) multicast(now clock.Instant, fam int, answers, extra []*record) []Datagram {
	var a, e []dns.RR
	for _, x := range answers {
		a = append(a, x.copy(true, x.rr.Header().Ttl))
		x.last[fam] = now
	}
	for _, x := range extra {
		e = append(e, x.copy(true, x.rr.Header().Ttl))
		// Not remembered: it may not have fitted in.
	}
	return messages(group(fam), a, e)
}

// goodbye takes records back: a TTL of 0.
func (r *Responder) goodbye(records []*record) []Datagram {
	var a []dns.RR
	for _, x := range records {
		if x.kind != nsec {
			a = append(a, x.copy(false, 0))
		}
	}
	if len(a) == 0 {
		return nil
	}
	var out []Datagram
	for _, fam := range r.families() {
		out = append(out, messages(group(fam), a, nil)...)
	}
	return out
}

// probe asks who has our names and says what we want to do with them (RFC 6762 section 8.1).
func (r *Responder) probe() []Datagram {
	m := new(dns.Msg)
	m.Compress = true
	for _, c := range r.claims {
		name := c.fqdn()
		m.Question = append(m.Question, dns.Question{Name: name, Qtype: dns.TypeANY, Qclass: dns.ClassINET | flushBit})
		for _, x := range r.claimed(name) {
			m.Ns = append(m.Ns, x.copy(false, x.rr.Header().Ttl))
		}
	}
	wire, err := m.Pack()
	if err != nil {
		return nil
	}
	var out []Datagram
	for _, fam := range r.families() {
		out = append(out, Datagram{Data: wire, Peer: group(fam)})
	}
	return out
}

// claimed are the records of a name that is ours alone.
func (r *Responder) claimed(name string) []*record {
	var out []*record
	for _, x := range r.records {
		if x.name == name && x.unique() && x.kind != nsec {
			out = append(out, x)
		}
	}
	return out
}
