package firewall_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/firewall"
)

// TestProblems has each mistake named by its path and in words, and nothing else beside it.
func TestProblems(t *testing.T) {
	zones := "zones: {inside: {interfaces: [eth1]}, outside: {interfaces: [eth0]}}\n"
	rule := func(fields string) string { return zones + "firewall: {rules: [{" + fields + "}]}" }
	for _, c := range []struct{ name, policy, path, text string }{
		{"same interface twice", "zones: {a: {interfaces: [eth0]}, b: {interfaces: [eth0]}}", "zones.b.interfaces[0]", "already in zone a"},
		{"overlapping pattern", "zones: {a: {interfaces: [eth0]}, b: {interfaces: [\"et*\"]}}", "zones.b.interfaces[0]", "name the same interfaces"},
		{"overlapping patterns", "zones: {a: {interfaces: [\"eth*\"]}, b: {interfaces: [\"eth1*\"]}}", "zones.b.interfaces[0]", "name the same interfaces"},
		{"twice in one zone", "zones: {a: {interfaces: [eth0, eth0]}}", "zones.a.interfaces[1]", "leave one out"},
		{"every interface", "zones: {a: {interfaces: [\"*\"]}}", "zones.a.interfaces[0]", "every interface"},
		{"star inside", "zones: {a: {interfaces: [\"e*0\"]}}", "zones.a.interfaces[0]", "at the end only"},
		{"long name", "zones: {a: {interfaces: [abcdefghijklmnop]}}", "zones.a.interfaces[0]", "15 letters"},
		{"loopback", "zones: {a: {interfaces: [lo]}}", "zones.a.interfaces[0]", "leave it out"},
		{"zone called self", "zones: {self: {interfaces: [eth0]}}", "zones.self", "meaning of its own"},
		{"zone with a dot", "zones: {a.b: {interfaces: [eth0]}}", "zones.a.b", "letters, digits"},
		{"verdict of a zone", "zones: {a: {interfaces: [eth0], input: accept}}", "zones.a.input", "not one of allow, deny, reject"},
		{"side", "zones: {a: {interfaces: [eth0], side: left}}", "zones.a.side", "inside, outside"},
		{"masquerade-ipv6 alone", "zones: {a: {interfaces: [eth0], masquerade-ipv6: \"yes\"}}", "zones.a.masquerade-ipv6", "masquerade is not true"},
		{"tiny segments", "zones: {a: {interfaces: [eth0], mss: 40}}", "zones.a.mss", "536"},
		{"bad address in a group", "groups: {g: [192.0.2.300]}", "groups.g[0]", "no address"},
		{"empty group", "groups: {g: []}", "groups.g", "empty"},
		{"group in a circle", "groups: {g: [g]}", "groups.g", "holds itself"},
		{"host bits", "groups: {g: [192.0.2.5/24]}", "groups.g[0]", "write 192.0.2.0/24"},
		{"range backwards", "groups: {g: [192.0.2.9-192.0.2.1]}", "groups.g[0]", "192.0.2.1-192.0.2.9"},
		{"range of two families", "groups: {g: [\"192.0.2.9-2001:db8::1\"]}", "groups.g[0]", "begins in one family"},
		{"zoned address", "groups: {g: [\"fe80::1%eth0\"]}", "groups.g[0]", "source-interface"},
		{"no action", rule(""), "firewall.rules[0].action", "missing"},
		{"iptables' word", rule("action: accept"), "firewall.rules[0].action", "allow, deny, reject"},
		{"unknown zone", rule("action: allow, source-interface: wan"), "firewall.rules[0].source-interface", "(inside, outside)"},
		{"unknown group", rule("action: allow, source: [friends]"), "firewall.rules[0].source[0]", "no group"},
		{"port alone", rule("action: allow, port: [\"80\"]"), "firewall.rules[0].port[0]", "tcp/80 or udp/80"},
		{"unknown protocol", rule("action: allow, port: [tpc/80]"), "firewall.rules[0].port[0]", "no protocol"},
		{"port of a protocol without", rule("action: allow, port: [gre/80]"), "firewall.rules[0].port[0]", "no ports"},
		{"port 0", rule("action: allow, port: [tcp/0]"), "firewall.rules[0].port[0]", "never used"},
		{"ports backwards", rule("action: allow, port: [tcp/90-80]"), "firewall.rules[0].port[0]", "80-90"},
		{"ICMP type", rule("action: allow, port: [icmp/hello]"), "firewall.rules[0].port[0]", "echo-request"},
		{"families apart", rule("action: allow, source: [192.0.2.1], destination: [\"2001:db8::1\"]"), "firewall.rules[0]", "no family in common"},
		{"ICMPv6 of IPv4", rule("action: allow, source: [192.0.2.1], port: [icmpv6]"), "firewall.rules[0]", "no family in common"},
		{"self to self", rule("action: allow, source-interface: self, destination-interface: self"), "firewall.rules[0].destination-interface", "always allowed"},
		{"NAT of a refusal", rule("action: deny, nat-source: auto, destination-interface: outside"), "firewall.rules[0].nat-source", "goes nowhere"},
		{"publishing a refusal", rule("action: reject, nat-destination: 192.0.2.1, destination-interface: inside"), "firewall.rules[0].nat-destination", "goes nowhere"},
		{"NAT of another family", rule("action: allow, nat-source: \"2001:db8::1\", source: [192.0.2.1], destination-interface: outside"), "firewall.rules[0].nat-source", "cannot change its family"},
		{"DNAT of another family", rule("action: allow, nat-destination: \"2001:db8::1\", destination: [192.0.2.1], destination-interface: inside"), "firewall.rules[0].nat-destination", "cannot change its family"},
		{"two of a family", rule("action: allow, nat-source: \"192.0.2.1, 192.0.2.2\", destination-interface: outside"), "firewall.rules[0].nat-source", "one for each family"},
		{"NAT to nowhere", rule("action: allow, nat-source: 0.0.0.0, destination-interface: outside"), "firewall.rules[0].nat-source", "no address that a packet can be given"},
		{"NAT everywhere", rule("action: allow, nat-source: auto"), "firewall.rules[0].nat-source", "needs a destination-interface"},
		{"NAT to self", rule("action: allow, nat-source: auto, destination-interface: self"), "firewall.rules[0].nat-source", "where packets leave"},
		{"port without protocol", rule("action: allow, nat-destination: \"192.0.2.1:80\", destination-interface: inside"), "firewall.rules[0].nat-destination", "which protocol"},
		{"one port for several", rule("action: allow, nat-destination: \"192.0.2.1:80\", destination-interface: inside, port: [tcp/80-90]"), "firewall.rules[0].nat-destination", "keeps its number"},
		{"port for ICMP", rule("action: allow, nat-destination: \"192.0.2.1:80\", destination-interface: inside, port: [icmp]"), "firewall.rules[0].nat-destination", "has none"},
		{"redirect elsewhere", rule("action: allow, nat-destination: \"self:80\", destination-interface: inside, port: [tcp/80]"), "firewall.rules[0].destination-interface", "write self"},
		{"DNAT of self", rule("action: allow, nat-destination: 192.0.2.1, destination-interface: self"), "firewall.rules[0].destination-interface", "name the zone"},
		{"prefixes unlike", rule("action: allow, nat-source: \"2001:db8::/56\", source: [\"fd00::/48\"], destination-interface: outside"), "firewall.rules[0].nat-source", "same length"},
		{"rules without zones", "firewall: {rules: [{action: allow}]}", "zones", "there are none"},
		{"own-services unasked", "firewall: {own-services: [dns]}", "firewall.own-services", "listed"},
		{"log limit", "firewall: {log-limit: often}", "firewall.log-limit", "10/minute"},
		{"ping", "firewall: {ping: sometimes}", "firewall.ping", "not one of"},
		{"management service", "firewall: {management: {services: [sssh]}}", "firewall.management.services[0]", "no service"},
		{"contradiction", zones + "firewall: {rules: [{action: deny, port: [tcp/80-90]}, {action: allow, port: [tcp/85], source: [192.0.2.1]}]}", "firewall.rules[1]", "contradicts rules[0]"},
		{"published behind a refusal", zones + "firewall: {rules: [{action: deny, source-interface: outside, note: shut}, {action: allow, source-interface: outside, destination-interface: inside, port: [tcp/80], nat-destination: 10.0.0.1}]}", "firewall.rules[1]", "contradicts rules[0] shut"},
		{"other NAT", zones + "firewall: {rules: [{action: allow, destination-interface: outside, source: [10.0.0.0/8], nat-source: auto}, {action: allow, destination-interface: outside, source: [10.1.0.0/16], nat-source: \"no\"}]}", "firewall.rules[1]", "contradicts"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			ps := read(t, c.policy).Problems()
			if len(ps) != 1 || ps[0].Path != c.path || !strings.Contains(ps[0].Text, c.text) {
				t.Errorf("%s\ntells %+v,\nwant %s: ... %s ...", c.policy, ps, c.path, c.text)
			}
			if _, _, err := firewall.Compile(read(t, c.policy), intent.Set{}, nil); err == nil {
				t.Error("it compiles")
			}
		})
	}
}

