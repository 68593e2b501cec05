package fib

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// Text writes the trace for people, one line for each rule and route considered,
// with "=>" before what was taken.
func (r Result) Text(f *facts.Facts) []string {
	var out []string
	for _, s := range r.Steps {
		mark := "  "
		if s.Taken {
			mark = "=>"
		}
		what := RuleText(s.Rule)
		if s.Route != nil {
			what = "    " + RouteText(f, *s.Route)
		} else if s.Rule.Family == 0 {
			what = "device"
		}
		out = append(out, fmt.Sprintf("%s %s: %s", mark, what, s.Why))
	}
	return out
}

// RouteText writes a route as ip(8) does.
func RouteText(f *facts.Facts, r facts.Route) string {
	var b strings.Builder
	if r.Type != "unicast" && r.Type != "" {
		b.WriteString(r.Type + " ")
	}
	if r.Default() {
		b.WriteString("default")
	} else {
		b.WriteString(r.Dst.String())
	}
	hop := func(h facts.Hop) {
		if h.Gateway.IsValid() {
			fmt.Fprintf(&b, " via %v", h.Gateway)
		}
		if h.Link != 0 {
			fmt.Fprintf(&b, " dev %s", linkName(f, h.Link))
		}
	}
	if len(r.Hops) == 0 {
		hop(facts.Hop{Gateway: r.Gateway, Link: r.Link})
	}
	for _, h := range r.Hops {
		b.WriteString(" nexthop")
		hop(h)
	}
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %v", r.Src)
	}
	fmt.Fprintf(&b, " metric %d", r.Metric)
	return b.String()
}

func linkName(f *facts.Facts, index int) string {
	if l, ok := f.LinkByIndex(index); ok {
		return l.Name
	}
	return fmt.Sprintf("link %d", index)
}

// RuleText writes a rule as ip(8) does.
func RuleText(r facts.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rule %d:", r.Priority)
	if r.Invert {
		b.WriteString(" not")
	}
	if r.From.IsValid() {
		fmt.Fprintf(&b, " from %v", r.From)
	} else {
		b.WriteString(" from all")
	}
	if r.To.IsValid() {
		fmt.Fprintf(&b, " to %v", r.To)
	}
	if r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, r.Mask)
	}
	if r.Iif != "" {
		b.WriteString(" iif " + r.Iif)
	}
	if r.Oif != "" {
		b.WriteString(" oif " + r.Oif)
	}
	if r.Action == "lookup" {
		fmt.Fprintf(&b, " lookup %d", r.Table)
	} else {
		b.WriteString(" " + r.Action)
	}
	if r.Suppresses {
		fmt.Fprintf(&b, " suppress_prefixlength %d", r.Suppress)
	}
	return b.String()
}
