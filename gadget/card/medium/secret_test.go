package medium

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/gadget/card/bootfiles"
)

// secrets are what a preparation puts on a card, a setup of each letter; that of C has
// neither an account nor a network.
func secrets(letter string) bootfiles.Options {
	file := func(name string, size int) bootfiles.File {
		return bootfiles.File{Path: name, Data: []byte(bootfiles.Mark + "\n" + strings.Repeat(letter+"-SECRET-", size)), Secret: true}
	}
	o := bootfiles.Options{Add: []string{"net.ifnames=0"}, Files: []bootfiles.File{{Path: "provision", Data: bytes.Repeat([]byte(letter), 3000)},
		file(bootfiles.Folder+"/account", 10), file(bootfiles.NetworkConfig, 200)}}
	if letter == "C" {
		o.Files = []bootfiles.File{o.Files[0], file(bootfiles.Folder+"/keys", 10)}
	}
	return o
}

// prepared puts them on the card.
func prepared(m Medium, letter string) error {
	record, err := bootfiles.ReadRecord(m.Read)
	if err != nil {
		return err
	}
	list, err := bootfiles.Renew(m.Read, record, secrets(letter))
	if err != nil {
		return err
	}
	return m.Write(list)
}

// undone takes them back, as `card undo` does.
func undone(m Medium) error {
	record, err := bootfiles.ReadRecord(m.Read)
	if err != nil {
		return err
	}
	list, foreign, err := record.Undo(m.Read)
	if err != nil || len(foreign) > 0 {
		return errors.Join(append(foreign, err)...)
	}
	text, err := m.Read(bootfiles.RecordName)
	if err != nil {
		return err
	}
	if text != nil {
		list = append(list, bootfiles.Change{Path: bootfiles.RecordName, Before: text})
	}
	return m.Write(list)
}

// raw counts a setup's secrets in all bytes of an image; one across two clusters may be torn.
func raw(t *testing.T, image, letter string) int {
	t.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte(letter+"-SECRET"))
}

// unsynced leaves the host's disk alone: no power fails in a test.
type unsynced struct{ disk }

func (unsynced) Sync() error { return nil }

// A card that never booted gives its secrets to nobody once they are replaced or taken back.
func TestOldSecrets(t *testing.T) {
	for name, image := range map[string]string{"FAT16": fatImage(t, "16", 16*mb), "FAT32": fatImage(t, "32", 40*mb)} {
		m := open(t, image)
		if err := prepared(m, "A"); err != nil || raw(t, image, "A") != 210 {
			t.Fatalf("%s: %v, %d", name, err, raw(t, image, "A"))
		}
		if err := prepared(m, "B"); err != nil || raw(t, image, "A") != 0 || raw(t, image, "B") < 200 {
			t.Errorf("%s: other secrets: %v, %d of the old ones are left", name, err, raw(t, image, "A"))
		}
		if err := undone(m); err != nil || raw(t, image, "B") != 0 {
			t.Errorf("%s: taken back: %v, %d are left", name, err, raw(t, image, "B"))
		}
		do(t, "", "fsck.vfat", "-n", image)
		if list := do(t, "", "mdir", "-b", "-i", image, "::"); strings.Count(list, "::/") != 2 {
			t.Errorf("%s: left behind:\n%s", name, list)
		}
	}
}

