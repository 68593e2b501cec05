// Package solicit asks routers to advertise now, so that a changed ra_defrtr_metric takes effect at once and not with the next
// unsolicited advertisement, which may be half an hour away (RFC 4861 section 6.2.1, MaxRtrAdvInterval).
//
// The route is the kernel's own and must stay so: a copy made by netlink lacks RTF_ADDRCONF, and the kernel then drops every later
// advertisement of that router whole, prefixes included (net/ipv6/ndisc.c, ndisc_router_discovery). So nothing is moved here; the
// kernel replaces its route when it hears the answer, deleting and adding within 0.1 ms.
package solicit

import "github.com/provision-net/provision/provision"

// Kind is the kind of Action.
const Kind = "router-solicit"

const argSelector = "selector"

// Action sends router solicitations on the selected link until its IPv6 default routes have the metric that the sysctl says, for some
// seconds at most. A router that stays silent is no error: its next advertisement will do it. It serves both directions.
func Action(selector string) provision.Action {
	return provision.Action{Kind: Kind, Args: map[string]string{argSelector: selector}}
}
