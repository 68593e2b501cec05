package lists

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/lists/span"
	"github.com/provision-net/provision/routing/match"
	"github.com/provision-net/provision/routing/policy"
)

// Priorities of the chains. Packets are marked behind connection tracking (-200) and behind the marks
// that policy routing puts back (-150), before destinations are changed (-100). Sources are changed
// just before the firewall does (100): what is done first holds.
const (
	priorityMark = -140
	priorityNAT  = 95
)

// SetName is the name of a list's set of addresses of a family, and NamesSet of the one that DNS fills.
func SetName(list string, family int) string { return "list." + list + "." + strconv.Itoa(family) }

// NamesSet is the name of the set of a list's addresses that were learnt from DNS answers.
func NamesSet(list string, family int) string { return "names." + list + "." + strconv.Itoa(family) }

// learntFor is how long an address is known that was learnt without a time, in milliseconds.
const learntFor = 3600 * 1000

// way is an uplink with its numbers.
type way struct {
	Rule
	policy.Byway
	chain string
}

type compiler struct {
	Input
	ways    []way
	refused []nft.Expr // holds for what of this machine's own is blocked; nil: nothing is
}

// table is the fragment of the own table.
func (c *compiler) table() nft.Table {
	t := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable, Sets: c.sets()}
	if own := c.rules(true); own != nil {
		t.Chains = append(t.Chains, nft.Chain{Name: "lists-own", Comment: "which way this machine's own packets take, by where they go",
			Base: &nft.Base{Type: "route", Hook: "output", Priority: priorityMark, Policy: "accept"}, Rules: own})
	}
	if c.refused != nil {
		t.Chains = append(t.Chains, nft.Chain{Name: "lists-refused", Comment: "what this machine may not send",
			Base: &nft.Base{Type: "filter", Hook: "output", Priority: priorityMark + 1, Policy: "accept"}, Rules: []nft.Rule{
				// A program that connects holds its socket while an ICMP error comes, and loses it then; a reset it gets.
				match.Rule("blocked by a list", c.refused, match.RejectTCP()),
				match.Rule("blocked by a list", c.refused, match.RejectAdmin())}})
	}
	if through := c.rules(false); through != nil {
		t.Chains = append(t.Chains, nft.Chain{Name: "lists-through", Comment: "which way packets of others take, by where they go",
			Base: &nft.Base{Type: "filter", Hook: "prerouting", Priority: priorityMark, Policy: "accept"}, Rules: through})
	}
	for _, w := range c.ways {
		t.Chains = append(t.Chains, nft.Chain{Name: w.chain, Comment: "by " + w.Uplink, Rules: []nft.Rule{
			match.Rule("", match.SetMark(w.Mark, w.Mask), match.SetCtMark(w.Mark, w.Mask), match.Accept())}})
	}
	if rules := c.sources(); len(rules) > 0 {
		t.Chains = append(t.Chains, nft.Chain{Name: "lists-nat", Comment: "addresses that fit the way",
			Base: &nft.Base{Type: "nat", Hook: "postrouting", Priority: priorityNAT, Policy: "accept"}, Rules: rules})
	}
	return t
}

func typeOf(family int) string {
	if family == 6 {
		return nft.TypeIPv6
	}
	return nft.TypeIPv4
}

// used are the lists that some rule names.
func (c *compiler) used() []string {
	return slices.DeleteFunc(c.Config.Names(), func(n string) bool { return c.Smart.uplinkOf(n) == "" })
}

func (c *compiler) sets() []nft.Set {
	var out []nft.Set
	for _, n := range c.used() {
		for _, family := range []int{4, 6} {
			if c.addressed(n) {
				out = append(out, nft.Set{Name: SetName(n, family), Key: []string{typeOf(family)}, Interval: true, Comment: "lists." + n, Elements: Elements(c.Sets[n], family)})
			}
			if len(c.Config[n].Domains) > 0 {
				out = append(out, nft.Set{Name: NamesSet(n, family), Key: []string{typeOf(family)}, Timeout: learntFor, Learnt: true, Comment: "lists." + n + ".domains"})
			}
		}
	}
	return out
}

// addressed reports whether a list has addresses, or may get some with a refresh: upstreams are
// addresses that its uplink leads to.
func (c *compiler) addressed(list string) bool {
	l := c.Config[list]
	return l.Fetched() || len(l.Addresses)+len(l.Upstreams) > 0
}

// Elements are those of a set of nf_tables with ranges.
func Elements(s span.Set, family int) []nft.Element {
	ranges := s.Ranges(family)
	out := make([]nft.Element, 0, len(ranges))
	size := 4
	if family == 6 {
		size = 16
	}
	keys := make([]byte, 0, 2*size*len(ranges)) // one piece: a list has a hundred thousand
	put := func(a netip.Addr) []byte {
		at := len(keys)
		if family == 6 {
			b := a.As16()
			keys = append(keys, b[:]...)
		} else {
			b := a.As4()
			keys = append(keys, b[:]...)
		}
		return keys[at:len(keys):len(keys)]
	}
	for _, r := range ranges {
		e := nft.Element{Key: put(r.From)}
		if r.To != r.From {
			e.To = put(r.To)
		}
		out = append(out, e)
	}
	return out
}

// reply holds for the answering direction of a connection (IP_CT_DIR_REPLY).
func reply() []nft.Expr {
	return []nft.Expr{{Ct: &nft.Ct{Key: "direction", Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: []byte{1}}}}
}

