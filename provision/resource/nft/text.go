package nft

import (
	"fmt"
	"strings"
)

// Text writes a table in nft's own language, as "nft list table" of nftables 1.0.6 does, so
// that "nft -f" takes it. What has no words there stands as an expression in brackets, which
// nft refuses; Lines says whether there is any.
func Text(t Table) string {
	text, _ := Lines(t)
	return text
}

// Lines is Text; ok is false if not everything could be said in nft's language.
func Lines(t Table) (text string, ok bool) {
	ok = true
	learns := map[string]bool{}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			for _, e := range r.Exprs {
				if e.DynSet != nil {
					learns[e.DynSet.Set] = true
				}
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", t.Family, t.Name)
	first := true
	for _, f := range []struct {
		on   bool
		name string
	}{{t.Dormant, "dormant"}, {t.Owner, "owner"}} {
		if f.on {
			fmt.Fprintf(&b, "\tflags %s\n", f.name)
			first = false
		}
	}
	gap := func() {
		if !first {
			b.WriteByte('\n')
		}
		first = false
	}
	for _, s := range t.Sets {
		if s.Anonymous {
			continue
		}
		gap()
		ours := t.Family == OwnFamily && t.Name == OwnTable // there every learnt set may be added to by rules
		ok = setText(&b, s, learns[s.Name] || ours && s.Learnt && !s.Interval) && ok
	}
	for _, c := range t.Chains {
		gap()
		ok = chainText(&b, &t, c) && ok
	}
	b.WriteString("}\n")
	return b.String(), ok
}

// RuleText writes one rule of a table of family inet whose sets are not at hand.
func RuleText(r Rule) string {
	text, _ := RuleLine(nil, r)
	return text
}

// RuleLine writes one rule of a table (nil: of any inet table), without what its counters have
// counted. Ok is false if not everything could be said in nft's language.
func RuleLine(t *Table, r Rule) (text string, ok bool) {
	s := newSayer(t)
	s.counters = false
	return s.rule(r)
}

func chainText(b *strings.Builder, t *Table, c Chain) bool {
	fmt.Fprintf(b, "\tchain %s {\n", c.Name)
	if c.Comment != "" {
		fmt.Fprintf(b, "\t\tcomment %s\n", quote(c.Comment))
	}
	if p := c.Base; p != nil {
		fmt.Fprintf(b, "\t\ttype %s hook %s", p.Type, p.Hook)
		if p.Device != "" {
			fmt.Fprintf(b, " device %q", p.Device)
		}
		fmt.Fprintf(b, " priority %s; policy %s;\n", priorityText(t.Family, p.Hook, p.Priority), p.Policy)
	}
	ok := true
	for _, r := range c.Rules {
		line, good := newSayer(t).rule(r)
		ok = ok && good
		fmt.Fprintf(b, "\t\t%s\n", line)
	}
	b.WriteString("\t}\n")
	return ok
}

// priorityText writes a priority near a well-known one by its name (nftables src/rule.c,
// prio2str): at most ten away from it.
func priorityText(family, hook string, n int32) string {
	type std struct {
		name string
		at   int32
		hook string // only there
	}
	all := []std{{"raw", -300, ""}, {"mangle", -150, ""}, {"dstnat", -100, "prerouting"}, {"filter", 0, ""}, {"security", 50, ""}, {"srcnat", 100, "postrouting"}}
	switch family {
	case "bridge":
		all = []std{{"dstnat", -300, "prerouting"}, {"filter", -200, ""}, {"out", 100, "output"}, {"srcnat", 300, "postrouting"}}
	case "netdev", "arp":
		all = []std{{"filter", 0, ""}}
	}
	for _, s := range all {
		if s.hook != "" && s.hook != hook {
			continue
		}
		switch d := n - s.at; {
		case d == 0:
			return s.name
		case d > 0 && d <= 10:
			return fmt.Sprintf("%s + %d", s.name, d)
		case d < 0 && d >= -10:
			return fmt.Sprintf("%s - %d", s.name, -d)
		}
	}
	return fmt.Sprint(n)
}
