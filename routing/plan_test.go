package routing

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/provision/resource/unit"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/packet"
)

func config(t *testing.T, text string) Config {
	t.Helper()
	var c Config
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func machine(names ...string) *facts.Facts {
	f := &facts.Facts{Machine: facts.Machine{Init: "systemd", Root: true}, Sysctl: map[string]string{"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"}}
	for i, n := range append([]string{"lo"}, names...) {
		f.Links = append(f.Links, facts.Link{Index: i + 1, Name: n, Up: true, Carrier: true, ARPHRD: 1, Sysctl: map[string]string{"ipv6.accept_ra": "1"}})
	}
	return f
}

var units = Units{Restore: "restore", Watch: "watch"}

const router = `
zones: {inside: {interfaces: [usb0]}, outside: {interfaces: [wlan0], masquerade: true}}
firewall: {rules: [{source-interface: inside, destination-interface: outside, action: allow}]}
`

const guarded = `
zones: {inside: {interfaces: [usb0]}, vpn: {interfaces: [wg0], side: outside, masquerade: true}, outside: {interfaces: [wlan0]}}
firewall: {rules: [{source-interface: inside, destination-interface: vpn, action: allow}]}
kill-switch: {tunnel: wg0, endpoints: ["203.0.113.9:51820"]}
`

// at is the position of the first want whose reference contains text.
func at(wants []provision.Want, text string) int {
	return slices.IndexFunc(wants, func(w provision.Want) bool { return strings.Contains(w.Ref.String(), text) })
}

func TestNothingIsWanted(t *testing.T) {
	for _, text := range []string{"", "watch: {keep: false}", "forwarding: auto"} {
		r, err := Plan(Input{Facts: machine("eth0"), Units: units, Intents: intent.Set{Services: []intent.Service{{Name: "dns", Proto: "udp", Ports: []uint16{53}}}}}, config(t, text))
		if err != nil || len(r.Desired.Wants) > 0 || len(r.Desired.Triggers) > 0 || r.Table != nil {
			t.Errorf("%q: %v, %v", text, r.Desired, err)
		}
	}
}

// What shuts comes before what opens: the table before forwarding, the last routes before the
// rules that lead to them.
func TestOrder(t *testing.T) {
	for text, order := range map[string][]string{
		router:  {"nft:inet provision", "accept_ra", "net.ipv4.ip_forward", file.SecretKind + ":" + kept.Path, restoreUnit, watchUnit},
		guarded: {"nft:inet provision", "unreachable default", "dev name:wg0", "rule:", "/etc/sysctl.d/", file.SecretKind + ":" + kept.Path},
	} {
		f := machine("usb0", "wlan0", "wg0")
		f.Routes = []facts.Route{{Dst: route.Any(6), Link: 3, Proto: facts.ProtoRA, Table: 254, Type: "unicast"}}
		r, err := Plan(Input{Facts: f, Units: units}, config(t, text))
		if err != nil {
			t.Fatal(err)
		}
		last := -1
		for _, o := range order {
			i := at(r.Desired.Wants, o)
			if i <= last {
				t.Errorf("%s is at %d, behind %d", o, i, last)
			}
			last = i
		}
	}
}

// With a kill switch nothing turns forwarding on but the switch itself.
func TestSwitchForwards(t *testing.T) {
	r, err := Plan(Input{Facts: machine("usb0", "wlan0"), Units: units}, config(t, guarded))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range r.Desired.Wants {
		if w.Kind == sysctl.Kind && strings.HasSuffix(w.Name, "forward") && w.Attrs["value"] != "0" {
			t.Errorf("%s is wanted %v", w.Ref, w.Attrs)
		}
	}
	if i := at(r.Desired.Wants, "dev name:wg0"); i >= 0 {
		t.Error("a route by a tunnel that is not there would be waited for")
	}
	k, err := kept.Parse([]byte(r.Desired.Wants[at(r.Desired.Wants, kept.Path)].Attrs[file.AttrContent]))
	if err != nil {
		t.Fatal(err)
	}
	if at(k.Wants, "dev name:wg0") < 0 {
		t.Error("nobody sets the route by the tunnel when it comes")
	}
	if k.Switch == nil || k.Switch.Input.Table == 0 || k.Switch.Input.Mask == 0 || k.Switch.Priority == 0 || !slices.Equal(k.Switch.Input.Inside, []string{"usb0"}) {
		t.Errorf("kept switch %+v", k.Switch)
	}
	for _, kind := range []string{nft.Kind, route.Kind, rule.Kind} {
		if len(kept.Of(k.Wants, kind)) == 0 {
			t.Errorf("no %s is kept", kind)
		}
	}
	guards := 0
	for _, c := range r.Table.Chains {
		if strings.HasPrefix(c.Name, "guard-") && c.Base != nil {
			guards++
		}
	}
	if guards < 3 || len(r.Table.Problems()) > 0 {
		t.Errorf("%d guards, %v", guards, r.Table.Problems())
	}
}

func TestUnits(t *testing.T) {
	f := machine("usb0", "wlan0")
	r, err := Plan(Input{Facts: f, Units: units}, config(t, router))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Desired.Triggers) != 1 || r.Desired.Triggers[0].Do.Kind != unit.Kind {
		t.Errorf("triggers %v", r.Desired.Triggers)
	}
	for name, edit := range map[string]func(*Input, *Config){
		"another init":             func(in *Input, _ *Config) { in.Facts.Machine.Init = "openrc" },
		"a program that is on tmp": func(in *Input, _ *Config) { in.Units = Units{Why: "it is on /tmp"} },
	} {
		in, c := Input{Facts: machine("usb0", "wlan0"), Units: units}, config(t, router)
		edit(&in, &c)
		r, err := Plan(in, c)
		if err != nil || at(r.Desired.Wants, "systemd/system") >= 0 || !slices.ContainsFunc(r.Desired.Notes, func(n provision.Note) bool { return n.Subject == "after a reboot" && n.Level == "warning" }) {
			t.Errorf("%s: %v, %v", name, r.Desired.Notes, err)
		}
	}
	// An image that is not running has no init that could be asked.
	in := Input{Facts: machine("usb0", "wlan0"), Units: units}
	in.Facts.Machine.Init, in.Facts.Machine.Offline = "other", true
	if r, err := Plan(in, config(t, router)); err != nil || at(r.Desired.Wants, unitDir+restoreUnit) < 0 {
		t.Errorf("an image gets no units: %v", err)
	}
}

