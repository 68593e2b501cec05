package bootfiles

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5vGmXhJ7KqkH1b4K3n3z8rWvT2lG6xqk1Q0F5pWn9c me@laptop"

func whole() Setup {
	return Setup{Program: []byte("elf"), Config: []byte("version: 1\n"), Units: []Unit{{"provision-gadget.service", "[Unit]\n"}}, Hostname: "zero", User: "me", Hash: "$6$salt$hash",
		Keys: key + "\n", SSH: true, Wifi: File{Path: "/etc/NetworkManager/system-connections/home.nmconnection", Data: []byte("psk=secret\n")}, Country: "DE", OldNames: true}
}

var (
	bookworm = Release{FirstRun, "/boot/firmware", ""}
	trixie   = Release{CloudInit, "/boot/firmware", ""}
)

func options(t *testing.T, s Setup, r Release) Options {
	t.Helper()
	o, err := s.Options(r)
	if err != nil {
		t.Fatal(err)
	}
	o.Gadget = true
	return o
}

// renew prepares f and returns how many files changed.
func renew(t *testing.T, f files, o Options) int {
	t.Helper()
	record, err := ReadRecord(f.read)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := Renew(f.read, record, o)
	if err != nil {
		t.Fatal(err)
	}
	// Interrupted behind any of them, it can be taken back, and done again.
	before, after := maps.Clone(f), maps.Clone(f)
	if err := undo(t, before); err != nil {
		t.Fatal(err)
	}
	after.apply(changes)
	for i := range changes {
		half := maps.Clone(f)
		half.apply(changes[:i])
		again, err := Renew(half.read, mustRecord(t, half), o)
		if err != nil {
			t.Fatal(err)
		}
		whole := maps.Clone(half)
		whole.apply(again)
		if later(t, whole); !maps.Equal(whole, later(t, maps.Clone(after))) {
			t.Errorf("interrupted before %s, and done again: %q, want %q", changes[i].Path, whole, after)
		}
		if err := undo(t, half); err != nil || !maps.Equal(half, before) {
			t.Errorf("interrupted before %s, and taken back: %q, want %q: %v", changes[i].Path, half, before, err)
		}
	}
	f.apply(changes)
	return len(changes)
}

// later makes the record one that knows of no earlier preparation.
func later(t *testing.T, f files) files {
	t.Helper()
	r := mustRecord(t, f)
	for i := range r {
		r[i].Earlier = ""
	}
	if r != nil {
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		f[RecordName] = string(text)
	}
	return f
}

func undo(t *testing.T, f files) error {
	t.Helper()
	record, err := ReadRecord(f.read)
	if err != nil {
		t.Fatal(err)
	}
	changes, foreign, err := record.Undo(f.read)
	f.apply(changes)
	delete(f, RecordName)
	return errors.Join(append(foreign, err)...)
}

func TestRenew(t *testing.T) {
	before := files{"config.txt": "a=1\r\n[cm5]\r\nb=2\r\n", "cmdline.txt": stockLine, "user-data": "#cloud-config\n# an example\n"}
	for _, r := range []Release{bookworm, trixie, {FirstRun, "/boot", ""}} {
		f := maps.Clone(before)
		o := options(t, whole(), r)
		if n := renew(t, f, o); n < 10 {
			t.Errorf("%v: %d files changed", r, n)
		}
		line := f["cmdline.txt"]
		if strings.Contains(line, "systemd.run=") == (r.Hook == CloudInit) || !strings.Contains(line, " init=/usr/lib/raspberrypi-sys-mods/firstboot ") || !strings.HasSuffix(line, "cfg80211.ieee80211_regdom=DE net.ifnames=0\n") {
			t.Errorf("%v: cmdline.txt: %q", r, line)
		}
		if called := strings.Contains(f["user-data"], "- [timeout, '600', sh, '/boot/firmware/provision-first-boot.sh']\n"); called != (r.Hook == CloudInit) {
			t.Errorf("%v: user-data: %q", r, f["user-data"])
		}
		for _, name := range []string{ScriptName, RecordName, "user-data", "cmdline.txt"} {
			for _, secret := range []string{"psk=secret", "$6$salt", digest([]byte("psk=secret\n"))} {
				if strings.Contains(f[name], secret) {
					t.Errorf("%v: %s tells a secret", r, name)
				}
			}
		}
		if n := renew(t, f, o); n != 0 {
			t.Errorf("%v: again: %d files changed", r, n)
		}
		if state, _, err := mustRecord(t, f).Where(f.read); state != Prepared || err != nil {
			t.Errorf("%v: %s %v", r, state, err)
		}
		// Other wishes are as if only they had been made.
		less := whole()
		less.Wifi, less.Country, less.OldNames, less.User, less.Keys = File{}, "", false, "", ""
		renew(t, f, options(t, less, r))
		fresh := maps.Clone(before)
		renew(t, fresh, options(t, less, r))
		if n := renew(t, f, options(t, less, r)); n != 0 {
			t.Errorf("%v: fewer wishes, again: %d files changed", r, n)
		}
		if !maps.Equal(later(t, maps.Clone(f)), fresh) {
			t.Errorf("%v: with fewer wishes: %v, afresh %v", r, f, fresh)
		}
		renew(t, f, o)
		if err := undo(t, f); err != nil || !maps.Equal(f, before) {
			t.Errorf("%v: back: %q %v", r, f, err)
		}
	}
}

