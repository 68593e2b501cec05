package tunnel

import (
	"fmt"
	"net/netip"
	"sort"
)

// subnet is a network behind the tunnel with its prefix.
type subnet struct {
	Interface string
	Prefix    netip.Prefix
	Serve     bool
}

// subnets gives every network its /64: those that are written first, then of what is left the next
// free ones, out of the longest prefix first. The same configuration gives the same ones.
func (t Tunnel) subnets() ([]subnet, []Problem) {
	var routed []netip.Prefix
	for _, text := range t.Routed {
		if r, ok := prefix(text); ok && r.Bits() <= 64 {
			routed = append(routed, r)
		}
	}
	sort.SliceStable(routed, func(i, j int) bool { return routed[i].Bits() > routed[j].Bits() })
	var wrong []Problem
	used := map[netip.Prefix]string{}
	out := make([]subnet, len(t.LAN))
	for i, l := range t.LAN {
		out[i] = subnet{Interface: l.Interface, Serve: l.Serve == nil || *l.Serve}
		if l.Prefix == "" {
			continue
		}
		at := fmt.Sprintf("lan[%d].prefix", i)
		p, ok := prefix(l.Prefix)
		switch inside := within(routed, p); {
		case !ok || p.Bits() != 64:
			wrong = append(wrong, Problem{at, fmt.Sprintf("%q is no /64, such as 2001:db8:2::/64", l.Prefix)})
		case !inside:
			wrong = append(wrong, Problem{at, fmt.Sprintf("%s is in none of the routed prefixes: answers would not come here", p)})
		case used[p] != "":
			wrong = append(wrong, Problem{at, fmt.Sprintf("%s is that of %s already", p, used[p])})
		default:
			out[i].Prefix, used[p] = p, l.Interface
		}
	}
	for i, l := range t.LAN {
		if l.Prefix != "" {
			continue
		}
		p, ok := free(routed, used)
		if !ok {
			text := "there is no routed prefix left for %s: add one under routed (a /48 can be had for the asking at most brokers)"
			if len(routed) == 0 {
				text = "there is no prefix for %s: write under routed what the server routes to this machine"
			}
			wrong = append(wrong, Problem{fmt.Sprintf("lan[%d]", i), fmt.Sprintf(text, l.Interface)})
			continue
		}
		out[i].Prefix, used[p] = p, l.Interface
	}
	return out, wrong
}

func within(routed []netip.Prefix, p netip.Prefix) bool {
	for _, r := range routed {
		if p.IsValid() && r.Bits() <= p.Bits() && r.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// free is the first /64 that nobody has.
func free(routed []netip.Prefix, used map[netip.Prefix]string) (netip.Prefix, bool) {
	for _, r := range routed {
		// As many as are used may be in the way, so one of one more is free, if there are so many.
		for n := uint64(0); n <= uint64(len(used)) && (64-r.Bits() > 32 || n < 1<<(64-r.Bits())); n++ {
			if p := Subnet(r, n); used[p] == "" {
				return p, true
			}
		}
	}
	return netip.Prefix{}, false
}

// Subnet is the nth /64 of a prefix of at most 64 bits.
func Subnet(r netip.Prefix, n uint64) netip.Prefix {
	b := r.Masked().Addr().As16()
	for i := 7; i >= 0 && n > 0; i-- {
		b[i] |= byte(n)
		n >>= 8
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// Router is the address that this machine has in a /64 of its own: the first one, which is not the
// anycast address of all routers (RFC 4291 section 2.6.1).
func Router(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits())
}
