package bootfiles

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/gadget/bootfile"
)

const stockLine = "console=serial0,115200 console=tty1 root=PARTUUID=deadbeef-02 rootfstype=ext4 fsck.repair=yes rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n"

func TestWords(t *testing.T) {
	for _, c := range []struct {
		name, text string
		add, drop  []string
		want       string
	}{
		{"nothing", stockLine, nil, nil, stockLine},
		{"add", "a root=/dev/x\n", []string{"net.ifnames=0", "b=c"}, nil, "a root=/dev/x net.ifnames=0 b=c\n"},
		{"it is there", "a net.ifnames=0 root=/dev/x\n", []string{"net.ifnames=0"}, nil, "a net.ifnames=0 root=/dev/x\n"},
		{"part of a word is another word", "aquiet root=x quietly\n", []string{"quiet"}, []string{"quietly"}, "aquiet root=x quiet\n"},
		{"drop a word, and all of a key", "quiet root=x console=a console=b\n", nil, []string{"quiet", "console="}, "root=x\n"},
		{"another value in its place", "console=a root=x console=b\n", []string{"console=b"}, []string{"console="}, "root=x console=b\n"},
		{"no line end", "root=x a", []string{"b"}, nil, "root=x a b\n"},
		{"no line end, nothing to do", "root=x a", []string{"a"}, nil, "root=x a"},
		{"DOS", "root=x a\r\n", []string{"b"}, nil, "root=x a b\n"},
		{"DOS, nothing to do", "root=x a\r\n", nil, nil, "root=x a\n"},
		{"byte order mark", "\ufeffa root=x\r\n", []string{"a"}, nil, "a root=x\n"},
		{"more lines", "root=x\na=b\n\n", []string{"c"}, nil, "root=x c\n"},
		{"odd blanks stay where nothing changes", "  root=x   a \n", nil, nil, "  root=x   a \n"},
		{"quotes", "root=x dyndbg=\"file a.c +p\" a\n", []string{"b"}, []string{"a"}, "root=x dyndbg=\"file a.c +p\" b\n"},
	} {
		got, err := Words(c.text, c.add, c.drop)
		if err != nil || got != c.want {
			t.Errorf("%s: %q %v, want %q", c.name, got, err, c.want)
		}
		if again, err := Words(got, c.add, c.drop); err != nil || again != got {
			t.Errorf("%s, again: %q %v", c.name, again, err)
		}
	}
	for _, c := range []struct{ text, word, says string }{
		{"", "a", "empty"}, {"\n\n", "a", "empty"}, {"console=tty1\n", "a", "no root="}, {"root=x\x00\x00", "a", "zero bytes"}, {"root=x a=\"b\n", "c", "quote"},
		{"root=x \xff\n", "a", "no text"}, {stockLine, "a b", "no word"}, {stockLine, "a\nb", "no word"}, {stockLine, "", "no word"},
	} {
		if got, err := Words(c.text, []string{c.word}, nil); err == nil || got != "" || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q with %q: %q %v", c.text, c.word, got, err)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add(stockLine, "net.ifnames=0", "quiet")
	f.Add("\ufeffroot=x\r\na\r\n", "a=b", "root=")
	f.Fuzz(func(t *testing.T, text, add, drop string) {
		got, err := Words(text, []string{add}, []string{drop})
		if err != nil {
			return
		}
		if got != text && (strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") || strings.ContainsAny(got, "\r\ufeff")) && !strings.Contains(strings.TrimPrefix(text, "\ufeff"), "\ufeff") {
			t.Fatalf("%q became %q, which is not one line", text, got)
		}
		if bootfile.ParseCmdline(got).Problems == nil {
			if again, err := Words(got, []string{add}, []string{drop}); err != nil || again != got {
				t.Fatalf("%q, then %q: %v", got, again, err)
			}
		}
		if !slices.Contains(wordsOf([]byte(got)), add) {
			t.Fatalf("%q is not in %q", add, got)
		}
	})
}

func TestRecognise(t *testing.T) {
	for _, c := range []struct {
		name, files, config, cmdline string
		hook                         Hook
		dir                          string
	}{
		{"Trixie", "meta-data user-data network-config kernel_2712.img", "auto_initramfs=1\n", stockLine, CloudInit, "/boot/firmware"},
		{"a seed on the command line", "", "auto_initramfs=1\n", "root=x ds=nocloud;i=rpi-imager-1\n", CloudInit, "/boot/firmware"},
		{"Bookworm", "kernel_2712.img initramfs8", "# x\nauto_initramfs=1\n", stockLine, FirstRun, "/boot/firmware"},
		{"Bookworm without its config.txt", "kernel_2712.img", "", stockLine, FirstRun, "/boot/firmware"},
		{"Bullseye", "kernel8.img", "dtparam=audio=on\n#auto_initramfs=1\n", stockLine, FirstRun, "/boot"},
		{"another datasource", "", "", "root=x ds=none\n", FirstRun, "/boot"},
	} {
		got := Recognise(func(n string) bool { return slices.Contains(strings.Fields(c.files), n) }, c.config, c.cmdline)
		if got.Hook != c.hook || got.Dir != c.dir || got.Why == "" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// files are a boot partition in memory.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	if s, ok := f[path]; ok {
		return []byte(s), nil
	}
	return nil, nil
}

func (f files) apply(changes []Change) {
	for _, c := range changes {
		if c.After == nil {
			delete(f, c.Path)
		} else {
			f[c.Path] = string(c.After)
		}
	}
}

func TestPrepareAndUndo(t *testing.T) {
	script, err := Script("/boot/firmware", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Gadget: true, Add: []string{"net.ifnames=0"}, Drop: []string{"quiet"}, Script: script, Dir: "/boot/firmware"}
	for name, before := range map[string]files{
		"as it comes":    {"config.txt": "a=1\n[cm5]\nb=2\n", "cmdline.txt": stockLine, "other": "o"},
		"DOS":            {"config.txt": "a=1\r\n[cm5]\r\nb=2", "cmdline.txt": strings.ReplaceAll(stockLine, "\n", "\r\n")},
		"byte order":     {"config.txt": "\ufeffa=1\n", "cmdline.txt": "\ufeff" + stockLine + "\n\n"},
		"no config.txt":  {"cmdline.txt": stockLine},
		"no line end":    {"config.txt": "a=1", "cmdline.txt": strings.TrimSpace(stockLine)},
		"empty config":   {"config.txt": "", "cmdline.txt": stockLine},
		"somebody's own": {"config.txt": "dtoverlay=dwc2\n", "cmdline.txt": "modules-load=dwc2,g_ether root=/dev/mmcblk0p2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := maps.Clone(before)
			changes, err := Prepare(f.read, o)
			if err != nil || len(changes) != 3 || changes[0].Path != ScriptName || changes[2].Path != "cmdline.txt" {
				t.Fatalf("%v %v", changes, err)
			}
			f.apply(changes)
			line := f["cmdline.txt"]
			if !strings.HasSuffix(line, " systemd.run=/boot/firmware/provision-first-boot.sh systemd.run_success_action=reboot systemd.unit=kernel-command-line.target net.ifnames=0\n") ||
				strings.Count(line, "\n") != 1 || strings.ContainsAny(line, "\r\ufeff") || strings.Contains(line, "quiet") {
				t.Errorf("cmdline.txt: %q", line)
			}
			if b, _ := bootfile.BoardOf("Raspberry Pi Zero W", ""); bootfile.ReadUSB(f, b).Mode != bootfile.ModePeripheral {
				t.Errorf("config.txt: %q", f["config.txt"])
			}
			if again, err := Prepare(f.read, o); err != nil || len(again) > 0 {
				t.Errorf("again: %v %v", again, err)
			}
			back, err := Undo(f.read, changes)
			f.apply(back)
			if err != nil || !maps.Equal(f, before) {
				t.Errorf("back: %q %v", f, err)
			}
			if again, err := Undo(f.read, changes); err != nil || len(again) > 0 {
				t.Errorf("back again: %v %v", again, err)
			}
		})
	}
}

