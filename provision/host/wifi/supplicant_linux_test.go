package wifi

import (
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"testing"
)

// answers is a control socket that says what it is told to, to whoever asks.
func answers(t *testing.T, said map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "wlan0"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := conn.ReadFromUnix(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUnix([]byte(said[string(buf[:n])]), from)
		}
	}()
	return dir
}

func TestControl(t *testing.T) {
	dir := answers(t, map[string]string{"RECONFIGURE": "OK\n", "STATUS": "wpa_state=COMPLETED\nssid=Caf\\xc3\\xa9 \\\"2\\\"\n", "LIST_NETWORKS": "network id / ssid / bssid / flags\n"})
	for range 2 { // each has a name of its own
		c, err := OpenControl(dir, "wlan0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Reconfigure(t.Context()); err != nil {
			t.Error(err)
		}
		if s, err := c.Stage(t.Context(), "Caf\u00e9 \"2\""); err != nil || s != Joined {
			t.Error(s, err)
		}
	}
	c, err := OpenControl(answers(t, map[string]string{"RECONFIGURE": "FAIL\n"}), "wlan0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Reconfigure(t.Context()) == nil {
		t.Error("a refusal is no error")
	}
	for _, name := range []string{"", "../wlan0", "a\x00b"} {
		if _, err := OpenControl(dir, name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := OpenControl(dir, "wlan9"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("without a socket:", err)
	}
}

func TestStage(t *testing.T) {
	const list = "network id / ssid / bssid / flags\n0\tOther\tany\t[CURRENT]\n1\tHo\\\\me\tany\t[TEMP-DISABLED]\n"
	for _, c := range []struct {
		status, list, ssid string
		want               Stage
	}{
		{"wpa_state=COMPLETED\nssid=Home\n", list, "Home", Joined},
		{"wpa_state=COMPLETED\nssid=Other\n", list, "Home", Elsewhere},
		{"wpa_state=4WAY_HANDSHAKE\nssid=Home\n", list, "Home", Trying},
		{"wpa_state=SCANNING\n", list, `Ho\me`, WrongKey},
		{"wpa_state=SCANNING\n", list, "Other", Trying},
		{"", "", "Home", Trying},
	} {
		if got := stage(c.status, c.list, c.ssid); got != c.want {
			t.Errorf("%q in %q: %s, want %s", c.ssid, c.status, got, c.want)
		}
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add(`Caf\xc3\xa9 \"\\\n\e`)
	f.Add(`\x`)
	f.Add(`\`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := Unescape(s); len(got) > len(s) {
			t.Fatalf("%q is longer than %q", got, s)
		}
	})
}
