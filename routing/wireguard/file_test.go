package wireguard

import (
	"reflect"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	no := false
	i := Interface{PrivateKey: privA, PrivateKeyFile: "/k", Addresses: []string{"10.97.98.1/24", "fd12:3456:789a:1::1/64"}, ListenPort: 51820, FwMark: 0xffffffff, MTU: 1420, Zone: "vpn",
		Management: &no, Reach: []string{"internet", "peers"}, NAT: "no", Route: "split", Metric: 5, DNS: []string{"::1"}, Domains: []string{"~."}, LANAccess: "eth0", PublicEndpoint: "[2001:db8::1]:5"}
	if v := reflect.ValueOf(i); true {
		for n := range v.NumField() {
			if f := v.Type().Field(n); v.Field(n).IsZero() && f.Name != "Peers" {
				t.Errorf("%s is not tried", f.Name)
			}
		}
	}
	text := EncodeInterface(i)
	if got, err := DecodeInterface(text); err != nil || !reflect.DeepEqual(got, i) {
		t.Errorf("%v\n%s\n%+v", err, text, got)
	}
	c := Client{PrivateKey: privA, Addresses: []string{"10.97.98.2/32"}, AllowedIPs: []string{"0.0.0.0/0"}, DNS: []string{"lan", "9.9.9.9"}, MTU: 1280, Endpoint: "a\"\\:\n\u2028é", PersistentKeepalive: 25}
	p := Peer{PublicKey: keyB, PresharedKey: keyC, PresharedKeyFile: "/p", AllowedIPs: []string{"10.97.98.2/32"}, Endpoint: "a:1", PersistentKeepalive: 25, Nested: true, Client: &c}
	for _, v := range []reflect.Value{reflect.ValueOf(p), reflect.ValueOf(c)} {
		for n := range v.NumField() {
			if v.Field(n).IsZero() {
				t.Errorf("%s is not tried", v.Type().Field(n).Name)
			}
		}
	}
	for _, p := range []Peer{p, {}, {PublicKey: keyB}, {Client: &Client{}}, {PublicKey: keyB, Client: &Client{MTU: 1280}}} {
		text := EncodePeer(p)
		if got, err := DecodePeer(text); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%v\n%s\n%+v", err, text, got)
		}
	}
	if got, err := DecodeInterface(EncodeInterface(Interface{})); err != nil || !reflect.DeepEqual(got, Interface{}) {
		t.Error(got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"private-key: " + privA + "\nkey: " + keyC + "\n": "(line 2)",
		"peers: {a: {}}":                        "each peer is a file of its own",
		"listen-port: " + privA:                 "(line 1)",
		"zone: a\n---\nzone: b\n":               "more than one document",
		"":                                      "not YAML",
		"zone: " + strings.Repeat("a", MaxFile): "larger than",
		"[" + privA:                             "not YAML",
	} {
		_, err := DecodeInterface([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), privA) || strings.Contains(err.Error(), keyC) {
			t.Errorf("%.60q: want %q, got %v", text, want, err)
		}
	}
	if _, err := DecodePeer([]byte("listen-port: 5\n")); err == nil {
		t.Error("a peer has a port")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(EncodePeer(Peer{PublicKey: keyB, AllowedIPs: []string{"10.0.0.2/32"}, Client: &Client{DNS: []string{"lan"}}}))
	f.Add(EncodeInterface(Interface{PrivateKey: privA, Reach: []string{"internet"}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := DecodePeer(data); err == nil {
			again, err := DecodePeer(EncodePeer(p))
			if err != nil || !reflect.DeepEqual(EncodePeer(again), EncodePeer(p)) {
				t.Errorf("%+v is written as %s and read as %+v: %v", p, EncodePeer(p), again, err)
			}
		}
		if i, err := DecodeInterface(data); err == nil {
			if _, err := DecodeInterface(EncodeInterface(i)); err != nil {
				t.Errorf("%+v: %v", i, err)
			}
		}
	})
}

func TestMerge(t *testing.T) {
	c := config(t, server)
	before := len(c["wg0"].Peers)
	merged, problems := c.Merge(Added{
		Interfaces: map[string]Interface{"wg1": {PrivateKey: privA}},
		Peers:      map[string]map[string]Peer{"wg0": {"tablet": {PublicKey: keyD}}, "wg1": {"a": {PublicKey: keyB}}},
	})
	if len(problems) > 0 || len(merged) != 2 || len(merged["wg0"].Peers) != 3 || len(merged["wg1"].Peers) != 1 || len(c["wg0"].Peers) != before || len(c) != 1 {
		t.Error(merged, problems)
	}
	_, problems = c.Merge(Added{
		Interfaces: map[string]Interface{"wg0": {}},
		Peers:      map[string]map[string]Peer{"wg0": {"phone": {}}, "wg7": {"x": {}}},
	})
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	if got := strings.Join(paths, " "); got != "wg0 wg0.peers.phone wg7" {
		t.Error(problems)
	}
}