// The first boot renews PARTUUID and takes the hook out; the user appends to config.txt.
func TestUndoAfterTheFirstBoot(t *testing.T) {
	f := files{"config.txt": "a=1\n", "cmdline.txt": "root=PARTUUID=deadbeef-02 quiet\n"}
	changes, err := Prepare(f.read, Options{Gadget: true, Add: []string{"net.ifnames=0"}, Script: "#!/bin/sh\n", Dir: "/boot"})
	if err != nil {
		t.Fatal(err)
	}
	f.apply(changes)
	f["cmdline.txt"] = "root=PARTUUID=0badcafe-02 quiet net.ifnames=0\n"
	f["config.txt"] += "b=2\n"
	delete(f, ScriptName)
	back, err := Undo(f.read, changes)
	if err != nil {
		t.Fatal(err)
	}
	f.apply(back)
	if want := (files{"config.txt": "a=1\nb=2\n", "cmdline.txt": "root=PARTUUID=0badcafe-02 quiet\n"}); !maps.Equal(f, want) {
		t.Errorf("%q", f)
	}
	f[ScriptName] = "somebody else's\n"
	if back, err := Undo(f.read, changes); err == nil || !strings.Contains(err.Error(), ScriptName) || len(back) > 0 {
		t.Errorf("%v %v", back, err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	for says, f := range map[string]files{"no cmdline.txt": {"config.txt": ""}, "no root=": {"cmdline.txt": "quiet\n"}} {
		if got, err := Prepare(f.read, Options{Gadget: true, Add: []string{"a"}}); err == nil || got != nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v %v, want %s", got, err, says)
		}
	}
	for _, i := range []Install{{"a", "etc/x", 0o600, false}, {"a\nb", "/x", 0o600, false}, {"a", "/x", 0o4755, false}} {
		if _, err := Script("/boot", []Install{i}, nil); err == nil {
			t.Errorf("%+v is taken", i)
		}
	}
	if _, err := Script("/boot", nil, [][]string{{"a\nb"}}); err == nil {
		t.Error("a command of two lines is taken")
	}
}

// The script is run by the shells that such a system may have; the folder is the boot
// partition.
func TestScript(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the script is for a Pi: Windows cannot even have files of these names")
	}
	ran := 0
	for _, shell := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "sh"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			t.Logf("not tried: %v", err)
			continue
		}
		ran++
		t.Run(shell[0], func(t *testing.T) {
			boot, root := t.TempDir()+"/it's boot", t.TempDir()
			installs := []Install{{"provision", root + "/usr/local/bin/provision", 0o755, false}, {"gone", root + "/gone", 0o600, false}, {"sec'ret", root + "/etc/$(x) secret", 0o600, true}}
			script, err := Script(boot, installs, [][]string{{"touch", root + "/it's \"done\"; $HOME"}, {"false"}, {"no such command"}})
			if err != nil || strings.Contains(script, "\r") {
				t.Fatal(err)
			}
			f := files{"cmdline.txt": stockLine}
			changes, err := Prepare(f.read, Options{Script: script, Dir: "/boot/firmware", Add: []string{"net.ifnames=0"}})
			if err != nil {
				t.Fatal(err)
			}
			f.apply(changes)
			f["provision"], f["sec'ret"] = "binary", "hunter2"
			if err := os.Mkdir(boot, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range f {
				if err := os.WriteFile(filepath.Join(boot, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			secret := hardlink(t, filepath.Join(boot, "sec'ret"))
			run := func() {
				t.Helper()
				file := filepath.Join(t.TempDir(), "script")
				if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(shell[0], append(shell[1:], file)...)
				cmd.Env = []string{"PATH=" + stubs(t) + ":" + os.Getenv("PATH")}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			run()
			has := func(name, want string, mode os.FileMode) {
				t.Helper()
				b, err := os.ReadFile(name)
				info, _ := os.Stat(name)
				if err != nil || string(b) != want || mode != 0 && info.Mode() != mode {
					t.Errorf("%s: %q %v %v", name, b, info, err)
				}
			}
			log, _ := os.ReadFile(filepath.Join(boot, LogName))
			has(root+"/usr/local/bin/provision", "binary", 0o755)
			has(root+"/etc/$(x) secret", "hunter2", 0o600)
			if info, err := os.Stat(root + "/usr/local/bin"); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("a folder on the way: %v %v", info, err)
			}
			has(boot+"/cmdline.txt", strings.TrimSpace(stockLine)+" net.ifnames=0\n", 0) // FAT has no modes
			if b, err := os.ReadFile(secret); err != nil || !bytes.Equal(b, make([]byte, 7)) {
				t.Errorf("the secret on the boot partition was not written over: %q %v", b, err)
			}
			for _, gone := range []string{"sec'ret", ScriptName} {
				if _, err := os.Stat(filepath.Join(boot, gone)); err == nil {
					t.Errorf("%s is still there", gone)
				}
			}
			if _, err := os.Stat(root + "/it's \"done\"; $HOME"); err != nil {
				t.Error(err)
			}
			for _, says := range []string{"first boot", "cannot put gone", "failed: false", "failed: no such command", "done"} {
				if !strings.Contains(string(log), says) {
					t.Errorf("the log has no %q:\n%s", says, log)
				}
			}
			run() // with most of it gone already
			if err := os.RemoveAll(boot); err != nil {
				t.Fatal(err)
			}
			run() // and with nothing there at all
		})
	}
	if ran == 0 {
		t.Skip("needs dash, bash or busybox: none is here")
	}
}

// What systemd itself makes of the command line: the script as the only command, and a
// reboot after it.
func TestGenerator(t *testing.T) {
	const generator = "/usr/lib/systemd/system-generators/systemd-run-generator"
	if _, err := exec.LookPath(generator); err != nil {
		t.Skipf("skipped: needs systemd's generator: %v", err)
	}
	line, err := Words(stockLine, hookWords("/boot/firmware"), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(generator, dir, dir, dir)
	cmd.Env = append(os.Environ(), "SYSTEMD_PROC_CMDLINE="+line)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	unit, err := os.ReadFile(filepath.Join(dir, "kernel-command-line.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nSuccessAction=reboot\n", "\nExecStart=/boot/firmware/" + ScriptName + "\n"} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("no %q in\n%s", want, unit)
		}
	}
	if n := strings.Count(string(unit), "ExecStart="); n != 1 {
		t.Errorf("%d commands", n)
	}
	if to, err := os.Readlink(filepath.Join(dir, "default.target")); err != nil || !strings.HasSuffix(to, "kernel-command-line.target") {
		t.Errorf("default.target is %q: %v", to, err)
	}
}

// hardlink keeps a file's contents in sight after it was removed.
func hardlink(t *testing.T, name string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "link")
	if err := os.Link(name, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// stubs are in place of what would touch the machine of the test.
func stubs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"mount", "sync"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
