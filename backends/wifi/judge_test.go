package wifi

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/backends/networkmanager/keyfile"
)

// run runs a program of a cached Debian root by the root's own loader; only such as read files and print.
func run(t *testing.T, root, stdin, program string, args ...string) (string, bool) {
	t.Helper()
	loader, _ := filepath.Glob(root + "/usr/lib*/ld-linux*.so*")
	libs, _ := filepath.Glob(root + "/usr/lib/*-linux-gnu*")
	if len(loader) == 0 || len(libs) == 0 {
		t.Fatalf("%s has no loader or no libraries", root)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, loader[0], append([]string{"--library-path", strings.Join(libs, ":"), root + program}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{"PATH=/nonexistent", "LC_ALL=C"}, strings.NewReader(stdin)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s: timeout", program)
	}
	if err != nil {
		return out.String() + msg.String(), false
	}
	return out.String(), true
}

func roots(t *testing.T, pattern, program string) []string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("skipped: no cache directory: %v", err)
	}
	found, _ := filepath.Glob(filepath.Join(cache, "provision/lab", pattern, program))
	var out []string
	for _, f := range found {
		if root := strings.TrimSuffix(f, program); !strings.HasSuffix(root, ".tmp") { // being built
			out = append(out, root)
		}
	}
	if len(out) == 0 {
		t.Skipf("skipped: no %s in the lab's roots %s", program, pattern)
	}
	return out
}

// TestJudgeProfiles: NetworkManager's own library reads each profile as it is meant.
func TestJudgeProfiles(t *testing.T) {
	for _, root := range roots(t, "*-nm-*", "/usr/bin/nmcli") {
		for _, n := range append(nets(), Network{SSID: "\xff\x00;\\", Security: PSK, Key: strings.Repeat("b7", 32)}) {
			text, err := profile(n, "wlan0")
			if err != nil {
				t.Fatal(err)
			}
			out, ok := run(t, root, text, "/usr/bin/nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes")
			if !ok {
				t.Fatalf("%s: nmcli refuses it: %s\n%s", filepath.Base(root), out, text)
			}
			k, err := keyfile.Parse([]byte(out))
			if err != nil {
				t.Fatal(err)
			}
			get := func(group, key string) string { v, _, _ := k.Get(group, key); return v }
			if got := readSSID(get("wifi", "ssid")); got != n.SSID {
				t.Errorf("%s: SSID %q, want %q", filepath.Base(root), got, n.SSID)
			}
			want := map[string]string{PSK: n.Key, SAE: keyfileText(n.Passphrase), Open: ""}[n.Security]
			if got := get("wifi-security", "psk"); got != want {
				t.Errorf("%s: %q has the psk %q, want %q", filepath.Base(root), n.SSID, got, want)
			}
			if got := get("wifi", "hidden"); (got == "true") != n.Hidden {
				t.Errorf("hidden=%s", got)
			}
			if got := get("wifi", "bssid"); !strings.EqualFold(got, n.BSSID) {
				t.Errorf("bssid=%s", got)
			}
		}
	}
}

// supplicantReads lets wpa_supplicant read a file and returns what it says about it.
func supplicantReads(t *testing.T, text string) string {
	t.Helper()
	bin, err := exec.LookPath("wpa_supplicant")
	if err != nil {
		t.Skip("skipped: no wpa_supplicant (package wpasupplicant)")
	}
	file := filepath.Join(t.TempDir(), "w.conf")
	text = strings.ReplaceAll(text, "ctrl_interface=/run/wpa_supplicant", "ctrl_interface="+filepath.Join(t.TempDir(), "c"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// On an interface that does not exist it reads the file, says what it read, and gives up.
	out, _ := exec.CommandContext(ctx, bin, "-dd", "-K", "-Dwired", "-inosuch0", "-c", file).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatal("wpa_supplicant: timeout")
	}
	if bytes.Contains(out, []byte("Failed to read or parse")) {
		t.Fatalf("wpa_supplicant refuses it:\n%s\n%s", text, out)
	}
	return string(out)
}

// hexdump is how wpa_supplicant shows bytes.
func hexdump(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		b.WriteString(" " + string(digits[s[i]>>4]) + string(digits[s[i]&15]))
	}
	return b.String()
}

