package card

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/card/fat"
)

func tools(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			t.Skipf("needs %s (Debian: dosfstools, mtools, fdisk, gdisk): %v", n, err)
		}
	}
}

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

const mb = 1 << 20

// image makes a disk with a table by tool, and FAT file systems of 40 MiB at the
// offsets, the last of which has a config.txt.
func image(t *testing.T, table []string, in string, offsets ...int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "card.img"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(128 * mb); err != nil {
		t.Fatal(err)
	}
	if table != nil {
		do(t, in, table[0], append(table[1:], f.Name())...)
	}
	for i, at := range offsets {
		part := filepath.Join(t.TempDir(), "part.img")
		if err := os.WriteFile(part, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(part, 40*mb); err != nil {
			t.Fatal(err)
		}
		do(t, "", "mkfs.vfat", "-F", "32", "-s", "1", part)
		if i == len(offsets)-1 {
			do(t, "a=1\n", "mcopy", "-i", part, "-", "::config.txt")
		}
		do(t, "", "dd", "if="+part, "of="+f.Name(), "bs=1M", "conv=notrunc,sparse", "oflag=seek_bytes", fmt.Sprint("seek=", at))
	}
	return f
}

func TestBoot(t *testing.T) {
	tools(t, "sfdisk", "sgdisk", "mkfs.vfat", "mcopy", "mtype", "fsck.vfat")
	for _, c := range []struct {
		name    string
		table   []string
		in      string
		offsets []int64
		number  int
	}{
		{"Raspberry Pi OS", []string{"sfdisk", "-q"}, "label: dos\nstart=8192,size=40M,type=c\ntype=83\n", []int64{4 * mb}, 1},
		{"the second one has config.txt", []string{"sfdisk", "-q"}, "label: dos\nstart=8192,size=40M,type=c\nsize=40M,type=c\n", []int64{4 * mb, 44 * mb}, 2},
		{"a logical one", []string{"sfdisk", "-q"}, "label: dos\nsize=8M,type=83\ntype=5\nstart=32768,size=40M,type=c\n", []int64{16 * mb}, 5},
		{"GPT", []string{"sgdisk", "-n", "1:8192:+40M", "-t", "1:0700"}, "", []int64{4 * mb}, 1},
		{"no table", nil, "", []int64{0}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := image(t, c.table, c.in, c.offsets...)
			place, v, err := Boot(f, 128*mb)
			if err != nil {
				t.Fatal(err)
			}
			start := c.offsets[len(c.offsets)-1]
			if place.Partition != c.number || place.Start != start {
				t.Errorf("partition %d at %d", place.Partition, place.Start)
			}
			p, err := v.Plan([]fat.Change{{Op: fat.Write, Path: "config.txt", Data: []byte("b=2\n")}}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Apply(place); err != nil {
				t.Fatal(err)
			}
			if have := do(t, "", "mtype", "-i", f.Name()+fmt.Sprint("@@", start), "::config.txt"); have != "b=2\n" {
				t.Errorf("mtype: %q", have)
			}
			part := filepath.Join(t.TempDir(), "back.img")
			do(t, "", "dd", "if="+f.Name(), "of="+part, "bs=1M", "iflag=skip_bytes,count_bytes", fmt.Sprint("skip=", start), fmt.Sprint("count=", 40*mb), "conv=sparse")
			do(t, "", "fsck.vfat", "-n", part)
		})
	}
}

func TestNoBoot(t *testing.T) {
	tools(t, "sfdisk", "mkfs.vfat", "mcopy")
	for _, c := range []struct {
		name, in, says string
		size           int64
	}{
		{"only Linux", "label: dos\ntype=83\n", "none of the partitions", 128 * mb},
		{"not formatted", "label: dos\ntype=c\n", "partition 1: no FAT16", 128 * mb},
		{"cut off", "label: dos\nstart=8192,type=c\n", "cut off", 3 * mb},
	} {
		f := image(t, []string{"sfdisk", "-q"}, c.in)
		if _, _, err := Boot(f, c.size); !errors.Is(err, ErrNoBoot) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	f := image(t, nil, "")
	if _, _, err := Boot(f, 128*mb); !errors.Is(err, ErrNoBoot) {
		t.Errorf("zeros: %v", err)
	}
}

func TestPlaceIsNotLeft(t *testing.T) {
	f := image(t, nil, "")
	p := Place{disk: f, Start: 1024, Size: 512}
	if _, err := p.WriteAt(make([]byte, 512), 1); err == nil {
		t.Error("written behind it")
	}
	if _, err := p.WriteAt(make([]byte, 1), -1); err == nil {
		t.Error("written before it")
	}
	if n, err := p.ReadAt(make([]byte, 513), 0); n != 512 || err == nil {
		t.Errorf("read %d bytes: %v", n, err)
	}
	if _, err := p.WriteAt([]byte("x"), 511); err != nil {
		t.Error(err)
	}
}