func mustRecord(t *testing.T, f files) Record {
	t.Helper()
	r, err := ReadRecord(f.read)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhere(t *testing.T) {
	f := files{"config.txt": "a=1\n", "cmdline.txt": stockLine}
	renew(t, f, options(t, whole(), bookworm))
	r := mustRecord(t, f)
	half := maps.Clone(f)
	delete(half, Folder+"/account")
	half["config.txt"] = "a=1\n"
	if state, names, _ := r.Where(half.read); state != Half || !slices.Contains(names, "config.txt") || !slices.Contains(names, Folder+"/account") {
		t.Errorf("%s %v", state, names)
	}
	// Interrupted before the script of other wishes.
	other := whole()
	other.SSH = false
	list, err := Renew(f.read, r, options(t, other, bookworm))
	if err != nil {
		t.Fatal(err)
	}
	half = maps.Clone(f)
	half.apply(list[:1])
	if state, names, _ := mustRecord(t, half).Where(half.read); state != Half || !slices.Equal(names, []string{ScriptName}) {
		t.Errorf("%s %v", state, names)
	}
	booted := maps.Clone(f)
	maps.DeleteFunc(booted, func(name, _ string) bool { return strings.HasPrefix(name, Folder) || name == ScriptName })
	booted[LogName] = "done\n"
	if state, _, _ := r.Where(booted.read); state != Booted {
		t.Errorf("%s", state)
	}
	if state, _, _ := (Record{}).Where(f.read); state != Unprepared {
		t.Errorf("%s", state)
	}
}

func TestReadRecordRefuses(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":2}`, `{"version":1,"changes":[{"path":"../x"}]}`, `{"version":1,"changes":[{"path":"/etc/passwd"}]}`, `{"version":1,"changes":[{"path":"C:\\x"}]}`, `{"version":1,"changes":[{"path":"a/../../x"}]}`} {
		if r, err := ReadRecord((files{RecordName: text}).read); err == nil || !strings.Contains(err.Error(), RecordName) {
			t.Errorf("%s: %v %v", text, r, err)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	text, _ := RecordOf([]Change{{Path: "a", After: []byte("x")}, {Path: "cmdline.txt", Before: []byte("root=x\n"), After: []byte("root=x y\n")}}).Encode()
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ReadRecord((files{RecordName: text}).read)
		if err != nil {
			return
		}
		changes, _, _ := r.Undo((files{"a": "x", "cmdline.txt": "root=x y\n"}).read)
		for _, c := range changes {
			if !Safe(c.Path) {
				t.Fatalf("%q", c.Path)
			}
		}
	})
}

