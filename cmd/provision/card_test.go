//go:build !arm

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/card/bootfiles"
	"github.com/provision-net/provision/gadget/card/shacrypt"
	"github.com/provision-net/provision/gadget/doctor"
)

const stockCmdline = "console=serial0,115200 console=tty1 root=PARTUUID=deadbeef-02 rootfstype=ext4 fsck.repair=yes rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n"

// bootFolder is a mounted boot partition with these files.
func bootFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// inFolder reads it back.
func inFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// armProgram is a file that has the head of a static program for ARM, and size bytes.
func armProgram(t testing.TB, size int) string {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header32{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_ARM), Version: 1, Ehsize: 52}
	copy(h.Ident[:], "\x7fELF\x01\x01\x01")
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "provision-linux-armv6")
	if err := os.WriteFile(name, append(b.Bytes(), make([]byte, size)...), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// arm64Program is the same for ARM of 64 bits.
func arm64Program(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_AARCH64), Version: 1, Ehsize: 64}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "provision-linux-arm64")
	if err := os.WriteFile(name, b.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// A program that cannot start with the card's kernel, or on the board, is refused, and found on a card that has it.
func TestCardProgramRuns(t *testing.T) {
	armv6, arm64 := armProgram(t, 1000), arm64Program(t)
	const auto = "auto_initramfs=1\n"
	for _, c := range []struct{ name, config, kernels, program, board, says string }{
		{"a setting", auto + "arm_64bit=0\n", "kernel8.img", arm64, "", "config.txt has arm_64bit=0"},
		{"kernels of 32 bits alone", auto, "kernel.img kernel7.img", arm64, "", "there is kernel7.img and no kernel of 64 bits"},
		{"kernels of both", auto, "kernel.img kernel8.img", arm64, "", "say with --board"},
		{"kernels of both, and the board takes the wide one", auto, "kernel.img kernel8.img", arm64, "Raspberry Pi 4 Model B", ""},
		{"a board of 32 bits", auto + "arm_64bit=1\n", "kernel8.img", arm64, "Raspberry Pi Zero W", "a Raspberry Pi Zero W has a processor of 32 bits"},
		{"its successor", auto + "arm_64bit=1\n", "kernel8.img", arm64, "Raspberry Pi Zero 2 W", ""},
		{"nothing is known", auto, "", arm64, "", ""},
		{"a narrow one runs everywhere", auto + "arm_64bit=1\n", "kernel8.img", armv6, "Raspberry Pi 5", ""},
	} {
		files := map[string]string{"config.txt": c.config, "cmdline.txt": stockCmdline}
		for _, k := range strings.Fields(c.kernels) {
			files[k] = "kernel"
		}
		dir := bootFolder(t, files)
		args := []string{"card", "prepare", dir, "--program", c.program}
		if c.board != "" {
			args = append(args, "--board", c.board)
		}
		code, _, errs := call(t, args...)
		if c.says == "" {
			if code != 0 {
				t.Errorf("%s: status %d\n%s", c.name, code, errs)
			}
		} else if code != exitUsage || !strings.Contains(errs, c.says) || !strings.Contains(errs, "take provision-linux-armv6") || !maps.Equal(inFolder(t, dir), files) {
			t.Errorf("%s: status %d, want %q\n%s", c.name, code, c.says, errs)
		}
	}
	// Somebody put another program there.
	dir := bootFolder(t, map[string]string{"config.txt": auto + "dtoverlay=dwc2\narm_64bit=0\n", "cmdline.txt": stockCmdline})
	if err := os.Rename(arm64, filepath.Join(dir, "provision")); err != nil {
		t.Fatal(err)
	}
	for board, want := range map[string]string{"Raspberry Pi 3 Model A Plus": "arm_64bit=0", "Raspberry Pi Zero W": "processor of 32 bits"} {
		if code, out, _ := call(t, "card", "doctor", dir, "--board", board); code != exitDifferences || !strings.Contains(out, "the board cannot run the program") || !strings.Contains(out, want) {
			t.Errorf("%s: status %d\n%s", board, code, out)
		}
	}
}

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5vGmXhJ7KqkH1b4K3n3z8rWvT2lG6xqk1Q0F5pWn9c me@laptop"

func TestCardFolder(t *testing.T) {
	program := armProgram(t, 1000)
	for name, before := range map[string]map[string]string{
		"bookworm": {"config.txt": "a=1\n[cm4]\notg_mode=1\nauto_initramfs=1\n", "cmdline.txt": stockCmdline},
		"windows":  {"config.txt": "a=1\r\nauto_initramfs=1\r\n", "cmdline.txt": strings.ReplaceAll(stockCmdline, "\n", "\r\n")},
		"bullseye": {"config.txt": "a=1\n", "cmdline.txt": stockCmdline},
		"trixie":   {"config.txt": "auto_initramfs=1\n", "cmdline.txt": stockCmdline, "user-data": "#cloud-config\n# hostname: x\n", "network-config": "# none\n", "meta-data": "instance-id: rpi\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := bootFolder(t, before)
			const odd = `it's "odd" $HOME \ ü`
			mark := "" // of the byte order, as Notepad writes it
			if name == "windows" {
				mark = "\ufeff"
			}
			args := []string{"card", "prepare", dir, "--program", program, "--hostname", "Zero", "--user", "me", "--password-file", text(t, mark+odd+"\r\n"), "--ssh-key", text(t, mark+publicKey+"\r\n"),
				"--wifi", "My Home", "--wifi-passphrase-file", text(t, mark+"hunter2hunter2\n"), "--country", "de"}
			if code, out, errs := call(t, append(args, "--dry-run")...); code != 0 || !strings.Contains(out, "nothing was written") || !maps.Equal(inFolder(t, dir), before) {
				t.Fatalf("status %d\n%s%s", code, out, errs)
			}
			code, out, errs := call(t, args...)
			if code != 0 || !strings.Contains(out, "prepared") {
				t.Fatalf("status %d\n%s%s", code, out, errs)
			}
			now := inFolder(t, dir)
			wifi := map[string]string{"trixie": "network-config", "bullseye": bootfiles.Folder + "/wpa_supplicant.conf"}[name]
			if wifi == "" {
				wifi = bootfiles.Folder + "/provision-wifi-My_Home.f36672c0.nmconnection"
			}
			if now[wifi] == "" || strings.Contains(now[wifi], "hunter2") {
				t.Errorf("%s: %q of %v", wifi, now[wifi], out)
			}
			user, hash, _ := strings.Cut(strings.TrimSpace(now[bootfiles.Folder+"/account"]), ":")
			if user != "me" || !shacrypt.Verify(hash, odd) {
				t.Errorf("account: %s %s", user, hash)
			}
			if now[bootfiles.Folder+"/keys"] != publicKey+"\n" {
				t.Errorf("keys: %q", now[bootfiles.Folder+"/keys"])
			}
			if line := now["cmdline.txt"]; strings.Count(line, "\n") != 1 || strings.Contains(line, "\r") || !strings.Contains(line, " cfg80211.ieee80211_regdom=DE") || !strings.Contains(line, " init=/usr/lib/raspberrypi-sys-mods/firstboot") {
				t.Errorf("%q", line)
			}
			for _, f := range now {
				if strings.Contains(f, "hunter2") || strings.Contains(f, "odd") {
					t.Error("a secret is on the card as it was typed")
				}
			}
			code, out, _ = call(t, append(args, "-o", "json")...)
			var said cardPrepared
			if err := json.Unmarshal([]byte(out), &said); err != nil || code != 0 || len(said.Changes) != 0 || !maps.Equal(inFolder(t, dir), now) {
				t.Errorf("again: status %d, %v\n%s", code, err, out)
			}
			code, out, _ = call(t, "card", "doctor", dir)
			if code != 0 || !strings.Contains(out, "nothing wrong was found") {
				t.Errorf("doctor: status %d\n%s", code, out)
			}
			code, out, errs = call(t, "card", "undo", dir)
			if after := inFolder(t, dir); code != 0 || !maps.Equal(after, before) {
				t.Errorf("undo: status %d\n%s%s\n%q", code, out, errs, after)
			}
			if _, err := os.Stat(filepath.Join(dir, bootfiles.Folder)); err == nil {
				t.Error("the folder was left")
			}
			if code, out, _ := call(t, "card", "undo", dir); code != 0 || !strings.Contains(out, "nothing to do") {
				t.Errorf("undo again: status %d\n%s", code, out)
			}
		})
	}
}

