package fat

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestChanges(t *testing.T) {
	for _, bits := range []int{16, 32} {
		for _, c := range []struct {
			name   string
			change []Change
			want   map[string]string // "-" is gone
		}{
			{"create", []Change{{Write, "ssh", nil}, {Write, "/x/y/z.txt", []byte("z")}}, map[string]string{"ssh": "", "x/": "", "x/y/": "", "x/y/z.txt": "z"}},
			{"overwrite, in another case", []Change{{Write, "CONFIG.TXT", []byte("a=1\n")}}, map[string]string{"config.txt": "a=1\n"}},
			{"by the short name", []Change{{Write, "overlays/ALONGN~1.DTB", []byte("y")}}, map[string]string{"overlays/A long name of a file.dtbo": "y"}},
			{"grow", []Change{{Write, "config.txt", bytes.Repeat([]byte("b"), 5000)}}, map[string]string{"config.txt": strings.Repeat("b", 5000)}},
			{"shrink", []Change{{Write, "cmdline.txt", []byte("c")}}, map[string]string{"cmdline.txt": "c"}},
			{"make empty", []Change{{Write, "cmdline.txt", nil}}, map[string]string{"cmdline.txt": ""}},
			{"fill the empty", []Change{{Write, "empty", []byte("e")}}, map[string]string{"EMPTY": "e"}},
			{"exactly a cluster", []Change{{Write, "e", make([]byte, 512)}, {Write, "f", make([]byte, 513)}}, map[string]string{"e": string(make([]byte, 512)), "f": string(make([]byte, 513))}},
			{"remove", []Change{{Remove, "config.txt", nil}, {Remove, "a/b/c", nil}}, map[string]string{"config.txt": "-", "a/b/c/": "-"}},
			{"remove what is not there", []Change{{Remove, "gone", nil}, {RemoveAll, "x/y", nil}}, nil},
			{"remove with all in it", []Change{{RemoveAll, "overlays", nil}, {RemoveAll, "a", nil}},
				map[string]string{"overlays/": "-", "overlays/dwc2.dtbo": "-", "overlays/A long name of a file.dtbo": "-", "a/": "-", "a/b/": "-", "a/b/c/": "-"}},
			{"one goes and another comes", []Change{{Remove, "cmdline.txt", nil}, {Write, "cmdline.old", []byte("o")}}, map[string]string{"cmdline.txt": "-", "cmdline.old": "o"}},
			{"it is so", []Change{{Write, "config.txt", []byte("dtparam=audio=on\n")}, {Mkdir, "A/B", nil}, {Write, "EMPTY", nil}}, nil},
			{"many, so that folders grow", many(70, "overlays/"), wants(many(70, "overlays/"))},
			{"many in a new folder", many(70, "n/"), func() map[string]string { m := wants(many(70, "n/")); m["n/"] = ""; return m }()},
		} {
			t.Run(fmt.Sprintf("FAT%d %s", bits, c.name), func(t *testing.T) {
				d := small(t, bits)
				if len(c.change) > 60 && bits == 32 {
					d = blank(32, 600)
					change(t, d, Change{Mkdir, "overlays", nil})
				}
				before := bytes.Clone(d.b)
				want := tree(t, open(t, d))
				for k, v := range c.want {
					if want[k] = v; v == "-" {
						delete(want, k)
					}
				}
				p := plan(t, d, c.change...)
				if (c.want == nil) != p.Empty() {
					t.Fatalf("%d steps", len(p.Steps))
				}
				rec := p.Record()
				if err := p.Apply(d); err != nil {
					t.Fatal(err)
				}
				sound(t, d)
				if have := tree(t, open(t, d)); !maps.Equal(have, want) {
					t.Fatalf("have %q\nwant %q", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want)))
				}
				if again := plan(t, d, c.change...); !again.Empty() {
					t.Errorf("again: %d steps", len(again.Steps))
				}
				if err := rec.Undo(d); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(d.b, before) {
					t.Error("going back does not give back every byte")
				}
			})
		}
	}
}

func many(n int, dir string) []Change {
	var out []Change
	for i := range n {
		out = append(out, Change{Write, fmt.Sprintf("%sfile with a long name %d", dir, i), fmt.Append(nil, i)})
	}
	return out
}

