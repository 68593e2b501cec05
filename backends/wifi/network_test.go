package wifi

import (
	"os/exec"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	key := strings.Repeat("0a", 32)
	for text, want := range map[string]string{
		"ssid: Home\npsk: " + key: "",
		"ssid: \"\\u00e9\"\nsecurity: sae\npassphrase: '  quoted: \"yes\"'":                                                     "",
		"ssid-hex: \"00ff\"\nsecurity: open\ncountry: DE\nhidden: true\npriority: 999\nbssid: 02:00:00:00:01:00\ndevice: wlan0": "",
		"ssid: Home\npassphrase: 12345678": "",
		"":                                 "it is not YAML",
		"ssid: [":                          "it is not YAML",
		"ssid: Home\npsk: " + key + "\ncolour: red":                    "it is not YAML with the keys",
		"ssid: a\n---\nssid: b":                                        "more than one document",
		"psk: " + key:                                                  "it has no ssid",
		"ssid: a\nssid-hex: \"61\"\npsk: " + key:                       "both ssid and ssid-hex",
		"ssid-hex: xyz":                                                "not hexadecimal",
		"ssid: ''\nsecurity: open":                                     "1 to 32 bytes",
		"ssid: 12345678901234567890123456789012x\nsecurity: open":      "has 33 bytes",
		"ssid: Home":                                                   "either psk or passphrase",
		"ssid: Home\npsk: " + key + "\npassphrase: 12345678":           "either psk or passphrase",
		"ssid: Home\npsk: abc":                                         "64 hexadecimal digits",
		"ssid: Home\npassphrase: 1234567":                              "has 7 characters",
		"ssid: Home\npassphrase: " + strings.Repeat("x", 64):           "has 64 characters",
		"ssid: Home\npassphrase: 1234567\u00e9":                        "beyond ASCII",
		"ssid: Home\nsecurity: wep":                                    "not one of psk, sae, open",
		"ssid: Home\nsecurity: open\npsk: " + key:                      "neither psk nor passphrase",
		"ssid: Home\nsecurity: open\ncountry: de":                      "two capital letters",
		"ssid: Home\nsecurity: open\npriority: 1000":                   "0 to 999",
		"ssid: Home\nsecurity: open\nbssid: 02-00":                     "bssid",
		"ssid: Home\nsecurity: open\ndevice: ../x":                     "device is not",
		"ssid: Home\nsecurity: open\n#" + strings.Repeat("x", MaxFile): "larger than",
	} {
		n, err := Parse([]byte(text))
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			} else if again, err := Parse(n.Encode()); err != nil || again != n {
				t.Errorf("%q comes back as %+v, %v", text, again, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	// A secret of a broken file is in no error.
	if _, err := Parse([]byte("ssid: Home\npsk: hunter2hunter2\npassphrase: [hunter2")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error is %v", err)
	}
}

func TestKey(t *testing.T) {
	// IEEE 802.11-2020, J.4.2.
	for _, c := range [][3]string{
		{"password", "IEEE", "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"},
		{"ThisIsAPassword", "ThisIsASSID", "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"},
		{strings.Repeat("a", 32), strings.Repeat("Z", 32), "becb93866bb8c3832cb777c2f559807c8c59afcb6eae734885001300a981cc62"},
	} {
		if got, err := DeriveKey(c[0], c[1]); err != nil || got != c[2] {
			t.Errorf("%s, %s: %s, %v", c[0], c[1], got, err)
		}
	}
	bin, err := exec.LookPath("wpa_passphrase")
	if err != nil {
		t.Skip("skipped: no wpa_passphrase (package wpasupplicant)")
	}
	cmd := exec.Command(bin, "Caf\xc3\xa9 2")
	cmd.Stdin = strings.NewReader("corr#ct \"horse\"\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := DeriveKey("corr#ct \"horse\"", "Caf\xc3\xa9 2"); !strings.Contains(string(out), "\tpsk="+got+"\n") {
		t.Errorf("%s is not what wpa_passphrase says:\n%s", got, out)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	for _, ssid := range []string{"Home", "home", "Home ", "a b", "a_b", "../../etc/passwd", ".", "-x", "\xff", "\x00", "Caf\u00e9", "Home.1234abcd", strings.Repeat("x", 32)} {
		name := Name(ssid)
		if other, twice := seen[name]; twice {
			t.Errorf("%q and %q are both %s", ssid, other, name)
		}
		seen[name] = ssid
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" || strings.Trim(name[:1], "-.") == "" {
			t.Errorf("%q makes the file name %q", ssid, name)
		}
	}
	if Name("Home") != "Home" {
		t.Error("a harmless name is not kept")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ssid: Home\npassphrase: 12345678\n")
	f.Add("ssid-hex: \"00\"\nsecurity: open\nbssid: 02:00:00:00:01:00\n")
	f.Add("ssid: &a x\npsk: *a\nhidden: yes\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse([]byte(text))
		if err != nil {
			if n.Passphrase != "" && strings.Contains(err.Error(), n.Passphrase) && len(n.Passphrase) > 7 {
				t.Fatal("the passphrase is in the error")
			}
			return
		}
		again, err := Parse(n.Encode())
		if err != nil || again != n {
			t.Fatalf("%+v comes back as %+v, %v", n, again, err)
		}
	})
}
