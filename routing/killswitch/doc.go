// Package killswitch keeps a router whose way out is a tunnel from ever using another one.
//
// # Layers
//
// Each of three layers is enough by itself against its own sort of accident, and none against all:
//
//   - an unreachable default route of the worst metric in the tunnel's routing table, both
//     families: the tunnel's device goes, its routes go with it, and this one is left;
//   - the guard, base chains of the own nft table that stand before the firewall's: nothing is
//     forwarded but into the tunnel and between the inside links, and of the machine's own packets
//     only those leave that bring the tunnel about. It holds when policy rules are deleted. A drop
//     in any base chain is final, so no other table can take it back;
//   - forwarding, which is off until the other two have been seen in place: it holds when somebody
//     flushes the ruleset.
//
// The guard has a chain in postrouting too. In output a packet that a later chain marks and
// reroutes still carries the device of its first route (net/netfilter/nf_tables, nft_chain_route.c:
// the hook's state is not made anew), so only postrouting sees the true one; but only output and
// forward can answer with a reject, so that programs fail at once.
//
// # Openings
//
// Every opening is an element of a set with a timeout, which the kernel itself ends: guard-open (a
// way out that is open by choice or trusted), guard-self and guard-window (a captive portal's
// window, for this machine and for clients). The other way round works guard-done: the ports of the
// start (DNS 53, NTP 123) that are not needed any more. When this process dies, openings close and
// the start is allowed again, so that clock and tunnel cannot wait for each other.
//
// # Order
//
// Whoever puts the switch in place (apply, provision restore at boot, provision watch on every
// event) does it in this order: forwarding off; guard; unreachable routes; then all is read anew,
// and only if it is there forwarding is turned on. Decide gives the steps, Settle walks them.
package killswitch
