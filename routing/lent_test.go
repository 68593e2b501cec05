package routing

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
)

// A served link that only joins asks for nothing; with a way out it makes the machine forward, and
// the firewalls of others hear of it, whatever the uplink is.
func TestLinksThatJoin(t *testing.T) {
	in := intent.Set{Members: []intent.Member{{Zone: "gadget", Interfaces: []string{"usb0"}, Joins: true, Why: "gadget: usb0"}}}
	f := machine("usb0", "wlan0", "eth0")
	f.Routes = []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 3, Table: 254, Type: "unicast"}}
	r, err := Plan(Input{Facts: f, Units: units, Intents: in}, Config{})
	if err != nil || r.Table != nil || len(r.Desired.Wants) > 0 {
		t.Fatalf("%v, %v", r.Desired, err)
	}
	in.Forwards = []intent.Forward{{From: "gadget", Interfaces: []string{"usb0"}, NAT: "auto", Why: "gadget: usb0"}}
	if r, err = Plan(Input{Facts: f, Units: units, Intents: in}, Config{}); err != nil || r.Table == nil {
		t.Fatalf("no table: %v", err)
	}
	for _, want := range []string{"nft", "global net.ipv4.ip_forward", "global net.ipv6.conf.all.forwarding"} {
		if at(r.Desired.Wants, want) < 0 {
			t.Errorf("%s is not wanted", want)
		}
	}
	for _, c := range r.Table.Chains {
		if strings.HasPrefix(c.Name, "input") || c.Base != nil && c.Base.Policy == "drop" {
			t.Errorf("chain %s closes what nobody asked to close", c.Name)
		}
	}
	if len(r.Flows) != 1 || r.Flows[0].In != "usb0" || r.Flows[0].Out != "wlan0" {
		t.Errorf("flows: %+v", r.Flows)
	}
}