// What an interruption leaves of a secret, before it is filled or once it is wiped, is mended as the doctor says.
func TestCardInterrupted(t *testing.T) {
	for name, network := range map[string]string{"none": "", "stock": "# none\n"} {
		before := map[string]string{"config.txt": "auto_initramfs=1\n", "cmdline.txt": stockCmdline, "user-data": "#cloud-config\n", "meta-data": "instance-id: rpi\n"}
		if network != "" {
			before[bootfiles.NetworkConfig] = network
		}
		dir := bootFolder(t, before)
		less := []string{"card", "prepare", dir, "--program", armProgram(t, 1000)}
		args := append(slices.Clone(less), "--wifi", "Home", "--wifi-passphrase-file", text(t, "hunter2hunter2\n"), "--country", "DE")
		if code, out, errs := call(t, args...); code != 0 {
			t.Fatalf("%s: status %d\n%s%s", name, code, out, errs)
		}
		whole := inFolder(t, dir)
		zeros := func() {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, bootfiles.NetworkConfig), make([]byte, len(whole[bootfiles.NetworkConfig])), 0o644); err != nil {
				t.Fatal(err)
			}
			if code, out, _ := call(t, "card", "doctor", dir); code != exitDifferences || !strings.Contains(out, "or zeros: network-config") || !strings.Contains(out, "provision card prepare, once more") {
				t.Errorf("%s: doctor: status %d\n%s", name, code, out)
			}
		}
		zeros()
		if code, out, errs := call(t, args...); code != 0 || !maps.Equal(inFolder(t, dir), whole) {
			t.Errorf("%s: once more: status %d\n%s%s", name, code, out, errs)
		}
		zeros()
		if code, out, errs := call(t, less...); code != 0 || inFolder(t, dir)[bootfiles.NetworkConfig] != network {
			t.Errorf("%s: without Wi-Fi: status %d\n%s%s", name, code, out, errs)
		}
		if code, out, errs := call(t, "card", "undo", dir); code != 0 || !maps.Equal(inFolder(t, dir), before) {
			t.Errorf("%s: undo: status %d\n%s%s", name, code, out, errs)
		}
	}
}

