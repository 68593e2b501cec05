package foreign

import (
	"slices"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// Bridged names the bridges whose frames between their own ports go through the forward chains of
// ip and inet tables, ours too: with net.bridge.bridge-nf-call-iptables=1, which docker sets and
// which is the kernel's own default (net/bridge/br_netfilter_hooks.c). Such a frame has the bridge
// as its way in and its way out; a policy that is for routed packets has to accept it first.
func Bridged(s Seen) []string {
	if s.Sysctl["net.bridge.bridge-nf-call-iptables"] != "1" && s.Sysctl["net.bridge.bridge-nf-call-ip6tables"] != "1" {
		return nil
	}
	var out []string
	for _, d := range s.Devices {
		if d.Kind == "bridge" {
			out = append(out, d.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Exempt are the rules that a forward chain begins with, so that it leaves frames between the
// ports of these bridges alone. Routed packets come in and leave by different devices, but for
// those that are sent back where they came from, which a bridge's own ports could have exchanged
// anyway.
func Exempt(bridges []string) []nft.Rule {
	var out []nft.Rule
	for _, b := range bridges {
		out = append(out, match.Rule("bridge netfilter: between the ports of "+b, match.IIFName(b), match.OIFName(b), match.Accept()))
	}
	return out
}
