package ra

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/mdlayher/ndp"
)

// Message is one router advertisement with everything resolved to what goes on the wire. Lifetimes are rounded down to
// the unit of their field, so that none says more than was meant.
type Message struct {
	HopLimit           uint8
	Managed, Other     bool
	Preference         Preference
	RouterLifetime     time.Duration // at most 65535 s
	Reachable, Retrans time.Duration
	SourceMAC          net.HardwareAddr // left out unless it has 6 bytes
	MTU                uint32           // 0: none
	Prefixes           []Prefix
	DNS                []DNS
	Search             []Search
	Routes             []Route
	NAT64              []NAT64
	CaptivePortal      string
}

// DNS, Search and NAT64 are entries with their own lifetimes: one that is withdrawn has 0.
type (
	DNS struct {
		Addr     netip.Addr
		Lifetime time.Duration
	}
	Search struct {
		Domain   string
		Lifetime time.Duration
	}
	NAT64 struct {
		Prefix   netip.Prefix
		Lifetime time.Duration
	}
)

// Option types (IANA "IPv6 Neighbor Discovery Option Formats").
const (
	optSourceLLA     = 1
	optPrefix        = 3
	optMTU           = 5
	optRoute         = 24
	optRDNSS         = 25
	optDNSSL         = 31
	optCaptivePortal = 37
	optNAT64         = 38
)

const headerLen = 16 // of a router advertisement, ICMPv6 header included (RFC 4861 section 4.2)

// maxNAT64Lifetime is what 13 bits of 8 s units hold (RFC 8781 section 4).
const maxNAT64Lifetime = 8191 * 8 * time.Second

// Payloads returns the advertisement as ICMPv6 messages with a zero checksum, none longer than limit bytes (the link's
// MTU less the IPv6 header): where one does not hold all options they are spread over several (RFC 4861 section 6.2.3),
// since neighbour discovery must not be fragmented (RFC 6980). An option that is longer than limit alone, a long URI on
// a small MTU, is left out.
func (m *Message) Payloads(limit int) ([][]byte, error) {
	options, err := m.options()
	if err != nil {
		return nil, err
	}
	header, err := ndp.MarshalMessage(&ndp.RouterAdvertisement{
		CurrentHopLimit:           m.HopLimit,
		ManagedConfiguration:      m.Managed,
		OtherConfiguration:        m.Other,
		RouterSelectionPreference: ndp.Preference(m.Preference),
		RouterLifetime:            min(m.RouterLifetime, 65535*time.Second),
		ReachableTime:             m.Reachable,
		RetransmitTimer:           m.Retrans,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot build a router advertisement: %w", err)
	}
	if m.RouterLifetime == 0 {
		// RFC 4191 section 2.2: the preference of what is no default router must be sent as medium.
		header[5] &^= 0x18
	}
	all := [][]byte{header}
	for _, o := range options {
		last := len(all) - 1
		switch {
		case headerLen+len(o) > limit:
			continue
		case len(all[last])+len(o) > limit:
			all = append(all, append(header[:headerLen:headerLen], o...))
		default:
			all[last] = append(all[last][:len(all[last]):len(all[last])], o...)
		}
	}
	return all, nil
}

// options are in the order of their weight: what hosts need most is in the first message.
func (m *Message) options() ([][]byte, error) {
	var list []ndp.Option
	if len(m.SourceMAC) == 6 {
		list = append(list, &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: m.SourceMAC})
	}
	if m.MTU != 0 {
		list = append(list, ndp.NewMTU(m.MTU))
	}
	for _, p := range m.Prefixes {
		list = append(list, prefixOption(p))
	}
	for _, r := range m.Routes {
		list = append(list, &ndp.RouteInformation{
			PrefixLength: uint8(r.Prefix.Bits()), Prefix: r.Prefix.Addr(),
			Preference: ndp.Preference(r.Preference), RouteLifetime: lifetime(r.Lifetime),
		})
	}
	for _, group := range groupBy(m.DNS, maxDNS, func(d DNS) time.Duration { return d.Lifetime }) {
		o := &ndp.RecursiveDNSServer{Lifetime: lifetime(group[0].Lifetime)}
		for _, d := range group {
			o.Servers = append(o.Servers, d.Addr)
		}
		list = append(list, o)
	}
	for _, n := range m.NAT64 {
		list = append(list, nat64Option(n))
	}
	var out [][]byte
	for _, o := range list {
		// There is no exported way to marshal one option but in a message: a solicitation has the shortest header.
		b, err := ndp.MarshalMessage(&ndp.RouterSolicitation{Options: []ndp.Option{o}})
		if err != nil {
			return nil, fmt.Errorf("cannot build option %d of a router advertisement: %w", o.Code(), err)
		}
		out = append(out, b[8:])
	}
	for _, group := range groupBy(m.Search, maxSearch, func(s Search) time.Duration { return s.Lifetime }) {
		os, err := searchOptions(group)
		if err != nil {
			return nil, err
		}
		out = append(out, os...)
	}
	if m.CaptivePortal != "" {
		if len(m.CaptivePortal) > 255*8-2 {
			return nil, fmt.Errorf("cannot build the captive portal's option: %d bytes are too long", len(m.CaptivePortal))
		}
		// By hand: mdlayher/ndp v1.1.0 computes lengths in a byte and cannot build options of 256 bytes and more.
		out = append(out, option(append([]byte{optCaptivePortal, 0}, m.CaptivePortal...)))
	}
	return out, nil
}

