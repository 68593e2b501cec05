// Package networkd is the backend for systemd-networkd where no generator stands
// above it: hand-written .network files, Vagrant's, cloud-init's own renderer.
//
// It reads the files as networkd does (systemd.network(5), systemd.syntax(7)):
// which file applies to a link, which drop-ins amend it, what they shadow and which
// metric comes out. What it wants is the smallest addition: a drop-in
// FILE.network.d/90-provision.conf, or, where one file serves several links that
// must differ, a copy of it for the one link that sorts before it.
package networkd
