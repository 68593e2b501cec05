package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

// On a mounted image a server and its peers are files, for the first boot; nothing is left of what is
// taken away, and no private key of a peer is kept.
func TestWireguardOnAnImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	root := images()[0].unpack(t)
	before := files(t, root)
	wg := func(args ...string) (int, string, string) {
		return call(t, append(append([]string{"wireguard"}, args...), "--root", root)...)
	}
	code, out, errs := wg("init", "--endpoint", "vpn.example.org", "--manage", "no")
	if code != 0 || !strings.Contains(out, "peers may not manage it") {
		t.Fatalf("status %d: %s%s", code, out, errs)
	}
	code, config, errs := wg("add", "phone")
	if code != 0 {
		t.Fatalf("status %d: %s%s", code, config, errs)
	}
	private := ""
	for _, l := range strings.Split(config, "\n") {
		if v, ok := strings.CutPrefix(l, "PrivateKey = "); ok {
			private = v
		}
	}
	if len(private) != 44 || !strings.Contains(config, "Endpoint = vpn.example.org:51820") || !strings.Contains(errs, "shown this once") {
		t.Errorf("the phone's file:\n%s%s", config, errs)
	}
	kept := 0
	for name, f := range files(t, root) {
		if strings.Contains(f.text, private) {
			t.Errorf("the phone's private key is in %s", name)
		}
		if strings.Contains(f.text, "private-key") && f.mode != 0o600 {
			t.Errorf("%s has mode %04o", name, f.mode)
		}
		if strings.HasPrefix(name, "/etc/provision/wireguard.d/") {
			kept++
		}
	}
	if kept != 2 {
		t.Errorf("%d files are kept", kept)
	}
	if kernel := files(t, root)["/var/lib/provision/kernel.json"]; !strings.Contains(kernel.text, `"wireguard-peer"`) || kernel.mode != 0o600 {
		t.Errorf("nothing brings it up at the first boot: %s", kernel.text)
	}
	var list agent.WireguardList
	code, out, errs = wg("list", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || len(list.Interfaces) != 1 || len(list.Interfaces[0].Peers) != 1 || list.Interfaces[0].Peers[0].Name != "phone" {
		t.Errorf("status %d, %v: %s%s", code, err, out, errs)
	}
	for _, args := range [][]string{{"list"}, {"show", "phone"}, {"list", "-o", "yaml"}} {
		if code, out, errs := wg(args...); code != 0 || strings.Contains(out+errs, private) {
			t.Errorf("%v: status %d: %s%s", args, code, out, errs)
		}
	}
	if code, out, errs := call(t, "facts", "--root", root); code != 0 || strings.Contains(out+errs, private) {
		t.Errorf("facts: status %d", code)
	}
	for _, args := range [][]string{{"remove", "phone"}, {"remove", "--interface", "wg0", "--all"}} {
		if code, out, errs := wg(args...); code != 0 {
			t.Fatalf("%v: status %d: %s%s", args, code, out, errs)
		}
	}
	for name, f := range files(t, root) {
		if was, there := before[name]; !strings.HasPrefix(name, "/var/lib/provision") && (!there || was != f) {
			t.Errorf("%s is left", name)
		}
	}
}

