package wireguard

import (
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// Keys of the tests: base64 of 32 equal bytes. The private one of letter A has the public key of pubA.
const (
	privA = "QEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	keyB  = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
	keyC  = "Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0M="
	keyD  = "RERERERERERERERERERERERERERERERERERERERERERE"
)

func config(t testing.TB, text string) Config {
	t.Helper()
	text = strings.NewReplacer("PRIV", privA, "KEYB", keyB, "KEYC", keyC).Replace(text)
	var c Config
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

const server = `
wg0:
  private-key: PRIV
  addresses: [10.97.98.1/24, "fd12:3456:789a:1::1/64"]
  listen-port: 51820
  reach: [internet]
  peers:
    phone: {public-key: KEYB, allowed-ips: [10.97.98.2/32, "fd12:3456:789a:1::2/128"]}
    site: {public-key: KEYC, allowed-ips: [10.97.98.3, 10.20.0.0/16], endpoint: "office.example.org:51820", persistent-keepalive: 25}
`

func TestProblems(t *testing.T) {
	if p := config(t, server).Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	for _, tt := range []struct{ old, new, path, text string }{
		{"wg0:", "this-name-is-too-long:", "this-name-is-too-long", "15 letters"},
		{"wg0:", "a/b:", "a/b", "no name of an interface"},
		{"wg0:", "all:", "all", "meaning of its own"},
		{"private-key: PRIV", "private-key: ''", "wg0.private-key-file", "is missing"},
		{"private-key: PRIV", "private-key: QUJD", "wg0.private-key", "32 bytes"},
		{"private-key: PRIV", "private-key: " + strings.Repeat("A", 43) + "=", "wg0.private-key", "all zeros"},
		{"private-key: PRIV", "private-key: PRIV\n  private-key-file: /k", "wg0.private-key", "cannot stand beside"},
		{"private-key: PRIV", "private-key-file: k", "wg0.private-key-file", "no whole path"},
		{"10.97.98.1/24", "10.97.98.1", "wg0.addresses[0]", "has no length"},
		{"10.97.98.1/24", "10.97.98.0/24", "wg0.addresses[0]", "or its broadcast"},
		{"10.97.98.1/24", "10.97.98.255/24", "wg0.addresses[0]", "10.97.98.1"},
		{"10.97.98.1/24", "127.0.0.1/8", "wg0.addresses[0]", "no address that an interface can have"},
		{"10.97.98.1/24", "'::ffff:10.0.0.1/120'", "wg0.addresses[0]", "no address such as"},
		{"10.97.98.1/24", "10.97.98.1/24, 10.97.98.1/32", "wg0.addresses[1]", "is an address of wg0 already"},
		{"reach: [internet]", "reach: [internet, 'a b']", "wg0.reach[1]", "neither internet"},
		{"reach: [internet]", "nat: yes", "wg0.nat", "reach does not have internet"},
		{"reach: [internet]", "zone: any", "wg0.zone", "no name of a zone"},
		{"reach: [internet]", "mtu: 500", "wg0.mtu", "576"},
		{"reach: [internet]", "mtu: 1200", "wg0.mtu", "1280"},
		{"reach: [internet]", "route: most", "wg0.route", "none, split, full"},
		{"reach: [internet]", "dns: [example.org]", "wg0.dns[0]", "no address of a name server"},
		{"reach: [internet]", "domains: [example.org]", "wg0.domains", "asked nowhere"},
		{"reach: [internet]", "dns: [9.9.9.9]\n  domains: ['a..b']", "wg0.domains[0]", "no domain"},
		{"reach: [internet]", "lan-access: wg0", "wg0.lan-access", "no interface of a LAN"},
		{"reach: [internet]", "public-endpoint: 'example.org:0'", "wg0.public-endpoint", "no port"},
		{"phone:", "../phone:", "wg0.peers.../phone", "no name of a peer"},
		{"KEYC", "KEYB", "wg0.peers.site.public-key", "wg0.peers.phone already"},
		{"KEYB", "", "wg0.peers.phone.public-key", "is missing"},
		{"10.97.98.2/32", "10.97.98.2/24", "wg0.peers.phone.allowed-ips[0]", "write 10.97.98.2/32 for the one address, or 10.97.98.0/24"},
		{"10.97.98.2/32", "10.97.98.0/24", "wg0.peers.phone.allowed-ips[0]", "is the whole network of wg0"},
		{"10.97.98.2/32", "10.97.98.3/32", "wg0.peers.site.allowed-ips[0]", "would be taken from it"},
		{"10.97.98.2/32", "10.97.98.1/32", "wg0.peers.phone.allowed-ips[0]", "address of this machine itself"},
		{"10.97.98.2/32", "10.97.98.2/32, 10.97.98.2", "wg0.peers.phone.allowed-ips[1]", "is said twice"},
		{"10.97.98.2/32", "10.20.7.0/24", "wg0.peers.site.allowed-ips[1]", "10.20.0.0/16 holds 10.20.7.0/24 of peer phone"},
		{"10.97.98.2/32", "0.0.0.0/0", "wg0.peers.phone.allowed-ips[0]", "does not say what becomes of it"},
		{"office.example.org:51820", "office.example.org", "wg0.peers.site.endpoint", "has no port"},
		{"office.example.org:51820", "[2001:db8::1]", "wg0.peers.site.endpoint", "has no port"},
		{"office.example.org:51820", "300.1.1.1:5", "wg0.peers.site.endpoint", "neither an address"},
		{"office.example.org:51820", "0.0.0.0:5", "wg0.peers.site.endpoint", "no address of a machine"},
		{"persistent-keepalive: 25", "client: {dns: ['a b'], mtu: 5, allowed-ips: [x], addresses: [y], endpoint: '', private-key: z}", "wg0.peers.site.client.mtu", "576"},
		{"persistent-keepalive: 25", "client: {dns: [none, 9.9.9.9]}", "wg0.peers.site.client.dns[0]", "none stands alone"},
		{"persistent-keepalive: 25}", "}\nwg1: {private-key: PRIV, addresses: [10.97.98.9/28], listen-port: 51820}", "wg1.listen-port", "that of wg0 already"},
		{"persistent-keepalive: 25}", "}\nwg1: {private-key: PRIV, addresses: [10.97.98.9/28]}", "wg1.addresses[0]", "overlaps with 10.97.98.0/24 of wg0"},
		{"persistent-keepalive: 25}", "}\nwg1: {private-key: PRIV, peers: {x: {public-key: KEYB, allowed-ips: [10.20.0.0/16]}}}", "wg1.peers.x.allowed-ips[0]", "reached by wg0 already"},
	} {
		if !strings.Contains(server, tt.old) {
			t.Fatalf("%q is not in the text", tt.old)
		}
		found := false
		all := config(t, strings.Replace(server, tt.old, tt.new, 1)).Problems()
		for _, p := range all {
			found = found || p.Path == tt.path && strings.Contains(p.Text, tt.text)
		}
		if !found {
			t.Errorf("%s -> %s: want %s: ...%s..., got %v", tt.old, tt.new, tt.path, tt.text, all)
		}
		if strings.Contains(fmt.Sprint(all), privA) {
			t.Errorf("%s: a problem tells the private key", tt.new)
		}
	}
	// What looks alike and is right.
	for old, fine := range map[string]string{
		"persistent-keepalive: 25":       "client: {dns: [none]}",
		"10.97.98.2/32, ":                "10.97.98.2/32, 10.20.7.0/24, ",
		"25}":                            "25}\nwg1: {private-key: PRIV, addresses: ['fe80::1/64', 192.0.2.1/32]}\nwg2: {private-key: PRIV, addresses: ['fe80::1/64']}",
		"reach: [internet]":              "route: full\n  mtu: 1280\n  peers: {exit: {public-key: KEYC, allowed-ips: [0.0.0.0/1, 128.0.0.0/1], endpoint: '192.0.2.1:1'}}\nwg9:\n  private-key: PRIV",
		"listen-port: 51820":             "dns: [9.9.9.9]\n  domains: ['~.', '~example.org', lan]",
		"endpoint: \"office.example.org": "endpoint: \"[2001:db8::1]",
	} {
		text := strings.Replace(server, old, fine, 1)
		if strings.Contains(fine, "10.20.7") {
			text = strings.Replace(text, "persistent-keepalive: 25", "nested: true", 1)
		}
		if p := config(t, text).Problems(); len(p) > 0 {
			t.Errorf("%s: %v", fine, p)
		}
	}
}

// TestOwnKey: a peer with the machine's own public key is no peer (the kernel passes it over in silence).
func TestOwnKey(t *testing.T) {
	c := config(t, server)
	p := c["wg0"].Peers["phone"]
	k := mustKey(privA).Public()
	p.PublicKey = k.String()
	c["wg0"].Peers["phone"] = p
	if all := c.Problems(); len(all) != 1 || !strings.Contains(all[0].Text, "of wg0 itself") {
		t.Error(all)
	}
}

func TestSplitEndpoint(t *testing.T) {
	for text, want := range map[string]string{
		"vpn.example.org:51820": "vpn.example.org 51820", "192.0.2.1:1": "192.0.2.1 1", "[2001:DB8::1]:65535": "2001:db8::1 65535",
		"vpn.example.org": "vpn.example.org 0", "192.0.2.1": "192.0.2.1 0", "[2001:db8::1]": "2001:db8::1 0", "2001:db8::1": "2001:db8::1 0",
		"[fe80::1%eth0]:5": "fe80::1%eth0 5",
	} {
		host, port, why := SplitEndpoint(text, true)
		if got := fmt.Sprint(host, " ", port); got != want || why != "" {
			t.Errorf("%s: %s %s", text, got, why)
		}
	}
	for _, bad := range []string{"", ":5", "a:b", "a:65536", "a:-1", "[a]:5", "[192.0.2.1]:5", "2001:db8::1:51820:", "a b:5", "[2001:db8::1]5", "[::1", "224.0.0.1:5", "::ffff:1.2.3.4"} {
		if host, port, why := SplitEndpoint(bad, true); why == "" {
			t.Errorf("%q is %q %d", bad, host, port)
		}
	}
}

func FuzzSplitEndpoint(f *testing.F) {
	f.Add("[2001:db8::1]:51820", true)
	f.Fuzz(func(t *testing.T, text string, portless bool) {
		host, port, why := SplitEndpoint(text, portless)
		if why == "" && (host == "" || port == 0 && !portless) {
			t.Errorf("%q: %q %d", text, host, port)
		}
	})
}
