package wifi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// The files for a card say what the managers are told on a running system.
func TestFilesOfACard(t *testing.T) {
	for _, n := range nets() {
		path, text, err := Profile(n, "wlan0")
		if want, _ := profile(n, "wlan0"); err != nil || text != want || path != profilePrefix+Name(n.SSID)+".nmconnection" {
			t.Errorf("%s: %v\n%s", path, err, text)
		}
		text, err = NetworkConfig(n, "wlan0", "# head")
		if err != nil || !strings.HasPrefix(text, "# head\nversion: 2\n") {
			t.Errorf("%v\n%s", err, text)
		}
		var v struct {
			Wifis map[string]struct {
				Country string         `yaml:"regulatory-domain"`
				Points  map[string]any `yaml:"access-points"`
			}
		}
		if err := yaml.Unmarshal([]byte(text), &v); err != nil || v.Wifis["wlan0"].Country != n.Country {
			t.Errorf("%v\n%s", err, text)
		}
		if _, ok := v.Wifis["wlan0"].Points[n.SSID]; !ok {
			t.Errorf("no %q in\n%s", n.SSID, text)
		}
	}
	bad := Network{SSID: "a", Security: PSK}
	if _, _, err := Profile(bad, "wlan0"); err == nil {
		t.Error("a network without a key is taken")
	}
	if _, _, err := Supplicant(bad); err == nil {
		t.Error("a network without a key is taken")
	}
	if _, err := NetworkConfig(Network{SSID: "\xff", Security: Open}, "wlan0", ""); err == nil {
		t.Error("cloud-init is given a name that is no text")
	}
}

// wpa_supplicant reads the file as it is meant.
func TestJudgeSupplicantOfACard(t *testing.T) {
	for i, n := range nets() {
		_, text, err := Supplicant(n)
		if err != nil {
			t.Fatal(err)
		}
		said := supplicantReads(t, strings.ReplaceAll(text, "ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev\n", ""))
		want := []string{"PSK - hexdump(len=32):" + hexdump(strings.Repeat("\x0a", 32)), "scan_ssid=1", "key_mgmt: 0x400"}[i]
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said:\n%s", want, said)
		}
	}
}

// netplan, which cloud-init hands its network-config to, makes of it what wpa_supplicant reads.
func TestJudgeNetworkConfig(t *testing.T) {
	const program = "/usr/libexec/netplan/generate"
	for _, root := range roots(t, "*-netplan-*", program) {
		for i, n := range nets() {
			if n.Security == SAE && noSAE(netplanVersion(root)) {
				continue
			}
			text, err := NetworkConfig(n, "wlan0", "# head")
			if err != nil {
				t.Fatal(err)
			}
			whole := "network:\n"
			for line := range strings.Lines(text) {
				whole += "  " + line
			}
			dir := t.TempDir()
			at := filepath.Join(dir, "etc/netplan/50-cloud-init.yaml")
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			if said, ok := run(t, root, "", program, "--root-dir", dir); !ok {
				t.Fatalf("%s: netplan refuses it: %s\n%s", filepath.Base(root), said, whole)
			}
			conf, err := os.ReadFile(filepath.Join(dir, netplanConf("wlan0")))
			if err != nil {
				t.Fatal(err)
			}
			said := supplicantReads(t, string(conf))
			want := []string{hexdump(strings.Repeat("\x0a", 32)), "scan_ssid=1", hexdump(n.Passphrase)}[i]
			if !strings.Contains(said, want) || !strings.Contains(said, hexdump(n.SSID)) {
				t.Errorf("%s: %q is not said:\n%s", filepath.Base(root), want, conf)
			}
		}
	}
}
