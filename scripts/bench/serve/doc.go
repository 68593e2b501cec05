// Package serve measures DHCP and DNS servers beside each other: dnsmasq, Kea and unbound as Debian has them, and our own, in turn and in
// the same namespace world. "make bench" runs it; it needs root and Debian packages (tag lab).
package serve
