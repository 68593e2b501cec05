package killswitch

import (
	"net/netip"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// Echo requests (RFC 792, RFC 4443 section 4.1).
const (
	echo4 = 8
	echo6 = 128
)

// start are the packets without which a link has no address: nothing of them goes farther than
// the link or its servers.
func (g *guard) start() nft.Chain {
	linkLocal, multicast := match.DAddr(netip.MustParsePrefix("fe80::/10")), match.DAddr(netip.MustParsePrefix("ff02::/16"))
	dhcp6 := match.Join(match.NFProto(6), match.SPort(match.UDP, 546), match.DPort(match.UDP, 547))
	c := nft.Chain{Name: "guard-start", Comment: "what gives a link its addresses", Rules: []nft.Rule{
		match.Rule("DHCP", match.NFProto(4), match.SPort(match.UDP, 68), match.DPort(match.UDP, 67), match.Accept()),
		match.Rule("DHCPv6", dhcp6, multicast, match.Accept()),
		match.Rule("DHCPv6", dhcp6, linkLocal, match.Accept()),
		// Hop limit 255 is what a neighbour believes, 1 what goes no farther (RFC 4861 section 7, RFC 3810 section 5).
		match.Rule("router solicitation", match.HopLimit(255), match.ICMPv6Type(match.RouterSolicit), match.Accept()),
	}}
	// One type a rule: nft lists a range of types in words that it cannot read.
	for _, typ := range []uint8{match.NeighSolicit, match.NeighAdvert} {
		c.Rules = append(c.Rules, match.Rule("neighbour discovery", match.HopLimit(255), match.ICMPv6Type(typ), match.Accept()))
	}
	for _, typ := range []uint8{match.MLDReport, match.MLDDone, match.MLD2Report} {
		c.Rules = append(c.Rules, match.Rule("multicast listener", match.HopLimit(1), multicast, match.ICMPv6Type(typ), match.Accept()))
	}
	return c
}

// own is what this machine itself may send outside the tunnel.
func (g *guard) own() nft.Chain {
	rules := []nft.Rule{match.Rule("", match.Jump("guard-start"))}
	for _, e := range g.endpoints() {
		rules = append(rules, g.endpoint("the tunnel's endpoint", e))
	}
	for _, e := range g.beside() {
		rules = append(rules, g.endpoint(e.Tunnel+", whose own packets the guard has judged", e))
	}
	for _, e := range g.Probes {
		if e.Mark != 0 { // without a mark anybody could ask that host
			rules = append(rules, g.endpoint("a check of the way out", e))
		}
	}
	for _, family := range []int{4, 6} {
		rules = append(rules, nft.Rule{Comment: "the tunnel's endpoint, resolved", Exprs: match.Join(match.NFProto(family), match.L4Proto(match.UDP), g.marked(g.Mark),
			lookupAddrPort(family, setOf(SetResolved4, family)), match.Accept())})
	}
	for _, s := range g.Config.ManageFrom {
		if p, err := parsePrefix(s); err == nil {
			rules = append(rules, match.Rule("answers to manage-from", match.DAddr(p), replies(), match.Accept()))
		}
	}
	for _, family := range []int{4, 6} {
		if len(addrs(g.Config.BootstrapDNS, family)) > 0 {
			for _, proto := range []uint8{match.UDP, match.TCP} {
				if g.Mask != 0 && g.Mark != 0 {
					// A device that is up says nothing of its peer, and a name may lead elsewhere later. Whoever keeps the
					// endpoint asks with the tunnel's own mark, which takes CAP_NET_ADMIN.
					rules = append(rules, match.Rule("bootstrap-dns, asked for the tunnel", match.DAddrIn(family, setOf(setDNS4, family)), match.DPort(proto, 53), g.marked(g.Mark), match.Accept()))
				}
				rules = append(rules, match.Rule("bootstrap-dns", match.DAddrIn(family, setOf(setDNS4, family)), match.DPort(proto, 53), match.Not(match.DPortIn(proto, SetDone)), match.Accept()))
			}
		}
		if len(addrs(g.Config.NTP, family)) > 0 {
			rules = append(rules, match.Rule("ntp", match.DAddrIn(family, setOf(setNTP4, family)), match.DPort(match.UDP, 123), match.Not(match.DPortIn(match.UDP, SetDone)), match.Accept()))
		}
	}
	self := match.OIFNameIn(SetSelf)
	rules = append(rules, match.Rule("a portal's window for this machine", self, match.DPortIn(match.TCP, SetPorts), match.Counter(), match.Accept()))
	rules = append(rules, portalDNS(self)...)
	// A client's names are resolved by this machine, too.
	rules = append(rules, portalDNS(match.OIFNameIn(SetWindow))...)
	return nft.Chain{Name: "guard-own", Comment: "what this machine may send outside the tunnel", Rules: rules}
}

// portal is what a client may send outside the tunnel while a window is open for it.
func (g *guard) portal() nft.Chain {
	var rules []nft.Rule
	for _, family := range []int{4, 6} {
		client := match.Join(match.OIFNameIn(SetWindow), match.SAddrIn(family, setOf(SetClient4, family)))
		rules = append(rules, match.Rule("a portal's window for a client", client, match.DPortIn(match.TCP, SetPorts), match.Counter(), match.Accept()))
		for _, proto := range []uint8{match.UDP, match.TCP} {
			rules = append(rules, match.Rule("the portal's name server", client, match.DAddrIn(family, setOf(SetPortalDNS4, family)), match.DPort(proto, 53), match.Counter(), match.Accept()))
		}
	}
	return nft.Chain{Name: "guard-portal", Comment: "a captive portal's window", Rules: rules}
}

func portalDNS(way []nft.Expr) []nft.Rule {
	var rules []nft.Rule
	for _, family := range []int{4, 6} {
		for _, proto := range []uint8{match.UDP, match.TCP} {
			rules = append(rules, match.Rule("the portal's name server", way, match.DAddrIn(family, setOf(SetPortalDNS4, family)), match.DPort(proto, 53), match.Counter(), match.Accept()))
		}
	}
	return rules
}

// endpoints are those of the configuration and those that the tunnel tells.
func (g *guard) endpoints() []intent.Endpoint {
	var out []intent.Endpoint
	for _, e := range g.Intents.Endpoints {
		if e.Tunnel == g.Config.Tunnel && e.Addr.IsValid() {
			out = append(out, e)
		}
	}
	for _, s := range g.Config.Endpoints {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			out = append(out, intent.Endpoint{Proto: "udp", Addr: ap.Addr().Unmap(), Port: ap.Port()})
		}
	}
	return out
}