func wants(list []Change) map[string]string {
	out := map[string]string{}
	for _, c := range list {
		out[c.Path] = string(c.Data)
	}
	return out
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change []Change
		says   string
		is     error
	}{
		{"a file as a folder", []Change{{Write, "config.txt/x", nil}}, "config.txt is a file", nil},
		{"a folder as a file", []Change{{Write, "overlays", nil}}, "it is a folder", nil},
		{"a folder where a file is", []Change{{Mkdir, "config.txt", nil}}, "it is a file", nil},
		{"a folder that is not empty", []Change{{Remove, "overlays", nil}}, "not empty", nil},
		{"too big", []Change{{Write, "big", make([]byte, 120*512)}}, "bytes free", ErrFull},
		{"the old one and the new one", []Change{{Write, "big", make([]byte, 50*512)}, {Write, "big2", make([]byte, 60*512)}}, "", ErrFull},
		{"twice", []Change{{Write, "x", nil}, {Remove, "X", nil}}, "another change is about", nil},
		{"in what is removed", []Change{{RemoveAll, "overlays", nil}, {Write, "overlays/x", nil}}, "another change is about", nil},
		{"the root", []Change{{RemoveAll, "/", nil}}, "the root folder", nil},
		{"colon", []Change{{Write, "a:b", nil}}, "does not allow", nil},
		{"dot at the end", []Change{{Write, "a.", nil}}, "takes away", nil},
		{"dots", []Change{{Write, "../x", nil}}, "no name", nil},
		{"too long", []Change{{Write, strings.Repeat("ö", 256), nil}}, "255", nil},
		{"twice, by both of its names", []Change{{Write, "overlays/ALONGN~1.DTB", []byte("1")}, {Write, "overlays/A long name of a file.dtbo", []byte("2")}}, "same file", nil},
		{"made and removed, by both of its names", []Change{{Write, "A long name.txt", []byte("1")}, {Remove, "ALONGN~1.TXT", nil}}, "same file", nil},
		{"filled and removed, by both of its names", []Change{{Write, "A long folder/x", []byte("1")}, {RemoveAll, "ALONGF~1", nil}}, "same file", nil},
		{"unknown", []Change{{"rename", "x", nil}}, "no such operation", nil},
	} {
		d := small(t, 32)
		p, err := open(t, d).Plan(c.change, now)
		if err == nil || p != nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFullRootOfFAT16(t *testing.T) {
	d := blank(16, 4085)
	change(t, d, many(21, "")...) // three slots each
	change(t, d, Change{Write, "X", nil})
	_, err := open(t, d).Plan([]Change{{Write, "Y", nil}}, now)
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "64 entries") {
		t.Errorf("one more: %v", err)
	}
	change(t, d, Change{Remove, many(4, "")[3].Path, nil})
	change(t, d, Change{Write, "in its place.txt", nil})
}

// Until the last cluster, and not one further: behind it may be another partition.
func TestLastCluster(t *testing.T) {
	for _, bits := range []int{16, 32} {
		d := small(t, bits)
		guard := bytes.Repeat([]byte{0xee}, 4096)
		free := open(t, d).Free()
		size := len(d.b)
		d.b = append(d.b, guard...)
		change(t, d, Change{Write, "all", make([]byte, free)})
		if !bytes.Equal(d.b[size:], guard) {
			t.Error("it wrote behind the file system")
		}
		for _, c := range []Change{{Write, "one", []byte("x")}, {Write, "config.txt", []byte("y")}, {Mkdir, "m", nil}} {
			if _, err := open(t, d).Plan([]Change{c}, now); !errors.Is(err, ErrFull) {
				t.Errorf("FAT%d: %s %s on a full card: %v", bits, c.Op, c.Path, err)
			}
		}
		change(t, d, Change{Write, "none", nil}, Change{Remove, "all", nil})
	}
}

