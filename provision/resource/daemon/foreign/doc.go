// Package foreign keeps what other people put on the links: routes, policy rules and
// addresses that the network manager about to be disturbed did not make. networkd
// deletes them on a reload; NetworkManager prunes them on a reapply. They are saved
// as the kernel's own netlink messages, so nothing is lost in translation (metrics of
// a route, port ranges of a rule), in a small journal file that survives a crash, and
// are sent back afterwards as "ip route restore" does.
package foreign
