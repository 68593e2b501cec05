package agent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/overlay"
	wireguardplan "github.com/provision-net/provision/routing/wireguard"
)

// Nodes have names where names are served, unless the file gives a name to somebody else.
func TestOverlayNames(t *testing.T) {
	o := overlay.Config{Node: "osaka", PrivateKeyFile: "/k", Nodes: map[string]overlay.Node{}}
	for i, n := range []string{"osaka", "paris", "quito"} {
		o.Nodes[n] = overlay.Node{PublicKey: wireguard.Key{1: byte(i + 1)}.Clamp().Public().String(), Endpoint: "192.0.2.1:51821", Addresses: []string{fmt.Sprintf("10.97.99.%d/24", i+1)}}
	}
	paris := o.Nodes["paris"]
	paris.BridgeAddresses = []string{"10.97.100.2/24", "fd98::2/64"}
	o.Nodes["paris"] = paris
	c := Config{Serve: dnsdhcp.Config{Links: []dnsdhcp.Rule{{Match: dnsdhcp.Match{Name: "lan0"}}}, Hosts: []dnsdhcp.Host{{Name: "Quito", Address: "10.9.0.3"}}}, Routing: routing.Config{Overlay: o}}
	s, wanted, err := ServeConfig(t.TempDir(), c)
	if err != nil || !wanted {
		t.Fatal(wanted, err)
	}
	got := ""
	for _, h := range s.Hosts {
		got += fmt.Sprint(h.Name, h.Address, h.Addresses)
	}
	if want := "Quito10.9.0.3[]osaka[10.97.99.1]paris[10.97.100.2 fd98::2]"; got != want || len(c.Serve.Hosts) != 1 {
		t.Errorf("%s, want %s", got, want)
	}
	if p := s.Problems(); len(p) > 0 {
		t.Errorf("the server would not take them: %v", p)
	}
	o.Node = "rome"
	c.Routing.Overlay = o
	if s, _, _ := ServeConfig(t.TempDir(), c); len(s.Hosts) != 1 {
		t.Errorf("an overlay with problems adds %v", s.Hosts)
	}
}

// The tunnel below an overlay is not taken for the one that a person means who names none.
func TestOverlayIsNotChosen(t *testing.T) {
	o := overlay.Config{Node: "osaka", Nodes: map[string]overlay.Node{"osaka": {}}}
	for _, tc := range []struct {
		name, want, text string
		tunnels          []string
	}{
		{"", "wg0", "", []string{"wg0"}},
		{"wg-overlay", "wg-overlay", "", []string{"wg0"}},
		{"", "", "there is no WireGuard interface: ", nil},
		{"", "", "there are wg0, wg1: ", []string{"wg0", "wg1"}},
	} {
		c := routing.Config{Overlay: o, WireGuard: o.WireGuard()}
		for _, n := range tc.tunnels {
			c.WireGuard = c.WireGuard.With(n, wireguardplan.Interface{})
		}
		got, err := chooseOf(c, tc.name)
		if got != tc.want || (err != nil) != (tc.text != "") || err != nil && !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%q of %v: %q, %v", tc.name, tc.tunnels, got, err)
		}
		if !c.WireGuard.Has("wg-overlay") {
			t.Error("the configuration was changed")
		}
	}
}
