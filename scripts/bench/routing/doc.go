// Package routing measures the firewall beside nft(8): packets through a box with our rules and with
// the same rules loaded by "nft -f", and the time that setting up a policy takes. "make bench" runs
// it; it needs root, nft and iperf3 (tag lab).
package routing
