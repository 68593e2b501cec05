package firewall_test

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/firewall"
)

func vpn(manage string, names ...string) intent.Set {
	return intent.Set{Members: []intent.Member{{Zone: "vpn", Interfaces: names, Joins: true, Manage: manage, Why: "wg: " + strings.Join(names, " ")}}}
}

// Where there is no firewall, what may not manage the machine gets at nothing but what is served to it,
// and the machine is as open as before to everybody else.
func TestUnmanagedWithoutFirewall(t *testing.T) {
	var none firewall.Policy
	if none.Wanted(vpn("yes", "wg0")) || none.Wanted(vpn("", "wg0")) || !none.Wanted(vpn("no", "wg0")) {
		t.Error("a table is wanted where nothing is refused, or none where something is")
	}
	in := vpn("no", "wg0")
	in.Services = []intent.Service{{Name: "dns", Interfaces: []string{"wg0"}, Proto: "udp", Ports: []uint16{53}, Why: "served"}}
	table, _, err := firewall.Compile(none, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if x := table.Problems(); len(x) > 0 {
		t.Error(x)
	}
	text := nft.Text(table)
	for _, want := range []string{
		"type filter hook input priority filter; policy accept;",
		`elements = { "wg0" : jump input.vpn }`,
		`iifname "wg0" udp dport 53`,
		"zone vpn may not manage this machine",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	table, _, err = firewall.Compile(none, vpn("yes", "wg0"), nil)
	if err != nil || strings.Contains(nft.Text(table), "hook input") {
		t.Errorf("who may manage it is held up: %v\n%s", err, nft.Text(table))
	}
}

func TestManagementOfAMember(t *testing.T) {
	outside := "zones: {outside: {interfaces: [eth0]}"
	const let = "management from zone vpn"
	for _, tt := range []struct {
		policy, manage string
		lets           bool
		err            string
	}{
		{outside + "}", "", true, ""},
		{outside + "}", "yes", true, ""},
		{outside + "}", "no", false, ""},
		{outside + ", vpn: {management: false}}", "no", false, ""},
		{outside + ", vpn: {management: false}}", "yes", false, "write management: true there"},
		{outside + ", vpn: {interfaces: [eth9]}}", "no", false, "write management: false there"},
		{outside + "}", "maybe", false, `says "maybe" where yes or no is meant`},
	} {
		table, _, err := firewall.Compile(read(t, tt.policy), vpn(tt.manage, "wg0"), nil)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s, %s: %v, want %q", tt.policy, tt.manage, err, tt.err)
			}
			continue
		}
		if err != nil || strings.Contains(nft.Text(table), let) != tt.lets {
			t.Errorf("%s, %q: %v, management is let in: %v", tt.policy, tt.manage, err, !tt.lets)
		}
	}
	two := vpn("no", "wg0")
	two.Members = append(two.Members, vpn("yes", "wg1").Members...)
	if _, _, err := firewall.Compile(read(t, outside+"}"), two, nil); err == nil || !strings.Contains(err.Error(), "give one of them another zone") {
		t.Errorf("two that contradict each other: %v", err)
	}
}

// Peers of a zone reach each other, and what they are let reach, also where there is no firewall.
func TestForwardWithinAZone(t *testing.T) {
	in := vpn("", "wg0")
	in.Forwards = []intent.Forward{{From: "vpn", To: "vpn", Interfaces: []string{"wg0"}, NAT: "no", Why: "peers"}, {From: "vpn", NAT: "auto", Why: "out"}}
	table, _, err := firewall.Compile(firewall.Policy{}, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := nft.Text(table)
	accept := strings.Index(text, `iifname "wg0" oifname "wg0" counter packets 0 bytes 0 accept comment "peers"`)
	if accept < 0 {
		accept = strings.Index(text, `iifname "wg0" oifname "wg0" counter accept comment "peers"`)
	}
	refuse := strings.Index(text, `comment "to zone vpn"`)
	if accept < 0 || refuse < accept {
		t.Errorf("peers do not reach each other (%d, %d):\n%s", accept, refuse, text)
	}
}
