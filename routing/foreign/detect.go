package foreign

import (
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft"
)

// State says what a firewall does at present.
type State string

// The states.
const (
	Active    State = "active"    // its rules are in the kernel
	Running   State = "running"   // its program runs, and the kernel has no rules of it
	Installed State = "installed" // it starts with the machine, and does nothing now
)

// Product is a firewall, or a program that keeps firewall rules for its own ends.
type Product struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Backend is how it talks to the kernel: nftables, iptables-nft, iptables-legacy; empty where
	// it has no rules.
	Backend string `json:"backend,omitempty"`
	// Harmless: it drops what it was told to drop (addresses of attackers), and nothing of ours.
	Harmless bool     `json:"harmless,omitempty"`
	Evidence []string `json:"evidence"`
}

// signature is by what a product is known. Chains are names or, with * at the end, beginnings of
// them; tables are "FAMILY NAME".
type signature struct {
	name     string
	tables   []string
	chains   []string
	comms    []string // its program's name, at most 15 bytes
	units    []string
	harmless bool
}

// signatures are all that are known, from the products' sources. The order is that of reports.
func signatures() []signature {
	return []signature{
		{name: "docker", tables: []string{"ip docker-bridges", "ip6 docker-bridges"}, chains: []string{"DOCKER", "DOCKER-*"}, comms: []string{"dockerd"}, units: []string{"docker.service"}},
		{name: "ufw", chains: []string{"ufw-*", "ufw6-*"}, units: []string{"ufw.service", "init:ufw"}},
		{name: "firewalld", tables: []string{"inet firewalld", "ip firewalld", "ip6 firewalld"}, chains: []string{"FORWARD_direct", "FORWARD_ZONES", "INPUT_ZONES", "IN_public*", "FWD_public*", "FWDI_*", "FWDO_*"}, comms: []string{"firewalld"}, units: []string{"firewalld.service"}},
		{name: "podman", tables: []string{"inet netavark"}, chains: []string{"NETAVARK*", "CNI-FORWARD", "CNI-ADMIN"}},
		{name: "libvirt", tables: []string{"ip libvirt_network", "ip6 libvirt_network"}, chains: []string{"LIBVIRT_*"}, comms: []string{"libvirtd", "virtnetworkd"}, units: []string{"libvirtd.service", "virtnetworkd.service"}},
		{name: "lxd", tables: []string{"inet lxd"}, comms: []string{"lxd"}, units: []string{"lxd.service", "snap.lxd.daemon.service"}},
		{name: "incus", tables: []string{"inet incus"}, comms: []string{"incusd"}, units: []string{"incus.service"}},
		{name: "k3s", chains: []string{"KUBE-ROUTER-*"}, comms: []string{"k3s", "k3s-server", "k3s-agent"}, units: []string{"k3s.service", "k3s-agent.service"}},
		{name: "kube-proxy", tables: []string{"ip kube-proxy", "ip6 kube-proxy"}, chains: []string{"KUBE-FORWARD", "KUBE-SERVICES", "KUBE-FIREWALL", "KUBE-PROXY-FIREWALL"}, comms: []string{"kube-proxy"}},
		{name: "calico", tables: []string{"ip calico", "ip6 calico"}, chains: []string{"cali-*"}, comms: []string{"calico-node"}},
		{name: "cilium", chains: []string{"CILIUM_*"}, comms: []string{"cilium-agent"}},
		{name: "flannel", tables: []string{"ip flannel-ipv4", "ip6 flannel-ipv6"}, chains: []string{"FLANNEL-*"}, comms: []string{"flanneld"}},
		{name: "tailscale", chains: []string{"ts-forward", "ts-input", "ts-postrouting"}, comms: []string{"tailscaled"}, units: []string{"tailscaled.service"}},
		{name: "netbird", tables: []string{"ip netbird", "ip6 netbird"}, chains: []string{"NETBIRD-*"}, comms: []string{"netbird"}, units: []string{"netbird.service"}},
		{name: "wg-quick", tables: []string{"ip wg-quick-*", "ip6 wg-quick-*"}},
		{name: "foomuuri", tables: []string{"inet foomuuri"}, units: []string{"foomuuri.service"}},
		{name: "shorewall", chains: []string{"shorewall", "sfilter", "smurfs"}, units: []string{"shorewall.service", "shorewall6.service", "init:shorewall"}},
		{name: "oracle-cloud", chains: []string{"InstanceServices"}},
		{name: "crowdsec", tables: []string{"ip crowdsec", "ip6 crowdsec6", "inet crowdsec"}, chains: []string{"CROWDSEC_CHAIN*"}, comms: []string{"crowdsec-firewa"}, harmless: true},
		{name: "fail2ban", tables: []string{"inet f2b-table"}, chains: []string{"f2b-*"}, comms: []string{"fail2ban-server"}, units: []string{"fail2ban.service"}, harmless: true},
		{name: "sshguard", tables: []string{"ip sshguard", "ip6 sshguard"}, chains: []string{"sshguard"}, comms: []string{"sshguard"}, harmless: true},
	}
}

