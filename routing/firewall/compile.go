package firewall

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// Priorities of the base chains (man 8 nft, "standard priority names"). What drops spoofed
// packets comes after mangle, where marks are restored, so that policy routing is asked as it
// will be (firewalld issue 603).
const (
	prioMangle   = -150
	prioSpoofing = -140
	prioDstNAT   = -100
	prioFilter   = 0
	prioSrcNAT   = 100
)

// Compile makes the table of the policy, with what the other parts of the program need (intents).
// Facts may be nil: they only tell what a person should know of this machine. The same arguments
// give the same table. The error lists every Problem, one a line.
func Compile(p Policy, in intent.Set, f *facts.Facts) (nft.Table, []Note, error) {
	r := resolve(p, in, f)
	if len(r.problems) > 0 {
		return nft.Table{}, r.notes, Errors(r.problems)
	}
	c := &compiler{resolver: r, in: in, table: nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable}, sets: map[string]bool{}}
	c.spoofing()
	if c.walls {
		c.input()
	} else {
		c.unmanaged()
	}
	c.forward()
	c.output()
	c.publish()
	c.hideSources()
	c.clamp()
	sort.Slice(c.table.Sets, func(i, j int) bool { return c.table.Sets[i].Name < c.table.Sets[j].Name })
	return c.table, r.notes, nil
}

// Errors is every problem as one error, one a line.
func Errors(ps []Problem) error {
	var errs []error
	for _, p := range ps {
		errs = append(errs, fmt.Errorf("%s: %s", p.Path, p.Text))
	}
	return errors.Join(errs...)
}

type compiler struct {
	*resolver
	in    intent.Set
	table nft.Table
	sets  map[string]bool
}

// words is what several words say together; alternatives are several of them, one rule each.
type words = []nft.Expr

//go:noinline
func (c *compiler) chain(name string, base *nft.Base, rules ...nft.Rule) {
	c.table.Chains = append(c.table.Chains, nft.Chain{Name: name, Base: base, Rules: rules})
}

//go:noinline
func base(typ, hook string, prio int32, policy string) *nft.Base {
	return &nft.Base{Type: typ, Hook: hook, Priority: prio, Policy: policy}
}

// say makes a rule whose comment is cleaned of what nft's own syntax cannot hold, and cut to
// the 127 bytes that the kernel's tools keep (NFTNL_UDATA_RULE_COMMENT).
func say(comment string, ws ...words) nft.Rule { return match.Rule(Comment(comment), ws...) }

// Comment is s as a rule can carry it.
func Comment(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < 0x20 || r == 0x7f || r == utf8.RuneError:
			return ' '
		}
		return r
	}, s)
	for len(s) > 127 {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// name is how a rule is called: its place in the list and its note.
func (x *rule) name() string {
	if x.conf.Note == "" {
		return fmt.Sprintf("rules[%d]", x.n)
	}
	return fmt.Sprintf("rules[%d] %s", x.n, x.conf.Note)
}

// by are the words for a packet that comes in, or goes out, by the zone or one interface of it:
// one rule each, and none for a zone without interfaces.
func (c *compiler) by(z *zone, iface string, out bool) []words {
	exact, in := match.IIFName, match.IIFNameIn
	if out {
		exact, in = match.OIFName, match.OIFNameIn
	}
	if iface != "" {
		return []words{exact(iface)}
	}
	var alts []words
	switch {
	case len(z.exact) == 1:
		alts = append(alts, exact(z.exact[0]))
	case len(z.exact) > 1:
		alts = append(alts, in(c.nameSet("zone."+z.name, z.exact)))
	}
	for _, p := range z.patterns {
		alts = append(alts, exact(p))
	}
	return alts
}

// dispatch sends packets to the chain of their interface: exact names by one look-up in a map,
// however many zones there are.
func (c *compiler) dispatch(set string, out bool, to map[*zone]string) []nft.Rule {
	exact := map[string]nft.Verdict{}
	for z, chain := range to {
		for _, n := range z.exact {
			exact[n] = nft.Verdict{Kind: "jump", Chain: chain}
		}
	}
	vmap, name := match.IIFNameMap, match.IIFName
	if out {
		vmap, name = match.OIFNameMap, match.OIFName
	}
	var rules []nft.Rule
	if len(exact) > 0 {
		c.add(nft.Set{Name: set, Key: []string{nft.TypeIfname}, Data: []string{nft.TypeVerdict}, Elements: match.NameVerdicts(exact)})
		rules = append(rules, say("", vmap(set)))
	}
	for _, z := range c.zone {
		if chain, ok := to[z]; ok {
			for _, p := range z.patterns {
				rules = append(rules, say("zone "+z.name, name(p), match.Jump(chain)))
			}
		}
	}
	return rules
}