// The commands of the page, in its order, with a card that is none of a reader's; what they ask for comes from files.
func TestCardPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "sd-card.md"))
	if err != nil {
		t.Fatal(err)
	}
	stock := map[string]string{"config.txt": "auto_initramfs=1\n", "cmdline.txt": stockCmdline}
	dir, program, ran := bootFolder(t, stock), armProgram(t, 1000), 0
	in := strings.NewReplacer("/media/you/bootfs", dir, "~/.ssh/id_ed25519.pub", text(t, publicKey+"\n"))
	for line := range strings.Lines(string(page)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "provision card ")
		if !ok || strings.HasPrefix(rest, "flash") {
			continue
		}
		args := []string{"card"}
		for i, part := range strings.Split(in.Replace(rest), `"`) {
			if i%2 == 1 {
				args = append(args, part) // between quotes
			} else {
				args = append(args, strings.Fields(part)...)
			}
		}
		if args[1] == "prepare" {
			args = append(args, "--program", program)
		}
		if slices.Contains(args, "--wifi") {
			args = append(args, "--wifi-passphrase-file", text(t, "hunter2hunter2\n"))
		}
		if slices.Contains(args, "--user") && !slices.Contains(args, "--ssh-key") {
			args = append(args, "--password-file", text(t, "secret\n"))
		}
		ran++
		if code, out, errs := call(t, args...); code != 0 {
			t.Errorf("%v: status %d\n%s%s", args, code, out, errs)
		}
	}
	if now := inFolder(t, dir); ran != 5 || !maps.Equal(now, stock) {
		t.Errorf("%d commands were run, and the card has %v", ran, slices.Sorted(maps.Keys(now)))
	}
}