// option pads b with zeros to units of 8 bytes and fills in its length.
func option(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = uint8(len(b) / 8)
	return b
}

// groupBy splits list into runs of equal key, each of n at most.
func groupBy[T any](list []T, n int, key func(T) time.Duration) [][]T {
	var out [][]T
	for _, x := range list {
		if last := len(out) - 1; last >= 0 && len(out[last]) < n && key(out[last][0]) == key(x) {
			out[last] = append(out[last], x)
		} else {
			out = append(out, []T{x})
		}
	}
	return out
}

func prefixOption(p Prefix) ndp.Option {
	if !p.PreferredDelegation {
		return &ndp.PrefixInformation{
			PrefixLength: uint8(p.Prefix.Bits()), Prefix: p.Prefix.Addr(),
			OnLink: p.OnLink, AutonomousAddressConfiguration: p.Autonomous,
			ValidLifetime: lifetime(p.Valid), PreferredLifetime: lifetime(p.Preferred),
		}
	}
	// By hand: mdlayher/ndp v1.1.0 does not know the P flag (RFC 9762 section 4).
	b := make([]byte, 30)
	b[0] = uint8(p.Prefix.Bits())
	b[1] = 0x10
	if p.OnLink {
		b[1] |= 0x80
	}
	if p.Autonomous {
		b[1] |= 0x40
	}
	binary.BigEndian.PutUint32(b[2:], seconds(p.Valid))
	binary.BigEndian.PutUint32(b[6:], seconds(p.Preferred))
	a := p.Prefix.Addr().As16()
	copy(b[14:], a[:])
	return &ndp.RawOption{Type: optPrefix, Length: 4, Value: b}
}

// nat64Option is written by hand: mdlayher/ndp v1.1.0 rounds the lifetime to the nearest unit, up to 4 s past the end
// of the router's own; RFC 8781 section 4.1 asks to round up only where that is not the limit.
func nat64Option(n NAT64) ndp.Option {
	length, _ := nat64Length(n.Prefix.Bits())
	b := make([]byte, 14)
	units := uint16(min(n.Lifetime, maxNAT64Lifetime) / (8 * time.Second))
	if units == 0 && n.Lifetime > 0 {
		units = 1
	}
	binary.BigEndian.PutUint16(b, units<<3|length)
	a := n.Prefix.Addr().As16()
	copy(b[2:], a[:12])
	return &ndp.RawOption{Type: optNAT64, Length: 2, Value: b}
}

// nat64Length is the prefix length code of RFC 8781 section 4.
func nat64Length(bits int) (uint16, bool) {
	for code, b := range [...]int{96, 64, 56, 48, 40, 32} {
		if b == bits {
			return uint16(code), true
		}
	}
	return 0, false
}

// searchOptions is written by hand: mdlayher/ndp v1.1.0 neither bounds labels and names nor holds more than 246 bytes.
func searchOptions(list []Search) ([][]byte, error) {
	const most = 31 * 8 // what mdlayher/ndp can read again, too
	var out [][]byte
	var b []byte
	for _, s := range list {
		name, err := appendName(nil, s.Domain)
		if err != nil {
			return nil, err
		}
		if b != nil && len(b)+len(name) > most {
			out = append(out, option(b))
			b = nil
		}
		if b == nil {
			b = append(make([]byte, 0, most), optDNSSL, 0, 0, 0)
			b = binary.BigEndian.AppendUint32(b, seconds(s.Lifetime))
		}
		b = append(b, name...)
	}
	if b != nil {
		out = append(out, option(b))
	}
	return out, nil
}

// appendName appends a domain in the encoding of RFC 1035 section 3.1, without compression (RFC 8106 section 5.2).
func appendName(b []byte, domain string) ([]byte, error) {
	start := len(b)
	for label := range strings.SplitSeq(strings.TrimSuffix(domain, "."), ".") {
		if len(label) == 0 || len(label) > 63 {
			return nil, fmt.Errorf("search domain %q has a label of %d bytes; 1 to 63 are allowed", domain, len(label))
		}
		for i := range len(label) {
			if c := label[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return nil, fmt.Errorf("search domain %q holds the character %q", domain, c)
			}
		}
		b = append(append(b, uint8(len(label))), label...)
	}
	if b = append(b, 0); len(b)-start > 255 {
		return nil, fmt.Errorf("search domain %q is longer than 255 bytes", domain)
	}
	return b, nil
}

// seconds is a lifetime on the wire: rounded down, 0xffffffff for Infinite only.
func seconds(d time.Duration) uint32 {
	switch {
	case d == Infinite:
		return math.MaxUint32
	case d <= 0:
		return 0
	case d > longestFinite:
		return math.MaxUint32 - 1
	}
	return uint32(d / time.Second)
}

// lifetime is the same for mdlayher/ndp, which turns durations into floating point seconds.
func lifetime(d time.Duration) time.Duration { return time.Duration(seconds(d)) * time.Second }