func TestTheirs(t *testing.T) {
	for text, want := range map[string]bool{"": false, "#cloud-config\n\n# hostname: x\n": false, "\ufeff#cloud-config\r\n# x\r\n---\r\n": false, strings.Repeat("\x00", 700): false, "#cloud-config\nhostname: x\n": true, "#cloud-config\n" + Mark + "\nruncmd:\n": false} {
		if got := Theirs([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestSetupRefuses(t *testing.T) {
	for says, spoil := range map[string]func(*Setup){
		"no name for a host":    func(s *Setup) { s.Hostname = "my host" },
		"no name for a user":    func(s *Setup) { s.User = "1me" },
		"root is there already": func(s *Setup) { s.User = "root" },
		"neither a password":    func(s *Setup) { s.Hash = "" },
		"/etc/shadow can have":  func(s *Setup) { s.Hash = "a:b" },
		"private half":          func(s *Setup) { s.Keys = "-----BEGIN OPENSSH PRIVATE KEY-----\n" },
		"no public key as":      func(s *Setup) { s.Keys = "ssh-ed25519 AAAA me\n" },
		"no public key in":      func(s *Setup) { s.Keys = "# nothing\n" },
		"needs the country":     func(s *Setup) { s.Country = "" },
		"is no country":         func(s *Setup) { s.Country = "Germany" },
	} {
		s := whole()
		spoil(&s)
		if _, err := s.Options(bookworm); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	s := whole()
	s.Keys = "# mine\nrestrict,command=\"x y\" " + key + "\n"
	if _, err := s.Options(bookworm); err != nil {
		t.Error(err)
	}
}

// The steps are run by the shells that a Pi may have, with stand-ins for what changes a
// system's users.
func TestSteps(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the steps are for a Pi")
	}
	for _, shell := range []string{"dash", "bash"} {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("not tried: %v", err)
			continue
		}
		dir := t.TempDir()
		put := func(name, text string, mode os.FileMode) string {
			t.Helper()
			name = filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			return name
		}
		said := put("said", "", 0o644)
		home := filepath.Join(dir, "home")
		put("home/.ssh/authorized_keys", "old key\n"+key+"\n", 0o644)
		put("bin/id", "#!/bin/sh\ncase $1 in -gn) echo users;; *) [ -e "+dir+"/known ];; esac\n", 0o755)
		put("bin/getent", "#!/bin/sh\ncase $1 in passwd) echo pi:x:1000:1000::"+home+":/bin/sh;; group) [ $2 = sudo ] || [ $2 = gpio ];; esac\n", 0o755)
		put("bin/useradd", "#!/bin/sh\necho useradd \"$@\" >>"+said+"\n: >"+dir+"/known\n", 0o755)
		put("bin/usermod", "#!/bin/sh\necho usermod \"$@\" >>"+said+"\n", 0o755)
		put("bin/chpasswd", "#!/bin/sh\necho chpasswd \"$@\" \"$(cat)\" >>"+said+"\n", 0o755)
		put("bin/chown", "#!/bin/sh\necho chown \"$@\" >>"+said+"\n", 0o755)
		f, k := put("account", "me:$6$it's$ \"odd\"\n", 0o600), put("keys", key+"\nnew key\n", 0o600)
		run := func(code string, args ...string) {
			t.Helper()
			cmd := exec.Command(shell, append([]string{"-c", code, "step"}, args...)...)
			cmd.Env = []string{"PATH=" + dir + "/bin:" + os.Getenv("PATH")}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", shell, err, out)
			}
		}
		run(account, "me", f)
		put("account", "me:*\n", 0o600)
		run(account, "me", f)
		run(keys, "", k)
		text, _ := os.ReadFile(said)
		want := "useradd -m -s /bin/bash me\nusermod -aG sudo,gpio me\nchpasswd -e me:$6$it's$ \"odd\"\nusermod -aG sudo,gpio me\nchpasswd -e me:*\nchown -R pi:users " + home + "/.ssh\n"
		if string(text) != want {
			t.Errorf("%s: %s, want %s", shell, text, want)
		}
		got, _ := os.ReadFile(home + "/.ssh/authorized_keys")
		if string(got) != "old key\n"+key+"\nnew key\n" {
			t.Errorf("%s: %s", shell, got)
		}
		for _, gone := range []string{f, k} {
			if _, err := os.Stat(gone); err == nil {
				t.Errorf("%s is still there", gone)
			}
		}
		if b, err := os.Stat(home + "/.ssh/authorized_keys"); err != nil || b.Mode() != 0o600 {
			t.Errorf("%v %v", b, err)
		}
	}
}

// What cloud-init wiped is no change of somebody else.
func TestUndoAfterTheFirstBootOfCloudInit(t *testing.T) {
	f := files{"config.txt": "a=1\n", "cmdline.txt": stockLine, "user-data": "#cloud-config\n", NetworkConfig: "# template\n"}
	s := whole()
	s.Wifi = File{Path: NetworkConfig, Data: []byte(Mark + "\nversion: 2\n")}
	renew(t, f, options(t, s, trixie))
	maps.DeleteFunc(f, func(name, _ string) bool {
		return strings.HasPrefix(name, Folder) || name == ScriptName || name == NetworkConfig
	})
	f[LogName] = "done\n"
	if err := undo(t, f); err != nil {
		t.Error(err)
	}
	if want := (files{"config.txt": "a=1\n", "cmdline.txt": stockLine, "user-data": "#cloud-config\n", LogName: "done\n"}); !maps.Equal(f, want) {
		t.Errorf("%q", f)
	}
	if !bytes.Contains(s.Wifi.Data, []byte(Mark)) {
		t.Error("no mark")
	}
}
