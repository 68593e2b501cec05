package policy

import (
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
)

// lent tells of IPv4 addresses that a DHCP server may take back: the rules are for the addresses of
// now. (IPv6 has rules for whole networks, so new addresses in them are no news.)
func (in *survey) lent(nics []nic) []provision.Note {
	var names []string
	for _, n := range nics {
		if _, ok := n.defaults[4]; !ok {
			continue
		}
		for _, a := range in.addrs[n.link.Index] {
			if a.Dynamic && a.Prefix.Addr().Is4() && a.Scope == "global" && !slices.Contains(names, n.link.Name) {
				names = append(names, n.link.Name)
			}
		}
	}
	if names == nil {
		return nil
	}
	return []provision.Note{{Level: "info", Subject: "routing.policy.per-nic-replies",
		Text: "IPv4 addresses of " + strings.Join(names, ", ") + " are lent by DHCP: when one changes, its rule is right again with the next apply"}}
}
