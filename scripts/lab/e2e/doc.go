// Package e2e drives the real program on real systems: Debian roots booted under their own systemd, with their own network
// managers, between real DHCP and router advertisement servers. Its tests need the build tag lab, Linux and root.
package e2e