// Wherever the power goes, every file is the old or the new one and nothing else is
// touched; what is there can be undone, or repaired by giving back clusters.
func TestInterrupted(t *testing.T) {
	changes := append(many(40, "overlays/"), Change{Write, "config.txt", bytes.Repeat([]byte("n"), 1500)}, Change{Write, "cmdline.txt", []byte("short")},
		Change{Remove, "overlays/A long name of a file.dtbo", nil}, Change{RemoveAll, "a", nil}, Change{Write, "new/folder/file.txt", []byte("f")})
	for _, bits := range []int{16, 32} {
		d := small(t, 16)
		if bits == 32 {
			d = blank(32, 400)
			change(t, d, Change{Write, "config.txt", []byte("old")}, Change{Write, "cmdline.txt", bytes.Repeat([]byte("o"), 900)}, Change{Write, "overlays/dwc2.dtbo", []byte("d")},
				Change{Write, "overlays/A long name of a file.dtbo", []byte("x")}, Change{Mkdir, "a/b/c", nil})
		}
		before := bytes.Clone(d.b)
		old := tree(t, open(t, d))
		p := plan(t, d, changes...)
		rec := p.Record()
		done := &disk{bytes.Clone(before)}
		if err := p.Apply(done); err != nil {
			t.Fatal(err)
		}
		after := tree(t, open(t, done))
		for n := range len(p.Steps) + 1 {
			d := &disk{bytes.Clone(before)}
			for _, s := range p.Steps[:n] {
				copy(d.b[s.At:], s.New)
			}
			v := open(t, d)
			if n > 0 && n < len(p.Steps) && !v.Dirty() {
				t.Fatalf("after %d of %d writes it does not say that it is dirty", n, len(p.Steps))
			}
			if n == len(p.Steps) && v.Dirty() {
				t.Fatal("it is dirty at the end")
			}
			problems, err := v.Check()
			for _, p := range problems {
				if !strings.Contains(p.Text, "differs from the first") { // the first counts
					t.Fatalf("after %d writes: %v", n, p)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			have := tree(t, v)
			for k := range old {
				if _, ok := have[k]; !ok && after[k] == "" && k != "a/" && !strings.HasPrefix(k, "a/") && !strings.HasPrefix(k, "overlays/A long") {
					t.Fatalf("after %d of %d writes %s is gone", n, len(p.Steps), k)
				}
			}
			for k, b := range have {
				o, wasThere := old[k]
				w, willBe := after[k]
				if !(wasThere && b == o) && !(willBe && b == w) {
					t.Fatalf("after %d of %d writes %s has %.20q", n, len(p.Steps), k, b)
				}
			}
			if err := rec.Undo(d); err != nil {
				t.Fatalf("after %d writes: %v", n, err)
			}
			if !bytes.Equal(d.b, before) {
				t.Fatalf("after %d writes going back does not give back every byte", n)
			}
		}
	}
}

// failing is a card that is pulled out after some writes.
type failing struct {
	disk
	left int
}

var errPulled = errors.New("no such device")

func (f *failing) WriteAt(p []byte, at int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errPulled
	}
	return f.disk.WriteAt(p, at)
}

// Going back can be interrupted too.
func TestPulledOut(t *testing.T) {
	d := small(t, 32)
	before := bytes.Clone(d.b)
	p := plan(t, d, Change{Write, "config.txt", []byte("n")}, Change{Write, "one more.txt", []byte("f")}, Change{Remove, "EMPTY", nil})
	rec := p.Record()
	for n := range len(p.Steps) {
		for m := range n + 2 {
			f := &failing{disk{bytes.Clone(before)}, n}
			if err := p.Apply(f); !errors.Is(err, errPulled) || !strings.Contains(err.Error(), fmt.Sprintf("after %d of", n)) {
				t.Fatal(err)
			}
			f.left = m
			_ = rec.Undo(f)
			f.left = 1000
			if err := rec.Undo(f); err != nil {
				t.Fatalf("after %d writes and %d back: %v", n, m, err)
			}
			if !bytes.Equal(f.b, before) {
				t.Fatalf("after %d writes and %d back: not every byte is back", n, m)
			}
		}
	}
}

func TestNotWhatWasPlannedFor(t *testing.T) {
	d := small(t, 32)
	p := plan(t, d, Change{Write, "config.txt", []byte("n")})
	other := plan(t, d, Change{Write, "cmdline.txt", []byte("o")})
	rec := p.Record()
	if err := other.Apply(d); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(d.b)
	if err := p.Apply(d); !errors.Is(err, ErrChanged) {
		t.Errorf("a stale plan: %v", err)
	}
	if err := rec.Undo(d); !errors.Is(err, ErrChanged) {
		t.Errorf("going back on another state: %v", err)
	}
	if sha256.Sum256(d.b) != sum {
		t.Error("something was written")
	}
}

func TestRecord(t *testing.T) {
	d := small(t, 32)
	before := bytes.Clone(d.b)
	p := plan(t, d, many(3, "")...)
	var file bytes.Buffer
	if _, err := p.Record().WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(d); err != nil {
		t.Fatal(err)
	}
	rec, err := ReadRecord(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Undo(d); err != nil || !bytes.Equal(d.b, before) {
		t.Fatalf("from the file: %v", err)
	}
	for i := range file.Len() {
		if _, err := ReadRecord(bytes.NewReader(file.Bytes()[:i])); !errors.Is(err, ErrRecord) {
			t.Fatalf("the first %d of %d bytes: %v", i, file.Len(), err)
		}
		b := bytes.Clone(file.Bytes())
		b[i] ^= 0x10
		if r, err := ReadRecord(bytes.NewReader(b)); err == nil && !slices.EqualFunc(r.Steps, rec.Steps, func(a, b Was) bool { return a.At == b.At && bytes.Equal(a.Old, b.Old) }) {
			t.Fatalf("byte %d of %d changed: it is taken", i, file.Len())
		}
	}
}

func TestDamaged(t *testing.T) {
	le := binary.LittleEndian
	for _, bits := range []int{16, 32} {
		for _, c := range []struct {
			name string
			harm func(v *Volume, b []byte)
			says string
		}{
			{"goes round", func(v *Volume, b []byte) { e := stat(v, "cmdline.txt"); both(v, b, e.first+1, e.first) }, "goes round"},
			{"out of it", func(v *Volume, b []byte) { both(v, b, stat(v, "cmdline.txt").first, v.clusters+2) }, "does not exist"},
			{"into the reserved entries", func(v *Volume, b []byte) { both(v, b, stat(v, "cmdline.txt").first, 1) }, "does not exist"},
			{"free", func(v *Volume, b []byte) { both(v, b, stat(v, "cmdline.txt").first, 0) }, "marked as free"},
			{"bad", func(v *Volume, b []byte) { both(v, b, stat(v, "cmdline.txt").first, v.mask()-8) }, "marked as bad"},
			{"too short", func(v *Volume, b []byte) { both(v, b, stat(v, "cmdline.txt").first, v.mask()) }, "clusters for 512"},
			{"into another", func(v *Volume, b []byte) { both(v, b, stat(v, "config.txt").first, stat(v, "cmdline.txt").first) }, "something else"},
			{"folder into itself", func(v *Volume, b []byte) { aimAt(v, b, "a/b", "c", stat(v, "a").first) }, "something else"},
			{"folder is the root", func(v *Volume, b []byte) { aimAt(v, b, "a/b", "c", v.rootCluster) }, ""},
			{"file without cluster", func(v *Volume, b []byte) { aimAt(v, b, "", "config.txt", 0) }, "no cluster"},
			{"file outside", func(v *Volume, b []byte) { aimAt(v, b, "", "config.txt", 0xffff) }, "does not exist"},
			{"tables differ", func(v *Volume, b []byte) { le.PutUint16(b[v.fatStart+v.fatSize+100:], 0x123) }, "differs"},
		} {
			t.Run(fmt.Sprintf("FAT%d %s", bits, c.name), func(t *testing.T) {
				d := small(t, bits)
				c.harm(open(t, d), d.b)
				v := open(t, d)
				_, err := v.Plan([]Change{{Write, "x", nil}}, now)
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("a change: %v", err)
				}
				for _, path := range []string{"config.txt", "cmdline.txt", "a/b/c/d"} {
					_, _ = v.ReadFile(path)
				}
				if b, err := v.ReadFile("overlays/dwc2.dtbo"); err != nil || len(b) != 1400 {
					t.Errorf("what is sound cannot be read: %v", err)
				}
			})
		}
	}
}

func stat(v *Volume, path string) Entry { e, _ := v.Stat(path); return e }

func both(v *Volume, b []byte, n, value uint32) {
	for _, k := range v.fats {
		copy(b[v.fatStart+int64(k)*v.fatSize+int64(n)*int64(v.width()):], v.put(v.table, n, value))
	}
}

func aimAt(v *Volume, b []byte, dir, name string, first uint32) {
	f := folder{v: v, chain: nil}
	f.chain, _ = v.folderChain(stat(v, dir).first)
	at := f.at(stat(v, dir+"/"+name).slot)
	binary.LittleEndian.PutUint16(b[at+26:], uint16(first))
	if v.bits == 32 {
		binary.LittleEndian.PutUint16(b[at+20:], uint16(first>>16))
	}
}

func TestNoFileSystem(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name string
		make func(b []byte) []byte
		says string
	}{
		{"empty", func([]byte) []byte { return nil }, "fewer than 512"},
		{"zeros", func([]byte) []byte { return make([]byte, 4096) }, "signature"},
		{"cut off", func(b []byte) []byte { return b[:len(b)-1] }, "cut off"},
		{"exFAT", func(b []byte) []byte { copy(b[3:], "EXFAT   "); return b }, "exFAT"},
		{"NTFS", func(b []byte) []byte { copy(b[3:], "NTFS    "); return b }, "NTFS"},
		{"sectors of 0", func(b []byte) []byte { le.PutUint16(b[11:], 0); return b }, "sectors of 0"},
		{"clusters of 3", func(b []byte) []byte { b[13] = 3; return b }, "clusters of 3"},
		{"no tables", func(b []byte) []byte { b[16] = 0; return b }, "0 tables"},
		{"table too big", func(b []byte) []byte { le.PutUint32(b[36:], 0xffffffff); return b }, "no room"},
		{"root outside", func(b []byte) []byte { le.PutUint32(b[44:], 5000); return b }, "root directory is at"},
		{"version", func(b []byte) []byte { b[43] = 1; return b }, "version"},
		{"active table", func(b []byte) []byte { b[40] = 0x85; return b }, "active"},
	} {
		b := c.make(small(t, 32).b)
		_, err := Open(bytes.NewReader(b), int64(len(b)))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	b := blank(16, 4084).b
	if _, err := Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "FAT12") {
		t.Errorf("FAT12: %v", err)
	}
	if _, err := Open(unreadable{}, 1<<20); !errors.Is(err, errPulled) {
		t.Errorf("a card that is gone: %v", err)
	}
}

