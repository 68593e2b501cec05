// Package pseudonym replaces what identifies a machine and its owner in texts and
// addresses: MAC addresses, public IP addresses, and given names. The same thing
// always becomes the same other thing, and what decides behaviour stays: the
// relations between prefixes, private addresses, and the vendor part of MAC
// addresses of virtual machines.
package pseudonym

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"regexp"
	"sort"
	"strings"
)

// Names maps originals to pseudonyms. First everything is shown to it (Prefix,
// Scan, Name), then it replaces: the pseudonyms do not depend on the order.
type Names struct {
	salt   []byte
	blocks map[netip.Prefix]bool // public networks seen
	places map[netip.Prefix]netip.Prefix
	sorted []netip.Prefix
	names  map[string]string
	finder *regexp.Regexp // finds the names
}

// New makes pseudonyms that cannot be turned back without salt.
func New(salt string) *Names {
	return &Names{salt: []byte(salt), blocks: map[netip.Prefix]bool{}, names: map[string]string{}}
}

func (n *Names) digest(kind, s string) []byte {
	h := hmac.New(sha256.New, n.salt)
	h.Write([]byte(kind + "\x00" + s))
	return h.Sum(nil)
}

// Name gives an own name of a kind ("host", "ssid") a pseudonym wherever it stands
// as a whole word.
func (n *Names) Name(kind, name string) {
	if name == "" || n.names[name] != "" {
		return
	}
	n.names[name] = kind + "-" + hex.EncodeToString(n.digest(kind, strings.ToLower(name))[:3])
	n.finder = nil
}

// Pseudonym is what Name made of a name, or the name itself.
func (n *Names) Pseudonym(name string) string {
	if p := n.names[name]; p != "" {
		return p
	}
	return name
}

// vendors are the vendor parts that decide roles: VirtualBox and its host-only
// networks, QEMU, VMware.
var vendors = map[[3]byte]bool{{0x08, 0, 0x27}: true, {0x0a, 0, 0x27}: true, {0x52, 0x54, 0}: true, {0, 0x0c, 0x29}: true, {0, 0x50, 0x56}: true, {0, 5, 0x69}: true}

func (n *Names) mac(m [6]byte) [6]byte {
	if m == [6]byte{} || m[0]&1 == 1 { // none, broadcast, multicast
		return m
	}
	d := n.digest("mac", string(m[:]))
	out := [6]byte(d[:6])
	if vendors[[3]byte(m[:3])] {
		copy(out[:3], m[:3])
	} else {
		out[0] = out[0]&^3 | 2 // locally administered: nobody's
	}
	return out
}

// MAC replaces a MAC address with colons; what is none stays.
func (n *Names) MAC(s string) string {
	h, err := net.ParseMAC(s)
	if err != nil || len(h) != 6 {
		return s
	}
	m := n.mac([6]byte(h))
	return net.HardwareAddr(m[:]).String()
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	global6   = netip.MustParsePrefix("2000::/3")
	cgnat     = netip.MustParsePrefix("100.64.0.0/10")
	thisNet   = netip.MustParsePrefix("0.0.0.0/8")
	reserved4 = netip.MustParsePrefix("240.0.0.0/4")
)

// public tells which addresses point at somebody. Those for documentation are
// among them: what others become must not meet what was there.
func public(a netip.Addr) bool {
	if a.Is4() {
		return !(a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || cgnat.Contains(a) || thisNet.Contains(a) || reserved4.Contains(a))
	}
	return global6.Contains(a)
}

// block is the network that an address is moved with when no larger one is known.
func block(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, _ := a.Prefix(bits)
	return p
}

// Prefix shows a network; its addresses will stay together.
func (n *Names) Prefix(p netip.Prefix) {
	if !p.IsValid() {
		return
	}
	p = netip.PrefixFrom(p.Addr().WithZone(""), p.Bits())
	if a := p.Addr(); public(a) {
		b := block(a)
		// Larger than what the ranges for documentation hold, it cannot keep together.
		if a.Is4() && p.Bits() < 24 && p.Bits() >= 12 {
			b = p.Masked()
		}
		n.blocks[b] = true
		n.places = nil
	}
}