// TestJudgeSupplicant: wpa_supplicant reads our own file as it is meant.
func TestJudgeSupplicant(t *testing.T) {
	d, _, err := Plan(worlds()["networkd"], nets())
	if err != nil {
		t.Fatal(err)
	}
	said := supplicantReads(t, d.Wants[0].Attrs["content"])
	for _, want := range []string{"country='DE'", "priority=10", "PSK - hexdump(len=32):" + hexdump(strings.Repeat("\x0a", 32)), "BSSID - hexdump(len=6): 02 00 00 00 01 00", "key_mgmt: 0x400", "ieee80211w=2", "scan_ssid=1"} {
		if !strings.Contains(said, want) {
			t.Errorf("wpa_supplicant does not say %q:\n%s", want, said)
		}
	}
	if n := strings.Count(said, "id_str - hexdump_ascii(len=9)"); n != 3 {
		t.Errorf("%d networks are ours, want 3", n)
	}
}

// netplanVersion is that of the package in a root.
func netplanVersion(root string) string {
	status, _ := os.ReadFile(root + "/var/lib/dpkg/status")
	_, after, _ := strings.Cut(string(status), "\nPackage: netplan.io\n")
	_, after, _ = strings.Cut(after, "\nVersion: ")
	version, _, _ := strings.Cut(after, "\n")
	return version
}

// TestJudgeNetplan: netplan makes of our file what wpa_supplicant reads as it is meant, beside an id
// of somebody else's and alone.
func TestJudgeNetplan(t *testing.T) {
	const program = "/usr/libexec/netplan/generate"
	for _, root := range roots(t, "*-netplan-*", program) {
		for _, name := range []string{"netplan", "netplan-with-id"} {
			f, list := worlds()[name], nets()
			if f.Netplan.Version = netplanVersion(root); noSAE(f.Netplan.Version) {
				if _, _, err := Plan(f, list); err == nil || !strings.Contains(err.Error(), "knows no WPA3") {
					t.Errorf("%s: %v", filepath.Base(root), err)
				}
				list = list[:2]
			}
			d, _, err := Plan(f, list)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			put := func(path, text string) {
				p := filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put(d.Wants[0].Name, d.Wants[0].Attrs["content"])
			for _, p := range f.Netplan.Files {
				if strings.Contains(p, "wifi") {
					put(p, f.Files[p].Text)
				}
			}
			if said, ok := run(t, root, "", program, "--root-dir", dir); !ok {
				t.Fatalf("%s, %s: netplan refuses it: %s\n%s", filepath.Base(root), name, said, d.Wants[0].Attrs["content"])
			}
			conf, err := os.ReadFile(filepath.Join(dir, netplanConf("wlan0")))
			if err != nil {
				t.Fatalf("%s, %s: %v", filepath.Base(root), name, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "run/systemd/system/netplan-wpa-wlan0.service")); err != nil {
				t.Errorf("%s: no unit: %v", filepath.Base(root), err)
			}
			if _, err := os.Stat(filepath.Join(dir, "run/systemd/network/10-netplan-wlan0.network")); err != nil {
				t.Errorf("%s: no .network: %v", filepath.Base(root), err)
			}
			said := supplicantReads(t, string(conf))
			for _, n := range list {
				if !strings.Contains(said, hexdump(n.SSID)) {
					t.Errorf("%s, %s: %q is missing:\n%s", filepath.Base(root), name, n.SSID, conf)
				}
			}
			for i, want := range []string{hexdump(strings.Repeat("\x0a", 32)), hexdump(nets()[2].Passphrase)} {
				if i < len(list)-1 && !strings.Contains(said, want) {
					t.Errorf("%s, %s: a key is missing:\n%s", filepath.Base(root), name, conf)
				}
			}
			if name == "netplan-with-id" && !strings.Contains(string(conf), "Office") {
				t.Errorf("%s: somebody else's network is gone:\n%s", filepath.Base(root), conf)
			}
		}
	}
}
