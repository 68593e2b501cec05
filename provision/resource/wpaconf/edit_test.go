package wpaconf

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

// theirs is Raspberry Pi OS' file after somebody has been at it.
const theirs = `ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev
update_config=1
# a comment
network={
	ssid="Ho#me"   # with a comment
	psk="not ours"
}

cred={
	realm="example.com"
}
`

var body = Body("Caf\xc3\xa9", []string{"key_mgmt=NONE"})

func name(kind string) string { return "/w.conf " + kind }

func TestEdit(t *testing.T) {
	network, err := parseName(name("network 436166c3a9"))
	if err != nil {
		t.Fatal(err)
	}
	country, err := parseName(name("country"))
	if err != nil {
		t.Fatal(err)
	}
	block := "network={\n\tssid=436166c3a9\n\tid_str=\"provision\"\n\tkey_mgmt=NONE\n}\n"
	for _, c := range []struct {
		what, before string
		t            target
		text         string
		there        bool
		after        string
	}{
		{"added at the end", theirs, network, body, true, theirs + block},
		{"added to a file without a last line end", "update_config=1", network, body, true, "update_config=1\n" + block},
		{"added to nothing", "", network, body, true, block},
		{"changed in its place", block + theirs, network, Body("Caf\xc3\xa9", []string{"priority=3"}), true, strings.Replace(block, "key_mgmt=NONE", "priority=3", 1) + theirs},
		{"taken away", theirs + block, network, "", false, theirs},
		{"taken away where wpa_supplicant wrote it anew", theirs + "network={\n\tssid=\"Caf\xc3\xa9\"\n\tkey_mgmt=NONE\n\tid_str=\"provision\"\n}\n", network, "", false, theirs},
		{"nothing to take away", theirs, network, "", false, theirs},
		{"theirs of the same name is not ours", "network={\n\tssid=436166c3a9\n}\n", network, body, true, "network={\n\tssid=436166c3a9\n}\n" + block},
		{"a country before the networks", theirs, country, "DE", true, strings.Replace(theirs, "network={", "country=DE\nnetwork={", 1)},
		{"a country in its place", "country=US\n" + theirs, country, "DE", true, "country=DE\n" + theirs},
		{"no country", "country=US\n" + theirs, country, "", false, theirs},
		{"a block without an end stays", "network={\n\tssid=\"x\"\n", network, body, true, "network={\n\tssid=\"x\"\n" + block},
	} {
		if got := parse(c.before).set(c.t, c.text, c.there).String(); got != c.after {
			t.Errorf("%s:\n%s\nwant\n%s", c.what, got, c.after)
		}
	}
	if got := Networks(theirs + block); len(got) != 2 || got[0] != (Known{SSID: "Ho#me"}) || got[1] != (Known{SSID: "Caf\xc3\xa9", Ours: true, Open: true}) {
		t.Errorf("networks %+v", got)
	}
}

func TestNamesAndTexts(t *testing.T) {
	for _, bad := range []string{"", "x network 00", "/x", "/x network", "/x network zz", "/x network AA", "/x country DE", "/x network " + strings.Repeat("00", 33)} {
		if _, err := parseName(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	n, _ := parseName("/x network 41")
	for _, bad := range []string{"", "ssid=41", "ssid=42\n" + IDString, Body("A", []string{"psk"}), Body("A", []string{"ssid=42"}), Body("A", []string{"}"}), Body("A", []string{"key_mgmt=NONE "}), Body("A", []string{"a=b\rc=d"})} {
		if n.checkText(bad) == nil {
			t.Errorf("the text %q is taken", bad)
		}
	}
}

func FuzzEdit(f *testing.F) {
	f.Add(theirs, "A", "DE")
	f.Add("network={\nssid=41\nid_str=\"provision\"\n}", "A", "US")
	f.Add("network={\nnetwork={\n}\ncountry=\n#\"", "\xff", "XX")
	f.Fuzz(func(t *testing.T, text, ssid, country string) {
		d := parse(text)
		if d.String() != text {
			t.Fatal("the pieces are not the file")
		}
		if ssid == "" || len(ssid) > 32 {
			return
		}
		n := target{"/x", kindNetwork, ssid}
		want := Body(ssid, []string{"key_mgmt=NONE"})
		if d.open() { // what is added to a broken file would be inside its last block
			return
		}
		with := parse(d.set(n, want, true).String())
		if got, ok := with.get(n); !ok || got != want {
			t.Fatalf("%q after it was set to %q", got, want)
		}
		if again := with.set(n, want, true).String(); again != with.String() {
			t.Fatal("setting it twice is not setting it once")
		}
		without := parse(with.set(n, "", false).String())
		if _, ok := without.get(n); ok {
			t.Fatal("it is still there")
		}
		if _, had := d.get(n); !had && strings.TrimSuffix(without.String(), "\n") != strings.TrimSuffix(text, "\n") {
			t.Fatalf("something else changed: %q from %q", without.String(), text)
		}
		if len(country) == 2 && strings.Trim(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			if got, _ := parse(d.set(target{"/x", kindCountry, ""}, country, true).String()).get(target{kind: kindCountry}); got != country {
				t.Fatalf("country %q, want %q", got, country)
			}
		}
	})
}

// TestJudge: wpa_supplicant reads the edited file as it is meant.
func TestJudge(t *testing.T) {
	bin, err := exec.LookPath("wpa_supplicant")
	if err != nil {
		t.Skip("skipped: no wpa_supplicant (package wpasupplicant)")
	}
	n, _ := parseName(name("network 436166c3a9"))
	c, _ := parseName(name("country"))
	text := parse(theirs).set(n, Body("Caf\xc3\xa9", []string{"scan_ssid=1", "priority=3", "key_mgmt=SAE", "ieee80211w=2", "sae_password=6120226220"}), true)
	text = text.set(c, "DE", true)
	file := filepath.Join(t.TempDir(), "w.conf")
	// A control interface for everybody, in a place of its own.
	conf := strings.Replace(text.String(), "DIR=/var/run/wpa_supplicant GROUP=netdev", filepath.Join(t.TempDir(), "ctrl"), 1)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// An interface that does not exist: it reads the file, says what it read, and gives up.
	out, err := exec.CommandContext(ctx, bin, "-dd", "-K", "-Dwired", "-inosuch0", "-c", file).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("timeout: %s", out)
	}
	for _, want := range []string{"country='DE'", "sae_password - hexdump_ascii(len=5", "ssid - hexdump_ascii(len=5)", "scan_ssid=1", "key_mgmt: 0x400", "id_str - hexdump_ascii(len=9)"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("wpa_supplicant does not say %q (%v)", want, err)
		}
	}
	if bytes.Contains(out, []byte("Failed to read or parse")) || t.Failed() {
		t.Errorf("it says:\n%s", out)
	}
}

func TestSetRefuses(t *testing.T) {
	r := &Resource{FS: nil}
	if err := r.Set(t.Context(), "/x", nil, nil); err == nil {
		t.Error("a bad name is taken")
	}
	if err := r.Set(t.Context(), name("country"), nil, provision.Attrs{"color": "red"}); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Error("a bad attribute is taken")
	}
}
