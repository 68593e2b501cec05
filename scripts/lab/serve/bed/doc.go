// Package bed is where DHCP, DNS and router advertisement servers are tested: an Ethernet segment between network
// namespaces, the servers that can be put on it (dnsmasq, Kea and our own), a capture of all that goes over the wire to the
// server, and a station that speaks DHCP under any number of hardware addresses. It needs Linux and root.
package bed
