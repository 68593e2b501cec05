package killswitch

import (
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// Detours lead packets around the tunnel's table by policy rules. They let nothing out by
// themselves: the guard still decides. But without them what the guard allows would have no route: the
// tunnel's table answers "unreachable" before the guard is even asked.
type Detours struct {
	// All: everything goes by the main table (open by choice).
	All bool `json:"all,omitempty"`
	// Own: this machine's own packets do (its portal's window).
	Own bool `json:"own,omitempty"`
	// To: this machine's own packets to these addresses do: servers of the start, and endpoints
	// whose packets carry no mark. Sorted.
	To []netip.Addr `json:"to,omitempty"`
}

// Equal reports whether d and e are the same.
func (d Detours) Equal(e Detours) bool {
	return d.All == e.All && d.Own == e.Own && slices.Equal(d.To, e.To)
}

// DetourRule is one policy rule: packets of Family, this machine's own where OwnOnly (iif lo), to To
// where it is valid, look up table main.
type DetourRule struct {
	Family  int
	OwnOnly bool
	To      netip.Prefix
}

// Offset is what is added to the first of three priorities, which have to be before those of the
// rules that lead to the tunnel's table. Each sort of detour has its own, because of rules with the
// same priority the kernel compares only what the new one gives: with "iif lo to 192.0.2.1" there,
// "iif lo" exists already (net/ipv4/fib_rules.c fib4_rule_compare).
func (r DetourRule) Offset() uint32 {
	switch {
	case r.To.IsValid():
		return 0
	case r.OwnOnly:
		return 1
	}
	return 2
}

// Rules are d as policy rules.
func (d Detours) Rules() []DetourRule {
	var out []DetourRule
	for _, a := range d.To {
		family := 6
		if a.Is4() {
			family = 4
		}
		out = append(out, DetourRule{Family: family, OwnOnly: true, To: netip.PrefixFrom(a, a.BitLen())})
	}
	for _, family := range []int{4, 6} {
		if d.Own {
			out = append(out, DetourRule{Family: family, OwnOnly: true})
		}
		if d.All {
			out = append(out, DetourRule{Family: family})
		}
	}
	return out
}

// DetoursOf is the reverse of Rules, for whoever reads rules from the kernel. A detour of which one
// family is missing is none, so that it is made anew.
func DetoursOf(rules []DetourRule) Detours {
	var d Detours
	has := func(r DetourRule) bool { return slices.Contains(rules, r) }
	d.Own = has(DetourRule{Family: 4, OwnOnly: true}) && has(DetourRule{Family: 6, OwnOnly: true})
	d.All = has(DetourRule{Family: 4}) && has(DetourRule{Family: 6})
	for _, r := range rules {
		if r.OwnOnly && r.To.IsValid() && r.To.IsSingleIP() {
			d.To = append(d.To, r.To.Addr())
		}
	}
	sort.Slice(d.To, func(i, j int) bool { return d.To[i].Compare(d.To[j]) < 0 })
	d.To = slices.Compact(d.To)
	return d
}

func (d Detours) String() string {
	var out []string
	if d.All {
		out = append(out, "everything")
	}
	if d.Own {
		out = append(out, "this machine's packets")
	}
	if len(d.To) > 0 {
		var to []string
		for _, a := range d.To {
			to = append(to, a.String())
		}
		out = append(out, "what goes to "+strings.Join(to, ", "))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, " and ")
}
