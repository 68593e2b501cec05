package fat

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The judges are dosfstools and mtools: what mkfs.vfat makes and mcopy fills is
// edited, and fsck.vfat, mdir and mtype say what they think of it.

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (Debian: dosfstools, mtools): %v", tool, err)
		}
	}
}

func run(t *testing.T, in string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "LC_ALL=C.UTF-8", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, in string, name string, args ...string) string {
	t.Helper()
	out, err := run(t, in, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// fsck fails unless fsck.vfat finds nothing. It knows only one or two tables; what
// has more is left to mtools.
func fsck(t *testing.T, file string) {
	t.Helper()
	if out, err := run(t, "", "fsck.vfat", "-n", "-v", file); err != nil && !strings.Contains(out, "only 1 or 2 FATs are supported") {
		t.Fatalf("fsck.vfat: %v\n%s", err, out)
	}
}

// mkfs makes an image file with a partition of a Raspberry Pi in it.
func mkfs(t *testing.T, size int64, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "boot.img")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil { // sparse
		t.Fatal(err)
	}
	must(t, "", "mkfs.vfat", append(args, "-n", "BOOTFS", file)...)
	put(t, file, "config.txt", "dtparam=audio=on\n")
	put(t, file, "cmdline.txt", "console=tty1 root=PARTUUID=deadbeef-02 rootwait\n")
	must(t, "", "mmd", "-i", file, "::overlays")
	put(t, file, "overlays/dwc2.dtbo", strings.Repeat("dtb", 3000))
	put(t, file, "overlays/A long Name of an Overlay.dtbo", "long")
	put(t, file, "HIDDEN.SYS", "hidden")
	must(t, "", "mattrib", "-i", file, "+h", "+s", "+r", "::HIDDEN.SYS")
	return file
}

func put(t *testing.T, file, path, text string) {
	t.Helper()
	must(t, text, "mcopy", "-i", file, "-o", "-", "::"+path)
}

// edit plans, applies, and asks fsck.vfat.
func edited(t *testing.T, file string, changes ...Change) Record {
	t.Helper()
	rec, err := editFile(file, changes)
	if err != nil {
		t.Fatal(err)
	}
	fsck(t, file)
	return rec
}

func editFile(file string, changes []Change) (Record, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	v, err := openFile(f)
	if err != nil {
		return Record{}, err
	}
	p, err := v.Plan(changes, now)
	if err != nil {
		return Record{}, err
	}
	return p.Record(), p.Apply(unsynced{f})
}

// unsynced leaves the host's disk alone: no power fails in a test.
type unsynced struct{ Disk }

func openFile(f *os.File) (*Volume, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return Open(f, info.Size())
}

// says fails unless mtype and mdir see these files.
func says(t *testing.T, file string, want map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if have := must(t, "", "mtype", "-i", file, "::"+path); have != want[path] {
			t.Errorf("mtype %s: %d bytes %.40q, want %d", path, len(have), have, len(want[path]))
		}
	}
}