// The names for rules whose author is not known by its chains.
const (
	byNftablesConf = "nftables.conf"
	byPersistent   = "iptables-persistent"
	byIptables     = "iptables"
	byLegacy       = "iptables-legacy"
	byNobody       = "unknown"
)

// Detect names the firewalls that are there.
func Detect(s Seen) []Product {
	var out []Product
	for _, g := range signatures() {
		p := Product{Name: g.name, Harmless: g.harmless}
		for _, t := range s.Tables {
			if own(t) || t.Dormant {
				continue
			}
			if fits(t.Family+" "+t.Name, g.tables) {
				p.see(Active, "table "+t.Family+" "+t.Name)
				p.Backend = "nftables"
			}
			for _, c := range t.Chains {
				if fits(c.Name, g.chains) && p.Backend != "nftables" {
					p.see(Active, "chain "+c.Name+" in table "+t.Family+" "+t.Name)
					p.Backend = "iptables-nft"
					break
				}
			}
		}
		for _, comm := range s.Processes {
			if slices.Contains(g.comms, comm) {
				p.see(Running, "process "+comm)
				break
			}
		}
		for _, u := range g.units {
			// ufw's unit is enabled by its package; ufw itself only by its configuration.
			if slices.Contains(s.Units, u) && (g.name != "ufw" || ufwEnabled(s)) {
				p.see(Installed, "unit "+u)
			}
		}
		if p.State != "" {
			out = append(out, p.legacy(s))
		}
	}
	return append(out, plainFiles(s)...)
}

// see keeps the strongest state.
func (p *Product) see(state State, evidence string) {
	rank := map[State]int{Active: 3, Running: 2, Installed: 1}
	if rank[state] > rank[p.State] {
		p.State = state
	}
	p.Evidence = append(p.Evidence, evidence)
}

// legacy marks a product whose rules can only be in the old x_tables.
func (p Product) legacy(s Seen) Product {
	if p.Backend != "" || len(s.Legacy4)+len(s.Legacy6) == 0 || p.State == Installed && p.Name != "ufw" {
		return p
	}
	if p.Name == "docker" || p.Name == "ufw" || p.Name == "firewalld" {
		p.Backend = byLegacy
		p.Evidence = append(p.Evidence, "x_tables has the tables "+strings.Join(append(slices.Clone(s.Legacy4), s.Legacy6...), ", "))
	}
	return p
}

