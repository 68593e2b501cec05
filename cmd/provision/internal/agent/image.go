package agent

import (
	"slices"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision/facts"
)

// arphrdEther is ARPHRD_ETHER of linux/if_arp.h.
const arphrdEther = 1

// named are the NICs that the configuration calls by name. A mounted image has no
// kernel that could be asked which NICs there are, so these are all that can be
// planned for: as Ethernet NICs of that name, without hardware or addresses.
func named(c backends.Config) []facts.Link {
	var out []facts.Link
	for _, r := range c.NICs {
		m := r.Match
		exact := m.Name != "" && !strings.ContainsAny(m.Name, `*?[\`) && m.Driver == "" && m.Path == "" && m.Role == ""
		if !exact || slices.ContainsFunc(out, func(l facts.Link) bool { return l.Name == m.Name }) {
			continue
		}
		out = append(out, facts.Link{Index: len(out) + 1, Name: m.Name, MAC: strings.ToLower(m.MAC), PermMAC: strings.ToLower(m.MAC), ARPHRD: arphrdEther})
	}
	return out
}