// Killed at any write, and taken back after that: no secret is left, though nobody knows where one was meant to go.
func TestSecretsOfTheKilled(t *testing.T) {
	t.Parallel()
	killed := func(m *image, n int, work func(Medium) error) (done bool) {
		m.disk = &stopping{disk: unsynced{m.disk}, left: n}
		if err := m.load(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if r := recover(); r != nil && r != errKilled {
				panic(r)
			}
		}()
		if err := work(m); err != nil {
			t.Fatal(err)
		}
		return true
	}
	reopen := func(path string) *image {
		m := open(t, path).(*image)
		m.disk = unsynced{m.disk}
		if err := m.load(); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, work := range map[string]func(Medium) error{
		"the first time": func(m Medium) error { return prepared(m, "B") }, "other secrets": func(m Medium) error { return prepared(m, "B") },
		"fewer secrets": func(m Medium) error { return prepared(m, "C") }, "undo": undone,
	} {
		path := fatImage(t, "16", 5*mb)
		if name != "the first time" {
			if err := prepared(open(t, path), "A"); err != nil {
				t.Fatal(err)
			}
		}
		start, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		halves, writes := 0, 0
		for n := 1; ; n++ {
			if err := os.WriteFile(path, start, 0o600); err != nil {
				t.Fatal(err)
			}
			if killed(open(t, path).(*image), n, work) {
				writes = n - 1
				break
			}
			now := reopen(path)
			if _, unclean, _, err := now.Problems(); err != nil {
				t.Fatal(err)
			} else if unclean {
				_ = exec.Command("fsck.vfat", "-a", path).Run() // its status says that it has mended something
				now = reopen(path)
			}
			record, err := bootfiles.ReadRecord(now.Read)
			if err != nil {
				t.Fatalf("%s: after %d writes: %v", name, n, err)
			}
			if state, _, err := record.Where(now.Read); err != nil {
				t.Fatal(err)
			} else if state == bootfiles.Half {
				halves++
			}
			if err := undone(now); err != nil {
				t.Fatalf("%s: after %d writes: %v", name, n, err)
			}
			if a, b := raw(t, path, "A"), raw(t, path, "B")+raw(t, path, "C"); a+b > 0 {
				t.Fatalf("%s: killed after %d writes, and taken back: %d of the old and %d of the new are left", name, n, a, b)
			}
			if text, err := now.Read("cmdline.txt"); err != nil || string(text) != "root=x\n" {
				t.Fatalf("%s: after %d writes: cmdline.txt is %q: %v", name, n, text, err)
			}
			for _, file := range []string{"provision", bootfiles.Folder + "/account", bootfiles.NetworkConfig} {
				if text, err := now.Read(file); err != nil || text != nil {
					t.Fatalf("%s: after %d writes: of %s %.40q is left: %v", name, n, file, text, err)
				}
			}
		}
		if halves == 0 || writes < 20 {
			t.Errorf("%s: %d of %d interruptions were seen", name, halves, writes)
		}
	}
}

// The same on a mounted card, killed behind any change.
func TestSecretsOfTheKilledInAFolder(t *testing.T) {
	for letter, want := range map[string]int{"B": 4, "C": 5} {
		for n := range want {
			dir := bootFolder(t)
			m := open(t, dir)
			if err := prepared(m, "A"); err != nil {
				t.Fatal(err)
			}
			record, err := bootfiles.ReadRecord(m.Read)
			if err != nil {
				t.Fatal(err)
			}
			list, err := bootfiles.Renew(m.Read, record, secrets(letter))
			if err != nil || len(list) != want {
				t.Fatalf("%s: %d changes, want %d: %v", letter, len(list), want, err)
			}
			if err := errors.Join(m.Write(list[:n]), undone(m)); err != nil {
				t.Fatalf("%s: after %d changes: %v", letter, n, err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
				t.Errorf("%s: after %d changes, and taken back: the folder has %v: %v", letter, n, entries, err)
			}
		}
	}
}

// On a mounted card it is the files' own bytes that become zeros: a second name of each file shows it.
func TestOldSecretsInAFolder(t *testing.T) {
	dir := bootFolder(t)
	m := open(t, dir).(*folder)
	kept := t.TempDir()
	keep := func(letter string) {
		for _, name := range []string{"account", bootfiles.NetworkConfig} {
			from := filepath.Join(dir, name)
			if name == "account" {
				from = filepath.Join(dir, bootfiles.Folder, name)
			}
			if err := os.Link(from, filepath.Join(kept, letter+name)); err != nil {
				t.Skipf("skipped: this file system has no hard links: %v", err)
			}
		}
	}
	left := func() string {
		var found []string
		entries, err := os.ReadDir(kept)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(kept, e.Name()))
			if err != nil || len(b) < 100 {
				t.Fatalf("%s has %d bytes: %v", e.Name(), len(b), err)
			}
			if strings.Trim(string(b), "\x00") != "" {
				found = append(found, e.Name())
			}
		}
		return strings.Join(found, " ")
	}
	if err := prepared(m, "A"); err != nil {
		t.Fatal(err)
	}
	keep("A")
	if err := prepared(m, "B"); err != nil || left() != "" {
		t.Errorf("other secrets: %v, left: %s", err, left())
	}
	keep("B")
	if err := undone(m); err != nil || left() != "" {
		t.Errorf("taken back: %v, left: %s", err, left())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("the folder has %v", entries)
	}

	// What fails half-way leaves none either, and the old ones where they were.
	if err := prepared(m, "A"); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, bootfiles.NetworkConfig))
	record, err := bootfiles.ReadRecord(m.Read)
	if err != nil {
		t.Fatal(err)
	}
	list, err := bootfiles.Renew(m.Read, record, secrets("B"))
	if err != nil {
		t.Fatal(err)
	}
	staged := false
	m.write = func(name string, data []byte) error {
		if err := writeFile(name, data); err != nil || !strings.Contains(name, bootfiles.NetworkConfig) {
			return err
		}
		if bytes.Contains(data, []byte("SECRET")) {
			t.Error("a secret is written before a name leads to its place")
		}
		staged = true
		return fullError
	}
	if err := m.Write(list); !errors.Is(err, ErrFull) || !staged {
		t.Errorf("a full card: %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, bootfiles.NetworkConfig)); !bytes.Equal(before, after) {
		t.Errorf("%s is %.40q", bootfiles.NetworkConfig, after)
	}
	m.write = writeFile

	// What a process that was killed left beside its place goes with the next change, or with undo.
	for _, name := range []string{bootfiles.NetworkConfig + ".provision-new", bootfiles.Folder + "/keys.provision-new"} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("C-SECRET"), 20), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(filepath.Join(dir, name), filepath.Join(kept, "C"+filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := undone(m); err != nil || left() != "" {
		t.Errorf("taken back: %v, left: %s", err, left())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("the folder has %v", entries)
	}
}
