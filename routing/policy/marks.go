package policy

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/routing/forward"
	"github.com/provision-net/provision/routing/match"
)

// markPriority is that of the chains: behind connection tracking (-200), before a packet's
// destination is changed (-100) and long before it is routed.
const markPriority = -150

// lane is a mark that leads to the table of a NIC.
type lane struct {
	nic         nic
	mark, table uint32
	families    []int // those with networks inside
}

// lanes are the marks of the NICs whose answers may come from networks inside: published ports of
// containers and forwarded ports. Such an answer is routed while its source is still that of the
// container, so that no rule for the NIC's own addresses finds it.
//
// A mark is counted like its table, so it is as lasting as that; 1 is Direct.
func (in *survey) lanes(n Numbers) []lane {
	if n.Mask == 0 {
		return nil
	}
	var out []lane
	for _, nic := range in.nics() {
		l := lane{nic: nic, table: n.table(nicOwner(nic.link))}
		for _, family := range []int{4, 6} {
			if _, ok := nic.defaults[family]; ok && len(in.inside(family)) > 0 {
				l.families = append(l.families, family)
			}
		}
		if i := l.table - firstTable + 2; len(l.families) > 0 && l.table >= firstTable && i <= 255 {
			l.mark = i * (n.Mask & -n.Mask)
			out = append(out, l)
		}
	}
	return out
}

// Marks is the fragment of the own table that keeps a connection on the way that it came by: a
// mark of the connection, put back on the packets of the other direction. It has no chain when
// nothing needs one.
//
// For a tunnel it is what lets answers to the tunnel's own outer packets in where the reverse path is
// checked: they are looked up with their mark then, else the way back would be the tunnel. See
// Loose.
func Marks(in Input, n Numbers) nft.Table {
	t := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable}
	answer := []nft.Expr{{Ct: &nft.Ct{Key: "direction", Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: []byte{1}}}} // IP_CT_DIR_REPLY
	var pre, post []nft.Rule
	if len(in.Tunnels) > 0 && n.Mask != 0 {
		direct := match.CtMark(n.Direct, n.Mask)
		put := match.SetMark(n.Direct, n.Mask)
		pre = append(pre,
			match.Rule("answers that no tunnel takes", answer, direct, put),
			match.Rule("what a peer sends by itself", direct, match.FibDaddrType(match.Local), put))
		post = append(post, match.Rule("no tunnel takes this", match.Mark(n.Direct, n.Mask), match.SetCtMark(n.Direct, n.Mask)))
	}
	for _, l := range in.survey().lanes(n) {
		name := l.nic.link.Name
		pre = append(pre,
			match.Rule("came in by "+name, match.IIFName(name), match.CtState(nft.StateNew), match.CtMark(0, n.Mask), match.SetCtMark(l.mark, n.Mask)),
			match.Rule("answers leave by "+name, answer, match.Not(match.IIFName(name)), match.CtMark(l.mark, n.Mask), match.SetMark(l.mark, n.Mask)))
	}
	for _, c := range []struct {
		name, hook, comment string
		rules               []nft.Rule
	}{{"mark-in", "prerouting", "by which way answers leave", pre}, {"mark-out", "postrouting", "what left beside the tunnels", post}} {
		if len(c.rules) > 0 {
			t.Chains = append(t.Chains, nft.Chain{Name: c.name, Comment: c.comment, Rules: c.rules,
				Base: &nft.Base{Type: "filter", Hook: c.hook, Priority: markPriority, Policy: "accept"}})
		}
	}
	return t
}

// MarkRules lead the marked answers of Marks to the tables of Plan. They come behind both.
func MarkRules(in Input, n Numbers) []provision.Want {
	var out []provision.Want
	for _, l := range in.survey().lanes(n) {
		for _, family := range l.families {
			k := rule.Key{Family: family, Priority: n.Replies, Mark: l.mark, Mask: n.Mask, Target: l.table}
			out = append(out, rule.Want(rule.Spec{Key: k}, "answers of networks inside leave by "+l.nic.link.Name))
		}
	}
	return out
}

// Loose are the NICs on which a strict reverse path filter would drop what is expected: requests for
// networks inside, whose answers leave by their mark alone, and everything from outside while a
// tunnel takes the way back. IPv6 has no such filter in the kernel.
func Loose(in Input, n Numbers) []forward.Loose {
	var out []forward.Loose
	sv := in.survey()
	if len(in.Tunnels) > 0 {
		for _, l := range in.Facts.Links {
			if slices.Contains(in.Tunnels, l.Name) || l.ARPHRD == loopbackType {
				continue
			}
			if _, ok := sv.ownDefault(l.Index, 4, true); ok {
				out = append(out, forward.Loose{Interface: l.Name, Marked: n.Mask != 0, Why: fmt.Sprintf("answers to what leaves beside %s come in by %s", in.Tunnels[0], l.Name)})
			}
		}
	}
	for _, l := range sv.lanes(n) {
		if slices.Contains(l.families, 4) && !slices.ContainsFunc(out, func(o forward.Loose) bool { return o.Interface == l.nic.link.Name }) {
			out = append(out, forward.Loose{Interface: l.nic.link.Name, Why: "networks inside answer by table " + fmt.Sprint(l.table) + " when the request came in by " + l.nic.link.Name})
		}
	}
	return out
}
