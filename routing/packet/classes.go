package packet

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/resource/nft"
)

// classes are the values of one family that rules and routes tell apart.
type classes struct {
	six      bool
	addrs    []netip.Addr
	ports    []uint16
	protos   []string
	complete bool
}

// perSet is how many elements of a set are looked at.
const perSet = 64

func classesOf(w World, family int) classes {
	k := classes{six: family == 6, complete: true, protos: []string{"tcp", "udp", "icmp"}}
	k.span(netip.MustParseAddr(map[bool]string{false: "1.1.1.1", true: "2606:4700:4700::1111"}[k.six]), netip.Addr{})
	k.port(0, 0)
	k.port(53, 53) // names are what leaks first
	if w.Facts != nil {
		for _, r := range w.Facts.Routes {
			k.prefix(r.Dst)
		}
		for _, r := range w.Facts.Rules {
			k.prefix(r.To)
		}
		for _, a := range w.Facts.Addrs {
			k.prefix(a.Prefix.Masked())
		}
	}
	for _, t := range w.Tables {
		if !fits(t.Family, k.six) || t.Dormant {
			continue
		}
		for _, s := range t.Sets {
			k.set(s)
		}
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				k.rule(r)
			}
		}
	}
	sort.Slice(k.addrs, func(i, j int) bool { return k.addrs[i].Compare(k.addrs[j]) < 0 })
	k.addrs = slices.Compact(k.addrs)
	sort.Slice(k.ports, func(i, j int) bool { return k.ports[i] < k.ports[j] })
	k.ports = slices.Compact(k.ports)
	sort.SliceStable(k.protos, func(i, j int) bool { return k.protos[i] < k.protos[j] })
	k.protos = slices.Compact(k.protos)
	return k
}

// span takes in a range: its first address, one inside, and the one behind it.
func (k *classes) span(from, to netip.Addr) {
	if !to.IsValid() {
		to = from
	}
	for _, a := range []netip.Addr{from, from.Next(), to, to.Next()} {
		if a.IsValid() && a.Is6() == k.six && !a.IsMulticast() && !a.IsLoopback() && !a.IsUnspecified() {
			k.addrs = append(k.addrs, a)
		}
	}
}

func (k *classes) prefix(p netip.Prefix) {
	if p.IsValid() && p.Addr().Is6() == k.six && p.Bits() > 0 {
		k.span(p.Masked().Addr(), lastOf(p.Masked()))
	}
}

func (k *classes) port(from, to uint16) {
	for _, p := range []int{int(from) - 1, int(from), int(to), int(to) + 1} {
		if p > 0 && p < 65536 {
			k.ports = append(k.ports, uint16(p))
		}
	}
}

// bytesOf takes in a range of some type's bytes.
func (k *classes) bytesOf(typ string, from, to []byte) {
	if len(to) != len(from) {
		to = from
	}
	switch typ {
	case nft.TypeIPv4, nft.TypeIPv6:
		a, ok := netip.AddrFromSlice(from)
		z, ok2 := netip.AddrFromSlice(to)
		if ok && ok2 {
			k.span(a, z)
		}
	case nft.TypePort:
		if len(from) == 2 {
			k.port(uint16(from[0])<<8|uint16(from[1]), uint16(to[0])<<8|uint16(to[1]))
		}
	case nft.TypeProto:
		if len(from) == 1 {
			k.proto(from[0])
		}
	}
}

func (k *classes) proto(n uint8) {
	switch n {
	case protoTCP, protoUDP, protoICMP, protoICMPv6:
	default:
		k.protos = append(k.protos, uintText(n))
	}
}

func (k *classes) set(s nft.Set) {
	if s.Count > len(s.Elements) || len(s.Elements) > perSet {
		k.complete = false
	}
	for _, e := range s.Elements[:min(len(s.Elements), perSet)] {
		at := 0
		for _, part := range s.Key {
			n := nft.TypeSize(part)
			if at+n > len(e.Key) || n == 0 {
				break
			}
			var to []byte
			if at+n <= len(e.To) {
				to = e.To[at : at+n]
			}
			k.bytesOf(part, e.Key[at:at+n], to)
			at += (n + 3) &^ 3
		}
	}
}

