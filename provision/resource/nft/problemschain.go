package nft

import (
	"fmt"
	"slices"
	"strings"
)

func (j *judge) chain(c *Chain) {
	path := "chain " + c.Name
	if p := nameProblem(c.Name); p != "" {
		j.say(path, "%s", p)
	}
	j.comment(path, c.Comment)
	if c.Base != nil {
		j.base(path, c.Base)
	}
	for i := range c.Rules {
		at := fmt.Sprintf("%s, rule %d", path, i+1)
		j.comment(at, c.Rules[i].Comment)
		if len(c.Rules[i].Exprs) == 0 {
			j.say(at, "it is empty")
		}
		if weight(c.Rules[i].Exprs) > 60000 {
			j.say(at, "it is larger than the kernel takes")
		}
		for k := range c.Rules[i].Exprs {
			j.expr(at, c, &c.Rules[i].Exprs[k])
		}
	}
}

// base judges a base chain (net/netfilter/nft_chain_filter.c, nft_chain_nat.c,
// nft_chain_route.c).
func (j *judge) base(path string, b *Base) {
	var hooks []string
	switch {
	case b.Type == "route":
		hooks = []string{"output"}
	case b.Type == "nat":
		hooks = []string{"prerouting", "input", "output", "postrouting"}
		if b.Priority <= -200 {
			j.say(path, "a nat chain must come behind connection tracking, with a priority above -200")
		}
	case b.Type != "filter":
		j.say(path, "there is no chain type %q: filter, nat or route", b.Type)
	case j.t.Family == "netdev":
		hooks = []string{"ingress", "egress"}
	case j.t.Family == "arp":
		hooks = []string{"input", "output"}
	default:
		hooks = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
	}
	if hooks != nil && !slices.Contains(hooks, b.Hook) {
		j.say(path, "type %s has no hook %q: %s", b.Type, b.Hook, strings.Join(hooks, ", "))
	}
	if b.Policy != "accept" && b.Policy != "drop" {
		j.say(path, "policy %q is neither accept nor drop", b.Policy)
	}
	if dev := b.Hook == "ingress" || b.Hook == "egress"; dev != (b.Device != "") || len(b.Device) > 15 {
		j.say(path, "a device is named at ingress, and only there")
	}
}

// hooks finds base chains whose order is chance: with equal hook and priority it depends on
// which was made last.
func (j *judge) hooks() {
	at := map[Base]string{}
	for i := range j.t.Chains {
		c := &j.t.Chains[i]
		if c.Base == nil {
			continue
		}
		k := Base{Hook: c.Base.Hook, Priority: c.Base.Priority, Device: c.Base.Device}
		if first, ok := at[k]; ok {
			j.say("chain "+c.Name, "it has the hook and the priority of chain %s, and which of the two comes first is chance", first)
		}
		at[k] = c.Name
	}
}

// target says why a verdict cannot be, empty if it can.
func (j *judge) target(v Verdict) string {
	switch v.Kind {
	case "accept", "drop", "continue", "return":
		if v.Chain != "" {
			return fmt.Sprintf("%s names no chain", v.Kind)
		}
	case "jump", "goto":
		c := j.chains[v.Chain]
		if c == nil {
			return fmt.Sprintf("there is no chain %q to %s to", v.Chain, v.Kind)
		}
		if c.Base != nil {
			return fmt.Sprintf("chain %s is entered by its hook, and by no %s", v.Chain, v.Kind)
		}
	default:
		return fmt.Sprintf("there is no verdict %q", v.Kind)
	}
	return ""
}

// targets are the chains that a chain leads to.
func (j *judge) targets(c *Chain) []string {
	var out []string
	for _, r := range c.Rules {
		for _, e := range r.Exprs {
			switch {
			case e.Verdict != nil && e.Verdict.Chain != "":
				out = append(out, e.Verdict.Chain)
			case e.Lookup != nil && j.sets[e.Lookup.Set] != nil:
				for _, el := range j.sets[e.Lookup.Set].Elements {
					if el.Verdict != nil && el.Verdict.Chain != "" {
						out = append(out, el.Verdict.Chain)
					}
				}
			}
		}
	}
	return out
}

// maxJumps is how deep jumps may nest (NFT_JUMP_STACK_SIZE).
const maxJumps = 16

// circles finds chains that lead back to themselves and jumps that nest too deep.
func (j *judge) circles() {
	depth := map[string]int{} // 0: not yet seen, -1: being looked at
	var visit func(name string) int
	visit = func(name string) int {
		c := j.chains[name]
		if c == nil {
			return 0
		}
		switch d := depth[name]; {
		case d < 0:
			j.say("chain "+name, "it leads back to itself")
			return 0
		case d > 0:
			return d
		}
		depth[name] = -1
		deepest := 0
		for _, to := range j.targets(c) {
			deepest = max(deepest, visit(to))
		}
		depth[name] = deepest + 1
		return deepest + 1
	}
	for i := range j.t.Chains {
		if c := &j.t.Chains[i]; visit(c.Name) > maxJumps && c.Base != nil {
			j.say("chain "+c.Name, "jumps nest more than %d deep", maxJumps)
		}
	}
}
