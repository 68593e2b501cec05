package routing

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/wireguard"
)

const twoNodes = `
overlay:
  node: osaka
  private-key-file: /k
  nodes:
    osaka: {public-key: PUBLIC, endpoint: "192.0.2.1:51821", addresses: [10.97.99.1/24], bridge-addresses: [10.97.100.1/24]}
    paris: {public-key: ` + keyB + `, endpoint: "192.0.2.2:51821", addresses: [10.97.99.2/24]}
`

// The guard is there before the tunnel, the tunnel before the wires, and all of it is back after a boot.
func TestOverlayInThePlan(t *testing.T) {
	public := "d3J+DNLYjNLJGKsSZzVRf+fBrlbAfDBMGuxTv+z/QA8="
	in := Input{Facts: machine("eth0"), Units: units, WireGuard: wireguard.Input{Keys: map[string]wireguard.KeyFile{"/k": {Text: []byte(keyA + "\n"), Mode: 0o600}}}}
	_, err := Plan(in, config(t, strings.ReplaceAll(twoNodes, "PUBLIC", public)))
	if err == nil || !strings.Contains(err.Error(), "its public key is ") {
		t.Fatalf("the key of somebody else: %v", err)
	}
	_, public, _ = strings.Cut(err.Error(), "its public key is ")
	public, _, _ = strings.Cut(public, ")")
	c := config(t, strings.ReplaceAll(twoNodes, "PUBLIC", public))
	r, err := Plan(in, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]func(string) int{"desired": func(s string) int { return at(r.Desired.Wants, s) }, "kept": func(s string) int { return at(r.Kept, s) }} {
		last := -1
		for _, o := range []string{"nft", "wireguard:wg-overlay", "wireguard-peer:wg-overlay " + keyB, "bridge:br-overlay", "vxlan:vx-paris", "bridge-port:name:vx-paris", "link:name:vx-paris", "link:name:br-overlay"} {
			n := at(o)
			if n <= last {
				t.Errorf("%s: %s is at %d, what has to be there before it at %d", name, o, n, last)
			}
			last = n
		}
	}
	guarded := false
	for _, chain := range r.Table.Chains {
		guarded = guarded || chain.Name == "overlay-raw"
	}
	if !guarded {
		t.Error("anybody can put frames on the wires")
	}
	if _, err := Plan(Input{Facts: machine("eth0"), Units: units}, c); err == nil || !strings.Contains(err.Error(), "wg genkey > /k") {
		t.Errorf("no key: %v", err)
	}
	if again := c.WithOverlay(); !again.WireGuard.Has("wg-overlay") || len(again.Problems()) > 0 || len(again.WithOverlay().Problems()) > 0 {
		t.Errorf("%v", again.Problems())
	}
	walled := c
	walled.Zones = config(t, "zones: {outside: {interfaces: [eth0]}, inside: {interfaces: [eth1]}}").Zones
	if r, err = Plan(in, walled); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, chain := range r.Table.Chains {
		if chain.Base != nil && chain.Base.Hook == "forward" && chain.Base.Policy == "drop" && strings.HasPrefix(chain.Rules[0].Comment, "bridge netfilter: between the ports of br-overlay") {
			passed++
		}
	}
	if passed != 1 {
		t.Error("frames between wires meet the policy for routed packets")
	}
	c.WireGuard = c.WireGuard.With("wg-overlay", wireguard.Interface{PrivateKeyFile: "/other"})
	if p := c.Problems(); len(p) == 0 || p[0].Path != "overlay.interface" {
		t.Errorf("two devices of one name: %v", p)
	}
	c.Overlay.Node = ""
	if _, err := Plan(Input{Facts: &facts.Facts{}}, c); err == nil || !strings.Contains(err.Error(), "routing.overlay.node") {
		t.Error(err)
	}
}
