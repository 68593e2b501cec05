// Package dhcp4 is a DHCPv4 server (RFC 2131). Handler decides: packet, lease table and the time go in, a reply, the
// records that must be durable before it may leave, and the reason for it come out; it owns no socket, no goroutine
// and no clock. Server is the thin loop around it: sockets, commits, probes and timers.
//
// What every packet met is one trace.Entry whose Reason is a constant of reason.go.
package dhcp4
