package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// patches are changes to an image as a fuzzer likes to make them: offset, length,
// bytes.
func patches(image, p []byte) {
	for len(p) >= 4 {
		at := int(binary.LittleEndian.Uint16(p)) | int(p[2]&0x1f)<<16
		n := min(int(p[3]), len(p)-4)
		if at < len(image) {
			copy(image[at:], p[4:4+n])
		}
		p = p[4+n:]
	}
}

// Whatever is on the card: nothing panics or goes round for ever, and what is let
// through to be written is right afterwards, with all other files as they were.
func FuzzVolume(f *testing.F) {
	images := map[bool][]byte{false: small(f, 16).b, true: small(f, 32).b}
	patch := func(at int, b ...byte) []byte {
		return append([]byte{byte(at), byte(at >> 8), byte(at >> 16), byte(len(b))}, b...)
	}
	f.Add(true, []byte{}, "ssh", []byte(nil))
	f.Add(false, []byte{}, "config.txt", []byte("a=1\n"))
	f.Add(true, patch(1024+4*4, 4), "x/y", bytes.Repeat([]byte("x"), 3000)) // a chain that goes round
	f.Add(true, patch(13, 2), "a/b/c", []byte("c"))
	f.Add(false, patch(17, 0xff, 0xff), "Ä", []byte("c"))
	f.Add(true, patch(3072+26, 2, 0), ".profile", []byte("c"))
	f.Fuzz(func(t *testing.T, big bool, p []byte, name string, data []byte) {
		d := &disk{bytes.Clone(images[big])}
		patches(d.b, p)
		v, err := Open(d, int64(len(d.b)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		_ = v.Label()
		problems, err := v.Check()
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{name, "config.txt", "overlays/dwc2.dtbo"} {
			_, _ = v.ReadFile(path)
			_, _ = v.ReadDir(path)
		}
		changes := []Change{{Write, name, data}, {Write, "cmdline.txt", data}, {RemoveAll, "overlays", nil}}
		pl, err := v.Plan(changes, now)
		if err != nil {
			return
		}
		if len(problems) > 0 {
			t.Fatalf("planned in spite of %v", problems)
		}
		before := bytes.Clone(d.b)
		old, err := treeOf(v)
		if err != nil {
			t.Fatalf("the check saw nothing, and it cannot be read: %v", err)
		}
		removed := "\x00"
		if e, err := v.Stat("overlays"); err == nil {
			removed = e.Name
		}
		if err := pl.Apply(d); err != nil {
			t.Fatal(err)
		}
		after, err := Open(d, int64(len(d.b)))
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := after.Check(); err != nil || len(problems) > 0 {
			t.Fatalf("afterwards: %v %v", problems, err)
		}
		for _, c := range changes[:2] {
			if b, err := after.ReadFile(c.Path); err != nil || !bytes.Equal(b, data) {
				t.Fatalf("%s: %q %v", c.Path, b, err)
			}
		}
		// What no change is about is as it was; what is meant by its short name is written.
		have, err := treeOf(after)
		if err != nil {
			t.Fatal(err)
		}
		for path, b := range old {
			h, ok := have[path]
			if gone := path == removed+"/" || strings.HasPrefix(path, removed+"/"); !gone && (!ok || h != b && h != string(data)) {
				t.Fatalf("%q was %.20q and is %.20q", path, b, h)
			}
		}
		if err := pl.Record().Undo(d); err != nil || !bytes.Equal(d.b, before) {
			t.Fatalf("going back: %v", err)
		}
	})
}

// Any names in one folder have different short ones, of allowed characters, and come
// back as they were.
func FuzzNames(f *testing.F) {
	f.Add("config.txt\nCONFIG.TXT~\n.profile\nümlaut\na b.c d\nAGENT~1.CON\nagent.conf\nagent.config\n日本語\nx.y.z\n🙂")
	f.Fuzz(func(t *testing.T, list string) {
		d := blank(32, 200)
		v := open(t, d)
		seen := map[short]string{}
		want := map[string]bool{}
		for name := range strings.SplitSeq(list, "\n") {
			p, err := v.Plan([]Change{{Write, name, []byte(name)}}, now)
			if err != nil || strings.Contains(name, "/") {
				continue
			}
			if err := p.Apply(d); err != nil {
				t.Fatal(err)
			}
			v = open(t, d)
			e, err := v.Stat(name)
			if b, _ := v.ReadFile(name); err != nil || string(b) != name {
				t.Fatalf("%q: %q %v", name, b, err)
			}
			want[e.Name] = true
		}
		entries, err := v.ReadDir("")
		if err != nil || len(entries) != len(want) {
			t.Fatalf("%d files for %d names: %v", len(entries), len(want), err)
		}
		for _, e := range entries {
			if other, ok := seen[e.raw]; ok {
				t.Fatalf("%q and %q are both %q", e.Name, other, e.raw)
			}
			seen[e.raw] = e.Name
			if err := checkName(e.Name); err != nil {
				t.Error(err)
			}
			if e.raw[0] == ' ' || strings.ContainsFunc(string(e.raw[:]), func(c rune) bool {
				return c != ' ' && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && !strings.ContainsRune("!#$%&'()-@^_`{}~", c)
			}) {
				t.Fatalf("%q has the short name %q", e.Name, e.raw)
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	d := small(f, 32)
	var b bytes.Buffer
	if _, err := plan(f, d, Change{Write, "x", []byte("x")}).Record().WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadRecord(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if _, err := r.WriteTo(&again); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRecord(&again); err != nil {
			t.Fatal(err)
		}
		_ = r.Undo(&disk{make([]byte, 4096)})
	})
}
