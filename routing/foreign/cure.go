package foreign

import (
	"fmt"
	"slices"
	"strings"
)

// cure is what helps against a finding, and the adapter of ours that does it.
func cure(s Seen, f Finding) (text, adapter string) {
	if f.Harmless {
		return "", ""
	}
	var do []string
	each := func(say func(Flow) string) {
		for _, flow := range f.Flows {
			if c := say(flow); c != "" && !slices.Contains(do, c) {
				do = append(do, c)
			}
		}
	}
	switch f.Product {
	case "docker":
		if f.Table == "docker-bridges" {
			return "docker drops what it does not expect on its own bridges; publish the port with docker, or give dockerd --bridge-accept-fwmark", ""
		}
		if !hasChain(s, f.Family, "DOCKER-USER") {
			return fmt.Sprintf("an earlier run of docker has left this policy and no chain DOCKER-USER: %s -P FORWARD ACCEPT, or reboot", tool(f.Family)), ""
		}
		each(func(l Flow) string {
			if l.hook() != "forward" {
				return ""
			}
			return fmt.Sprintf("%s -I DOCKER-USER -i %s -o %s -j ACCEPT", tool(f.Family), l.In, l.Out)
		})
		return "firewall.adapters: [docker] puts accept rules into DOCKER-USER and keeps them there; by hand: " + strings.Join(do, "; ") +
			"; docker sets no such policy where forwarding was on before it started", "docker"
	case "ufw":
		each(ufwCommand)
		return "firewall.adapters: [ufw]; by hand: " + strings.Join(do, "; "), "ufw"
	case "firewalld":
		each(firewalldCommand)
		text, adapter = "", "firewalld"
		for _, l := range f.Flows {
			if l.hook() == "output" || l.Published || l.Port != 0 && !forwards(f.Flows, l.In) {
				adapter = ""
			}
		}
		if adapter != "" {
			text = "firewall.adapters: [firewalld] puts the inside device into zone trusted; "
		}
		return text + "by hand, the same again with --permanent: " + strings.Join(do, "; "), adapter
	case "oracle-cloud":
		return fmt.Sprintf("Oracle's images end INPUT and FORWARD with a REJECT and load it at each boot from /etc/iptables: %s -D %s -j REJECT --reject-with %s, then netfilter-persistent save",
			tool(f.Family), f.Chain, map[string]string{"ip": "icmp-host-prohibited", "ip6": "icmp6-adm-prohibited"}[f.Family]), ""
	case "podman", "libvirt", "lxd", "incus":
		return fmt.Sprintf("%s keeps its own bridges apart by this rule; tell %s to allow it (its network's settings), our table cannot", f.Product, f.Product), ""
	case "k3s", "kube-proxy", "calico", "cilium", "flannel":
		return "a node's own rules: allow it with a NetworkPolicy or the plugin's settings; do not edit its chains", ""
	case "tailscale", "netbird", "wg-quick":
		return fmt.Sprintf("%s refuses what comes by other devices than its own; see its settings for routed subnets", f.Product), ""
	case byNftablesConf:
		return fmt.Sprintf("accept it in chain %s too, in /etc/nftables.conf, or take that chain out of the file", f.Chain), ""
	case byPersistent:
		return "take the rule out (it is loaded at each boot from /etc/iptables): " + tool(f.Family) + ", then netfilter-persistent save", ""
	case byIptables:
		if f.Rule == 0 {
			return fmt.Sprintf("%s -P %s ACCEPT, or accept it there", tool(f.Family), f.Chain), ""
		}
		return fmt.Sprintf("%s -D %s %d, or accept it before that rule", tool(f.Family), f.Chain, f.Rule), ""
	}
	if strings.HasSuffix(f.Table, "(x_tables)") {
		return "look at it with " + legacyTool(f.Family) + "; better, let update-alternatives --config iptables choose iptables-nft, and load the rules again", ""
	}
	return fmt.Sprintf("accept it in chain %s of table %s %s too; whoever made that table knows how", f.Chain, f.Family, f.Table), ""
}

func tool(family string) string {
	if family == "ip6" {
		return "ip6tables"
	}
	return "iptables"
}

func ufwCommand(l Flow) string {
	to := ""
	if l.Port != 0 {
		to = fmt.Sprintf(" to any port %d proto %s", l.Port, l.Proto)
	}
	switch l.hook() {
	case "forward":
		return fmt.Sprintf("ufw route allow in on %s out on %s%s", l.In, l.Out, to)
	case "input":
		return fmt.Sprintf("ufw allow in on %s%s", l.In, to)
	}
	return strings.TrimSpace(fmt.Sprintf("ufw allow out on %s%s", l.Out, to))
}

func firewalldCommand(l Flow) string {
	switch {
	case l.hook() == "output":
		return fmt.Sprintf("firewall-cmd --policy=POLICY --add-port=%d/%s", l.Port, l.Proto)
	case l.hook() == "input" && l.Port != 0:
		return fmt.Sprintf("firewall-cmd --zone=$(firewall-cmd --get-zone-of-interface=%s || firewall-cmd --get-default-zone) --add-port=%d/%s", l.In, l.Port, l.Proto)
	}
	return "firewall-cmd --zone=trusted --change-interface=" + l.In
}

// forwards reports whether one of the flows is forwarded from a device without a port.
func forwards(flows []Flow, in string) bool {
	return slices.ContainsFunc(flows, func(l Flow) bool { return l.In == in && l.hook() == "forward" && !l.Published })
}

func hasChain(s Seen, family, chain string) bool {
	for _, t := range s.Tables {
		if t.Family == family && t.Name == "filter" {
			for _, c := range t.Chains {
				if c.Name == chain {
					return true
				}
			}
		}
	}
	return false
}
