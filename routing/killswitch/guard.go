package killswitch

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// Input is what the guard is made from.
type Input struct {
	Config Config
	// Inside are the interfaces of the zones that are forwarded from, where Config.Inside is empty.
	Inside []string
	// Intents: the endpoints of the tunnel, and of tunnels of protocol 41 beside it.
	Intents intent.Set
	// Probes are what the ways out are checked with: packets with the mark, to these hosts only
	// (proto icmp, tcp or udp).
	Probes []intent.Endpoint
	// Table is the routing table whose default route is the tunnel.
	Table uint32
	// Mark under Mask is what packets carry that must not take that table: the tunnel's own outer
	// packets, and a client's in a portal's window. Mask 0: there is none, and windows work only
	// where the main table leads out.
	Mark, Mask uint32
}

// Priority of the guard's chains: before the firewall's, which are at 0 (filter), and before
// source addresses are translated (100), because a window is for a client's own address.
const Priority = -10

const (
	priorityDNS  = -110 // before the firewall's own translations at -100 (dstnat)
	priorityMark = -145 // after mangle's usual place (-150), before the destination changes
)

// Guard is the guard's fragment of the own table.
func Guard(in Input) nft.Table {
	g := &guard{Input: in, inside: in.inside()}
	t := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable, Sets: g.sets()}
	t.Chains = []nft.Chain{g.ways(), g.start(), g.own(), g.portal()}
	if c, ok := g.dns(); ok {
		t.Chains = append(t.Chains, c)
	}
	if in.Mask != 0 {
		t.Chains = append(t.Chains, g.mark())
	}
	if in.Config.LAN == "block" {
		t.Chains = append(t.Chains, g.input())
	}
	t.Chains = append(t.Chains, g.forward(), g.output(), g.post())
	return t
}

type guard struct {
	Input
	inside []string
}

//go:noinline
func base(name, typ, hook string, priority int32, comment string, rules []nft.Rule) nft.Chain {
	return nft.Chain{Name: name, Comment: comment, Base: &nft.Base{Type: typ, Hook: hook, Priority: priority, Policy: "accept"}, Rules: rules}
}

// ways are the devices by which anything may leave.
func (g *guard) ways() nft.Chain {
	rules := []nft.Rule{
		match.Rule("", match.OIFName("lo"), match.Accept()),
		match.Rule("the tunnel", match.OIFName(g.Config.Tunnel), match.Accept()),
	}
	for _, n := range g.inside {
		rules = append(rules, match.Rule("inside", match.OIFName(n), match.Accept()))
	}
	rules = append(rules, match.Rule("open by choice, or trusted", match.OIFNameIn(SetOpen), match.Counter(), match.Accept()))
	return nft.Chain{Name: "guard-ways", Comment: "by which anything may leave", Rules: rules}
}

// exempt lets pass what comes in by an interface that is not held.
func (g *guard) exempt() []nft.Rule {
	var rules []nft.Rule
	for _, n := range g.Config.Exempt {
		rules = append(rules, match.Rule("exempt", match.IIFName(n), match.Accept()))
	}
	return rules
}

func (g *guard) forward() nft.Chain {
	rules := g.exempt()
	if g.Config.LocalDNS == "block" {
		for _, n := range g.inside {
			for _, proto := range []uint8{match.UDP, match.TCP} {
				rules = append(rules, match.Rule("local-dns: block", match.IIFName(n), match.DPort(proto, 53), match.Counter(), match.RejectAdmin()))
			}
		}
	}
	rules = append(rules, match.Rule("", match.Jump("guard-ways")), match.Rule("", match.Jump("guard-portal")))
	rules = append(rules, g.log()...)
	for _, n := range g.inside { // whoever is inside shall know at once
		rules = append(rules, match.Rule("no way out but the tunnel", match.IIFName(n), match.Counter(), match.RejectAdmin()))
	}
	rules = append(rules, match.Rule("no way out but the tunnel", match.Counter(), match.Drop()))
	return base("guard-forward", "filter", "forward", Priority, "kill switch: forwarded", rules)
}