// TestNoProblems are policies that are right though they look like mistakes.
func TestNoProblems(t *testing.T) {
	zones := "zones: {inside: {interfaces: [eth1, \"usb*\"]}, outside: {interfaces: [eth0, eth10]}}\n"
	for name, rules := range map[string]string{
		"narrow before wide":              "{action: allow, port: [tcp/85]}, {action: deny, port: [tcp/80-90]}",
		"other side":                      "{action: deny, source-interface: outside}, {action: allow, source-interface: inside}",
		"self is not any":                 "{action: deny}, {action: allow, source-interface: self, destination-interface: outside}",
		"one interface, then its zone":    "{action: deny, source-interface: usb0}, {action: allow, source-interface: inside}",
		"v4, then both":                   "{action: deny, source: [0.0.0.0/0]}, {action: allow}",
		"parts do not make the whole":     "{action: deny, source: [10.0.0.0/9]}, {action: allow, source: [10.0.0.0/8]}",
		"published, then the server":      "{action: allow, source-interface: outside, destination-interface: inside, nat-destination: 10.0.0.1, port: [tcp/80]}, {action: deny, source-interface: outside, destination-interface: inside, port: [tcp/80]}",
		"forms of ports":                  "{action: allow, port: [tcp/80, 443/tcp, \"udp/500:510\", icmp/8, icmpv6/packet-too-big, proto/47, ssh, tcp, \"53,853/tcp\"]}",
		"v4 to another port, v6 as it is": "{action: allow, source-interface: outside, destination-interface: inside, destination: [192.0.2.1, \"2001:db8::1\"], nat-destination: \"10.0.0.1:8080\", port: [tcp/80]}",
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			p := read(t, zones+"firewall: {rules: ["+rules+"]}")
			if ps := p.Problems(); len(ps) > 0 {
				t.Errorf("%+v", ps)
			}
			compile(t, p, intent.Set{})
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	p := read(t, `
zones: {a: {interfaces: [lo], input: x}}
groups: {g: [nonsense]}
firewall: {ping: x, rules: [{action: x}, {action: allow, port: [x], source: [x, y]}]}`)
	if ps := p.Problems(); len(ps) != 8 {
		t.Errorf("%d problems: %+v", len(ps), ps)
	}
}

func TestNotes(t *testing.T) {
	f := &facts.Facts{Links: []facts.Link{{Index: 1, Name: "lo", Up: true}, {Index: 2, Name: "eth0", Up: true}, {Index: 3, Name: "eth7", Up: true}}}
	p := read(t, `
zones: {inside: {interfaces: ["usb*"]}, outside: {interfaces: [eth0]}}
firewall: {rules: [{action: deny, port: [tcp/80-90]}, {action: deny, port: [tcp/85]},
  {action: allow, nat-destination: 10.0.0.1, port: [tcp/1]}]}`)
	_, notes, err := firewall.Compile(p, intent.Set{Members: []intent.Member{{Zone: "vpn", Interfaces: []string{"wg0"}, Why: "wireguard"}}}, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"zone vpn is not written here", "no interface usb* now", "no interface wg0 now", "eth7 is in no zone",
		"rules[0] already says the same", "clients on the server's own side"} {
		found := 0
		for _, n := range notes {
			if strings.Contains(n.Text, want) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%q is told %d times: %+v", want, found, notes)
		}
	}
	if len(notes) != 6 {
		t.Errorf("%d notes: %+v", len(notes), notes)
	}
}

func TestIntentsAreJudged(t *testing.T) {
	for text, in := range map[string]intent.Set{
		"there is no zone vpn":        {Forwards: []intent.Forward{{From: "inside", To: "vpn"}}},
		"NAT \"maybe\"":               {Forwards: []intent.Forward{{From: "inside", To: "inside", NAT: "maybe"}}},
		"protocol \"tpc\"":            {Services: []intent.Service{{Name: "x", Proto: "tpc"}}},
		"tunnel t by protocol \"x\"":  {Endpoints: []intent.Endpoint{{Tunnel: "t", Proto: "x", Addr: netip.IPv4Unspecified()}}},
		"eth1 is already in zone ins": {Members: []intent.Member{{Zone: "vpn", Interfaces: []string{"eth1"}}}},
	} {
		_, _, err := firewall.Compile(read(t, "zones: {inside: {interfaces: [eth1]}}"), in, nil)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %s", in, err, text)
		}
	}
}

// TestGroupsInACircle: each of them is told, and nothing runs for ever.
func TestGroupsInACircle(t *testing.T) {
	ps := read(t, "groups: {a: [b], b: [c], c: [a, 192.0.2.1]}").Problems()
	if len(ps) != 3 {
		t.Errorf("a circle of three gives %+v", ps)
	}
	for _, p := range ps {
		if !strings.HasPrefix(p.Path, "groups.") || !strings.Contains(p.Text, "holds itself") {
			t.Errorf("%+v", p)
		}
	}
}