func digest(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// Every sort of file system that mkfs.vfat makes of a card.
func TestKinds(t *testing.T) {
	need(t, "mkfs.vfat", "fsck.vfat", "mcopy", "mattrib", "mmd", "mtype")
	const mb = 1 << 20
	for _, c := range []struct {
		size int64
		args string
		bits int
	}{
		{16 * mb, "-F 16", 16}, {16 * mb, "-F 16 -s 1", 16}, {64 * mb, "-F 16 -s 4 -r 224", 16}, {100 * mb, "-F 16 -S 1024", 16}, {40 * mb, "-F 16 -S 4096 -s 1", 16},
		{16 * mb, "-F 16 -f 1", 16}, {32 * mb, "-F 16 -f 3 -R 8", 16}, {24 * mb, "-F 16 --mbr=y", 16}, {20 * mb, "-F 16 -a", 16},
		{40 * mb, "-F 32 -s 1", 32}, {34 * mb, "-F 32", 32}, {140 * mb, "-F 32 -S 2048 -s 1", 32}, {300 * mb, "-F 32 -S 4096 -s 1", 32}, {40 * mb, "-F 32 -s 1 -f 1", 32},
		{40 * mb, "-F 32 -s 1 -f 3 -R 64 -b 10", 32}, {256 * mb, "-F 32 -s 4", 32}, {512 * mb, "-F 32", 32}, {600 * mb, "", 32}, {40 * mb, "-F 32 -s 1 --mbr=y", 32},
	} {
		t.Run(fmt.Sprintf("%d MiB %s", c.size/mb, c.args), func(t *testing.T) {
			t.Parallel()
			file := mkfs(t, c.size, strings.Fields(c.args)...)
			fsck(t, file)
			small := c.size <= 64*mb // hashing 600 MiB of holes takes a second
			before := ""
			if small {
				before = digest(t, file)
			}
			big := strings.Repeat("binary ", 300000)
			changes := []Change{{Write, "config.txt", []byte("[all]\ndtoverlay=dwc2\n")}, {Write, "cmdline.txt", nil}, {Write, "ssh", nil}, {Write, "provision/provision", []byte(big)},
				{Write, "provision/provision.yaml", []byte("version: 1\n")}, {Remove, "overlays/dwc2.dtbo", nil}, {Mkdir, "an empty folder", nil}}
			rec := edited(t, file, changes...)
			says(t, file, map[string]string{"config.txt": "[all]\ndtoverlay=dwc2\n", "cmdline.txt": "", "ssh": "", "provision/provision": big,
				"provision/provision.yaml": "version: 1\n", "overlays/A long Name of an Overlay.dtbo": "long", "HIDDEN.SYS": "hidden"})
			if out := must(t, "", "mattrib", "-i", file, "::HIDDEN.SYS"); !strings.Contains(out, "SHR") {
				t.Errorf("attributes: %q", out)
			}
			if out := must(t, "", "mdir", "-i", file, "-b", "-a", "::overlays"); strings.Contains(out, "dwc2") {
				t.Errorf("mdir: %s", out)
			}
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			v, err := openFile(f)
			if err != nil || v.Bits() != c.bits || v.Label() != "BOOTFS" || v.Dirty() {
				t.Fatalf("FAT%d %q dirty %v: %v", v.Bits(), v.Label(), v.Dirty(), err)
			}
			if again, err := v.Plan(changes, now); err != nil || !again.Empty() {
				t.Errorf("again: %v", err)
			}
			if err := rec.Undo(unsynced{f}); err != nil {
				t.Fatal(err)
			}
			fsck(t, file)
			says(t, file, map[string]string{"config.txt": "dtparam=audio=on\n", "overlays/dwc2.dtbo": strings.Repeat("dtb", 3000)})
			if small && digest(t, file) != before {
				t.Error("the image is not byte for byte what it was")
			}
		})
	}
}

// What other editors of FAT have been seen to get wrong, on both sorts.
func TestKnownTraps(t *testing.T) {
	need(t, "mkfs.vfat", "fsck.vfat", "mcopy", "mattrib", "mmd", "mtype", "mdir", "mdel", "minfo")
	for _, args := range []string{"-F 16 -s 1 -r 1024", "-F 32 -s 1"} {
		t.Run(args, func(t *testing.T) {
			size := int64(10 << 20)
			if strings.Contains(args, "32") {
				size = 36 << 20
			}
			file := mkfs(t, size, strings.Fields(args)...)
			t.Run("a folder has its own and its parent's cluster", func(t *testing.T) {
				edited(t, file, Change{Mkdir, "top/sub/subsub", nil}, Change{Write, "top/sub/f", []byte("f")})
				says(t, file, map[string]string{"top/sub/subsub/../f": "f"})
			})
			t.Run("an empty file", func(t *testing.T) {
				edited(t, file, Change{Write, "ssh", nil}) // fsck.vfat complains of a cluster
				says(t, file, map[string]string{"ssh": ""})
			})
			t.Run("names that look alike", func(t *testing.T) {
				want := map[string]string{}
				var changes []Change
				for _, name := range []string{"agent.conf", "agent.config", "cmdline.txt~", "x.txt~", ".profile", ".dotfile.conf", "grüße.txt", "BOOTFS", "日本語.txt", "a+b=c.txt", "many.dots.in.it", "with blank"} {
					changes = append(changes, Change{Write, name, []byte(name)})
					want[name] = name
				}
				edited(t, file, changes...)
				want["cmdline.txt"], want["config.txt"] = "console=tty1 root=PARTUUID=deadbeef-02 rootwait\n", "dtparam=audio=on\n"
				says(t, file, want)
				if out := must(t, "", "minfo", "-i", file, "::"); !strings.Contains(out, "BOOTFS") {
					t.Errorf("the label is gone:\n%s", out)
				}
				if out := must(t, "", "mdir", "-i", file, "::"); !strings.Contains(out, "Volume in drive : is BOOTFS") {
					t.Errorf("the label is gone:\n%s", out)
				}
			})
			t.Run("a short name that is not ASCII", func(t *testing.T) {
				put(t, file, "QUIET.TXT", "q")
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				i := bytes.Index(b, []byte("QUIET   TXT"))
				f, err := os.OpenFile(file, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := f.WriteAt([]byte{0x9a}, int64(i)); err != nil { // Ü in code pages 437 and 850
					t.Fatal(err)
				}
				edited(t, file, Change{Write, "beside it.txt", []byte("b")}, Change{Write, "ÜUIET.TXT", []byte("new")})
				says(t, file, map[string]string{"beside it.txt": "b", "ÜUIET.TXT": "new"})
			})
			for _, dir := range []string{"", "crowd/"} {
				t.Run("after most files of "+dir+" were deleted", func(t *testing.T) {
					src := t.TempDir()
					if dir != "" {
						must(t, "", "mmd", "-i", file, "::crowd")
					}
					args := []string{"-i", file}
					for i := range 300 {
						name := filepath.Join(src, fmt.Sprintf("file %03d.txt", i))
						if err := os.WriteFile(name, nil, 0o600); err != nil {
							t.Fatal(err)
						}
						args = append(args, name)
					}
					must(t, "", "mcopy", append(args, "::"+dir)...)
					args = []string{"-i", file}
					for i := 50; i < 250; i++ {
						args = append(args, fmt.Sprintf("::%sfile %03d.txt", dir, i))
					}
					must(t, "", "mdel", args...)
					want := map[string]string{dir + "file 299.txt": ""}
					var changes []Change
					for i := range 20 {
						name := fmt.Sprintf("%snew file %d with a name of some length.txt", dir, i)
						want[name] = name
						changes = append(changes, Change{Write, name, []byte(name)})
					}
					edited(t, file, changes...)
					says(t, file, want)
					names := strings.Split(strings.TrimSpace(must(t, "", "mdir", "-i", file, "-b", "::"+dir)), "\n")
					n := 0
					for _, name := range names {
						if strings.Contains(name, "file ") {
							n++
						}
					}
					if n != 120 {
						t.Errorf("mdir sees %d files", n)
					}
				})
			}
			t.Run("until it is full", func(t *testing.T) {
				f, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				v, err := openFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if out := strings.ReplaceAll(must(t, "", "mdir", "-i", file, "::"), " ", ""); !strings.Contains(out, fmt.Sprint(v.Free())+"bytesfree") {
					t.Errorf("free: %d, and mdir says\n%s", v.Free(), out)
				}
				before := digest(t, file)
				if _, err := editFile(file, []Change{{Write, "all.bin", make([]byte, v.Free()+1)}}); err == nil || digest(t, file) != before {
					t.Errorf("one byte too many: %v", err)
				}
				// What is at the end of the root is longer by a cluster.
				edited(t, file, Change{Write, "ALL.BIN", make([]byte, v.Free()-int64(v.cluster))})
			})
		})
	}
}

// What a power cut leaves, as others see it: the files that are not being changed and
// the old or the new state of the others, and fsck.vfat repairs it without loss.
func TestPowerCut(t *testing.T) {
	need(t, "mkfs.vfat", "fsck.vfat", "mcopy", "mattrib", "mmd", "mtype")
	file := mkfs(t, 34<<20, "-F", "32", "-s", "1")
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := openFile(f)
	if err != nil {
		t.Fatal(err)
	}
	changes := append(many(12, ""), Change{Write, "config.txt", []byte(strings.Repeat("new ", 500))}, Change{Remove, "overlays/dwc2.dtbo", nil}, Change{Write, "d/f.txt", []byte("f")})
	p, err := v.Plan(changes, now)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.img")
	for n := range len(p.Steps) + 1 {
		if n > 0 {
			s := p.Steps[n-1]
			if _, err := f.WriteAt(s.New, s.At); err != nil {
				t.Fatal(err)
			}
		}
		must(t, "", "cp", "--sparse=always", file, cut)
		out, err := run(t, "", "fsck.vfat", "-a", "-w", cut)
		if err != nil && !strings.Contains(err.Error(), "exit status 1") {
			t.Fatalf("after %d of %d writes: fsck.vfat -a: %v\n%s", n, len(p.Steps), err, out)
		}
		fsck(t, cut)
		have := must(t, "", "mtype", "-i", cut, "::config.txt")
		if have != "dtparam=audio=on\n" && have != string(changes[12].Data) {
			t.Fatalf("after %d of %d writes config.txt is %.60q\n%s", n, len(p.Steps), have, out)
		}
		says(t, cut, map[string]string{"cmdline.txt": "console=tty1 root=PARTUUID=deadbeef-02 rootwait\n", "overlays/A long Name of an Overlay.dtbo": "long"})
		if have, err := run(t, "", "mtype", "-i", cut, "::overlays/dwc2.dtbo"); err == nil && have != strings.Repeat("dtb", 3000) {
			t.Fatalf("after %d of %d writes dwc2.dtbo has %d bytes", n, len(p.Steps), len(have))
		}
	}
}
