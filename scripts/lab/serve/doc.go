// Package serve tests the DHCP, DNS and router advertisement server as a whole, with other people's programs as judges. Its tests
// need root and Debian packages (tag lab, tier serve). PROVISION_SERVER=dnsmasq or kea puts another server in ours' place: that shows
// whether the judges can be believed. PROVISION_BINARY names a ready program, which is else built.
package serve