type unreadable struct{ io.ReaderAt }

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errPulled }

// With mirroring off only one table counts, and only that is written.
func TestActiveTable(t *testing.T) {
	d := small(t, 32)
	v := open(t, d)
	junk := bytes.Repeat([]byte{0xab}, int(v.fatSize))
	copy(d.b[v.fatStart:], junk)
	d.b[40] = 0x81
	change(t, d, Change{Write, "config.txt", []byte("n")})
	if !bytes.Equal(d.b[v.fatStart:][:v.fatSize], junk) {
		t.Error("the other table was written")
	}
}

// What was dirty before is dirty after it; FSInfo that is none stays as it is.
func TestDirtyStaysDirty(t *testing.T) {
	for _, bits := range []int{16, 32} {
		d := small(t, bits)
		v := open(t, d)
		d.b[v.state] |= 1
		change(t, d, Change{Write, "x", []byte("n")})
		if !open(t, d).Dirty() {
			t.Errorf("FAT%d: Linux' bit is gone", bits)
		}
		d = small(t, bits)
		both(v, d.b, 1, v.mask()&^v.clean())
		change(t, d, Change{Write, "x", []byte("n")})
		if !open(t, d).Dirty() {
			t.Errorf("FAT%d: Windows' bit is gone", bits)
		}
	}
	d := small(t, 32)
	copy(d.b[512:], "none")
	info := bytes.Clone(d.b[512:1024])
	change(t, d, Change{Write, "x", []byte("n")})
	if !bytes.Equal(d.b[512:1024], info) {
		t.Error("a sector that is no FSInfo was written")
	}
}

