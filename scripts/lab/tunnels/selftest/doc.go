// Package selftest has the scenarios of the kernel's own test of WireGuard
// (tools/testing/selftests/wireguard), written anew for the kinds of state of this program: two ends
// and a router between them, each in a namespace. Devices are the kernel's where it has them.
package selftest
