package fat

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 34, 56, 0, time.UTC)

// disk is a volume in memory.
type disk struct{ b []byte }

func (d *disk) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(d.b).ReadAt(p, at) }

func (d *disk) WriteAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > int64(len(d.b)) {
		return 0, io.ErrShortWrite
	}
	return copy(d.b[at:], p), nil
}

// blank formats a volume without any foreign program: clusters of one sector, two
// tables, FAT32 with FSInfo at sector 1.
func blank(bits, clusters int) *disk {
	const sector = 512
	reserved, slots, width := 1, 64, 2
	if bits == 32 {
		reserved, slots, width = 2, 0, 4
	}
	perFAT := ((clusters+2)*width + sector - 1) / sector
	total := reserved + 2*perFAT + slots*32/sector + clusters
	b := make([]byte, total*sector)
	copy(b, "\xeb\x58\x90provtest")
	le := binary.LittleEndian
	le.PutUint16(b[11:], sector)
	b[13] = 1
	le.PutUint16(b[14:], uint16(reserved))
	b[16] = 2
	le.PutUint16(b[17:], uint16(slots))
	b[21] = 0xf8
	le.PutUint32(b[32:], uint32(total))
	b[510], b[511] = 0x55, 0xaa
	head := []byte{0xf8, 0xff, 0xff, 0xff}
	if bits == 32 {
		le.PutUint32(b[36:], uint32(perFAT))
		le.PutUint32(b[44:], 2)
		le.PutUint16(b[48:], 1)
		info := b[sector:]
		copy(info, "RRaA")
		copy(info[484:], "rrAa")
		le.PutUint32(info[488:], uint32(clusters-1))
		le.PutUint32(info[492:], 2)
		info[510], info[511] = 0x55, 0xaa
		head = []byte{0xf8, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f}
	} else {
		le.PutUint16(b[22:], uint16(perFAT))
	}
	for i := range 2 {
		copy(b[(reserved+i*perFAT)*sector:], head)
	}
	return &disk{b}
}

// small is a volume of each sort with some files in it.
func small(t testing.TB, bits int) *disk {
	t.Helper()
	clusters := 4085
	if bits == 32 {
		clusters = 120
	}
	d := blank(bits, clusters)
	change(t, d,
		Change{Write, "config.txt", []byte("dtparam=audio=on\n")}, Change{Write, "cmdline.txt", bytes.Repeat([]byte("console=tty1 "), 60)},
		Change{Write, "overlays/dwc2.dtbo", bytes.Repeat([]byte{0xd0, 0x0d}, 700)}, Change{Write, "overlays/A long name of a file.dtbo", []byte("x")},
		Change{Write, "EMPTY", nil}, Change{Mkdir, "a/b/c", nil})
	return d
}

func open(t testing.TB, d *disk) *Volume {
	t.Helper()
	v, err := Open(d, int64(len(d.b)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func plan(t testing.TB, d *disk, changes ...Change) *Plan {
	t.Helper()
	p, err := open(t, d).Plan(changes, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func change(t testing.TB, d *disk, changes ...Change) {
	t.Helper()
	if err := plan(t, d, changes...).Apply(d); err != nil {
		t.Fatal(err)
	}
	sound(t, d)
}

// sound fails if the volume contradicts itself, or has clusters that nobody owns, or
// FSInfo is wrong.
func sound(t testing.TB, d *disk) {
	t.Helper()
	v := open(t, d)
	if problems, err := v.Check(); err != nil || len(problems) > 0 {
		t.Fatalf("after the change: %v %v", problems, err)
	}
	c := check{v: v, owner: make([]bool, v.clusters+2)}
	if err := c.folder("", v.root(), 0); err != nil {
		t.Fatal(err)
	}
	for n, owned := range c.owner {
		if n >= 2 && !owned && v.get(v.table, uint32(n)) != 0 {
			t.Fatalf("cluster %d is lost", n)
		}
	}
	dots(t, v, v.root())
	if v.info != 0 {
		if have, want := binary.LittleEndian.Uint32(d.b[v.info+488:]), v.free(v.table); have != want {
			t.Fatalf("FSInfo says %d free clusters, there are %d", have, want)
		}
	}
}

// tree is all files and folders (which end in a slash) by path.
func tree(t testing.TB, v *Volume) map[string]string {
	t.Helper()
	out, err := treeOf(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func treeOf(v *Volume) (map[string]string, error) {
	out := map[string]string{}
	var walk func(path string, first uint32) error
	walk = func(path string, first uint32) error {
		raw, err := v.rawFolder(first)
		if err != nil {
			return err
		}
		for _, e := range v.parse(raw) {
			if e.Dir {
				out[path+e.Name+"/"] = ""
				if err := walk(path+e.Name+"/", e.first); err != nil {
					return err
				}
				continue
			}
			b, err := v.contents(e)
			if err != nil {
				return err
			}
			out[path+e.Name] = string(b)
		}
		return nil
	}
	return out, walk("", v.root())
}

// dots fails unless each folder begins with . and .. that lead where they should.
func dots(t testing.TB, v *Volume, parent uint32) {
	t.Helper()
	list, err := v.rawFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	up := parent
	if up == v.root() {
		up = 0
	}
	for _, e := range v.parse(list) {
		if !e.Dir {
			continue
		}
		raw, err := v.rawFolder(e.first)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []uint32{e.first, up} {
			s := raw[i*slotSize:][:slotSize]
			have := uint32(binary.LittleEndian.Uint16(s[26:])) | uint32(binary.LittleEndian.Uint16(s[20:]))<<16
			if name := []string{".          ", "..         "}[i]; string(s[:11]) != name || have != want {
				t.Fatalf("slot %d of %s is %q and leads to %d, not %d", i, e.Name, s[:11], have, want)
			}
		}
		dots(t, v, e.first)
	}
}
