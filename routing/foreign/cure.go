package foreign

import (
	"fmt"
	"slices"
	"strings"
)

// cure is what helps against a finding, and the adapter of ours that does it. all are the flows of
// our whole policy.
func cure(s Seen, f Finding, all []Flow) (text, adapter string) {
	if f.Harmless || f.Drops == Some {
		return "", ""
	}
	if f.Table == xtables {
		return "look at it with " + legacyTool(f.Family) + "; better, let update-alternatives --config iptables choose iptables-nft, and have the rules made again", ""
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
			only := ""
			if l.Published {
				only = " -m conntrack --ctstate DNAT"
			} else if l.Port != 0 {
				only = fmt.Sprintf(" -p %s --dport %d", l.Proto, l.Port)
			}
			return fmt.Sprintf("%s -I DOCKER-USER -i %s -o %s%s -j ACCEPT", tool(f.Family), plus(l.In), plus(l.Out), only)
		})
		return "firewall.adapters: [docker] puts accept rules into DOCKER-USER and keeps them there; by hand: " + strings.Join(do, "; ") +
			"; docker sets no such policy where forwarding was on before it started", "docker"
	case "ufw":
		each(ufwCommand)
		return "firewall.adapters: [ufw]; by hand: " + strings.Join(do, "; "), "ufw"
	case "firewalld":
		in := trusted(all)
		do = firewalldCommands(f.Flows, nil)
		if slices.ContainsFunc(f.Flows, func(l Flow) bool { return l.hook() != "output" && slices.Contains(in, l.In) }) {
			text = "firewall.adapters: [firewalld] puts " + strings.Join(in, ", ") + " into zone trusted; "
		}
		if len(firewalldCommands(f.Flows, in)) == 0 {
			adapter = "firewalld"
		}
		return text + "by hand: " + strings.Join(do, "; "), adapter
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
		return fmt.Sprintf("ufw route allow in on %s out on %s%s", plus(l.In), plus(l.Out), to)
	case "input":
		return fmt.Sprintf("ufw allow in on %s%s", plus(l.In), to)
	}
	return strings.TrimSpace(fmt.Sprintf("ufw allow out on %s%s", plus(l.Out), to))
}

// firewalldCommands are what a person would type for those flows that come by none of the devices in.
func firewalldCommands(flows []Flow, in []string) []string {
	var out []string
	for _, l := range flows {
		var c string
		switch {
		case l.hook() != "output" && (slices.Contains(in, l.In) || l.Published):
			continue // firewalld accepts what dnat has changed (ct status dnat)
		case l.hook() == "input" && l.Port != 0:
			c = fmt.Sprintf("firewall-cmd --permanent --zone=Z --add-port=%d/%s where Z is the zone of %s (firewall-cmd --get-zone-of-interface=%s, or else --get-default-zone)", l.Port, l.Proto, l.In, l.In)
		case l.Port != 0 || l.hook() == "output":
			c = fmt.Sprintf("a policy of firewalld's (man firewalld.policies) for %s", l)
		default:
			c = "firewall-cmd --zone=trusted --change-interface=" + plus(l.In) + ", the same again with --permanent"
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// plus writes a pattern of devices as iptables, ufw and firewalld do.
//
//go:noinline
func plus(dev string) string {
	if base, ok := strings.CutSuffix(dev, "*"); ok {
		return base + "+"
	}
	return dev
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
