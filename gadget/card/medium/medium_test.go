package medium

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/card/bootfiles"
	"github.com/provision-net/provision/gadget/card/flash"
)

const mb = 1 << 20

func do(t *testing.T, in, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(in)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// fatImage is a FAT file system of some size with config.txt and cmdline.txt.
func fatImage(t testing.TB, bits string, size int64) string {
	t.Helper()
	for _, n := range []string{"mkfs.vfat", "mcopy", "fsck.vfat"} {
		if _, err := exec.LookPath(n); err != nil {
			t.Skipf("needs %s (Debian: dosfstools, mtools): %v", n, err)
		}
	}
	name := filepath.Join(t.TempDir(), "card.img")
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"", "mkfs.vfat", "-F", bits, "-s", "1", name}, {"a=1\n", "mcopy", "-i", name, "-", "::config.txt"}, {"root=x\n", "mcopy", "-i", name, "-", "::cmdline.txt"}} {
		cmd := exec.Command(c[1], c[2:]...)
		cmd.Stdin = strings.NewReader(c[0])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	return name
}

func bootFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/config.txt", []byte("a=1\n"), 0o644), os.WriteFile(dir+"/cmdline.txt", []byte("root=x\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func changes(big int) []bootfiles.Change {
	return []bootfiles.Change{
		{Path: bootfiles.RecordName, After: []byte("record")},
		{Path: "provision", After: bytes.Repeat([]byte("x"), big)},
		{Path: "provision-first-boot.d/secret", After: []byte("s"), Secret: true},
		{Path: "cmdline.txt", Before: []byte("root=x\n"), After: []byte("root=x y\n")},
	}
}

// back are the changes that undo others, the record last.
func back(list []bootfiles.Change) []bootfiles.Change {
	var out []bootfiles.Change
	for i := len(list) - 1; i >= 0; i-- {
		out = append(out, bootfiles.Change{Path: list[i].Path, Before: list[i].After, After: list[i].Before, Secret: list[i].Secret})
	}
	return out
}

