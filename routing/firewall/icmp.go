package firewall

import (
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

func linkLocal() netip.Prefix { return netip.MustParsePrefix("fe80::/10") }

// everybody is every broadcast and multicast address that an address alone shows to be one.
func (c *compiler) everybody() addrs {
	b := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return addrs{v4: []match.Range{match.RangeOf(netip.MustParsePrefix("224.0.0.0/4")), {From: b, To: b}},
		v6: []match.Range{match.RangeOf(netip.MustParsePrefix("ff00::/8"))}}
}

// types6 is the word for ICMPv6 messages of several types.
func (c *compiler) types6(name string, types ...uint8) words {
	return match.ICMPv6In(c.add(nft.Set{Name: "icmpv6." + name, Key: []string{match.TypeICMPv6}, Elements: match.Types(types...)}))
}

// errors6 are the messages that must not be dropped, to this machine or through it (RFC 4890
// sections 4.3.1 and 4.4.1): without "packet too big" IPv6 connections hang. Those about a known
// connection are "related" and were accepted before; for others a limit keeps floods out.
func (c *compiler) errors6() []nft.Rule {
	types := c.types6("errors", match.Unreachable6, match.PacketTooBig6, match.TimeExceed6, match.ParamProb6)
	return []nft.Rule{say("ICMPv6 errors", types, match.Limit(100, 1, 200), match.Accept())}
}

// needs6 is what a host needs to have neighbours, routers and groups (RFC 4890 section 4.4.1). A
// hop limit of 255 shows that no router was between (RFC 4861 section 7.1); advertisements of
// routers and listeners come from link-local addresses, or from :: before there is one. Neighbour
// discovery is not tracked, some of the others look invalid to connection tracking.
func (c *compiler) needs6() {
	var rules []nft.Rule
	allow := func(comment string, ws ...words) {
		rules = append(rules, say(comment, append(ws, match.Accept())...))
	}
	hop, fromLink := match.HopLimit(255), match.SAddr(linkLocal())
	allow("neighbour discovery", c.types6("neighbours", match.NeighSolicit, match.NeighAdvert,
		match.InvNeighSol, match.InvNeighAdv, match.CertPathSol, match.CertPathAdv), hop)
	allow("router advertisements", fromLink, match.ICMPv6Type(match.RouterAdvert), hop)
	listeners := c.types6("listeners", match.MLDQuery, match.MLDReport, match.MLDDone, match.MLD2Report)
	for _, from := range []words{fromLink, match.SAddr(none(6))} {
		allow("router solicitations", from, match.ICMPv6Type(match.RouterSolicit), hop)
		allow("multicast listeners", from, listeners)
	}
	allow("multicast routers", fromLink, c.types6("multicast-routers", match.MRDAdvert, match.MRDSolicit, match.MRDTermination))
	c.chain("ipv6-needs", nil, append(rules, c.errors6()...)...)
}

// ping answers those who may ask, the outside with a limit.
func (c *compiler) ping(z *zone) []nft.Rule {
	word := c.p.Firewall.Ping
	if word == "no" || z.outside && word != anyWord {
		return nil
	}
	var slow words
	if z.outside {
		slow = match.Limit(20, 1, 40)
	}
	var out []nft.Rule
	for _, w := range []words{match.ICMPType(match.EchoRequest), match.ICMPv6Type(match.EchoRequest6)} {
		out = append(out, say("ping", slices.Clone(w), slow, match.Counter(), match.Accept()))
	}
	return out
}