func (g *guard) output() nft.Chain {
	rules := []nft.Rule{match.Rule("", match.Jump("guard-ways")), match.Rule("", match.Jump("guard-own"))}
	rules = append(rules, g.log()...)
	rules = append(rules, match.Rule("no way out but the tunnel", match.Counter(), match.RejectAdmin()))
	return base("guard-output", "filter", "output", Priority, "kill switch: the machine's own", rules)
}

// post is the last look, when the device is final. What is forwarded has an incoming device here
// since Linux 5.7; before, exempt interfaces are held as well.
func (g *guard) post() nft.Chain {
	rules := g.exempt()
	rules = append(rules, match.Rule("", match.Jump("guard-ways")), match.Rule("", match.Jump("guard-own")), match.Rule("", match.Jump("guard-portal")),
		match.Rule("rerouted", match.Counter(), match.Drop()))
	return base("guard-post", "filter", "postrouting", Priority, "kill switch: by its final device", rules)
}

func (g *guard) log() []nft.Rule {
	if !g.Config.Log {
		return nil
	}
	return []nft.Rule{match.Rule("", match.Limit(10, 60, 5), match.Log("provision guard: "))}
}

// dns makes this machine answer what clients ask any name server.
func (g *guard) dns() (nft.Chain, bool) {
	if g.Config.LocalDNS != "" && g.Config.LocalDNS != "redirect" {
		return nft.Chain{}, false
	}
	var rules []nft.Rule
	for _, n := range g.inside {
		for _, proto := range []uint8{match.UDP, match.TCP} {
			rules = append(rules, match.Rule("local-dns: redirect", match.IIFName(n), match.DPort(proto, 53), match.Not(match.FibDaddrType(match.Local)), match.Redirect()))
		}
	}
	return base("guard-dns", "nat", "prerouting", priorityDNS, "kill switch: clients' name servers", rules), len(rules) > 0
}

// mark takes a window's packets around the tunnel's table.
func (g *guard) mark() nft.Chain {
	var rules []nft.Rule
	for _, family := range []int{4, 6} {
		client := match.SAddrIn(family, setOf(SetClient4, family))
		rules = append(rules,
			match.Rule("a window's client", client, match.DPortIn(match.TCP, SetPorts), match.SetMark(g.Mark, g.Mask)))
		for _, proto := range []uint8{match.UDP, match.TCP} {
			rules = append(rules, match.Rule("a window's client", client, match.DAddrIn(family, setOf(SetPortalDNS4, family)), match.DPort(proto, 53), match.SetMark(g.Mark, g.Mask)))
		}
	}
	return base("guard-mark", "filter", "prerouting", priorityMark, "kill switch: a portal's window", rules)
}

// input is what clients may ask of this machine under lan: block.
func (g *guard) input() nft.Chain {
	var rules []nft.Rule
	for _, n := range g.inside {
		in := match.IIFName(n)
		rules = append(rules, match.Rule("answers", in, match.CtState(nft.StateEstablished|nft.StateRelated), match.Accept()))
		for _, s := range []struct {
			family int
			proto  uint8
			port   uint16
		}{{4, match.UDP, 67}, {6, match.UDP, 547}, {0, match.UDP, 53}, {0, match.TCP, 53}, {0, match.UDP, 123}} {
			var family []nft.Expr
			if s.family != 0 {
				family = match.NFProto(s.family)
			}
			rules = append(rules, match.Rule("lan: block", in, family, match.DPort(s.proto, s.port), match.Accept()))
		}
		rules = append(rules,
			match.Rule("ping", in, match.ICMPType(match.EchoRequest), match.Accept()),
			match.Rule("ping", in, match.ICMPv6Type(match.EchoRequest6), match.Accept()))
		for _, typ := range []uint8{match.MLDQuery, match.MLDReport, match.MLDDone, match.MLD2Report, match.RouterSolicit, match.NeighSolicit, match.NeighAdvert} {
			rules = append(rules, match.Rule("neighbours and groups", in, match.ICMPv6Type(typ), match.Accept()))
		}
		rules = append(rules, match.Rule("lan: block", in, match.Counter(), match.RejectAdmin()))
	}
	return base("guard-input", "filter", "input", Priority, "kill switch: lan: block", rules)
}

func addrs(list []string, family int) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil && match.Family(a) == family {
			out = append(out, a.Unmap())
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Compare(out[j]) < 0 })
	return slices.Compact(out)
}