// plainFiles finds what is no program: rule files that are loaded at boot, and rules without an author.
func plainFiles(s Seen) []Product {
	var out []Product
	if slices.Contains(s.Units, "nftables.service") {
		p := Product{Name: byNftablesConf, State: Installed, Evidence: []string{"unit nftables.service"}}
		if flushes(s.Files["/etc/nftables.conf"]) {
			p.Evidence = append(p.Evidence, "/etc/nftables.conf begins with flush ruleset")
		}
		for _, t := range s.Tables {
			if !own(t) && fromFile(s, t) {
				p.see(Active, "table "+t.Family+" "+t.Name)
				p.Backend = "nftables"
			}
		}
		out = append(out, p)
	}
	for _, u := range []string{"netfilter-persistent.service", "iptables.service", "ip6tables.service", "init:iptables-persistent"} {
		if slices.Contains(s.Units, u) {
			out = append(out, Product{Name: byPersistent, State: Installed, Evidence: []string{"unit " + u}})
			break
		}
	}
	return out
}

func ufwEnabled(s Seen) bool {
	for line := range strings.Lines(s.Files["/etc/ufw/ufw.conf"]) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "ENABLED="); ok {
			return strings.EqualFold(strings.Trim(v, `"'`), "yes")
		}
	}
	return false
}

// flushes reports whether an nft script empties everything first.
func flushes(script string) bool {
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(line, "#")
		for part := range strings.SplitSeq(line, ";") {
			if strings.Join(strings.Fields(part), " ") == "flush ruleset" {
				return true
			}
		}
	}
	return false
}

// fromFile reports whether a table stands in the file that nftables.service loads.
func fromFile(s Seen, t nft.Table) bool {
	if !slices.Contains(s.Units, "nftables.service") {
		return false
	}
	for line := range strings.Lines(s.Files["/etc/nftables.conf"]) {
		words := strings.Fields(line)
		if len(words) >= 3 && words[0] == "table" && words[1] == t.Family && strings.TrimSuffix(words[2], "{") == t.Name ||
			len(words) >= 2 && words[0] == "table" && t.Family == "ip" && strings.TrimSuffix(words[1], "{") == t.Name { // ip is nft's default
			return true
		}
	}
	return false
}

func own(t nft.Table) bool { return t.Family == nft.OwnFamily && t.Name == nft.OwnTable }

// fits compares with names and beginnings of names.
func fits(name string, patterns []string) bool {
	for _, p := range patterns {
		if base, ok := strings.CutSuffix(p, "*"); name == p || ok && strings.HasPrefix(name, base) {
			return true
		}
	}
	return false
}

// compat reports whether a table is one that iptables-nft keeps.
func compat(t nft.Table) bool {
	if t.Family != "ip" && t.Family != "ip6" {
		return false
	}
	switch t.Name {
	case "filter", "nat", "mangle", "raw", "security":
		return true
	}
	return false
}

// owner names the product that a chain belongs to; of a base chain of iptables that is whoever
// has chains of its own in the table.
func owner(s Seen, t nft.Table, chain nft.Chain) string {
	all := signatures()
	for _, g := range all {
		if fits(t.Family+" "+t.Name, g.tables) || fits(chain.Name, g.chains) {
			return g.name
		}
	}
	if !compat(t) {
		if fromFile(s, t) {
			return byNftablesConf
		}
		return byNobody
	}
	return ""
}

// policyOwner guesses who has set the policy of a base chain of iptables.
func policyOwner(s Seen, t nft.Table, chain nft.Chain) string {
	if name := owner(s, t, chain); name != "" {
		return name
	}
	has := func(pattern string) bool {
		return slices.ContainsFunc(t.Chains, func(c nft.Chain) bool { return fits(c.Name, []string{pattern}) })
	}
	switch {
	case has("ufw-*"), has("ufw6-*"):
		return "ufw"
	case has("DOCKER*") && chain.Base != nil && chain.Base.Hook == "forward":
		return "docker"
	case has("InstanceServices"), oracle(s):
		return "oracle-cloud"
	case slices.ContainsFunc(plainFiles(s), func(p Product) bool { return p.Name == byPersistent }):
		return byPersistent
	}
	return byIptables
}

// oracle knows the images of Oracle's cloud by what their saved rules begin with.
func oracle(s Seen) bool {
	return strings.Contains(s.Files["/etc/iptables/rules.v4"], "InstanceServices")
}
