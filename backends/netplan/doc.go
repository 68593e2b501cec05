// Package netplan is the backend for NICs that netplan configures, whichever daemon
// it renders to.
//
// It reads the YAML tree as netplan does (files of /run hide those of /etc, these
// those of /lib; reading in the order of file names over all directories; mappings
// merge, scalars override, sequences append) and adds one file of its own that sorts
// last, /etc/netplan/90-provision.yaml, which amends existing ids. A plain "netplan
// generate" would rewrite the generated files of every NIC, and systemd-networkd
// takes a new time for a change; "netplan apply" drops addresses even where nothing
// changed. So the generator runs on a scratch copy, and only the file of the NIC that
// changes is put in place (daemon.NetplanGenerate), now and on the way back.
//
// What YAML cannot say (different metrics for IPv4 and IPv6, a metric for router
// advertisements without DHCP, the order of name servers) is a drop-in for the
// generated file, in /etc/systemd/network.
package netplan
