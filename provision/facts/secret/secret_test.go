package secret

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	for _, c := range []struct{ name, file, in, want string }{
		{"netplan", "a.yaml", `network:
  version: 2
  wifis:
    wlan0:
      dhcp4: true
      access-points:
        "My Home":
          password: "hunter22 \"q\" # no comment"
        open: {}
        corp:
          auth:
            key-management: eap
            method: peap
            identity: alice
            password: plain secret
            ca-certificate: /etc/ca.pem
  ethernets:
    eth0: {dhcp4: true, dhcp4-overrides: {route-metric: 100}, ipv6-address-token: "::2"}
`, `network:
  version: 2
  wifis:
    wlan0:
      dhcp4: true
      access-points:
        "My Home":
          password: "***"
        open: {}
        corp:
          auth:
            key-management: eap
            method: peap
            identity: "***"
            password: "***"
            ca-certificate: /etc/ca.pem
  ethernets:
    eth0: {dhcp4: true, dhcp4-overrides: {route-metric: 100}, ipv6-address-token: "::2"}
`},
		{"flow keeps the rest", "a.yaml", "wlan0: {access-points: {x: {password: hunter22}, y: {auth: {key-management: psk, password: 'pq rs'}}}, dhcp4: true}\n",
			"wlan0: {access-points: {x: {password: \"***\"}, y: {auth: {key-management: psk, password: \"***\"}}}, dhcp4: true}\n"},
		{"block and folded", "a.yaml", "a:\n  password: |\n    one\n\n    two\n  dhcp4: true\n  secret:\n    three\n    four\n  mtu: 9000\n",
			"a:\n  password: \"***\"\n    # ***\n\n    # ***\n  dhcp4: true\n  secret:\n    # ***\n    # ***\n  mtu: 9000\n"},
		{"list below", "a.yaml", "keys:\n- aaaaaa\n- bbbbbb\ndhcp4: true\n", "keys:\n# ***\n# ***\ndhcp4: true\n"},
		{"list item", "a.yaml", "peers:\n  - key: aaaaaa\n    allowed-ips: [10.0.0.0/8]\n", "peers:\n  - key: \"***\"\n    allowed-ips: [10.0.0.0/8]\n"},
		{"quote over lines", "a.yaml", "password: \"abcdef\nghijkl\"\ndhcp4: true\n", "password: \"***\"\n# ***\ndhcp4: true\n"},
		{"anchor", "a.yaml", "x: &p hunter22\npassword: *p\n", "x: &p \"***\"\npassword: \"***\"\n"},
		{"keyfile", "a.nmconnection", "[wifi]\nssid=Home\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=hunter22\nwep-key0=abcde\n[802-1x]\nprivate-key-password=x y\n[ipv4]\nmethod=auto\nroute-metric=100\n",
			"[wifi]\nssid=Home\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=***\nwep-key0=***\n[802-1x]\nprivate-key-password=***\n[ipv4]\nmethod=auto\nroute-metric=100\n"},
		{"netdev", "a.netdev", "[WireGuard]\nPrivateKey = abc\nListenPort=51820\n[WireGuardPeer]\nPublicKey=RDf+LSpeEre7YEIKaxg+wbpsNV7du+ktR99uBEtIiCA=\nAllowedIPs=fd00::/8\n",
			"[WireGuard]\nPrivateKey = ***\nListenPort=51820\n[WireGuardPeer]\nPublicKey=***\nAllowedIPs=fd00::/8\n"},
		{"interfaces", "interfaces", "iface wlan0 inet dhcp\n    wpa-ssid Home\n    wpa-psk hunter22\n    wpa-psk \\\n      hunter23\n    metric 10\n    up wget http://bob:pw@host/x\n    wireless-key s:abcde\n",
			"iface wlan0 inet dhcp\n    wpa-ssid Home\n    wpa-psk ***\n    wpa-psk \\\n      ***\n    metric 10\n    up wget http://***@host/x\n    wireless-key ***\n"},
		{"crlf", "interfaces", "wpa-psk hunter22\r\nmetric 1\r\n", "wpa-psk ***\r\nmetric 1\r\n"},
		{"pem", "x.conf", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nok\n", "***\n***\n***\nok\n"},
		{"cloud", "99.cfg", "chpasswd:\n  users:\n    - {name: root, password: $6$salt$hash}\nnetwork: {config: disabled}\n",
			"chpasswd:\n  # ***\n    # ***\nnetwork: {config: disabled}\n"},
		{"nothing", "a.yaml", "network:\n  ethernets:\n    mappings: x\n    shared-net: y\n    keyboard: us\n", "network:\n  ethernets:\n    mappings: x\n    shared-net: y\n    keyboard: us\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, changed := Mask(c.file, c.in)
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if changed != (c.in != c.want) {
				t.Errorf("changed is %v", changed)
			}
			if again, _ := Mask(c.file, got); again != got {
				t.Errorf("masking twice gives\n%s\nafter\n%s", again, got)
			}
		})
	}
}

