package wireguard

import (
	"reflect"
	"strings"
	"testing"
)

// What is read fast is what YAML reads.
func FuzzPlain(f *testing.F) {
	f.Add(EncodePeer(Peer{PublicKey: keyB, PresharedKey: keyC, AllowedIPs: []string{"10.97.98.2/32", "fd00::2/128"}, Endpoint: "a:1", PersistentKeepalive: 25, Nested: true,
		Client: &Client{PrivateKey: privA, Addresses: []string{"10.97.98.2/32"}, AllowedIPs: []string{"0.0.0.0/0"}, DNS: []string{"lan"}, MTU: 1280, Endpoint: "b", PersistentKeepalive: 25}}))
	f.Add([]byte(Header + "client: {}\n"))
	f.Add([]byte(Header + "public-key: \"a\\n\"\n"))
	f.Add([]byte(Header + "allowed-ips: [\"a, b\"]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := plainPeer(data)
		if !ok {
			return
		}
		var want Peer
		if err := decode(data, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, YAML has %+v, %v", data, got, want, err)
		}
	})
}

func TestPlain(t *testing.T) {
	p := Peer{PublicKey: keyB, PresharedKey: keyC, AllowedIPs: []string{"10.97.98.2/32"}, Client: &Client{PersistentKeepalive: 25}}
	text := string(EncodePeer(p))
	if got, ok := plainPeer([]byte(text)); !ok || !reflect.DeepEqual(got, p) {
		t.Errorf("%v %+v", ok, got)
	}
	for what, edited := range map[string]string{
		"no header":     strings.TrimPrefix(text, Header),
		"a comment":     text + "# mine\n",
		"without quote": strings.Replace(text, `"`+keyB+`"`, keyB, 1),
		"another order": Header + "preshared-key: \"" + keyC + "\"\npublic-key: \"" + keyB + "\"\n",
		"twice":         text + "public-key: \"" + keyB + "\"\n",
		"unknown":       text + "color: \"red\"\n",
	} {
		if _, ok := plainPeer([]byte(edited)); ok {
			t.Errorf("%s is read fast", what)
		}
	}
}