// spared are the rules for what no list decides.
func (c *compiler) spared(own bool) []nft.Rule {
	mask := c.ways[0].Mask
	rules := []nft.Rule{
		match.Rule("answers go back as they came", reply(), match.Accept()),
		match.Rule("somebody of ours has decided", match.Not(match.Mark(0, mask)), match.Accept()),
	}
	if own {
		for _, p := range c.SSHPorts {
			// A session may be older than connection tracking: its packets look like a beginning then.
			rules = append(rules, match.Rule("SSH sessions", match.SPort(match.TCP, p), match.Accept()))
		}
		for _, e := range c.Endpoints {
			if e.Addr.IsValid() {
				rules = append(rules, match.Rule("the endpoint of "+e.Tunnel, endpoint(e), match.Accept()))
			}
		}
	}
	for _, w := range c.ways {
		rules = append(rules, match.Rule("decided when it began: by "+w.Uplink, match.CtMark(w.Mark, mask), match.SetMark(w.Mark, mask), match.Accept()))
	}
	rules = append(rules,
		match.Rule("another way was chosen when it began", match.Not(match.CtMark(0, mask)), match.Accept()),
		match.Rule("it began before", match.Not(match.CtState(nft.StateNew)), match.Accept()))
	for _, typ := range []uint32{match.Local, match.Broadcast, match.Multicast} {
		rules = append(rules, match.Rule("this machine, or all on a link", match.FibDaddrType(typ), match.Accept()))
	}
	for _, p := range never() {
		if p.Addr().Is6() && p.Bits() > 10 || p.Addr().IsMulticast() {
			continue // local, or told above
		}
		if p.Addr().IsLinkLocalUnicast() {
			rules = append(rules, match.Rule("on the link", match.DAddr(p), match.Accept()))
		}
	}
	return rules
}

// endpoint holds for a tunnel's outer packets.
func endpoint(e intent.Endpoint) []nft.Expr {
	a := e.Addr.Unmap().WithZone("")
	to := match.DAddr(netip.PrefixFrom(a, a.BitLen()))
	switch e.Proto {
	case "udp":
		return match.Join(to, match.DPort(match.UDP, e.Port))
	case "tcp":
		return match.Join(to, match.DPort(match.TCP, e.Port))
	case "41":
		return match.Join(to, match.L4Proto(match.IPv6))
	}
	return to
}

// rules are those of one base chain; nil when no rule of the configuration is for it.
func (c *compiler) rules(own bool) []nft.Rule {
	var out []nft.Rule
	for i, r := range c.Smart {
		if own && !r.own() {
			continue
		}
		w := c.ways[slices.IndexFunc(c.ways, func(w way) bool { return w.Uplink == r.Uplink })]
		then := match.Goto(w.chain)
		if own && r.Uplink == Block {
			// A packet that finds no route here vanishes without a word to its program, which waits then:
			// it keeps its route, and is refused behind this chain.
			then = match.Join(match.SetCtMark(w.Mark, w.Mask), match.Accept())
			c.refused = match.Join(match.CtState(nft.StateNew), match.Not(reply()), match.CtMark(w.Mark, w.Mask))
		}
		for _, from := range c.from(r, own) {
			for _, to := range c.to(r) {
				out = append(out, match.Rule("smart["+strconv.Itoa(i)+"]", from, to, match.Counter(), then))
			}
		}
	}
	if out == nil {
		return nil
	}
	return append(c.spared(own), out...)
}

// from are the words for where packets come from, one for each rule.
func (c *compiler) from(r Rule, own bool) [][]nft.Expr {
	switch {
	case own:
		return [][]nft.Expr{nil}
	case len(r.Interfaces) > 0:
		var out [][]nft.Expr
		for _, n := range r.Interfaces {
			out = append(out, match.IIFName(n))
		}
		return out
	case r.device(): // what came by the tunnel does not go back into it
		return [][]nft.Expr{match.Not(match.IIFName(r.Uplink))}
	}
	return [][]nft.Expr{nil}
}

// to are the words for where packets go.
func (c *compiler) to(r Rule) [][]nft.Expr {
	if len(r.Lists) == 0 {
		return [][]nft.Expr{nil}
	}
	var out [][]nft.Expr
	for _, n := range r.Lists {
		for _, family := range []int{4, 6} {
			if c.addressed(n) {
				out = append(out, match.DAddrIn(family, SetName(n, family)))
			}
			if len(c.Config[n].Domains) > 0 {
				out = append(out, match.DAddrIn(family, NamesSet(n, family)))
			}
		}
	}
	return out
}

// source holds for packets whose source is an address of this machine, or with out of the device
// that they leave by.
func source(out bool) []nft.Expr {
	flags := []string{"saddr"}
	if out {
		flags = append(flags, "oif")
	}
	e := match.FibDaddrType(match.Local)
	e[0].Fib = &nft.Fib{Result: e[0].Fib.Result, Flags: flags, Reg: e[0].Fib.Reg}
	return e
}

// sources are the rules for addresses that were chosen for another way: the kernel chooses the
// address of this machine's own packets before the list is asked.
func (c *compiler) sources() []nft.Rule {
	var out []nft.Rule
	for _, w := range c.ways {
		var dev []nft.Expr
		whose := source(false)
		switch {
		case w.Uplink == Block || w.device() && w.masquerade() == "none":
			continue
		case w.device():
			if dev = match.OIFName(w.Uplink); w.masquerade() == "all" {
				whose = nil
			}
		}
		for _, family := range []int{4, 6} {
			out = append(out, match.Rule("by "+w.Uplink, dev, match.Mark(w.Mark, w.Mask), match.NFProto(family), whose, match.Not(source(true)), match.Masquerade(family)))
		}
	}
	return out
}
