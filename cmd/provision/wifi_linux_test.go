package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// On a mounted image a network is added and removed without any daemon: the manager's file is there
// for the first boot, nobody sees the passphrase, and nothing is left.
func TestWifiOnAnImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	const secret = "hunter2 hunter2"
	for _, im := range images() {
		if im.name == "ifupdown" {
			continue // its stanza says how networks are joined, and there is none
		}
		t.Run(im.name, func(t *testing.T) {
			root := im.unpack(t)
			for _, dir := range []string{"/etc/wpa_supplicant", "/etc/modprobe.d", "/usr/sbin"} {
				if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(root, "/usr/sbin/wpa_supplicant"), nil, 0o755); err != nil {
				t.Fatal(err)
			}
			pass := filepath.Join(t.TempDir(), "pass")
			if err := os.WriteFile(pass, []byte(secret+"\r\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := files(t, root)
			code, out, errs := call(t, "wifi", "add", "Home net", "--country", "de", "--passphrase-file", pass, "--root", root)
			if code != 0 {
				t.Fatalf("status %d: %s%s", code, out, errs)
			}
			added := 0
			for name, f := range files(t, root) {
				if strings.Contains(f.text, secret) {
					t.Errorf("the passphrase is in %s", name)
				}
				if strings.Contains(f.text, "c6a3cd4e") || strings.Contains(f.text, "psk=") && f.text != before[name].text {
					if added++; f.mode != 0o600 {
						t.Errorf("%s has mode %04o", name, f.mode)
					}
				}
			}
			if added == 0 {
				t.Error("no file of the manager has the network")
			}
			for _, args := range [][]string{{"wifi", "list"}, {"plan"}, {"facts"}, {"wifi", "list", "-o", "json"}} {
				code, more, errs := call(t, append(args, "--root", root)...)
				out += more + errs
				if code != 0 {
					t.Errorf("%v: status %d: %s", args, code, errs)
				}
			}
			if strings.Contains(out, secret) || !strings.Contains(out, "Home net") {
				t.Errorf("it is said: %s", out)
			}
			key := ""
			for _, line := range strings.Split(files(t, root)["/etc/provision/wifi.d/"+stored(t, root)].text, "\n") {
				if rest, ok := strings.CutPrefix(line, "psk: "); ok {
					key = strings.Trim(rest, `"`)
				}
			}
			if len(key) != 64 || strings.Contains(out, key) {
				t.Errorf("the key %q is said: %s", key, out)
			}
			if code, _, errs := call(t, "wifi", "remove", "Home net", "--root", root); code != 0 {
				t.Fatalf("status %d: %s", code, errs)
			}
			for name, f := range files(t, root) {
				if was, there := before[name]; !strings.HasPrefix(name, "/var/lib/provision") && (!there || was != f) {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}

func TestWifiUsage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it is asked for first")
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := images()[2].unpack(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"add"}, "takes the name of one network"},
		{[]string{"add", "a", "b"}, "takes the name of one network"},
		{[]string{"add", strings.Repeat("x", 33), "--open"}, "has 33 bytes"},
		{[]string{"add", "", "--open"}, "1 to 32 bytes"},
		{[]string{"add", "zz", "--hex", "--open"}, "not hexadecimal"},
		{[]string{"add", "Home", "--passphrase-file", short}, "has 5 characters: it must have 8 to 63"},
		{[]string{"add", "Home", "--passphrase-file", "/nonexistent/file"}, "cannot read the passphrase"},
		{[]string{"add", "Home", "--open", "--wpa3"}, "without a passphrase"},
		{[]string{"add", "Home", "--open", "--country", "Germany"}, "two capital letters"},
		{[]string{"add", "Home", "--open", "--bssid", "x"}, "bssid"},
		{[]string{"add", "Home", "--open", "--wait", "-1s"}, "in the past"},
		{[]string{"remove", "Home"}, "there is no network \"Home\""},
	} {
		code, _, errs := call(t, append(append([]string{"wifi"}, c.args...), "--root", root)...)
		if code != exitUsage || !strings.Contains(errs, c.want) || strings.Contains(errs, "short\n") {
			t.Errorf("%v: status %d, %q; want %d and %q", c.args, code, errs, exitUsage, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "/etc/provision/wifi.d")); err == nil {
		t.Error("something was written all the same")
	}
}

type kept struct {
	text string
	mode fs.FileMode
}

// files are the regular files below root.
func files(t *testing.T, root string) map[string]kept {
	t.Helper()
	out := map[string]kept{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		out[strings.TrimPrefix(path, root)] = kept{string(text), info.Mode().Perm()}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// stored is the only file of wifi.d.
func stored(t *testing.T, root string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "/etc/provision/wifi.d"))
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	return entries[0].Name()
}
