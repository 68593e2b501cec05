package conf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	keys "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/wireguard"
)

// Base64 of 32 equal bytes.
const (
	privA = "QEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	keyB  = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
	keyC  = "Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0M="
)

func key(s string) keys.Key {
	k, err := keys.ParseKey(s)
	if err != nil {
		panic(err)
	}
	return k
}

func read(t testing.TB, text string) File {
	t.Helper()
	f, problems := Parse([]byte(strings.NewReplacer("PRIV", privA, "KEYB", keyB, "KEYC", keyC).Replace(text)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return f
}

// messy has whatever wg and wg-quick put up with.
const messy = `# made by hand
[interface]
  privatekey=PRIV   # mine
Address = 10.0.0.1/24,fd00::1/64
ADDRESS = 10.0.1.1
DNS = 9.9.9.9 , example.org
MTU=1420
FwMark = 0xca6c
ListenPort = 51820
Table = auto
SaveConfig = true
PostUp = echo a = b; true

### Client phone
[Peer]
PublicKey = KEYB
PresharedKey = KEYC
AllowedIPs = 10.0.0.2/32
AllowedIPs = fd00::2/128, 10.7.0.1/16
PersistentKeepalive = off
[PEER]
# Name = Office (north)
PublicKey = KEYC
Endpoint = [2001:db8::1]:51820
AllowedIPs =
PersistentKeepalive = 25
`

func TestParse(t *testing.T) {
	f := read(t, messy)
	i := f.Interface
	if i.PrivateKey.String() != privA || join(i.Addresses, " ") != "10.0.0.1/24 fd00::1/64 10.0.1.1/32" || fmt.Sprint(i.DNS, i.Search) != "[9.9.9.9] [example.org]" ||
		i.MTU != 1420 || i.FwMark != 0xca6c || i.ListenPort != 51820 || i.Table != "auto" || !i.SaveConfig || len(i.Hooks) != 1 || i.Hooks[0] != (Hook{12, "PostUp", "echo a = b; true"}) {
		t.Errorf("%+v", i)
	}
	if len(f.Peers) != 2 || f.Peers[0].Name != "phone" || f.Peers[1].Name != "Office-north" || join(f.Peers[0].AllowedIPs, " ") != "10.0.0.2/32 fd00::2/128 10.7.0.0/16" ||
		f.Peers[1].PersistentKeepalive != 25 || f.Peers[1].AllowedIPs != nil || f.Peers[0].PresharedKey.String() != keyC {
		t.Errorf("%+v", f.Peers)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "0: there is no section",
		"PrivateKey = x":                         "1: PrivateKey stands before any section",
		"[Interface]\nPrivateKey = " + privA[1:]: "2: PrivateKey: a key is 32 bytes",
		"[Interface]\n" + privA:                  "2: what is no key",
		"[Interface]\nJc = 4":                    "2: Jc is no key of [Interface]",
		"[Interface]\nhello":                     "2: this line has no =",
		"[Interface]\nListenPort = 70000":        `2: ListenPort: "70000" is no number`,
		"[Interface]\nMTU = 1\nMTU = 2":          "3: MTU is given twice",
		"[Interface]\nAddress = 1.2.3.4/33":      `2: Address: "1.2.3.4/33"`,
		"[Interface]\n[Peer]\nAllowedIPs = +1.2.3.4/32\nPublicKey = " + keyB: `3: AllowedIPs: "+1.2.3.4/32"`,
		"[Interface]\n[Peer]\nEndpoint = a:1":                                "2: this peer has no PublicKey",
		"[Interface]\n[Wheel]\nA = b":                                        `2: "[Wheel]" is no section`,
	} {
		_, problems := Parse([]byte(text))
		var all []string
		for _, p := range problems {
			all = append(all, fmt.Sprintf("%d: %s", p.Line, p.Text))
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, want) || strings.Contains(got, privA[1:]) {
			t.Errorf("%q: want %q, got %q", text, want, got)
		}
	}
}

// What is written is read the same.
func TestRoundTrip(t *testing.T) {
	f := read(t, messy)
	again := read(t, string(f.Quick()))
	if !reflect.DeepEqual(strip(f), strip(again)) {
		t.Errorf("%+v\n%s\n%+v", f, f.Quick(), again)
	}
	if p := read(t, string(f.Phone())); len(p.Interface.Hooks) > 0 || p.Interface.FwMark != 0 || string(p.Compact()) != string(f.Compact()) {
		t.Errorf("%+v", p)
	}
	if got := f.Lost(); !slices.Equal(got, []string{"FwMark", "SaveConfig", "Table", "hooks"}) {
		t.Error(got)
	}
}

// strip leaves out where things stood.
func strip(f File) File {
	f.Interface.at = nil
	f.Interface.Hooks = slices.Clone(f.Interface.Hooks)
	for n := range f.Interface.Hooks {
		f.Interface.Hooks[n].Line = 0
	}
	f.Peers = slices.Clone(f.Peers)
	for n := range f.Peers {
		f.Peers[n].Line, f.Peers[n].cut = 0, nil
	}
	return f
}

// TestJudgeStrip: wg-quick strip leaves of our file what Sync writes, and of somebody's messy file what we
// read in it.
func TestJudgeStrip(t *testing.T) {
	quick, err := exec.LookPath("wg-quick")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("skipped: no wg-quick (package wireguard-tools), or not root")
	}
	f := read(t, messy)
	for name, text := range map[string]string{"ours": string(f.Quick()), "theirs": strings.NewReplacer("PRIV", privA, "KEYB", keyB, "KEYC", keyC).Replace(messy)} {
		file := filepath.Join(t.TempDir(), "wg0.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(quick, "strip", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: wg-quick refuses it: %s", name, out)
		}
		a, b := strip(read(t, string(out))), strip(read(t, string(f.Sync())))
		for n := range a.Peers {
			a.Peers[n].Name = ""
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: wg-quick strip says\n%swe say\n%s", name, out, f.Sync())
		}
	}
}