func TestProblems(t *testing.T) {
	c := config(t, `
forwarding: auto
zones: {a: {interfaces: [eth0]}, b: {interfaces: ["eth*"]}}
adapters: [iptables]
kill-switch: {tunnel: wg0, arm: perhaps}
wireguard: {wg0: {}}
policy: {rules: [{from: x}]}
uplinks: [{interface: ""}]
watch: {preset: moon}
`)
	var paths []string
	for _, p := range c.Problems() {
		paths = append(paths, p.Path)
	}
	for _, want := range []string{"zones.", "adapters[0]", "kill-switch.arm", "kill-switch.endpoints", "wireguard.wg0.private-key-file", "policy.rules[0]", "uplinks[0]", "watch.preset"} {
		if !slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("nothing about %s among %q", want, paths)
		}
	}
	if _, err := Plan(Input{Facts: machine("eth0"), Units: units}, c); err == nil {
		t.Error("planned all the same")
	}
}

// The flows that other firewalls are judged by are those of the rules and of what is offered.
func TestFlows(t *testing.T) {
	c := config(t, `
zones: {inside: {interfaces: ["usb*"]}, outside: {interfaces: [wlan0]}}
firewall:
  rules:
    - {source-interface: inside, destination-interface: outside, port: [tcp/443, icmp], action: allow}
    - {source-interface: outside, destination-interface: self, port: [udp/5000-5010], action: allow}
    - {source-interface: inside, destination-interface: outside, action: deny}
`)
	in := intent.Set{Services: []intent.Service{{Name: "dns", Interfaces: []string{"usb0"}, Proto: "udp", Ports: []uint16{53}, Why: "serve"}}}
	var got []string
	for _, f := range c.flows(machine("usb0", "usb1", "wlan0"), in) {
		got = append(got, f.String())
	}
	want := []string{"usb0 to wlan0 (tcp 443)", "usb0 to wlan0 (IPv4, icmp)", "usb1 to wlan0 (tcp 443)", "usb1 to wlan0 (IPv4, icmp)", "wlan0 to this machine (udp)", "usb0 to this machine (udp 53)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// The checks of the ways out pass an armed kill switch by their mark, and to their hosts only.
func TestChecksPassTheSwitch(t *testing.T) {
	c := config(t, guarded+`
uplinks: [{interface: wlan0, checks: [ping 9.9.9.9, "ping 2620:fe::fe", "tcp 1.1.1.1:443", "dns 9.9.9.9:53"]}, {interface: eth0, checks: [ping 9.9.9.9]}]
`)
	f := machine("usb0", "wlan0", "wg0")
	f.Addrs = []facts.Address{{Link: 3, Prefix: netip.MustParsePrefix("192.0.2.2/24"), Scope: "global"}, {Link: 3, Prefix: netip.MustParsePrefix("2001:db8::2/64"), Scope: "global"}}
	f.Routes = []facts.Route{
		{Dst: route.Any(4), Link: 3, Gateway: netip.MustParseAddr("192.0.2.1"), Table: 254, Type: "unicast"},
		{Dst: route.Any(6), Link: 3, Gateway: netip.MustParseAddr("2001:db8::1"), Table: 254, Type: "unicast"},
	}
	r, err := Plan(Input{Facts: f, Units: units}, c)
	if err != nil {
		t.Fatal(err)
	}
	w := packet.World{Facts: f, Tables: []nft.Table{*r.Table}}
	mark := r.Switch.Input.Mark
	for _, p := range []struct {
		packet packet.Packet
		passes bool
	}{
		{packet.Packet{To: netip.MustParseAddr("9.9.9.9"), Proto: "icmp", Mark: mark, Out: "wlan0"}, true},
		{packet.Packet{To: netip.MustParseAddr("2620:fe::fe"), Proto: "icmp", Mark: mark, Out: "wlan0"}, true},
		{packet.Packet{To: netip.MustParseAddr("1.1.1.1"), Proto: "tcp", Dport: 443, Mark: mark, Out: "wlan0"}, true},
		{packet.Packet{To: netip.MustParseAddr("9.9.9.9"), Proto: "udp", Dport: 53, Mark: mark, Out: "wlan0"}, true},
		{packet.Packet{To: netip.MustParseAddr("9.9.9.9"), Proto: "icmp", Out: "wlan0"}, false},
		{packet.Packet{To: netip.MustParseAddr("9.9.9.9"), Proto: "tcp", Dport: 443, Mark: mark, Out: "wlan0"}, false},
		{packet.Packet{To: netip.MustParseAddr("1.1.1.1"), Proto: "tcp", Dport: 80, Mark: mark, Out: "wlan0"}, false},
		{packet.Packet{To: netip.MustParseAddr("8.8.8.8"), Proto: "icmp", Mark: mark, Out: "wlan0"}, false},
	} {
		if got := packet.Explain(w, p.packet); got.Passes() != p.passes {
			t.Errorf("%v: %s", p.packet, got.Text())
		}
	}
}