// place allots each network one of the ranges for documentation (RFC 5737, RFC 3849)
// or, after these, of the ranges that nobody routes (RFC 2544, RFC 1112).
func (n *Names) place() {
	n.places = map[netip.Prefix]netip.Prefix{}
	n.sorted = n.sorted[:0]
	var all []netip.Prefix
	for b := range n.blocks {
		all = append(all, b)
	}
	// The largest first, so that those inside another one are left out; then by
	// digest, so that the order says nothing.
	sort.Slice(all, func(i, j int) bool {
		if all[i].Bits() != all[j].Bits() {
			return all[i].Bits() < all[j].Bits()
		}
		return string(n.digest("net", all[i].String())) < string(n.digest("net", all[j].String()))
	})
	docs := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")}
	next4, next6 := uint32(240)<<24, uint32(0)
	for _, b := range all {
		if _, ok := n.within(b.Addr()); ok {
			continue
		}
		var to netip.Prefix
		switch {
		case b.Addr().Is6():
			next6++
			to = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(next6 >> 8), byte(next6)}), 48)
		case b.Bits() == 24 && len(docs) > 0:
			to, docs = docs[0], docs[1:]
		default:
			size := uint32(1) << (32 - b.Bits())
			next4 = (next4 + size - 1) &^ (size - 1)
			to = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(next4 >> 24), byte(next4 >> 16), byte(next4 >> 8), byte(next4)}), b.Bits())
			next4 += size
		}
		n.places[b] = to
		n.sorted = append(n.sorted, b)
	}
}

func (n *Names) within(a netip.Addr) (netip.Prefix, bool) {
	for bits := a.BitLen(); bits >= 12; bits-- {
		p, _ := a.Prefix(bits)
		if _, ok := n.places[p]; ok {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// Addr replaces an address. Private ones stay, but for an interface identifier
// that is made of a MAC address (RFC 4291, appendix A).
func (n *Names) Addr(a netip.Addr) netip.Addr {
	if !a.IsValid() || a.Is4In6() {
		if a.Is4In6() {
			return netip.AddrFrom16(n.Addr(a.Unmap()).As16()).WithZone(a.Zone())
		}
		return a
	}
	if n.places == nil {
		n.place()
	}
	if a.Is6() && nat64.Contains(a.WithZone("")) {
		b := a.As16()
		v4 := n.Addr(netip.AddrFrom4([4]byte(b[12:]))).As4()
		copy(b[12:], v4[:])
		return netip.AddrFrom16(b)
	}
	if public(a) {
		from, ok := n.within(a)
		if !ok {
			// Not shown before: it gets a place that depends on it alone.
			from = block(a)
			d := n.digest("net", from.String())
			to := netip.PrefixFrom(netip.AddrFrom4([4]byte{250 + d[0]%5, d[1], d[2], 0}), 24)
			if a.Is6() {
				to = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0x80 | d[0], d[1]}), 48)
			}
			n.places[from] = to
		}
		a = move(a, from, n.places[from])
	}
	if a.Is6() {
		a = n.identifier(a)
	}
	return a
}

// move keeps the bits below the network.
func move(a netip.Addr, from, to netip.Prefix) netip.Addr {
	src, dst := a.AsSlice(), to.Addr().AsSlice()
	for i := range src {
		keep := byte(0xff)
		switch bits := from.Bits() - 8*i; {
		case bits >= 8:
			keep = 0
		case bits > 0:
			keep = 0xff >> bits
		}
		dst[i] = dst[i]&^keep | src[i]&keep
	}
	out, _ := netip.AddrFromSlice(dst)
	return out.WithZone(a.Zone())
}

// identifier replaces the lower 64 bits where they identify a device: those made of
// a MAC address by those of its pseudonym, random ones by others. Small numbers
// were chosen by people and stay.
func (n *Names) identifier(a netip.Addr) netip.Addr {
	b := a.As16()
	small := true
	for _, x := range b[8:14] {
		small = small && x == 0
	}
	switch {
	case a.IsMulticast(), small:
		return a
	case b[11] == 0xff && b[12] == 0xfe:
		m := n.mac([6]byte{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]})
		copy(b[8:], []byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	case global6.Contains(a.WithZone("")), a.IsLinkLocalUnicast():
		copy(b[8:], n.digest("iid", string(b[8:]))[:8])
		if b[11] == 0xff && b[12] == 0xfe {
			b[11] = 0 // must not look as if made of a MAC address
		}
	}
	return netip.AddrFrom16(b).WithZone(a.Zone())
}

// Network replaces an address with its prefix length; host bits stay zero where
// they were.
func (n *Names) Network(p netip.Prefix) netip.Prefix {
	if !p.IsValid() || p.Bits() == 0 || public(p.Addr()) && p.Bits() < 12 {
		return p
	}
	masked := p == p.Masked()
	q := netip.PrefixFrom(n.Addr(p.Addr()), p.Bits())
	if masked {
		return q.Masked()
	}
	return q
}

// Digest replaces an identifier that nobody reads.
func (n *Names) Digest(kind, s string) string {
	return hex.EncodeToString(n.digest(kind, s)[:8])
}