// beside are the ends of other tunnels that carry IPv6 in packets that say so (protocol 41). The guard
// sees each packet twice, and judges it when it goes into the tunnel; by its mark, which only the tunnel
// gives, what comes out of it is known for one of those.
func (g *guard) beside() []intent.Endpoint {
	var out []intent.Endpoint
	for _, e := range g.Intents.Endpoints {
		if e.Tunnel != g.Config.Tunnel && e.Proto == "41" && e.Mark != 0 && e.Addr.IsValid() {
			out = append(out, e)
		}
	}
	return out
}

func (g *guard) endpoint(why string, e intent.Endpoint) nft.Rule {
	a := e.Addr.Unmap().WithZone("")
	to := match.DAddr(netip.PrefixFrom(a, a.BitLen()))
	what := match.DPort(match.UDP, e.Port)
	switch e.Proto {
	case "41":
		what = match.L4Proto(match.IPv6)
	case "tcp":
		what = match.DPort(match.TCP, e.Port)
	case "icmp":
		if what = match.ICMPType(echo4); a.Is6() {
			what = match.ICMPv6Type(echo6)
		}
	}
	return match.Rule(why, to, what, g.marked(e.Mark), match.Accept())
}

// marked holds for packets with the tunnel's own mark, where it has one: nobody else's packets
// reach the endpoint then.
func (g *guard) marked(mark uint32) []nft.Expr {
	switch {
	case mark == 0:
		return nil
	case g.Mask == 0:
		return match.Mark(mark, 0xffffffff)
	}
	return match.Mark(mark, g.Mask)
}

// replies holds for answers in a connection that was begun from the other side.
func replies() []nft.Expr {
	return match.Join(match.CtState(nft.StateEstablished|nft.StateRelated),
		[]nft.Expr{{Ct: &nft.Ct{Key: "direction", Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: []byte{1}}}}) // IP_CT_DIR_REPLY
}

// lookupAddrPort looks destination address and port up in a set of both. The family and the
// protocol have been asked before.
func lookupAddrPort(family int, set string) []nft.Expr {
	off, size, port := uint32(16), uint32(4), uint32(9) // NFT_REG32_01, behind four bytes
	if family == 6 {
		off, size, port = 24, 16, 2
	}
	return []nft.Expr{
		{Payload: &nft.Payload{Base: "network", Offset: off, Len: size, Reg: 1}},
		{Payload: &nft.Payload{Base: "transport", Offset: 2, Len: 2, Reg: port}},
		{Lookup: &nft.Lookup{Set: set, Reg: 1}},
	}
}
