package packet

import (
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/resource/nft"
)

// Priorities at which the kernel's own parts stand (include/uapi/linux/netfilter_ipv4.h).
const (
	prioConntrack = -200
	prioDNAT      = -100
	prioSNAT      = 100
)

// entry is what stands at a hook: a base chain, connection tracking, or all nat chains together.
type entry struct {
	prio  int32
	chain *baseChain // nil: one of the kernel's own
	ct    bool
	nat   []*baseChain
	isNAT bool
}

type baseChain struct {
	table *nft.Table
	chain *nft.Chain
}

// fits says whether a table's family sees packets of this one.
func fits(family string, six bool) bool {
	return family == "inet" || family == "ip" && !six || family == "ip6" && six
}

// entries lists what stands at a hook, in the order in which it is run. Among equals the one
// that was registered last is first (nf_hook_entries_grow in net/netfilter/core.c). Chains of
// type nat do not stand by themselves: one hook of the kernel runs them all, at its own
// priority, in the order of theirs (nf_nat_register_fn in nf_nat_core.c).
func (m *machine) entries(hook string) []entry {
	var out []entry
	var nats []*baseChain
	for i := range m.w.Tables {
		t := &m.w.Tables[i]
		if t.Family == "netdev" && hook == "ingress" || fits(t.Family, m.s.six()) {
			for j := range t.Chains {
				c := &t.Chains[j]
				if c.Base == nil || c.Base.Hook != hook {
					continue
				}
				if hook == "ingress" && (m.s.in == nil || c.Base.Device != m.s.in.Name) {
					continue
				}
				b := &baseChain{t, c}
				if c.Base.Type == "nat" {
					nats = append(nats, b)
					continue
				}
				out = append(out, entry{prio: c.Base.Priority, chain: b})
			}
		}
	}
	slices.Reverse(out)
	slices.Reverse(nats)
	if m.tracks && (hook == "prerouting" || hook == "output") {
		out = append(out, entry{prio: prioConntrack, ct: true})
	}
	if m.nats {
		switch hook {
		case "prerouting", "output":
			out = append(out, entry{prio: prioDNAT, isNAT: true, nat: nats})
		case "input", "postrouting":
			out = append(out, entry{prio: prioSNAT, isNAT: true, nat: nats})
		}
	}
	sort.SliceStable(nats, func(i, j int) bool { return nats[i].chain.Base.Priority < nats[j].chain.Base.Priority })
	sort.SliceStable(out, func(i, j int) bool { return out[i].prio < out[j].prio })
	return out
}

// uses looks through all tables for connection tracking and NAT: the kernel tracks a family
// only if somebody asks for it (nf_ct_netns_get).
func (m *machine) uses() {
	for _, t := range m.w.Tables {
		if !fits(t.Family, m.s.six()) {
			continue
		}
		for _, c := range t.Chains {
			if c.Base != nil && c.Base.Type == "nat" {
				m.nats, m.tracks = true, true
			}
			for _, r := range c.Rules {
				for _, e := range r.Exprs {
					if e.Ct != nil || e.NAT != nil || e.Masq != nil || e.Redir != nil || e.Notrack != nil || e.Unknown != nil {
						m.tracks = true
					}
				}
			}
		}
	}
}

// hook runs everything that stands there; false: the packet is gone.
func (m *machine) hook(name string) bool {
	m.at = name
	for _, e := range m.entries(name) {
		switch {
		case e.ct:
			m.conntrack()
		case e.isNAT:
			if !m.natHook(e.nat) {
				return false
			}
		default:
			before := *m.s
			if !m.base(e.chain) {
				return false
			}
			if e.chain.chain.Base.Type == "route" && name == "output" &&
				(m.s.mark != before.mark || m.s.src != before.src || m.s.dst != before.dst) {
				if !m.reroute("the mark has changed in a chain of type route") {
					return false
				}
			}
		}
	}
	return true
}
