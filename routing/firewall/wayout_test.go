package firewall_test

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/firewall"
)

func joins(names ...string) []intent.Member {
	return []intent.Member{{Zone: "gadget", Interfaces: names, Joins: true, Why: "gadget"}}
}

// Who only joins asks for no firewall: a machine that has none stays open.
func TestWhoJoinsAsksForNothing(t *testing.T) {
	var none firewall.Policy
	out := intent.Forward{From: "gadget", NAT: "auto"}
	for _, c := range []struct {
		name string
		p    firewall.Policy
		in   intent.Set
		want bool
	}{
		{"nothing", none, intent.Set{}, false},
		{"a link that is served", none, intent.Set{Members: joins("usb0")}, false},
		{"a link with a way out", none, intent.Set{Members: joins("usb0"), Forwards: []intent.Forward{out}}, true},
		{"a member that wants a firewall", none, intent.Set{Members: []intent.Member{{Zone: "vpn", Interfaces: []string{"wg0"}}}}, true},
		{"zones", read(t, "zones: {inside: {interfaces: [eth1]}, outside: {interfaces: [eth0]}}"), intent.Set{Members: joins("usb0")}, true},
	} {
		if got := c.p.Wanted(c.in); got != c.want {
			t.Errorf("%s: wanted is %v", c.name, got)
		}
	}
}

func TestJoinedInterfacesStayWhereTheyAre(t *testing.T) {
	p := read(t, "zones: {lan: {interfaces: [\"usb*\"]}, outside: {interfaces: [wlan0]}}")
	table, notes, err := firewall.Compile(p, intent.Set{Members: joins("usb0", "br-usb")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 2 || !strings.Contains(notes[1].Text, "usb0 is in this zone already") || notes[1].Path != "zones.lan" {
		t.Errorf("%+v", notes)
	}
	if x := table.Problems(); len(x) > 0 {
		t.Error(x)
	}
	_, _, err = firewall.Compile(read(t, "zones: {lan: {interfaces: [eth1]}}"), intent.Set{Members: joins("usb0"), Forwards: []intent.Forward{{From: "gadget", NAT: "auto", Why: "gadget: usb0"}}}, nil)
	if err == nil || !strings.Contains(err.Error(), "gadget: usb0 asks for a way out, but no zone faces outside: write for example") {
		t.Errorf("%v", err)
	}
}