// Behind the end of a directory stands what was there long ago. It must not come back.
func TestRubbishBehindTheEnd(t *testing.T) {
	d := blank(32, 50)
	rubbish := entrySlot(short([]byte("OLD     TXT")), 0, 0xfff, 7, now)
	v := open(t, d)
	for i := range 15 {
		copy(d.b[v.at(2)+int64(i+1)*32:], rubbish)
	}
	for i := range 12 {
		change(t, d, Change{Write, fmt.Sprintf("F%d", i), nil})
		if n := len(tree(t, open(t, d))); n != i+1 {
			t.Fatalf("%d entries after %d files", n, i+1)
		}
	}
}

// Random changes against a model; each fifth is cut off at a random place and undone.
func TestRandom(t *testing.T) {
	for _, bits := range []int{16, 32} {
		rng := rand.New(rand.NewPCG(1, uint64(bits)))
		d := blank(bits, map[int]int{16: 4085, 32: 300}[bits])
		model := map[string]string{}
		full := 0
		for range 400 {
			var changes []Change
			next := maps.Clone(model)
			for range 1 + rng.IntN(3) {
				dir := []string{"", "", "d1/", "d1/deep folder/"}[rng.IntN(4)]
				path := dir + []string{"a.txt", "A longer name.txt", "b.conf", "b.config", "ümlaut", ".dot", "c~1", "UP.TXT"}[rng.IntN(8)]
				if slices.ContainsFunc(changes, func(c Change) bool { return c.Path == path }) {
					continue
				}
				if rng.IntN(3) == 0 {
					changes = append(changes, Change{Remove, path, nil})
					delete(next, path)
					continue
				}
				data := bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, rng.IntN(12000))
				changes = append(changes, Change{Write, path, data})
				next[path] = string(data)
				for i, c := range dir {
					if c == '/' {
						next[dir[:i+1]] = ""
					}
				}
			}
			p, err := open(t, d).Plan(changes, now)
			if errors.Is(err, ErrFull) {
				full++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if rng.IntN(5) == 0 && !p.Empty() {
				before := bytes.Clone(d.b)
				for _, s := range p.Steps[:rng.IntN(len(p.Steps))] {
					copy(d.b[s.At:], s.New)
				}
				if err := p.Record().Undo(d); err != nil || !bytes.Equal(d.b, before) {
					t.Fatalf("undone: %v", err)
				}
			}
			if err := p.Apply(d); err != nil {
				t.Fatal(err)
			}
			sound(t, d)
			model = next
			if have := tree(t, open(t, d)); !maps.Equal(have, model) {
				t.Fatalf("%v: have %q, want %q", changes, slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(model)))
			}
		}
		if bits == 32 && full == 0 {
			t.Error("it was never full: the test is too easy")
		}
	}
}