func TestWireguardUsage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it is asked for first")
	}
	root := images()[0].unpack(t)
	dir := t.TempDir()
	open := filepath.Join(dir, "open.conf")
	if err := os.WriteFile(open, []byte("[Interface]\nPrivateKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEE=\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "wg7.conf")
	if err := os.WriteFile(bad, []byte("[Interface]\nPrivateKey = hunter2\nPostOpp = x\n[Peer]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want string
	}{
		{"add", "takes the name of one peer, got 0"},
		{"add a b", "takes the name of one peer, got 2"},
		{"add phone", "there is no WireGuard interface: `provision wireguard init` makes one"},
		{"init a b", "takes the name of an interface, got 2"},
		{"init ../x", "is no name of an interface"},
		{"init wg0123456789abcdef", "longer than the 15 letters"},
		{"init --manage maybe", `--manage "maybe" is not yes or no`},
		{"init --nat perhaps", "not one of auto, yes, no"},
		{"init --address 10.0.0.300/24", "no address and no network"},
		{"init --prefix 10.0.0.0/8", "no public IPv6 network"},
		{"init --prefix x", "no network such as"},
		{"init --listen-port 70000", "invalid argument"},
		{"init --endpoint a:b:c", "--endpoint:"},
		{"init --reach nowhere,internet --address 10.1.1.1/33", "no address and no network"},
		{"rotate", "the name of a peer, or --own"},
		{"rotate phone --own", "the name of a peer, or --own"},
		{"rotate --own --keep-key", "--own makes a key for this machine"},
		{"remove", "the name of a peer, or --interface NAME --all"},
		{"remove --all", "name it with --interface"},
		{"remove phone --all --interface wg0", "name it with --interface"},
		{"remove nobody", "there is no WireGuard interface"},
		{"show", "takes the name of one peer"},
		{"show phone", "there is no WireGuard interface"},
		{"list --watch -1s", "--watch is a time"},
		{"list wg9", "there is no WireGuard interface"},
		{"import", "takes the name of one file"},
		{"import -", "import - needs a name"},
		{"import " + dir + "/none.conf", "cannot import"},
		{"import " + open + " --interface wg0", "others may read it (mode 0644)"},
		{"import " + dir + "/x", "does not end with .conf"},
		{"import " + bad, "line 2: PrivateKey"},
		{"export", "there is no WireGuard interface"},
		{"export wg3", "there is no WireGuard interface"},
		{"add p --route half", "not one of full, split, lan"},
		{"add p --allowed-ips 10.0.0.0/8 --route full", "the whole list"},
		{"add p --public-key x --keep-key", "a private key that is made here"},
		{"add p --public-key x --qr", "no QR code without the private key"},
		{"add p --qr --no-qr", "contradict"},
		{"add p --keepalive 70000", "invalid argument"},
		{"bogus", "unknown command"},
	} {
		code, _, errs := call(t, append(append([]string{"wireguard"}, strings.Fields(c.args)...), "--root", root)...)
		if code != exitUsage || !strings.Contains(errs, c.want) || strings.Contains(errs, "hunter2") {
			t.Errorf("%s: status %d, %q; want %d and %q", c.args, code, errs, exitUsage, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "/etc/provision/wireguard.d")); err == nil {
		t.Error("something was written all the same")
	}
	// What is wrong with a peer of an interface that is there.
	if code, out, errs := call(t, "wireguard", "init", "--root", root, "--manage", "no"); code != 0 {
		t.Fatalf("status %d: %s%s", code, out, errs)
	}
	before := files(t, root)
	for _, c := range []struct {
		args string
		want string
	}{
		{"add phone", "nothing tells where peers find this machine"},
		{"add ../phone --endpoint a.example.org", "is no name of a peer"},
		{"add phone --endpoint a.example.org --public-key short", "a key is 32 bytes in base64"},
		{"add phone --endpoint a.example.org --address 10.0.0.0/24", "a peer has single addresses"},
		{"add phone --endpoint a.example.org --dns not/a/name", "neither an address of a name server nor a domain"},
		{"add phone --endpoint a.example.org --route lan", "no private network that could be reached"},
		{"add phone --endpoint a.example.org --png /nonexistent/x.png", "cannot make a new file"},
		{"remove nobody", "has no peer nobody, and no other"},
		{"add phone --interface wg5", "there is no WireGuard interface wg5: there is wg0"},
		{"init --address 10.0.0.1/24,10.0.0.1/24", "wg0.addresses"},
	} {
		code, _, errs := call(t, append(append([]string{"wireguard"}, strings.Fields(c.args)...), "--root", root)...)
		if code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%s: status %d, %q; want %d and %q", c.args, code, errs, exitUsage, c.want)
		}
	}
	for name, f := range files(t, root) {
		if was := before[name]; was != f {
			t.Errorf("%s was changed all the same", name)
		}
	}
}

// Keys leave the program by the files that are asked for, and by nothing else.
func TestWireguardSecretsNeverLeave(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	root := images()[0].unpack(t)
	for _, args := range [][]string{{"init", "--endpoint", "vpn.example.org", "--manage", "no"}, {"add", "phone", "--keep-key"}, {"add", "laptop"}} {
		if code, _, errs := call(t, append(append([]string{"wireguard"}, args...), "--root", root)...); code != 0 {
			t.Fatalf("%v: status %d: %s", args, code, errs)
		}
	}
	var secrets []string
	for name, f := range files(t, root) {
		if !strings.HasPrefix(name, "/etc/provision/wireguard.d/") {
			continue
		}
		for _, l := range strings.Split(f.text, "\n") {
			key, value, _ := strings.Cut(strings.TrimSpace(l), ": ")
			if key == "private-key" || key == "preshared-key" {
				secrets = append(secrets, strings.Trim(value, `"`))
			}
		}
	}
	if len(secrets) != 4 {
		t.Fatalf("%d secrets", len(secrets))
	}
	for _, args := range [][]string{{"plan"}, {"apply", "--dry-run"}, {"apply"}, {"verify"}, {"detect"}, {"facts"}, {"validate"}, {"firewall", "show"},
		{"wireguard", "list"}, {"wireguard", "remove", "laptop", "--dry-run"}, {"wireguard", "remove", "laptop"}, {"wireguard", "init", "--manage", "yes"},
		{"wireguard", "remove", "--interface", "wg0", "--all"}} {
		for _, format := range []string{"table", "json", "yaml"} {
			_, out, errs := call(t, append([]string{"--root", root, "-v", "-o", format}, args...)...)
			for _, s := range secrets {
				if i := strings.Index(out+errs, s); i >= 0 {
					t.Errorf("%v -o %s shows a key: ...%q", args, format, (out + errs)[max(0, i-120):i])
				}
			}
		}
	}
}

// A key in a configuration file that others may read is refused, and so is the file.
func TestInlineKeysAreForRootAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: for others the file's mode is nothing")
	}
	const secret = "MDrbc0k14xknC3910lICs2X758sAYHh73RN1RJ8sIUs="
	file := filepath.Join(t.TempDir(), "provision.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nrouting:\n  wireguard:\n    wg0:\n      private-key: "+secret+"\n      addresses: [10.97.98.1/24]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := call(t, "validate", file)
	if code != exitUsage || !strings.Contains(out+errs, "routing.wireguard.wg0.private-key: others may read this key (mode 0644)") || strings.Contains(out+errs, secret) {
		t.Errorf("status %d, %s%s", code, out, errs)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := call(t, "validate", file); code != 0 {
		t.Errorf("status %d, %s%s", code, out, errs)
	}
}
