package mdns

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
)

// TTLs of RFC 6762 section 10, in seconds: what names the host, and the rest.
const (
	hostTTL   = 120
	otherTTL  = 4500
	legacyTTL = 10 // section 6.7
)

// maxAddrs of one link that are told.
const maxAddrs = 16

type kind uint8

const (
	address kind = iota // A, AAAA and the PTR of an address
	service             // SRV, TXT
	pointer             // PTR of a service: others have that name too
	nsec                // what there is not
)

// record is one that we answer with.
type record struct {
	rr   dns.RR // without the cache-flush bit
	name string // its owner in lower case
	kind kind
	// last is when it was last multicast over IPv4 and IPv6.
	last [2]clock.Instant
}

const never = clock.Instant(-1 << 62)

func (r *record) unique() bool { return r.kind != pointer }

func (s Service) check() error {
	name, proto, _ := strings.Cut(s.Type, ".")
	if proto != "_tcp" && proto != "_udp" || len(name) < 2 || len(name) > 16 || name[0] != '_' ||
		strings.Trim(name[1:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return fmt.Errorf("%q is not a type of service such as _ssh._tcp (RFC 6763 section 7)", s.Type)
	}
	if len(s.Instance) > 63 || !utf8.ValidString(s.Instance) || strings.ContainsFunc(s.Instance, func(r rune) bool { return r < ' ' || r == 127 }) {
		return errors.New("the instance's name is not printable UTF-8 of at most 63 bytes")
	}
	total := 0
	for _, t := range s.Text {
		if len(t) > 255 {
			return errors.New("a text longer than 255 bytes")
		}
		total += len(t) + 1
	}
	if total > 512 {
		return errors.New("more than 512 bytes of text")
	}
	if s.Port == 0 {
		return errors.New("no port")
	}
	return nil
}

// published are the addresses that others are told: not those that may be another's yet, and not those that are
// meant to be forgotten, unless there are no others of the family.
func published(s State) []netip.Addr {
	var out []netip.Addr
	for _, v6 := range []bool{false, true} {
		var good, rest []netip.Addr
		for _, a := range s.Addrs {
			ip := a.Prefix.Addr().WithZone("")
			switch {
			case a.Tentative || ip.Is6() != v6 || ip.IsLoopback() || ip.Is4In6() || !ip.IsValid():
			case a.Temporary || a.Deprecated:
				rest = append(rest, ip)
			default:
				good = append(good, ip)
			}
		}
		if len(good) == 0 {
			good = rest
		}
		// Global ones first: some programs take the first and forget the link of a link-local one.
		sort.Slice(good, func(i, j int) bool {
			a, b := good[i], good[j]
			if x, y := a.IsLinkLocalUnicast(), b.IsLinkLocalUnicast(); x != y {
				return y
			}
			return a.Compare(b) < 0
		})
		good = slices.Compact(good)
		out = append(out, good[:min(len(good), maxAddrs/2)]...)
	}
	return out
}

// rebuild makes the records anew from names and addresses, and keeps what is known about when they were sent.
func (r *Responder) rebuild() {
	old := r.records
	r.records, r.pending = nil, nil
	add := func(k kind, rr dns.RR) {
		rr = normal(rr)
		n := &record{rr: rr, name: dns.CanonicalName(rr.Header().Name), kind: k, last: [2]clock.Instant{never, never}}
		for _, o := range old {
			if sameData(o.rr, rr) {
				n.last = o.last
			}
		}
		r.records = append(r.records, n)
	}
	hdr := func(name string, t uint16, ttl uint32) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
	}
	host := r.claims[0].fqdn()
	var types []uint16
	var reverse []string
	for _, ip := range published(r.up) {
		if ip.Is4() {
			add(address, &dns.A{Hdr: hdr(host, dns.TypeA, hostTTL), A: ip.AsSlice()})
			types = append(types, dns.TypeA)
		} else {
			add(address, &dns.AAAA{Hdr: hdr(host, dns.TypeAAAA, hostTTL), AAAA: ip.AsSlice()})
			types = append(types, dns.TypeAAAA)
		}
		arpa, _ := dns.ReverseAddr(ip.String())
		add(address, &dns.PTR{Hdr: hdr(arpa, dns.TypePTR, hostTTL), Ptr: host})
		reverse = append(reverse, arpa)
	}
	seen := map[string]bool{}
	for i, s := range r.c.Services {
		cl := r.claims[i+1]
		instance, typ := cl.fqdn(), cl.suffix[1:]
		add(service, &dns.SRV{Hdr: hdr(instance, dns.TypeSRV, hostTTL), Port: s.Port, Target: host})
		text := make([]string, 0, len(s.Text))
		for _, t := range s.Text {
			text = append(text, strings.ReplaceAll(t, `\`, `\\`)) // presentation form
		}
		if len(text) == 0 {
			text = []string{""} // RFC 6763 section 6.1: one empty string, not none
		}
		add(service, &dns.TXT{Hdr: hdr(instance, dns.TypeTXT, otherTTL), Txt: text})
		add(pointer, &dns.PTR{Hdr: hdr(typ, dns.TypePTR, otherTTL), Ptr: instance})
		if !seen[typ] {
			add(pointer, &dns.PTR{Hdr: hdr("_services._dns-sd._udp.local.", dns.TypePTR, otherTTL), Ptr: typ})
		}
		seen[typ] = true
	}
	// RFC 6762 section 6.1.
	deny := func(name string, ttl uint32, types ...uint16) {
		sort.Slice(types, func(i, j int) bool { return types[i] < types[j] })
		add(nsec, &dns.NSEC{Hdr: hdr(name, dns.TypeNSEC, ttl), NextDomain: name, TypeBitMap: slices.Compact(types)})
	}
	deny(host, hostTTL, types...)
	for _, a := range reverse {
		deny(a, hostTTL, dns.TypePTR)
	}
	for _, cl := range r.claims[1:] {
		deny(cl.fqdn(), otherTTL, dns.TypeTXT, dns.TypeSRV)
	}
}

// normal gives a record the form that the codec gives to received ones, so that the two can be compared: there are
// several ways to write a character down.
func normal(rr dns.RR) dns.RR {
	buf := make([]byte, dns.Len(rr)+64)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return rr
	}
	back, _, err := dns.UnpackRR(buf[:n], 0)
	if err != nil {
		return rr
	}
	return back
}

// positive are all records but those that deny.
func (r *Responder) positive() []*record {
	var out []*record
	for _, x := range r.records {
		if x.kind != nsec {
			out = append(out, x)
		}
	}
	return out
}

// extra adds what whoever gets these answers would ask for next (RFC 6763 section 12, RFC 6762 section 6.2).
func (r *Responder) extra(answers []*record) []*record {
	var out []*record
	add := func(x *record) bool {
		if slices.Contains(answers, x) || slices.Contains(out, x) {
			return false
		}
		out = append(out, x)
		return true
	}
	want := func(name string) {
		v4, v6 := false, false
		for _, x := range r.records {
			if x.name != name {
				continue
			}
			switch x.rr.(type) {
			case *dns.A:
				v4 = true
				add(x)
			case *dns.AAAA:
				v6 = true
				add(x)
			case *dns.SRV, *dns.TXT:
				add(x)
			case *dns.NSEC: // behind the others
				if name == r.claims[0].fqdn() && v4 != v6 {
					add(x)
				}
			}
		}
	}
	for i := 0; i < len(answers)+len(out); i++ {
		var x *record
		if i < len(answers) {
			x = answers[i]
		} else {
			x = out[i-len(answers)]
		}
		switch rr := x.rr.(type) {
		case *dns.PTR:
			if x.kind == pointer {
				want(dns.CanonicalName(rr.Ptr))
			}
		case *dns.SRV:
			want(dns.CanonicalName(rr.Target))
		case *dns.A, *dns.AAAA:
			want(x.name)
		}
	}
	return out
}

// class is a record's class without the cache-flush bit, which a query uses for "answer me alone" (QU).
func class(c uint16) uint16 { return c &^ flushBit }

const flushBit = 1 << 15

// sameData: the same name, type, class and data; neither TTL nor the cache-flush bit count.
func sameData(a, b dns.RR) bool {
	x, y := a.Header(), b.Header()
	if x.Rrtype != y.Rrtype || class(x.Class) != class(y.Class) {
		return false
	}
	if x.Class != y.Class {
		b = dns.Copy(b)
		b.Header().Class = x.Class
	}
	return dns.IsDuplicate(a, b)
}

// data is the part of a record that RFC 6762 section 8.2 compares: class, type and data without compression.
func data(rr dns.RR) []byte {
	buf := make([]byte, dns.Len(rr)+64)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil
	}
	// The name ends where the fixed fields begin: 2 type, 2 class, 4 TTL, 2 length.
	i := 0
	for i < n && buf[i] != 0 {
		i += int(buf[i]) + 1
	}
	i++
	if i+10 > n {
		return nil
	}
	c := class(rr.Header().Class)
	out := []byte{byte(c >> 8), byte(c), buf[i], buf[i+1]}
	return append(out, buf[i+10:n]...)
}

// compareSets is the tie-break of RFC 6762 section 8.2.1: the sorted sets, record by record, the shorter one first.
func compareSets(a, b [][]byte) int {
	sort.Slice(a, func(i, j int) bool { return bytes.Compare(a[i], a[j]) < 0 })
	sort.Slice(b, func(i, j int) bool { return bytes.Compare(b[i], b[j]) < 0 })
	for i := 0; i < len(a) && i < len(b); i++ {
		if c := slices.Compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}