// A secret is nowhere but in files, wherever the power goes, and gone when its file is. Between old and new the file may be zeros.
func TestSecrets(t *testing.T) {
	filled := func(word string, size int) []byte { return bytes.Repeat([]byte(word), size/len(word)+1)[:size] }
	const old, fresh = "OLD-passphrase-.", "NEW-passphrase-."
	for _, bits := range []int{16, 32} {
		d := small(t, bits)
		change(t, d, Change{WriteSecret, "wifi", filled(old, 1700)}, Change{WriteSecret, "first boot.d/account", filled(old, 48)}, Change{WriteSecret, "first boot.d/deep/keys", filled(old, 1024)},
			Change{Write, "alone", filled(old, 512)})
		before := bytes.Clone(d.b)
		p := plan(t, d, Change{WriteSecret, "wifi", filled(fresh, 1200)}, Change{WipeAll, "first boot.d", nil}, Change{Wipe, "alone", nil},
			Change{WriteSecret, "next/one", filled(fresh, 700)}, Change{Write, "config.txt", []byte("n")}, Change{Remove, "cmdline.txt", nil})
		rec := p.Record()
		zeros := 0
		for n := range len(p.Steps) + 1 {
			d := &disk{bytes.Clone(before)}
			for _, s := range p.Steps[:n] {
				copy(d.b[s.At:], s.New)
			}
			files := tree(t, open(t, d))
			for _, word := range []string{old, fresh} {
				have := 0
				for _, text := range files {
					have += strings.Count(text, word)
				}
				if all := bytes.Count(d.b, []byte(word)); all != have {
					t.Fatalf("FAT%d: after %d of %d writes %q is there %d times, of which files have %d", bits, n, len(p.Steps), word, all, have)
				}
			}
			if strings.Trim(files["wifi"], "\x00") == "" {
				zeros++
			}
			for _, path := range []string{"config.txt", "cmdline.txt"} { // what is no secret keeps its promise
				if text, ok := files[path]; ok && strings.Contains(text, "\x00") {
					t.Fatalf("FAT%d: after %d writes %s is %q", bits, n, path, text)
				}
			}
			if n == len(p.Steps) && (files["wifi"] != string(filled(fresh, 1200)) || bytes.Contains(d.b, []byte(old))) {
				t.Errorf("FAT%d: at the end: %q", bits, files["wifi"])
			}
			if err := rec.Undo(d); err != nil || !bytes.Equal(d.b, before) {
				t.Fatalf("FAT%d: going back after %d writes: %v", bits, n, err)
			}
		}
		if zeros == 0 {
			t.Error("the old secret was never away before the new one came")
		}
	}
}
