package routing

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// The kernel's own answer: where a full tunnel has the network of its endpoint, and everything as two
// halves, what it sends there leaves beside it, and what others send goes into it.
func TestKernelSendsTunnelBeside(t *testing.T) {
	ns, out := nstest.New(t), nstest.New(t)
	ns.Pair("eth0", out, "far0")
	ns.Sh("ip addr add 192.0.2.1/24 dev eth0\nip route add default via 192.0.2.254\nip tuntap add wg0 mode tun\nip addr add 10.97.98.5/32 dev wg0\nip link set wg0 up")
	f := machine("eth0", "wg0")
	f.Routes = []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2, Table: 254, Type: "unicast"}, {Dst: netip.MustParsePrefix("192.0.2.0/24"), Link: 2, Table: 254, Type: "unicast"}}
	const text = `
wireguard:
  wg0: {private-key: ` + keyA + `, addresses: [10.97.98.5/32], route: full, peers: {exit: {public-key: ` + keyB + `, allowed-ips: [0.0.0.0/1, 128.0.0.0/1, 203.0.113.0/24, 10.20.0.0/16], endpoint: "203.0.113.9:51820"}}}
`
	if _, err := Plan(Input{Facts: f, Units: units}, config(t, strings.Replace(text, "route: full", "route: split", 1))); err == nil || !strings.Contains(err.Error(), "203.0.113.0/24 holds 203.0.113.9") {
		t.Errorf("the same without rules of its own: %v", err)
	}
	beside := strings.Replace(text, "route: full", "route: split", 1) + "policy: {routes: [{to: 203.0.113.9/32, via: 192.0.2.254, interface: eth0}]}\n"
	if _, err := Plan(Input{Facts: f, Units: units}, config(t, beside)); err != nil {
		t.Errorf("with a way beside: %v", err)
	}
	r, err := Plan(Input{Facts: f, Units: units}, config(t, text))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]provision.Resource{route.Kind: route.Resource{}, rule.Kind: rule.Resource{}}
	ns.Do(func() {
		for _, w := range r.Desired.Wants {
			if k := kinds[w.Kind]; k != nil {
				have, err := k.Get(t.Context(), w.Name)
				if err == nil {
					err = k.Set(t.Context(), w.Name, have, w.Attrs)
				}
				if err != nil && !strings.Contains(w.Name, "inet6") {
					t.Errorf("%s: %v", w.Ref, err)
				}
			}
		}
	})
	mark := " mark " + r.Desired.Wants[at(r.Desired.Wants, "wireguard:wg0")].Attrs["fwmark"]
	for to, dev := range map[string]string{"203.0.113.9" + mark: "eth0", "203.0.113.9": "wg0", "203.0.113.20": "wg0", "10.20.0.1": "wg0", "9.9.9.9": "wg0", "200.0.0.1": "wg0", "192.0.2.9": "eth0"} {
		if got := ns.Sh("ip route get " + to); !strings.Contains(got, " dev "+dev+" ") {
			t.Errorf("to %s: want %s, got %s", to, dev, got)
		}
	}
	// What wg-quick(8) would do: the halves in the main table, where they catch the tunnel's own packets.
	ns.Sh("ip route add 128.0.0.0/1 dev wg0")
	if got := ns.Sh("ip route get 203.0.113.9" + mark); !strings.Contains(got, " dev wg0 ") {
		t.Errorf("the test proves nothing: %s", got)
	}
}
