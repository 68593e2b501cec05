package foreign

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft"
)

// Drops says how much of a flow is lost.
type Drops string

// From all to perhaps.
const (
	All     Drops = "all"     // every packet
	Most    Drops = "most"    // every packet but what earlier rules of the same firewall accept
	Some    Drops = "some"    // those with an address or port that the flow does not tell
	Perhaps Drops = "perhaps" // a condition on the way there cannot be read
)

// Finding is a rule of somebody else's that drops what our policy lets through.
type Finding struct {
	Product string `json:"product"`
	Family  string `json:"family"` // of the table
	Table   string `json:"table"`
	Chain   string `json:"chain"`
	Rule    int    `json:"rule"` // from 1; 0 is the policy of the chain
	Text    string `json:"text"` // the rule in words
	Drops   Drops  `json:"drops"`
	// Harmless: its purpose is to drop such packets, whoever lets them through.
	Harmless bool   `json:"harmless,omitempty"`
	Flows    []Flow `json:"flows"`
	Cure     string `json:"cure,omitempty"`
	// Adapter is the one that cures it (docker, ufw, firewalld), if any.
	Adapter string `json:"adapter,omitempty"`
}

// String is the finding in one sentence, without its cure.
func (f Finding) String() string {
	flows := make([]string, len(f.Flows))
	for i, l := range f.Flows {
		flows[i] = l.String()
	}
	how := map[Drops]string{All: "drops", Most: "drops, but for what its earlier rules accept,", Some: "drops some of", Perhaps: "may drop"}[f.Drops]
	where := fmt.Sprintf("chain %s of table %s %s", f.Chain, f.Family, f.Table)
	if f.Table == xtables {
		return fmt.Sprintf("%s: the table filter of the old x_tables (%s) may drop %s", f.Product, f.Text, strings.Join(slices.Compact(flows), ", "))
	}
	if f.Rule == 0 {
		return fmt.Sprintf("%s: the policy of %s %s %s", f.Product, where, how, strings.Join(slices.Compact(flows), ", "))
	}
	return fmt.Sprintf("%s: rule %d of %s (%s) %s %s", f.Product, f.Rule, where, f.Text, how, strings.Join(slices.Compact(flows), ", "))
}

// String is the flow for people: "usb0 to wlan0 (tcp 443)".
func (f Flow) String() string {
	var b strings.Builder
	switch f.hook() {
	case "forward":
		fmt.Fprintf(&b, "%s to %s", f.In, f.Out)
	case "input":
		fmt.Fprintf(&b, "%s to this machine", f.In)
	default:
		fmt.Fprintf(&b, "this machine to %s", cmp.Or(f.Out, "anywhere"))
	}
	var more []string
	if f.Family != 0 {
		more = append(more, fmt.Sprintf("IPv%d", f.Family))
	}
	if f.Proto != "" {
		more = append(more, strings.TrimSpace(fmt.Sprintf("%s %s", f.Proto, port(f.Port))))
	}
	if f.Published {
		more = append(more, "published")
	}
	if len(more) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(more, ", "))
	}
	return b.String()
}

func port(n uint16) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// Report judges every flow by every foreign filter chain that it meets. Worst first.
func Report(s Seen, flows []Flow) []Finding {
	index := map[string]int{}
	for _, d := range s.Devices {
		index[d.Name] = d.Index
	}
	var out []Finding
	at := map[string]int{}
	for _, flow := range flows {
		for _, family := range flow.families() {
			p := packet{Flow: flow, family: family, index: index}
			for _, f := range judge(s, p) {
				key := fmt.Sprint(f.Family, " ", f.Table, " ", f.Chain, " ", f.Rule, " ", f.Drops)
				f.Flows[0].Family = family
				if i, ok := at[key]; ok {
					out[i].Flows = append(out[i].Flows, f.Flows[0])
					continue
				}
				at[key] = len(out)
				out = append(out, f)
			}
		}
	}
	out = append(out, unreadable(s, flows)...)
	for i := range out {
		out[i].Flows = join(out[i].Flows)
		out[i].Cure, out[i].Adapter = cure(s, out[i], flows)
	}
	rank := map[Drops]int{All: 0, Most: 1, Perhaps: 2, Some: 3}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Harmless != b.Harmless {
			return !a.Harmless
		}
		return rank[a.Drops] < rank[b.Drops]
	})
	return out
}

// join makes one flow of both families of one.
func join(flows []Flow) []Flow {
	var out []Flow
	for _, f := range flows {
		other := f
		other.Family = 10 - f.Family
		if i := slices.Index(out, other); i >= 0 && f.Family != 0 {
			out[i].Family = 0
		} else if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// judge follows one packet through every table.
func judge(s Seen, p packet) []Finding {
	var out []Finding
	for i := range s.Tables {
		t := &s.Tables[i]
		if own(*t) || t.Dormant || t.Family != "inet" && t.Family != map[int]string{4: "ip", 6: "ip6"}[p.family] {
			continue
		}
		for _, c := range t.Chains {
			if c.Base == nil || c.Base.Type == "nat" || !meets(p, c.Base.Hook) {
				continue
			}
			w := walker{table: t, packet: p}
			w.base(c)
			for _, e := range w.events {
				out = append(out, found(s, *t, c, e, p.Flow))
			}
		}
	}
	return out
}

// meets reports whether a packet comes by a hook.
func meets(p packet, hook string) bool {
	switch hook {
	case "prerouting":
		return p.hook() != "output"
	case "postrouting":
		return p.hook() != "input"
	}
	return hook == p.hook()
}

func found(s Seen, t nft.Table, base nft.Chain, e event, flow Flow) Finding {
	f := Finding{Family: t.Family, Table: t.Name, Chain: e.chain, Rule: e.rule, Drops: e.drops, Flows: []Flow{flow}}
	chain := base
	for _, c := range t.Chains {
		if c.Name == e.chain {
			chain = c
		}
	}
	if f.Product = owner(s, t, chain); f.Product == "" {
		f.Product = policyOwner(s, t, base)
	}
	f.Text = "policy drop"
	if e.rule > 0 {
		f.Text = Words(t, chain.Rules[e.rule-1])
	}
	for _, g := range signatures() {
		f.Harmless = f.Harmless || g.name == f.Product && g.harmless
	}
	return f
}

// xtables stands for a table that nf_tables does not have.
const xtables = "filter of x_tables"

// unreadable tells of the old x_tables, whose rules nf_tables does not show.
func unreadable(s Seen, flows []Flow) []Finding {
	var out []Finding
	for _, l := range []struct {
		family int
		name   string
		tables []string
	}{{4, "ip", s.Legacy4}, {6, "ip6", s.Legacy6}} {
		if !slices.Contains(l.tables, "filter") {
			continue
		}
		f := Finding{Product: byLegacy, Family: l.name, Table: xtables, Drops: Perhaps, Text: "rules that only " + legacyTool(l.name) + " shows"}
		for _, p := range Detect(s) {
			if p.Backend == byLegacy {
				f.Product = p.Name
			}
		}
		for _, flow := range flows {
			if slices.Contains(flow.families(), l.family) {
				flow.Family = l.family
				f.Flows = append(f.Flows, flow)
			}
		}
		if len(f.Flows) > 0 {
			out = append(out, f)
		}
	}
	return out
}

func legacyTool(family string) string {
	if family == "ip6" {
		return "ip6tables-legacy -S"
	}
	return "iptables-legacy -S"
}
