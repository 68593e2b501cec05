package ra

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// maxParsed bounds how many entries of one kind are taken from an advertisement.
const maxParsed = 64

// Advertisement checks another router's message against RFC 4861 section 6.1.2 and reads it, or says why it must be
// discarded. Options that make no sense are left out, those that we do not know as well: mdlayher/ndp v1.1.0 throws the
// whole message away for one of them, also for one that it is just too small for, and a rogue would hide behind that.
// The result shares no memory with p.
func Advertisement(p Packet) (m Message, reason string) {
	b := p.Data
	switch {
	case len(b) < headerLen:
		return m, ReasonShort
	case b[0] != TypeAdvertisement:
		return m, ReasonType
	case b[1] != 0:
		return m, ReasonCode
	case p.HopLimit != 255:
		return m, ReasonHopLimit
	case !p.Src.Is6() || !p.Src.IsLinkLocalUnicast():
		return m, ReasonSource
	}
	m.HopLimit = b[4]
	m.Managed, m.Other = b[5]&0x80 != 0, b[5]&0x40 != 0
	m.Preference = preference(b[5])
	m.RouterLifetime = time.Duration(binary.BigEndian.Uint16(b[6:])) * time.Second
	m.Reachable = time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Millisecond
	m.Retrans = time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Millisecond
	if reason = eachOption(b[headerLen:], m.parseOption); reason != "" {
		return Message{}, reason
	}
	return m, ""
}

// preference reads the two bits of RFC 4191 section 2.1; the reserved value is to be taken for medium.
func preference(flags uint8) Preference {
	if p := Preference(flags >> 3 & 3); p != 2 {
		return p
	}
	return Medium
}

func (m *Message) parseOption(kind uint8, b []byte) {
	switch kind {
	case optSourceLLA:
		if len(b) == 6 && m.SourceMAC == nil {
			m.SourceMAC = slices.Clone(b)
		}
	case optMTU:
		if len(b) == 6 {
			m.MTU = binary.BigEndian.Uint32(b[2:])
		}
	case optPrefix:
		if len(b) != 30 || b[0] > 128 || len(m.Prefixes) >= maxParsed {
			return
		}
		m.Prefixes = append(m.Prefixes, Prefix{
			Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte(b[14:30])), int(b[0])).Masked(),
			OnLink: b[1]&0x80 != 0, Autonomous: b[1]&0x40 != 0, PreferredDelegation: b[1]&0x10 != 0,
			Valid: duration(b[2:]), Preferred: duration(b[6:]),
		})
	case optRoute:
		m.parseRoute(b)
	case optRDNSS:
		for a := b[min(6, len(b)):]; len(a) >= 16 && len(m.DNS) < maxParsed; a = a[16:] {
			m.DNS = append(m.DNS, DNS{netip.AddrFrom16([16]byte(a)), duration(b[2:])})
		}
	case optDNSSL:
		m.parseSearch(b)
	case optCaptivePortal:
		m.CaptivePortal = strings.TrimRight(string(b), "\x00")
	case optNAT64:
		bits := [...]int{96, 64, 56, 48, 40, 32}
		if len(b) != 14 || int(b[1]&7) >= len(bits) || len(m.NAT64) >= maxParsed {
			return
		}
		var a [16]byte
		copy(a[:12], b[2:])
		m.NAT64 = append(m.NAT64, NAT64{
			Prefix:   netip.PrefixFrom(netip.AddrFrom16(a), bits[b[1]&7]).Masked(),
			Lifetime: time.Duration(binary.BigEndian.Uint16(b)>>3) * 8 * time.Second,
		})
	}
}

func (m *Message) parseRoute(b []byte) {
	// RFC 4191 section 2.3: 0, 8 or 16 bytes of prefix; the reserved preference voids the option.
	if bits := int(b[0]); bits > 128 || (bits+63)/64*8 > len(b)-6 || len(b) > 22 || b[1]>>3&3 == 2 || len(m.Routes) >= maxParsed {
		return
	}
	var a [16]byte
	copy(a[:], b[6:])
	m.Routes = append(m.Routes, Route{
		Prefix:     netip.PrefixFrom(netip.AddrFrom16(a), int(b[0])).Masked(),
		Preference: preference(b[1]), Lifetime: duration(b[2:]),
	})
}

func (m *Message) parseSearch(b []byte) {
	lifetime := duration(b[2:])
	var labels []string
	for rest := b[6:]; len(rest) > 0 && len(m.Search) < maxParsed; {
		n := int(rest[0])
		switch {
		case n == 0 && len(labels) > 0:
			m.Search = append(m.Search, Search{strings.Join(labels, "."), lifetime})
			labels = nil
		case n == 0: // padding
		case n > 63 || n >= len(rest):
			return
		default:
			labels = append(labels, string(rest[1:1+n]))
		}
		rest = rest[1+n:]
	}
}

// duration reads a lifetime of 32 bits.
func duration(b []byte) time.Duration {
	s := binary.BigEndian.Uint32(b)
	if s == 1<<32-1 {
		return Infinite
	}
	return time.Duration(s) * time.Second
}
