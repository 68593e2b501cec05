// Package dhcp6 is a stateless DHCPv6 server (RFC 8415 section 18.3.6): it tells hosts that have their addresses by
// themselves who resolves names and keeps time. It gives out no addresses and keeps no state but its own DUID.
package dhcp6