// rule takes in what a rule compares addresses, ports and protocols with.
func (k *classes) rule(r nft.Rule) {
	var p *nft.Payload
	l4 := false
	for _, e := range r.Exprs {
		switch {
		case e.Payload != nil:
			p, l4 = e.Payload, false
		case e.Meta != nil:
			p, l4 = nil, e.Meta.Key == "l4proto"
		case e.Ct != nil, e.Fib != nil, e.Rt != nil, e.Exthdr != nil:
			p, l4 = nil, false
		case e.Cmp != nil && l4:
			k.bytesOf(nft.TypeProto, e.Cmp.Data, nil)
		case e.Cmp != nil && p != nil:
			k.payload(p, e.Cmp.Data, e.Cmp.Data)
		case e.Range != nil && p != nil:
			k.payload(p, e.Range.From, e.Range.To)
		}
	}
}

// payload takes in a comparison of header bytes; a short one is of a prefix.
func (k *classes) payload(p *nft.Payload, from, to []byte) {
	size, typ := 4, nft.TypeIPv4
	if k.six {
		size, typ = 16, nft.TypeIPv6
	}
	switch {
	case p.Base == "transport" && p.Offset <= 2 && len(from) == 2 && len(to) == 2:
		k.bytesOf(nft.TypePort, from, to)
	case p.Base == "transport" && p.Offset == 0 && len(from) == 4 && len(to) == 4:
		k.bytesOf(nft.TypePort, from[2:], to[2:])
	case p.Base == "network" && len(from) == 1 && (!k.six && p.Offset == 9 || k.six && p.Offset == 6):
		k.proto(from[0])
	case p.Base == "network" && len(from) <= size && len(to) == len(from) && (!k.six && p.Offset >= 12 || k.six && p.Offset >= 8):
		lo, hi := make([]byte, size), make([]byte, size)
		for i := range hi {
			hi[i] = 0xff
		}
		copy(lo, from)
		copy(hi, to)
		k.bytesOf(typ, lo, hi)
	}
}

// sources are the addresses that a device's packets come from: its neighbours, and of the
// addresses that are told apart those in its subnets. Packets of this machine may come from any
// of its addresses, or leave the choice to the route.
func (k classes) sources(w World, dev string) []netip.Addr {
	if dev == "" {
		return []netip.Addr{{}}
	}
	var out []netip.Addr
	if w.Facts == nil {
		return nil
	}
	l, ok := w.Facts.LinkByName(dev)
	if !ok {
		return nil
	}
	own := map[netip.Addr]bool{}
	for _, a := range w.Facts.Addrs {
		own[a.Prefix.Addr()] = true
	}
	for _, a := range w.Facts.Addrs {
		if a.Link != l.Index || a.Prefix.Addr().Is6() != k.six || a.Prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		near := a.Prefix.Masked().Addr().Next()
		for own[near] {
			near = near.Next()
		}
		if a.Prefix.Contains(near) {
			out = append(out, near)
		}
		for _, x := range k.addrs {
			if a.Prefix.Contains(x) && !own[x] && x != near && x != a.Prefix.Masked().Addr() && (k.six || x != lastOf(a.Prefix)) {
				out = append(out, x)
			}
		}
	}
	return out
}

// packets are one of each class from this source.
func (k classes) packets(dev string, src netip.Addr) []Packet {
	var out []Packet
	for _, state := range []string{New, Established} {
		for _, dst := range k.addrs {
			for _, proto := range k.protos {
				p := Packet{From: src, To: dst, Proto: proto, In: dev, State: state}
				if proto != "tcp" && proto != "udp" {
					out = append(out, p)
					continue
				}
				for _, port := range k.ports {
					p.Dport = port
					out = append(out, p)
				}
			}
		}
	}
	return out
}