// phoneKeys are those that the apps know, by section, and which may stand more than once: WireGuardKit's
// TunnelConfiguration+WgQuickConfig.swift; the app of Android (Interface.java, Peer.java) knows these and more.
var phoneKeys = map[string]map[string]bool{
	"[interface]": {"privatekey": false, "listenport": false, "address": true, "dns": true, "mtu": false},
	"[peer]":      {"publickey": false, "presharedkey": false, "allowedips": true, "endpoint": false, "persistentkeepalive": false},
}

// strictly reads a file as the apps do: any other key, a key twice, an interface without a private key
// or a peer without a public one is an error.
func strictly(text string) error {
	section, seen := "", map[string]bool{}
	end := func() error {
		if need := map[string]string{"[interface]": "privatekey", "[peer]": "publickey"}[section]; need != "" && !seen[need] {
			return fmt.Errorf("%s has no %s", section, need)
		}
		seen = map[string]bool{}
		return nil
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.ToLower(strings.TrimSpace(line)); line == "" {
			continue
		}
		if line == "[interface]" || line == "[peer]" {
			if err := end(); err != nil {
				return err
			}
			section = line
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		many, known := phoneKeys[section][k]
		if !ok || !known || v == "" || seen[k] && !many {
			return fmt.Errorf("%q in %s", k, section)
		}
		seen[k] = true
	}
	return end()
}

func TestForPeer(t *testing.T) {
	i := wireguard.Interface{Addresses: []string{"10.97.98.1/24", "fd12:3456:789a:1::1/64"}, ListenPort: 51820, PublicEndpoint: "vpn.example.org", Peers: map[string]wireguard.Peer{
		"phone":  {PublicKey: key(privA).Public().String(), PresharedKey: keyC, AllowedIPs: []string{"10.97.98.2/32", "fd12:3456:789a:1::2/128"}, Client: &wireguard.Client{PersistentKeepalive: 25}},
		"laptop": {PublicKey: key(privA).Public().String(), AllowedIPs: []string{"10.97.98.3/32", "10.20.0.0/16"}, Client: &wireguard.Client{PrivateKey: privA, AllowedIPs: []string{"10.97.98.0/24"}, DNS: []string{"10.97.98.1", "lan"}, MTU: 1280, Endpoint: "[2001:db8::1]:5"}},
		"tablet": {PublicKey: key(privA).Public().String(), AllowedIPs: []string{"10.97.98.4/32"}, Client: &wireguard.Client{PrivateKey: privA, DNS: []string{"none"}}},
		"net":    {PublicKey: keyB, AllowedIPs: []string{"10.30.0.0/16"}},
	}}
	k := Keys{Private: key(keyB)}
	f, err := ForPeer(i, "phone", k, key(privA))
	if err != nil {
		t.Fatal(err)
	}
	want := "[Interface]\nPrivateKey = " + privA + "\nAddress = 10.97.98.2/32, fd12:3456:789a:1::2/128\nDNS = 10.97.98.1, fd12:3456:789a:1::1\n\n[Peer]\nPublicKey = " + key(keyB).Public().String() +
		"\nPresharedKey = " + keyC + "\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = vpn.example.org:51820\nPersistentKeepalive = 25\n"
	if got := string(f.Phone()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, text := range []string{string(f.Phone()), string(f.Compact())} {
		if err := strictly(text); err != nil {
			t.Errorf("a phone refuses it: %v\n%s", err, text)
		}
	}
	if err := strictly(string(read(t, messy).Quick())); err == nil {
		t.Error("the judge takes anything")
	}
	if f, err = ForPeer(i, "laptop", k, keys.Key{}); err != nil || f.Interface.MTU != 1280 || f.Peers[0].Endpoint != "[2001:db8::1]:5" || fmt.Sprint(f.Interface.Search) != "[lan]" || join(f.Interface.Addresses, " ") != "10.97.98.3/32" || f.Interface.PrivateKey != key(privA) {
		t.Errorf("%+v %v", f, err)
	}
	if f, err = ForPeer(i, "tablet", k, keys.Key{}); err != nil || strings.Contains(string(f.Phone()), "DNS") || strings.Contains(string(f.Phone()), "none") {
		t.Errorf("it keeps its name servers: %v\n%s", err, f.Phone())
	}
	if f, err = ForPeer(i, "phone", k, keys.Key{}); err != nil || strings.Contains(string(f.Phone()), "PrivateKey") {
		t.Errorf("%+v %v", f, err)
	}
	for name, text := range map[string]string{"nobody": "no peer nobody", "net": "no address of its own"} {
		if _, err := ForPeer(i, name, k, keys.Key{}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ForPeer(i, "phone", k, key(keyC)); err == nil || !strings.Contains(err.Error(), "rotate phone") {
		t.Error(err)
	}
	i.PublicEndpoint = ""
	if _, err := ForPeer(i, "phone", k, keys.Key{}); err == nil || !strings.Contains(err.Error(), "public-endpoint") {
		t.Error(err)
	}
}

// TestExport: what an imported file becomes is exported as the same tunnel.
func TestExport(t *testing.T) {
	in := read(t, messy)
	in.Interface.Hooks, in.Interface.SaveConfig, in.Interface.Table = nil, false, ""
	c := Import("wg0", in).Config("wg0")
	if p := c.Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	out, lost := Export(c["wg0"], Keys{Private: in.Interface.PrivateKey})
	slices.SortFunc(in.Peers, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	for n := range in.Peers {
		in.Peers[n].Line, in.Peers[n].cut = 0, nil
	}
	in.Interface.at = nil
	if !reflect.DeepEqual(in, out) || len(lost) > 0 {
		t.Errorf("%v\n%s\n%s", lost, in.Quick(), out.Quick())
	}
	i := c["wg0"]
	i.Reach, i.LANAccess, i.Domains, i.Route = []string{"internet"}, "eth0", []string{"~example.org"}, wireguard.RouteNone
	if out, lost = Export(i, Keys{}); len(lost) != 3 || out.Interface.Table != "off" {
		t.Error(lost, out.Interface)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(strings.NewReplacer("PRIV", privA, "KEYB", keyB, "KEYC", keyC).Replace(messy))
	f.Add("[Interface]\nPostUp = iptables -A FORWARD -i %i -j ACCEPT; ip6tables -t nat -A POSTROUTING -o eth0 -j MASQUERADE\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, problems := Parse([]byte(text))
		i := Import("wg0", c)
		_ = i.Config("wg0").Problems()
		if len(problems) > 0 {
			return
		}
		again, problems := Parse(c.Quick())
		if len(problems) > 0 || len(again.Peers) != len(c.Peers) {
			t.Errorf("%q is written as %q: %v", text, c.Quick(), problems)
		}
		if string(again.Sync()) != string(c.Sync()) {
			t.Errorf("%q then %q", c.Sync(), again.Sync())
		}
	})
}
