package wireguard

import (
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// Families are those (4, 6) of which everything can go by the tunnel: there is an address to send from,
// and a peer that takes everything, as 0.0.0.0/0 or as its two halves.
func (i Interface) Families() []int {
	var out []int
	for _, family := range []int{4, 6} {
		own := slices.ContainsFunc(i.Addresses, func(text string) bool {
			a, err := netip.ParsePrefix(text)
			return err == nil && familyOf(a) == family && !a.Addr().IsLinkLocalUnicast()
		})
		if own && i.everything(family) {
			out = append(out, family)
		}
	}
	return out
}

// everything reports whether peers take all addresses of a family.
func (i Interface) everything(family int) bool {
	return i.allows(func(a netip.Prefix) bool { return familyOf(a) == family && a.Bits() == 0 }) || i.halves(family)
}

// halves reports whether peers take all addresses of a family as its two halves, which a main table
// prefers to a default route.
func (i Interface) halves(family int) bool {
	for _, half := range []bool{false, true} {
		if !i.allows(func(a netip.Prefix) bool {
			return familyOf(a) == family && a.Bits() == 1 && a.Addr().IsUnspecified() != half
		}) {
			return false
		}
	}
	return true
}

func (i Interface) allows(is func(netip.Prefix) bool) bool {
	for _, p := range i.Peers {
		for _, text := range p.AllowedIPs {
			if a, why := ParseAllowed(text); why == "" && is(a) {
				return true
			}
		}
	}
	return false
}

func familyOf(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 4
	}
	return 6
}

// Families are those of a device; nil where it is not one of c.
func (c Config) Families(device string) []int {
	i, ok := c[device]
	if !ok {
		return nil
	}
	return i.Families()
}

// guardPriority is before connection tracking (-200), so that nothing is remembered of what is dropped.
const guardPriority = -300

// Guard is the fragment of the own table that drops packets to an address in a full tunnel which come
// in beside it: who is on the same LAN could find out by them which address this is, and what it is
// connected to (CVE-2019-14899). It has no chain where there is no full tunnel.
func (c Config) Guard() nft.Table {
	t := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable}
	var rules []nft.Rule
	for _, name := range c.Full() {
		for _, text := range c[name].Addresses {
			a, err := netip.ParsePrefix(text)
			if err != nil || a.Addr().IsLinkLocalUnicast() {
				continue
			}
			host := netip.PrefixFrom(a.Addr(), a.Addr().BitLen())
			rules = append(rules, match.Rule("from beside "+name, match.Not(match.IIFName(name)), match.DAddr(host), match.Not(match.FibSaddrType(match.Local)), match.Drop()))
		}
	}
	if len(rules) > 0 {
		t.Chains = []nft.Chain{{Name: "tunnel-raw", Comment: "addresses in tunnels are reached by them only", Rules: rules,
			Base: &nft.Base{Type: "filter", Hook: "prerouting", Priority: guardPriority, Policy: "accept"}}}
	}
	return t
}