func open(t *testing.T, path string) Medium {
	t.Helper()
	m, err := Open(path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestWriteAndBack(t *testing.T) {
	for name, path := range map[string]string{"FAT16": fatImage(t, "16", 16*mb), "FAT32": fatImage(t, "32", 40*mb), "folder": bootFolder(t)} {
		m := open(t, path)
		if err := m.Write(changes(100_000)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again := open(t, path)
		for _, c := range changes(100_000) {
			if got, err := again.Read(c.Path); err != nil || !bytes.Equal(got, c.After) {
				t.Errorf("%s: %s is %d bytes: %v", name, c.Path, len(got), err)
			}
		}
		if name != "folder" {
			do(t, "", "fsck.vfat", "-n", path)
		}
		if err := again.Write(back(changes(100_000))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var list string
		if name == "folder" {
			entries, err := os.ReadDir(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				list += "::/" + e.Name() + "\n"
			}
		} else {
			do(t, "", "fsck.vfat", "-n", path)
			list = do(t, "", "mdir", "-b", "-i", path, "::")
		}
		if n := strings.Count(list, "::/"); n != 2 || !strings.Contains(list, "config.txt") {
			t.Errorf("%s: left behind:\n%s", name, list)
		}
		if got, err := again.Read("cmdline.txt"); err != nil || string(got) != "root=x\n" {
			t.Errorf("%s: cmdline.txt is %q: %v", name, got, err)
		}
	}
}

func TestFull(t *testing.T) {
	image := fatImage(t, "16", 16*mb)
	before, _ := os.ReadFile(image)
	if err := open(t, image).Write(changes(17 * mb)); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "kB left") {
		t.Errorf("image: %v", err)
	}
	if after, _ := os.ReadFile(image); !bytes.Equal(before, after) {
		t.Error("the image has been changed")
	}
	dir := bootFolder(t)
	m := open(t, dir).(*folder)
	m.write = func(name string, data []byte) error {
		if strings.Contains(name, "secret") {
			_ = writeFile(name, data[:0])
			return fullError
		}
		return writeFile(name, data)
	}
	if err := m.Write(changes(10)); !errors.Is(err, ErrFull) {
		t.Errorf("folder: %v", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 2 {
		t.Errorf("the folder has %v", list)
	}
}

// A card that somebody else changes, or that fails, in the middle is as it was.
func TestGoesBack(t *testing.T) {
	dir := bootFolder(t)
	list := changes(10)
	list[3].Before = []byte("root=other\n")
	if err := open(t, dir).Write(list); err == nil || !strings.Contains(err.Error(), "as it was before") {
		t.Errorf("%v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("the folder has %v", entries)
	}

	path := fatImage(t, "16", 16*mb)
	before, _ := os.ReadFile(path)
	writes := 0
	for n := 1; ; n++ {
		m := open(t, path).(*image)
		d := &failing{disk: m.disk, fail: n}
		m.disk = d
		if err := m.load(); err != nil {
			t.Fatal(err)
		}
		err := m.Write(changes(2000))
		if err == nil {
			writes = n - 1
			break
		}
		if !strings.Contains(err.Error(), "as it was before") || errors.Is(err, ErrStuck) {
			t.Fatalf("write %d fails: %v", n, err)
		}
		if after, _ := os.ReadFile(path); !sameFiles(t, before, after) {
			t.Fatalf("after a failure of write %d the card is not as it was", n)
		}
	}
	if writes < 10 {
		t.Errorf("only %d writes were seen", writes)
	}
	// It fails for good: that is said.
	path = fatImage(t, "16", 16*mb)
	m := open(t, path).(*image)
	m.disk = &failing{disk: m.disk, fail: 12, dead: true}
	if err := m.load(); err != nil {
		t.Fatal(err)
	}
	if err := m.Write(changes(2000)); !errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "half-written") {
		t.Errorf("%v", err)
	}
}

// sameFiles compares images but for what was in free clusters.
func sameFiles(t *testing.T, a, b []byte) bool {
	t.Helper()
	const data = 128 << 10 // behind the tables and the root folder of these file systems
	return bytes.Equal(a[:data], b[:data])
}

// failing is a disk of which one write fails, or that is dead from it on.
type failing struct {
	disk
	fail, n int
	dead    bool
}

func (f *failing) WriteAt(b []byte, at int64) (int, error) {
	if f.n++; f.n == f.fail || f.dead && f.n > f.fail {
		return 0, errors.New("the card does not answer")
	}
	return f.disk.WriteAt(b, at)
}

// A process that is killed at any write leaves a card on which each file is the old or
// the new one, and which the next preparation makes whole.
func TestKilled(t *testing.T) {
	t.Parallel()
	list := changes(2000)
	for n := 1; ; n++ {
		path := fatImage(t, "16", 5*mb)
		m := open(t, path).(*image)
		m.disk = &stopping{disk: m.disk, left: n}
		if err := m.load(); err != nil {
			t.Fatal(err)
		}
		done := func() (done bool) {
			defer func() {
				if r := recover(); r != nil && r != errKilled {
					panic(r)
				}
			}()
			return m.Write(list) == nil
		}()
		now := open(t, path)
		record, err := now.Read(bootfiles.RecordName)
		if err != nil {
			t.Fatalf("after %d writes: %v", n, err)
		}
		for i, c := range list {
			got, err := now.Read(c.Path)
			isOld, isNew := (got == nil) == (c.Before == nil) && bytes.Equal(got, c.Before), bytes.Equal(got, c.After)
			zeros := c.Secret && len(bytes.Trim(got, "\x00")) == 0
			if err != nil || !isOld && !isNew && !zeros {
				t.Fatalf("after %d writes: %s is neither the old nor the new one: %q %v", n, c.Path, got, err)
			}
			if i > 0 && !isOld && record == nil {
				t.Fatalf("after %d writes: %s is there, and not how to go back", n, c.Path)
			}
			list[i].Before = got
		}
		if err := now.Write(list); err != nil {
			// A table may be older than the other one: the dirty mark and fsck.vfat are for that.
			_, unclean, _, e := now.Problems()
			if e != nil || !unclean || !strings.Contains(err.Error(), "fsck.vfat") {
				t.Fatalf("after %d writes: %v", n, err)
			}
			_ = exec.Command("fsck.vfat", "-a", path).Run()
			now = open(t, path)
			for i, c := range list {
				if list[i].Before, err = now.Read(c.Path); err != nil {
					t.Fatal(err)
				}
			}
			if err := now.Write(list); err != nil {
				t.Fatalf("after %d writes and fsck.vfat: %v", n, err)
			}
		}
		list = changes(2000)
		if done {
			if n < 10 {
				t.Errorf("only %d writes", n)
			}
			return
		}
	}
}

var errKilled = errors.New("killed")

// stopping is a disk whose writer is killed.
type stopping struct {
	disk
	left int
}

func (s *stopping) WriteAt(b []byte, at int64) (int, error) {
	if s.left--; s.left < 0 {
		panic(errKilled)
	}
	return s.disk.WriteAt(b, at)
}

func TestWrongPath(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	put("root/boot/firmware/cmdline.txt", "root=x\n")
	for path, says := range map[string]string{
		put("a.xz", "\xfd7zXZ\x00\x00\x00"): "compressed by xz", put("a.gz", "\x1f\x8b\x08\x00"): "gzip", put("a.zst", "\x28\xb5\x2f\xfd"): "zstd", put("a.zip", "PK\x03\x04"): "zip archive",
		put("a.half", string(flash.Note{Token: strings.Repeat("0a", 16), Image: "raspios.img.xz"}.Bytes())): "writing raspios.img.xz to it with card flash was broken off",
		put("a.qcow2", "QFI\xfb"): "qcow2", put("empty", ""): "is empty", put("text", "hello\n"): "no boot partition", put("zeros", strings.Repeat("\x00", mb)): "no boot partition",
		put("other/readme", ""): "is empty", filepath.Join(dir, "other"): "neither config.txt nor cmdline.txt", filepath.Join(dir, "root"): filepath.FromSlash("boot/firmware"),
	} {
		if _, err := Open(path, false); !errors.Is(err, ErrWrong) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
	if _, err := Open(filepath.Join(dir, "none"), false); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "boot partition") {
		t.Errorf("%v", err)
	}
}

// BenchmarkWrite puts 19 MB into an image, as `card prepare` does, and reads them back.
func BenchmarkWrite(b *testing.B) {
	name := fatImage(b, "32", 256*mb)
	if err := os.Truncate(name, 2<<30); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m, err := Open(name, true)
		if err != nil {
			b.Fatal(err)
		}
		list := changes(19 * mb)
		if err := errors.Join(m.Write(list), m.Write(back(list)), m.Close()); err != nil {
			b.Fatal(err)
		}
	}
	if per := b.Elapsed() / time.Duration(b.N); per > 10*time.Second {
		b.Errorf("%s for writing and going back: more than twice 5 s", per)
	}
}
