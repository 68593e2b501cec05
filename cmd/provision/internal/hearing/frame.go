// Package hearing listens to what the host on a gadget's link says of itself: the questions of its
// DHCP client, its router solicitations, and the answer that gives it an address. It only listens;
// the server answers, in a process of its own or not at all.
package hearing

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/provision-net/provision/gadget/verdict"
)

// Heard is one packet.
type Heard struct {
	// Spoke: it came from the host, and Seen is what the host showed in it.
	Spoke bool
	Seen  verdict.Seen
	// Leased is the address that the host was given in this packet, Released that it gave one back.
	Leased   netip.Addr
	Released bool
}

// Numbers of RFC 2131, 2132, 4861 and 8415.
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoUDP    = 17
	protoICMPv6 = 58

	routerSolicitation = 133

	portServer4 = 67
	portServer6 = 547

	headBOOTP = 236
	cookie    = 0x63825363

	optHostname  = 12
	optType      = 53
	optParams    = 55
	optVendor    = 60
	optClientID  = 61
	optFQDN      = 81
	optRequested = 6 // of DHCPv6, OPTION_ORO

	typeRelease = 7
	typeACK     = 5
)

// Parse reads a frame without its Ethernet header; out tells that this machine has sent it. ok is
// false for what is neither a question nor the answer that is listened for.
func Parse(ethertype uint16, b []byte, out bool) (h Heard, ok bool) {
	switch ethertype {
	case etherIPv4:
		return parse4(b, out)
	case etherIPv6:
		if !out {
			return parse6(b)
		}
	}
	return Heard{}, false
}

func parse4(b []byte, out bool) (Heard, bool) {
	if len(b) < 20 || b[0]>>4 != 4 || b[9] != protoUDP || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return Heard{}, false
	}
	head := int(b[0]&15) * 4
	if total := int(binary.BigEndian.Uint16(b[2:])); total < len(b) {
		b = b[:total]
	}
	if head < 20 || len(b) < head+8+headBOOTP+4 {
		return Heard{}, false
	}
	from, to := binary.BigEndian.Uint16(b[head:]), binary.BigEndian.Uint16(b[head+2:])
	m := b[head+8:]
	options, fine := options4(m[headBOOTP:])
	switch {
	case !fine || len(options[optType]) != 1:
		return Heard{}, false
	case out && from == portServer4 && m[0] == 2 && options[optType][0] == typeACK:
		a := netip.AddrFrom4([4]byte(m[16:20])) // yiaddr; an answer to INFORM has none
		return Heard{Leased: a}, !a.IsUnspecified()
	case out || to != portServer4 || m[0] != 1:
		return Heard{}, false
	}
	s := verdict.Seen{Options4: slices.Clone(options[optParams]), Vendor: string(options[optVendor]), Hostname: string(options[optHostname]), ClientID: slices.Clone(options[optClientID])}
	if f := options[optFQDN]; s.Hostname == "" && len(f) > 3 {
		s.Hostname = fqdn(f)
	}
	return Heard{Spoke: true, Seen: s, Released: options[optType][0] == typeRelease}, true
}

// options4 reads the options behind the cookie; the first of several pieces is enough here.
func options4(b []byte) (map[byte][]byte, bool) {
	if binary.BigEndian.Uint32(b) != cookie {
		return nil, false
	}
	out := map[byte][]byte{}
	for b = b[4:]; len(b) > 0 && b[0] != 255; {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return nil, false
		}
		if _, twice := out[b[0]]; !twice {
			out[b[0]] = b[2 : 2+int(b[1])]
		}
		b = b[2+int(b[1]):]
	}
	return out, true
}

// fqdn is the first label of option 81, in either of its encodings (RFC 4702 section 2.3).
func fqdn(f []byte) string {
	name := f[3:]
	if f[0]&4 != 0 {
		n := int(name[0])
		if n > 63 || len(name) < 1+n {
			return ""
		}
		return string(name[1 : 1+n])
	}
	label, _, _ := strings.Cut(string(name), ".")
	return label
}

func parse6(b []byte) (Heard, bool) {
	if len(b) < 40+8 || b[0]>>4 != 6 {
		return Heard{}, false
	}
	if total := 40 + int(binary.BigEndian.Uint16(b[4:])); total < len(b) {
		b = b[:total]
	}
	next, body := b[6], b[40:]
	switch {
	case next == protoICMPv6 && len(body) >= 8 && body[0] == routerSolicitation:
		return Heard{Spoke: true, Seen: verdict.Seen{Routers: true}}, true
	case next != protoUDP || len(body) < 8+4 || binary.BigEndian.Uint16(body[2:]) != portServer6:
		return Heard{}, false
	}
	var s verdict.Seen
	for o := body[8+4:]; len(o) >= 4; {
		n := int(binary.BigEndian.Uint16(o[2:]))
		if len(o) < 4+n {
			return Heard{}, false
		}
		if binary.BigEndian.Uint16(o) == optRequested {
			for v := o[4 : 4+n]; len(v) >= 2; v = v[2:] {
				s.Options6 = append(s.Options6, binary.BigEndian.Uint16(v))
			}
		}
		o = o[4+n:]
	}
	return Heard{Spoke: true, Seen: s}, true
}
