package firewall_test

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/firewall"
)

//nolint:gochecknoglobals // a flag of the test binary
var update = flag.Bool("update", false, "write the golden files anew")

// read takes a policy as people write it, with unknown keys refused.
func read(t testing.TB, text string) firewall.Policy {
	t.Helper()
	var p firewall.Policy
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return p
}

// ruleSheet is the shipped example.
func ruleSheet(t testing.TB) firewall.Policy {
	t.Helper()
	text, err := os.ReadFile("../../docs/examples/rule-sheet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Version int             `yaml:"version"`
		Routing firewall.Policy `yaml:"routing"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		t.Fatal(err)
	}
	if c.Version != 1 {
		t.Errorf("version is %d", c.Version)
	}
	return c.Routing
}

func compile(t testing.TB, p firewall.Policy, in intent.Set) nft.Table {
	t.Helper()
	table, _, err := firewall.Compile(p, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range table.Problems() {
		t.Errorf("%v", x)
	}
	return table
}

// intents are what the other parts of a gadget router say.
func intents() intent.Set {
	return intent.Set{
		Members: []intent.Member{{Zone: "vpn", Interfaces: []string{"wg0"}, Why: "wireguard wg0"}},
		Services: []intent.Service{
			{Name: "dhcp", Interfaces: []string{"usb0", "usb1"}, Proto: "udp", Ports: []uint16{67}, Multicast: true, Family: 4, Why: "serve usb0"},
			{Name: "mdns", Interfaces: []string{"usb0"}, Proto: "udp", Ports: []uint16{5353}, Multicast: true},
			{Name: "dns", Interfaces: []string{"usb0", "usb1"}, Proto: "udp", Ports: []uint16{53}},
			{Name: "dns", Interfaces: []string{"usb0", "usb1"}, Proto: "tcp", Ports: []uint16{53}},
			{Name: "wireguard", Proto: "udp", Ports: []uint16{51820}, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
		},
		Forwards: []intent.Forward{{From: "inside", To: "vpn", NAT: "auto", Why: "wireguard wg0"}},
		Endpoints: []intent.Endpoint{{Tunnel: "he", Proto: "41", Addr: netip.MustParseAddr("203.0.113.1")},
			{Tunnel: "wg0", Proto: "udp", Addr: netip.MustParseAddr("203.0.113.9"), Port: 51820}},
	}
}

const gadget = `
zones:
  inside: {interfaces: [usb0, usb1, "eth1*"], anti-spoofing: true}
  outside: {interfaces: [wlan0], masquerade: true, mss: 1380}
groups:
  admins: [192.0.2.10, "2001:db8::10", 192.0.2.11-192.0.2.20]
  staff: [admins, 198.51.100.0/24]
firewall:
  management: {from: [admins], services: [ssh, tcp/8443]}
  ping: any
  own-traffic: listed
  log-limit: 5/minute
  rules:
    - {source-interface: outside, destination-interface: inside, nat-destination: "10.55.0.2:8080, 2001:db8:1::2", port: [tcp/80], action: allow, note: "web \"server\"", log: true}
    - {source-interface: inside, source: [staff], destination-interface: outside, port: [dns, tcp/80, tcp/443, udp/8000-8100], action: allow, nat-source: auto}
    - {source-interface: inside, source: ["fd00:1::/48"], destination-interface: outside, action: allow, nat-source: "2001:db8:9::/48"}
    - {source-interface: inside, source: [10.55.0.0/24], destination-interface: outside, port: [gre, icmp/echo-request], action: allow, nat-source: 192.0.2.7-192.0.2.9}
    - {source-interface: usb1, destination-interface: outside, action: reject, note: no way out for usb1}
    - {source-interface: inside, destination: [192.0.2.1], port: [dns], nat-destination: "self:53", action: allow, note: DNS is ours}
    - {source-interface: self, destination-interface: outside, port: [tcp/25], action: reject}
    - {source-interface: inside, destination-interface: self, destination: [224.0.0.251], port: [udp/9999], action: allow}
    - {source-interface: vpn, destination-interface: inside, destination: ["2001:db8:2::/48"], nat-destination: "fd00:2::/48", action: allow}
    - {source-interface: vpn, action: deny}
`

func TestGoldens(t *testing.T) {
	for name, make := range map[string]func() nft.Table{
		"rule-sheet": func() nft.Table { return compile(t, ruleSheet(t), intent.Set{}) },
		"gadget":     func() nft.Table { return compile(t, read(t, gadget), intents()) },
		"way-out": func() nft.Table {
			return compile(t, firewall.Policy{}, intent.Set{Members: joins("usb0", "usb1"), Forwards: []intent.Forward{
				{From: "gadget", Interfaces: []string{"usb0"}, NAT: "auto", Why: "gadget: usb0"},
				{From: "gadget", Interfaces: []string{"usb1"}, Destinations: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16"), netip.MustParsePrefix("fd08::/32")}, NAT: "auto", Why: "gadget: usb1"}}})
		},
		"minimal": func() nft.Table {
			return compile(t, read(t, "zones: {inside: {interfaces: [usb0]}, outside: {interfaces: [wlan0], masquerade: true}}"), intent.Set{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := make()
			if again := make(); !reflect.DeepEqual(table, again) {
				t.Error("the same policy gives another table the second time")
			}
			text, ok := nft.Lines(table)
			if !ok {
				t.Errorf("nft has no words for all of it")
			}
			file := filepath.Join("testdata", name+".nft")
			if *update {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("%s is otherwise now (-update writes it):\n%s", file, text)
			}
			accepted(t, text)
		})
	}
}

// accepted has nft and the kernel judge a ruleset, without setting it.
func accepted(t testing.TB, text string) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		t.Skip("skipped: needs nft(8) and root")
	}
	cmd := exec.Command("unshare", "-n", "nft", "-c", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nft -c: %v\n%s", err, out)
	}
}