func TestCardRefuses(t *testing.T) {
	program := armProgram(t, 1000)
	stock := map[string]string{"config.txt": "auto_initramfs=1\n", "cmdline.txt": stockCmdline}
	long := text(t, strings.Repeat("x", 64)+"\n")
	for says, args := range map[string][]string{
		"type it on a terminal":         {"--user", "me"},
		"no password":                   {"--user", "me", "--password-file", text(t, "\n")},
		"cannot read the password":      {"--user", "me", "--password-file", "/nonexistent"},
		"is for the --user":             {"--password-file", long},
		"no name for a user":            {"--user", "Me Too", "--password-file", long},
		"no name for a host":            {"--hostname", "my_host"},
		"needs the country":             {"--wifi", "Home", "--wifi-passphrase-file", long},
		"it must have 8 to 63":          {"--wifi", "Home", "--wifi-passphrase-file", long, "--country", "DE"},
		"without a passphrase":          {"--wifi", "Home", "--wifi-open", "--wifi-wpa3", "--country", "DE"},
		"--wifi names it":               {"--wifi-open"},
		"the United Kingdom is GB":      {"--country", "uk"},
		"no rules for Wi-Fi":            {"--country", "XX"},
		"text: it is UTF-16":            {"--ssh-key", text(t, "\xff\xfes\x00s\x00h\x00")},
		"password: it is UTF-16":        {"--user", "me", "--password-file", text(t, "\xfe\xff\x00s\x00e\x00c")},
		"private half":                  {"--ssh-key", text(t, "-----BEGIN OPENSSH PRIVATE KEY-----\n")},
		"no program of Linux":           {"--program", text(t, "#!/bin/sh\n")},
		"cannot take":                   {"--program", "/nonexistent"},
		"no Raspberry Pi":               {"--board", "Toaster"},
		"not one of bullseye":           {"--release", "potato"},
		"cannot both":                   {"--user", "me", "--password-file", "-", "--wifi", "a", "--wifi-passphrase-file", "-", "--country", "DE"},
		"names no gadget":               {"-c", text(t, "version: 1\n")},
		"cannot read the configuration": {"-c", "/nonexistent"},
		"colour":                        {"-c", text(t, "version: 1\ncolour: red\n")},
	} {
		dir := bootFolder(t, stock)
		code, out, errs := call(t, append([]string{"card", "prepare", dir, "--program", program}, args...)...)
		if code != exitUsage || !strings.Contains(errs, says) || !maps.Equal(inFolder(t, dir), stock) {
			t.Errorf("%v: status %d, want %q\n%s%s", args, code, says, out, errs)
		}
	}
	// Another tool's settings are not lost without a word.
	theirs := map[string]string{"config.txt": "", "cmdline.txt": stockCmdline, "user-data": "#cloud-config\nhostname: mine\n", "meta-data": "instance-id: x\n"}
	dir := bootFolder(t, theirs)
	if code, _, errs := call(t, "card", "prepare", dir, "--program", program); code != exitUsage || !strings.Contains(errs, "--replace") || !maps.Equal(inFolder(t, dir), theirs) {
		t.Errorf("status %d\n%s", code, errs)
	}
	if code, _, errs := call(t, "card", "prepare", dir, "--program", program, "--replace"); code != 0 {
		t.Errorf("status %d\n%s", code, errs)
	}
	if code, _, errs := call(t, "card", "undo", dir); code != 0 || !maps.Equal(inFolder(t, dir), theirs) {
		t.Errorf("status %d\n%s", code, errs)
	}
	// Units that have nothing to do are not put onto the card.
	dir = bootFolder(t, stock)
	if code, _, errs := call(t, "card", "prepare", dir, "--program", program, "--no-gadget", "-c", text(t, "version: 1\n")); code != 0 {
		t.Errorf("status %d\n%s", code, errs)
	}
	now := inFolder(t, dir)
	for name, want := range map[string]bool{"provision.yaml": true, "provision-recover.service": true, "provision-serve.service": false, "provision-gadget.service": false} {
		if _, ok := now[bootfiles.Folder+"/"+name]; ok != want {
			t.Errorf("%s on the card: %v", name, ok)
		}
	}
	if now["config.txt"] != stock["config.txt"] {
		t.Errorf("config.txt: %q", now["config.txt"])
	}
	// What somebody else has changed since is left, and named.
	dir = bootFolder(t, stock)
	if code, _, errs := call(t, "card", "prepare", dir, "--program", program); code != 0 {
		t.Fatalf("status %d\n%s", code, errs)
	}
	if err := os.WriteFile(filepath.Join(dir, bootfiles.ScriptName), []byte("mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(stock)
	want[bootfiles.ScriptName] = "mine\n"
	if code, out, _ := call(t, "card", "undo", dir); code != exitDifferences || !strings.Contains(out, bootfiles.ScriptName+" has been changed by somebody else") || !maps.Equal(inFolder(t, dir), want) {
		t.Errorf("status %d\n%s", code, out)
	}
	// No card of a Pi.
	for says, files := range map[string]map[string]string{"neither config.txt": {"readme": ""}, "cannot edit cmdline.txt": {"config.txt": "", "cmdline.txt": "quiet\n"}, "no cmdline.txt": {"config.txt": ""}} {
		dir := bootFolder(t, files)
		if code, _, errs := call(t, "card", "prepare", dir, "--program", program); code == 0 || !strings.Contains(errs, says) || !maps.Equal(inFolder(t, dir), files) {
			t.Errorf("status %d, want %q\n%s", code, says, errs)
		}
	}
	for _, path := range []string{"/nonexistent", text(t, "hello")} {
		for _, sub := range []string{"prepare", "undo", "doctor"} {
			if code, _, errs := call(t, "card", sub, path); code != exitUsage || errs == "" {
				t.Errorf("%s %s: status %d\n%s", sub, path, code, errs)
			}
		}
	}
}

func TestCardDoctor(t *testing.T) {
	dir := bootFolder(t, map[string]string{"config.txt": "auto_initramfs=1\n", "cmdline.txt": stockCmdline, "wpa_supplicant.conf": "", "provision.yaml": "version: 1\ncolour: red\n"})
	code, out, errs := call(t, "card", "doctor", dir)
	for _, want := range []string{"config.txt does not make the USB controller a device", "wpa_supplicant.conf is not read", "provision.yaml is not valid", "colour", "cure: provision card prepare"} {
		if code != exitDifferences || !strings.Contains(out, want) {
			t.Errorf("status %d, want %q\n%s%s", code, want, out, errs)
		}
	}
	var r doctor.Report
	if _, out, _ := call(t, "card", "doctor", dir, "-o", "json"); json.Unmarshal([]byte(out), &r) != nil || len(r.Findings) != 3 {
		t.Errorf("%s", out)
	}
	if code, _, errs := call(t, "card", "doctor", dir, "--board", "Toaster"); code != exitUsage || !strings.Contains(errs, "Toaster") {
		t.Errorf("status %d\n%s", code, errs)
	}
}

func TestCardSecret(t *testing.T) {
	for in, want := range map[string]string{"a b\r\nnext\n": "a b", " x \n": " x ", "$6$a$b": "$6$a$b", "": "", "\n": "", "\ufeffsecret\r\n": "secret", "\ufeff": "", "\xff\xfes\x00\n\x00": ""} {
		got, err := cardSecret(t.Context(), strings.NewReader(in), nil, "-", "password", "--password-file", "me")
		var usage usageError
		if got != want || (want == "") != errors.As(err, &usage) {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}

func TestBesides(t *testing.T) {
	dir := t.TempDir()
	self := filepath.Join(dir, "provision-1-darwin-arm64", "provision")
	if name, err := besides(self); err == nil && runtime.GOARCH != "arm64" {
		t.Errorf("%s is taken", name)
	}
	for _, want := range []string{filepath.Join(dir, "provision-1-linux-armv6", "provision"), filepath.Join(filepath.Dir(self), "provision-linux-armv6")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(want), 0o755), os.WriteFile(want, nil, 0o755)); err != nil {
			t.Fatal(err)
		}
		if name, err := besides(self); err != nil || name != want {
			t.Errorf("%s %v, want %s", name, err, want)
		}
	}
}

// BenchmarkCardPrepare prepares a folder with a program of 19 MB.
func BenchmarkCardPrepare(b *testing.B) {
	program := armProgram(b, 19<<20)
	for b.Loop() {
		dir := b.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "config.txt"), nil, 0o644), os.WriteFile(filepath.Join(dir, "cmdline.txt"), []byte(stockCmdline), 0o644)); err != nil {
			b.Fatal(err)
		}
		var out bytes.Buffer
		if code := run(b.Context(), []string{"card", "prepare", dir, "--program", program}, &out, &out); code != 0 {
			b.Fatal(out.String())
		}
	}
	if per := b.Elapsed() / time.Duration(b.N); per > 5*time.Second {
		b.Errorf("%s", per)
	}
}
