package packet

import (
	"fmt"

	"github.com/provision-net/provision/provision/resource/nft"
)

// outcome is what an expression does to its rule.
type outcome int

const (
	goOn    outcome = iota
	noMatch         // NFT_BREAK: the next rule
	unsure          // it matches or not: who knows
	ended           // the rule has given a verdict
)

// run is a chain's evaluation (nft_do_chain).
type run struct {
	m       *machine
	base    *baseChain
	regs    registers
	verdict nft.Verdict
	depth   int
	effects []string
}

// maxJumps is NFT_JUMP_STACK_SIZE. The kernel takes no loops; what did not come from it may have
// some, so all jumps of one packet are bounded, too.
const (
	maxJumps    = 16
	maxAllJumps = 4096
)

// base runs a base chain; false: the packet is gone, and out says how.
func (m *machine) base(b *baseChain) bool {
	r := &run{m: m, base: b}
	v := r.chain(b.chain)
	if v.Kind == "" || v.Kind == "continue" || v.Kind == "return" {
		v.Kind = b.chain.Base.Policy
		if v.Kind == "" {
			v.Kind = "accept"
		}
		st := Step{
			Hook: m.at, Family: b.table.Family, Table: b.table.Name, Chain: b.chain.Name,
			Text: "policy", Effect: v.Kind, Match: true, Comment: b.chain.Comment,
		}
		if v.Kind != "accept" || m.p.All {
			m.step(st)
		}
		if v.Kind == "drop" {
			m.out.Verdict, m.out.By = Dropped, &st
			m.out.Why = fmt.Sprintf("policy of chain %s of table %s %s", b.chain.Name, b.table.Family, b.table.Name)
			return false
		}
		return true
	}
	return v.Kind != "drop"
}

// chain runs rules until one of them ends the base chain; an empty verdict is the chain's end.
func (r *run) chain(c *nft.Chain) nft.Verdict {
	for i := range c.Rules {
		v := r.rule(c, i)
		switch v.Kind {
		case "", "continue":
		case "jump", "goto":
			next := r.find(v.Chain)
			if next == nil || r.depth >= maxJumps {
				r.m.doubt("chain %s of table %s %s, which rule %d of %s jumps to, is not there", v.Chain, r.base.table.Family, r.base.table.Name, i+1, c.Name)
				continue
			}
			if r.m.jumps++; r.m.jumps > maxAllJumps {
				r.m.doubt("the chains of table %s %s are too entangled to follow", r.base.table.Family, r.base.table.Name)
				return nft.Verdict{Kind: "accept"}
			}
			r.depth++
			w := r.chain(next)
			r.depth--
			if w.Kind != "" && w.Kind != "return" {
				return w
			}
			if v.Kind == "goto" { // its return is ours
				return nft.Verdict{}
			}
		case "return":
			return v
		default:
			return v
		}
	}
	return nft.Verdict{}
}

func (r *run) find(name string) *nft.Chain {
	for i := range r.base.table.Chains {
		if r.base.table.Chains[i].Name == name {
			return &r.base.table.Chains[i]
		}
	}
	return nil
}

