package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// planted returns text with every "SECRET" made a secret of its own, named in all.
func planted(all *[]string, text string) string {
	for strings.Contains(text, "SECRET") {
		s := fmt.Sprintf("hunter%03dPq7xZ", len(*all))
		*all = append(*all, s)
		text = strings.Replace(text, "SECRET", s, 1)
	}
	return text
}

// hidden are files of every kind that holds secrets, whole and broken in the very line.
func hidden() map[string]string {
	return map[string]string{
		"/etc/netplan/60-wifi.yaml": "network:\n  version: 2\n  wifis:\n    wlan0:\n      dhcp4: true\n      access-points:\n        cafe:\n          password: \"SECRET\"\n" +
			"        office:\n          auth:\n            key-management: eap\n            identity: me\n            password: SECRET\n            client-key-password: 'SECRET'\n" +
			"  modems:\n    wwan0:\n      password: SECRET\n      pin: 'SECRET'\n" +
			"  tunnels:\n    wg0:\n      mode: wireguard\n      key: SECRET\n      peers:\n        - keys:\n            public: rlbInAj0qV69CysWPQY7KEBnKxpYCpaWqOs/dLevdWc=\n            shared: SECRET\n" +
			"    gre1:\n      mode: gre\n      key: SECRET\n",
		"/etc/NetworkManager/system-connections/w.nmconnection": "[connection]\nid=w\nuuid=1dd4c2ee-7a3a-4e0c-9d6a-7b0f1a1f3a09\ntype=wifi\ninterface-name=wlan0\n\n" +
			"[wifi]\nssid=cafe\n\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=SECRET\nwep-key0=SECRET\nleap-password=SECRET\n\n" +
			"[802-1x]\npassword=SECRET\nprivate-key-password=SECRET\nphase2-private-key-password=SECRET\npin=SECRET\n\n[vpn-secrets]\npassword=SECRET\nIPSec secret=SECRET\n\n" +
			"[wireguard]\nprivate-key=SECRET\n\n[wireguard-peer.rlbInAj0qV69CysWPQY7KEBnKxpYCpaWqOs/dLevdWc=]\npreshared-key=SECRET\n\n" +
			"[gsm]\npassword=SECRET\npin=SECRET\n\n[pppoe]\npassword=SECRET\n\n[macsec]\nmka-cak=SECRET\n\n[ipv4]\nmethod=auto\n",
		"/etc/network/interfaces.d/wifi": "auto wlan0\niface wlan0 inet dhcp\n\twpa-ssid cafe\n\twpa-psk SECRET\n\twpa-passphrase SECRET\n\twireless-key s:SECRET\n\twireless-key1 SECRET\n\twpa-password SECRET\n" +
			"\twpa-private-key-passwd SECRET\n\tup wpa_passphrase cafe SECRET\n\tpost-up curl -u me:SECRET https://198.51.100.1/\n\tpost-up curl --password=SECRET https://me:SECRET@198.51.100.1/\n",
		"/etc/systemd/network/30-wg0.netdev":            "[NetDev]\nName=wg0\nKind=wireguard\n\n[WireGuard]\nPrivateKey=SECRET\n\n[WireGuardPeer]\nPresharedKey=SECRET\n\n[MACsecTransmitAssociation]\nKey=SECRET\n",
		"/etc/dhcpcd.conf":                              "persistent\nauth token\nauthtoken 1 \"\" forever SECRET\n",
		"/etc/dhcp/dhclient.conf":                       "key k {\n  algorithm hmac-md5;\n  secret \"SECRET\";\n}\n",
		"/etc/wpa_supplicant/wpa_supplicant.conf":       "network={\n  ssid=\"cafe\"\n  psk=\"SECRET\"\n  password=\"SECRET\"\n}\n",
		"/etc/wpa_supplicant/wpa_supplicant-wlan0.conf": "network={\n  ssid=\"cafe\"\n  psk=\"SECRET\"\n}\n",
		// What the parsers refuse they name, and must not quote.
		"/etc/netplan/70-broken.yaml":                                "network:\n  wifis:\n    wlan1:\n      access-points:\n        cafe: {password: [SECRET, SECRET\n",
		"/etc/netplan/71-broken.yaml":                                "network:\n  version: 2\n  wifis:\n    wlan2:\n      access-points:\n        cafe:\n          password: *SECRET\n",
		"/etc/NetworkManager/system-connections/broken.nmconnection": "[wifi-security\npsk=SECRET\npsk SECRET\n",
		"/etc/network/interfaces.d/broken":                           "iface wlan1 inet\n\twpa-psk SECRET\n\tpsk\nwpa-psk SECRET\n",
		"/etc/systemd/network/31-broken.netdev":                      "[WireGuard\nPrivateKey SECRET\nPrivateKey=SECRET\n",
	}
}