// templates hold a secret in every way that the formats know; S is the secret, Q the
// secret within double quotes.
var templates = []struct{ file, text string }{
	{"a.yaml", "wifis:\n  w:\n    access-points:\n      x:\n        password: Q\n"},
	{"a.yaml", "wifis:\n  w:\n    access-points: {x: {password: Q}, y: {}}\n"},
	{"a.yaml", "wifis: {w: {access-points: {x: {password:\n Q}}}}\ndhcp4: true\n"},
	{"a.yaml", "a:\n  password: |\n    S\n  b: 1\n"},
	{"a.yaml", "a:\n  password: >-\n   S\n\n   S\n  b: 1\n"},
	{"a.yaml", "a:\n  - password:\n      Q\n    b: 1\n"},
	{"a.yaml", "a:\n  keys:\n  - Q\n  - Q\n  b: 1\n"},
	{"a.yaml", "a: &x Q\nb:\n  password: *x\n"},
	{"a.yaml", "a: &x\n  b: Q\npassword: *x\n"},
	{"a.yaml", "? password\n: Q\nb: 1\n"},
	{"a.yaml", "a:\n  ? password\n  : Q\n  b: 1\n"},
	{"a.yaml", "a:\n  \"pass\\u0077ord\": Q\n"},
	{"a.yaml", "a:\n  'password' : !!str Q\n"},
	{"a.yaml", "tunnels:\n  wg0:\n    mode: wireguard\n    key: Q\n    peers:\n    - keys: {public: x, shared: Q}\n"},
	{"a.yaml", "tunnels:\n  g:\n    keys:\n      input: Q\n      output: Q\n"},
	{"a.yaml", "a:\n  password: [\n    Q,\n  Q\n  ]\nb: 1\n"},
	{"a.nmconnection", "[wifi-security]\npsk=S\n"},
	{"a.nmconnection", "[vpn-secrets]\npassword=S\n"},
	{"a.nmconnection", "[802-1x]\nphase2-private-key-password = S\n"},
	{"a.nmconnection", "[gsm]\npin=S\n"},
	{"a.netdev", "[WireGuard]\nPrivateKey=\\\nS\nListenPort=1\n"},
	{"interfaces", "iface w inet dhcp\n\twpa-psk S\n"},
	{"interfaces", "iface w inet dhcp\n\twpa-psk \\\nS\n"},
	{"interfaces", "iface w inet dhcp\n\twpa-psk Q\n\tup curl -u x --pass S http://h\n"},
	{"interfaces", "iface w inet dhcp\n\tup wpa_cli set_network 0 psk S\n"},
	{"99.cfg", "chpasswd:\n  list: |\n    root:S\n"},
	{"99.cfg", "users:\n- name: x\n  hashed_passwd: Q\n  plain_text_passwd: Q\n"},
}

func leaks(t *testing.T, secret, template string, file string) {
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret) + `"`
	text := strings.NewReplacer("Q", quoted, "S", secret).Replace(template)
	got, _ := Mask(file, text)
	if strings.Contains(got, secret) {
		t.Errorf("secret %q survives in %s\n%s\nfrom\n%s", secret, file, got, text)
	}
	if a, b := strings.Count(text, "\n"), strings.Count(got, "\n"); a != b {
		t.Errorf("%d lines became %d:\n%s\nfrom\n%s", a, b, got, text)
	}
}

func TestNoSecretSurvives(t *testing.T) {
	for _, s := range []string{"hunter22", "with space 7", `q"uo'te`, "br{ack]et,", "#hash1234", "a: b-c-d", "*star*1", `back\slash`, "-dash-7", "ünïcödé", "[x]y]z9"} {
		for _, tm := range templates {
			leaks(t, s, tm.text, tm.file)
		}
	}
}

func FuzzNoSecretSurvives(f *testing.F) {
	for i := range templates {
		f.Add("hunter22", uint(i), "", "")
		f.Add(`q"uo'te}`, uint(i), "version: 2\n", "renderer: networkd # {\n")
	}
	f.Fuzz(func(t *testing.T, secret string, which uint, before, after string) {
		tm := templates[which%uint(len(templates))]
		// A secret is one line, is no part of what stands around it, and survives
		// the quoting that the template gives it.
		if len(secret) < 6 || strings.TrimSpace(secret) != secret || strings.ContainsFunc(secret, func(c rune) bool {
			return c < ' ' || c == 0x7f || c == 0xfffd || c >= 0x80 && c < 0xa1 || c == 0x2028 || c == 0x2029 || c == 0xfeff
		}) ||
			strings.Contains(tm.text+before+after+Blank, secret) || strings.Contains(secret, "S") || strings.Contains(secret, "Q") {
			return
		}
		// In YAML a plain block or the lines around must not change what the secret is:
		// only whole lines that begin at the margin may stand around.
		for _, s := range []string{before, after} {
			if strings.ContainsAny(s, "SQ\r\"'\\&|>\x00[]{}?") || s != "" && !strings.HasSuffix(s, "\n") {
				return
			}
		}
		leaks(t, secret, before+tm.text+after, tm.file)
	})
}

func FuzzMask(f *testing.F) {
	for _, tm := range templates {
		f.Add(tm.file, tm.text)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		got, changed := Mask(name, text)
		if changed != (got != text) {
			t.Error("changed does not say whether the text changed")
		}
		if strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("lines: %q became %q", text, got)
		}
	})
}
