// Package routing tries the wing of the way out with the real program: forwarding, firewall, kill
// switch and watch between a client, a server and a tunnel's far end, and a boot under systemd.
// nft, ip, ping, dig and a capture on the far side of the way out are the judges (tag lab).
package routing