// No secret of any file leaves the program, whichever command is asked in whichever
// format, and whatever is wrong with the file.
func TestSecretsNeverLeave(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	for _, im := range images() {
		for _, broken := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, broken files %v", im.name, broken), func(t *testing.T) {
				root := im.unpack(t)
				var all []string
				for name, text := range hidden() {
					if broken != strings.Contains(name, "broken") {
						continue
					}
					p := filepath.Join(root, name)
					if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(p, []byte(planted(&all, text)), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if len(all) < 8 {
					t.Fatalf("only %d secrets are planted", len(all))
				}
				shown := map[string]bool{}
				for _, args := range [][]string{{"detect"}, {"plan"}, {"facts"}, {"facts", "--anonymise"}, {"verify"}, {"explain", "eth0"}, {"explain", "wlan0"}, {"validate"},
					{"apply", "--dry-run"}, {"apply"}, {"plan"}, {"facts"}, {"verify"}, {"rollback"}, {"apply"}, {"revert"}, {"recover"}} {
					for _, format := range []string{"table", "json", "yaml"} {
						_, out, errs := call(t, append([]string{"--root", root, "-v", "-o", format}, args...)...)
						for _, s := range all {
							if i := strings.Index(out+errs, s); i >= 0 && !shown[s] {
								shown[s] = true
								t.Errorf("%v -o %s shows a secret: ...%q", args, format, (out + errs)[max(0, i-160):i+len(s)])
							}
						}
					}
				}
			})
		}
	}
}

// Whatever the umask, files are as open as their readers need and no more: networkd and
// NetworkManager run as other users or refuse what is too open.
func TestModesWhateverTheUmask(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	for _, umask := range []int{0, 0o077} {
		for _, im := range images() {
			t.Run(fmt.Sprintf("%s, umask %04o", im.name, umask), func(t *testing.T) {
				root := im.unpack(t)
				before := snapshot(t, root)
				old := syscall.Umask(umask)
				code, out, errs := call(t, "--root", root, "apply")
				syscall.Umask(old)
				if code != 0 {
					t.Fatalf("status %d, %s%s", code, out, errs)
				}
				for _, name := range differences(before, snapshot(t, root)) {
					info, err := os.Lstat(filepath.Join(root, name))
					if err != nil {
						t.Fatal(err)
					}
					want := fs.FileMode(0o644)
					if info.IsDir() {
						want = 0o755
					} else if _, was := before[name]; was {
						continue // an edit leaves the mode
					}
					if info.Mode().Perm() != want {
						t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
					}
				}
				var files int
				err := filepath.WalkDir(filepath.Join(root, "var/lib/provision"), func(p string, d fs.DirEntry, err error) error {
					if err != nil {
						return err
					}
					info, err := d.Info()
					if err != nil {
						return err
					}
					want := []fs.FileMode{0o600}
					if d.IsDir() {
						want = []fs.FileMode{0o700}
						if filepath.Base(p) == "provision" {
							want = append(want, 0o755)
						}
					} else {
						files++
					}
					if !slices.Contains(want, info.Mode().Perm()) {
						t.Errorf("%s has mode %v, want %v", strings.TrimPrefix(p, root), info.Mode().Perm(), want)
					}
					return nil
				})
				if err != nil || files < 3 {
					t.Errorf("%d files of state, %v", files, err)
				}
			})
		}
	}
}
