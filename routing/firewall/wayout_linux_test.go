package firewall_test

import (
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/firewall"
)

// lent is a machine without a firewall that shares its connection with the network at eth1.
func lent(to ...string) intent.Set {
	f := intent.Forward{From: "gadget", Interfaces: []string{"eth1"}, NAT: "auto", Why: "gadget: eth1"}
	for _, p := range to {
		f.Destinations = append(f.Destinations, netip.MustParsePrefix(p))
	}
	return intent.Set{Members: []intent.Member{{Zone: "gadget", Interfaces: []string{"eth1"}, Joins: true, Why: "gadget: eth1"}}, Forwards: []intent.Forward{f}}
}

// Without zones the way out is whatever has the default route: today eth0, then eth2. What comes
// to the machine stays as it was.
func TestWayOutWithoutZones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address(w.client, "e0", "10.0.5.3/24", "fd00:1::3/64")
	address(w.firewall, "eth1", "10.0.5.1/24", "fd00:1::1/64")
	w.client.Sh("ip route replace default via 10.0.5.1\nip -6 route replace default via fd00:1::1 src fd00:1::3\nip -6 addr del " + client6 + "/64 dev e0\nip addr del " + client4 + "/24 dev e0")
	w.firewall.Pair("eth2", w.far, "f1")
	address(w.firewall, "eth2", "203.0.114.2/24", "2001:db8:fb::2/64")
	address(w.far, "f1", "203.0.114.1/24", "2001:db8:fb::1/64")
	for _, n := range []string{"tcp", "udp"} {
		serve(t, w.outside, n, at(out4, "80"))
		serve(t, w.outside, n, at(out6, "80"))
		serve(t, w.far, n, at(far4, "80"))
		serve(t, w.far, n, at(far6, "80"))
		serve(t, w.far, n, at("203.0.114.1", "80"))
		serve(t, w.client, n, at("10.0.5.3", "80"))
		serve(t, w.server, n, at(server4, "80"))
		serve(t, w.firewall, n, at(box4, "80"))
		serve(t, w.firewall, n, at("10.0.5.1", "80"))
	}
	w.outside.Sh("ip route add 10.0.5.0/24 via " + box4)
	w.load(firewall.Policy{}, lent())
	for _, n := range []string{"tcp", "udp"} {
		w.sees("hidden", w.client, n, at(out4, "80"), box4)
		w.sees("hidden", w.client, n, at(out6, "80"), box6)
		w.sees("beyond the gateway", w.client, n, at(far4, "80"), box4)
		w.sees("the machine itself stays open", w.outside, n, at(box4, "80"), out4)
		w.sees("and for those who are lent to", w.client, n, at("10.0.5.1", "80"), "10.0.5.3")
		w.dropped("nobody reaches them unasked", w.outside, n, at("10.0.5.3", "80"))
	}
	// The other uplink takes over; the rules are the same.
	w.firewall.Sh("ip route replace default via 203.0.114.1\nip -6 route replace default via 2001:db8:fb::1")
	w.sees("by the new way", w.client, "tcp", at(far4, "80"), "203.0.114.2")
	w.sees("by the new way", w.client, "udp", at(far6, "80"), "2001:db8:fb::2")

	w.load(firewall.Policy{}, lent("203.0.113.0/24", "2001:db8:fa::/64"))
	w.sees("split", w.client, "tcp", at(far4, "80"), "203.0.114.2")
	w.sees("split", w.client, "tcp", at(far6, "80"), "2001:db8:fb::2")
	w.refuses("not among the destinations", w.client, "tcp", at("203.0.114.1", "80"))
	w.refuses("not among the destinations", w.client, "udp", at(out4, "80"))

	// With zones the way out are those that face outside, and nothing else.
	w.load(read(t, "zones: {outside: {interfaces: [eth2]}, lan: {interfaces: [eth7]}}"), lent())
	w.sees("zones", w.client, "tcp", at(far4, "80"), "203.0.114.2")
	w.refuses("zones: eth0 is in none", w.client, "tcp", at(out4, "80"))
	w.dropped("zones", w.outside, "tcp", at(box4, "80"))
}
