package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// span is a range of numbers, both ends included.
type span struct{ first, last uint32 }

func (s span) has(n uint32) bool { return s.first <= n && n <= s.last }

// product is other software that uses numbers of the kind that this package gives out.
type product struct {
	name string
	// mask are the bits of marks that it sets or compares; whole are marks that it compares as a
	// whole, so that only their own bits are in the way.
	mask   uint32
	whole  []uint32
	tables []span
	// links, rules: it is here when there is such a device (a pattern when it ends with *), or a
	// rule of somebody else with such a priority and table.
	links []string
	rules []span
	// cni: it is part of any Kubernetes node.
	cni bool
}

// products is what is known of others: the registry of marks at github.com/fwmark/registry, and
// the projects' own sources and manuals.
func products() []product {
	return []product{
		{name: "Kubernetes (kube-proxy)", mask: 0xc000, links: []string{"kube-ipvs0"}, cni: true},
		{name: "the CNI plugin portmap", mask: 0x2000, cni: true},
		{name: "Cilium", mask: 0xffff0f00, tables: []span{{2004, 2005}}, links: []string{"cilium_host", "cilium_vxlan", "cilium_geneve"}},
		{name: "Calico", mask: 0xffff0000, links: []string{"cali*", "vxlan.calico"}},
		{name: "Weave Net", mask: 0x20000, links: []string{"weave"}},
		{name: "Antrea", mask: 0x80000000, links: []string{"antrea-gw0"}},
		{name: "OVN-Kubernetes", mask: 0x1745ec, tables: []span{{7, 7}}, links: []string{"ovn-k8s-mp0"}},
		{name: "Amazon VPC CNI", mask: 0x80, tables: []span{{1, 15}, {101, 1000}}, links: []string{"eni*"}},
		{name: "ec2-net-utils", tables: []span{{10000, 10999}}, rules: []span{{10000, 10999}}},
		{name: "Tailscale", mask: 0xff0000, tables: []span{{52, 52}}, links: []string{"tailscale*"}, rules: []span{{5210, 5270}}},
		{name: "NetBird", whole: []uint32{0x1bd00, 0x1bd10, 0x1bd11, 0x1bd20, 0x1bd21, 0x1bd22}, tables: []span{{7120, 7120}}, links: []string{"wt0"}},
		{name: "wg-quick", whole: []uint32{51820}, tables: []span{{51820, 51839}}},
		{name: "Istio", whole: []uint32{1337, 0x1337}, tables: []span{{133, 133}}},
		{name: "AWS App Mesh", whole: []uint32{0x1e7700ce}},
		{name: "Mullvad", whole: []uint32{0x6d6f6c65}, tables: []span{{0x6d6f6c65, 0x6d6f6c65}}, links: []string{"wg0-mullvad"}},
		{name: "NordVPN", whole: []uint32{0xe1f1}, tables: []span{{205, 205}}, links: []string{"nordlynx", "nordtun"}},
		{name: "Cloudflare WARP", whole: []uint32{0x100cf}, tables: []span{{65743, 65743}}, links: []string{"CloudflareWARP"}},
		{name: "sing-box", whole: []uint32{0x2023, 0x2024}, tables: []span{{2022, 2022}}, rules: []span{{9000, 9010}}},
		{name: "mwan3", mask: 0x3f00, tables: []span{{1, 63}}, rules: []span{{1001, 1063}, {2001, 2063}, {3001, 3063}}},
		{name: "pbr (OpenWrt)", mask: 0xff0000, tables: []span{{256, 300}}, rules: []span{{29900, 30000}}},
		{name: "strongSwan", tables: []span{{220, 220}}},
		{name: "kube-router", tables: []span{{77, 79}}, links: []string{"kube-bridge"}},
	}
}

// evidence says by what a product is known to be on the machine; empty: it is not.
func (p product) evidence(f *facts.Facts) string {
	if p.cni && f.Machine.CNI != "" {
		return "the CNI plugin " + f.Machine.CNI
	}
	for _, l := range f.Links {
		if slices.ContainsFunc(p.links, func(pattern string) bool { return fits(pattern, l.Name) }) {
			return "the device " + l.Name
		}
	}
	for _, r := range f.Rules {
		if foreign(r) && slices.ContainsFunc(p.rules, func(s span) bool { return s.has(r.Priority) }) && (r.Mask == 0 || r.Mask&p.mask != 0) {
			return fmt.Sprintf("the rule with priority %d", r.Priority)
		}
	}
	return ""
}

// fits reports whether pattern means the device called name.
func fits(pattern, name string) bool {
	if head, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, head)
	}
	return pattern == name
}

// foreign reports whether a rule is neither ours nor the kernel's own.
func foreign(r facts.Rule) bool {
	return r.Proto != facts.ProtoOurs && r.Priority != 0 && !(r.Proto == facts.ProtoKernel && (r.Priority == 32766 || r.Priority == 32767))
}

// Claim is use of mark bits that facts do not show: a rule of somebody's firewall, the mark of a
// tunnel's own packets.
type Claim struct {
	Mask uint32
	Who  string
}

// claims are the uses of mark bits on this machine.
func claims(f *facts.Facts, more []Claim) []Claim {
	var out []Claim
	for _, p := range products() {
		mask := p.mask
		for _, w := range p.whole {
			mask |= w
		}
		if mask == 0 {
			continue
		}
		if by := p.evidence(f); by != "" {
			out = append(out, Claim{mask, p.name + " (" + by + ")"})
		}
	}
	for _, r := range f.Rules {
		if !foreign(r) || r.Mask == 0 {
			continue
		}
		bits := r.Mask
		if bits == 1<<32-1 {
			bits = r.Mark // compared as a whole: other bits are nobody's
		}
		if bits != 0 {
			out = append(out, Claim{bits, ruleOwner(r)})
		}
	}
	return append(out, more...)
}

// claims are the mark bits that the configuration's own rules compare: somebody else sets them.
func (c Config) claims() []Claim {
	var out []Claim
	for i, r := range c.Rules {
		if r.FWMark == "" {
			continue
		}
		value, bits, why := mark(r.FWMark)
		if bits == 1<<32-1 {
			bits = value
		}
		if why == "" && bits != 0 {
			out = append(out, Claim{bits, fmt.Sprintf("routing.policy.rules[%d].fwmark", i)})
		}
	}
	return out
}

// ruleOwner names the maker of a rule as far as its numbers tell.
func ruleOwner(r facts.Rule) string {
	at := fmt.Sprintf("the rule with priority %d", r.Priority)
	for _, p := range products() {
		switch {
		case r.Mask != 0 && slices.Contains(p.whole, r.Mark),
			slices.ContainsFunc(p.tables, func(s span) bool { return s.has(r.Table) }) && (p.mask == 0 || r.Mask != 0 && r.Mask&^p.mask == 0),
			slices.ContainsFunc(p.rules, func(s span) bool { return s.has(r.Priority) }) && r.Mask != 0 && r.Mask&^p.mask == 0,
			r.Mask != 0 && r.Mask != 1<<32-1 && p.mask == r.Mask:
			return p.name + " (" + at + ")"
		}
	}
	return at
}