// rule runs one rule. After an expression that cannot be judged only matches are run: one that
// fails settles it; else the rule is a doubt if it would do anything.
func (r *run) rule(c *nft.Chain, i int) nft.Verdict {
	m := r.m
	rule := &c.Rules[i]
	r.effects, r.verdict, r.regs = nil, nft.Verdict{}, registers{}
	doubtful, does := false, ""
	result := goOn
	for j := range rule.Exprs {
		e := &rule.Exprs[j]
		if act := action(e); doubtful && act != "" {
			if act != "counter" && act != "log" {
				does = act
			}
			continue
		}
		o := r.expr(e)
		if o == unsure {
			doubtful = true
			if act := action(e); act != "" {
				does = act
			} else if e.Unknown != nil && e.Unknown.Name != "match" { // an xt target, or who knows what
				does = e.Unknown.Name
			} else if e.Lookup != nil && e.Lookup.Map && e.Lookup.Dst == 0 {
				does = "verdict"
			}
			continue
		}
		if o == noMatch || o == ended {
			result = o
			break
		}
	}
	st := Step{
		Hook: m.at, Family: r.base.table.Family, Table: r.base.table.Name, Chain: c.Name, Rule: i + 1,
		Depth: r.depth, Comment: rule.Comment,
	}
	say := func() { st.Text = ruleText(r.base.table, rule) }
	switch {
	case result == noMatch && len(r.effects) > 0 && !doubtful:
		say()
		st.Effect, st.Match = r.effectText(nft.Verdict{})+", then does not match", true
		m.step(st)
		return nft.Verdict{}
	case result == noMatch:
		if m.p.All {
			say()
			st.Effect = "does not match"
			m.step(st)
		}
		return nft.Verdict{}
	case doubtful:
		say()
		st.Effect, st.Match = "cannot be judged", true
		if does != "" {
			m.doubt("rule %d of chain %s in table %s %s cannot be judged: %s", i+1, c.Name, r.base.table.Family, r.base.table.Name, st.Text)
		} else {
			st.Effect += ", changes nothing"
		}
		m.step(st)
		return nft.Verdict{}
	}
	v := r.verdict
	say()
	st.Match = true
	st.Effect = r.effectText(v)
	m.step(st)
	if v.Kind == "drop" && m.out.Verdict == "" {
		m.out.Verdict = Dropped
	}
	if v.Kind == "drop" {
		m.out.By = &st
		m.out.Why = fmt.Sprintf("rule %d of chain %s of table %s %s", i+1, c.Name, r.base.table.Family, r.base.table.Name)
		if rule.Comment != "" {
			m.out.Why += " (" + rule.Comment + ")"
		}
	}
	return v
}

func (r *run) effectText(v nft.Verdict) string {
	out := ""
	for _, e := range r.effects {
		if out != "" {
			out += ", "
		}
		out += e
	}
	if v.Kind == "" {
		if out == "" {
			out = "goes on"
		}
		return out
	}
	text := v.Kind
	if v.Chain != "" {
		text += " " + v.Chain
	}
	if r.m.out.Verdict == Rejected && v.Kind == "drop" {
		text = "rejected"
	}
	if out != "" {
		return out + ", " + text
	}
	return text
}

func ruleText(t *nft.Table, rule *nft.Rule) string {
	bare := *rule
	bare.Comment = ""
	text, _ := nft.RuleLine(t, bare)
	return text
}

// action names what an expression does beyond matching and loading; "" for those.
func action(e *nft.Expr) string {
	switch {
	case e.Verdict != nil:
		if e.Verdict.Kind == "continue" {
			return ""
		}
		return "verdict"
	case e.NAT != nil, e.Masq != nil, e.Redir != nil:
		return "nat"
	case e.Reject != nil:
		return "reject"
	case e.Counter != nil:
		return "counter"
	case e.Log != nil:
		return "log"
	case e.Notrack != nil:
		return "notrack"
	case e.DynSet != nil:
		return "dynset"
	case e.Meta != nil && e.Meta.Set:
		return "meta"
	case e.Ct != nil && e.Ct.Set:
		return "ct"
	case e.Exthdr != nil && e.Exthdr.Set:
		return "log" // rewriting an option stops nobody
	}
	return ""
}

// expr runs one expression.
func (r *run) expr(e *nft.Expr) outcome {
	switch {
	case e.Meta != nil && !e.Meta.Set:
		return r.meta(e.Meta)
	case e.Payload != nil:
		return r.payload(e.Payload)
	case e.Cmp != nil:
		return r.cmp(e.Cmp)
	case e.Range != nil:
		return r.inRange(e.Range)
	case e.Bitwise != nil:
		return r.bitwise(e.Bitwise)
	case e.Byteorder != nil:
		return r.byteorder(e.Byteorder)
	case e.Immediate != nil:
		r.regs.put(e.Immediate.Reg, e.Immediate.Data, true)
		return goOn
	case e.Lookup != nil:
		return r.lookup(e.Lookup)
	case e.Ct != nil && !e.Ct.Set:
		return r.ct(e.Ct)
	case e.Fib != nil:
		return r.fib(e.Fib)
	case e.Rt != nil:
		return r.rt(e.Rt)
	case e.Exthdr != nil && !e.Exthdr.Set:
		return r.exthdr(e.Exthdr)
	case e.Unknown != nil:
		return r.foreign(e.Unknown)
	}
	return r.act(e)
}
