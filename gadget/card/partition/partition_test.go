package partition

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const mb = 1 << 20

func tool(t *testing.T, size int64, in, name string, args ...string) (*os.File, int64) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s (Debian: fdisk, gdisk): %v", name, err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.img"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, append(args, f.Name())...)
	cmd.Stdin = strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return f, size
}

// A card as Raspberry Pi OS has it, and one with logical partitions, as NOOBS made.
func TestMBR(t *testing.T) {
	f, size := tool(t, 64*mb, "label: dos\nlabel-id: 0xdeadbeef\nstart=8192,size=32768,type=c\nstart=40960,type=83\n", "sfdisk", "-q")
	got, err := Read(f, size)
	want := []Partition{{Number: 1, Start: 8192 * 512, Size: 32768 * 512, Type: "0c"}, {Number: 2, Start: 40960 * 512, Size: 64*mb - 40960*512, Type: "83"}}
	if err != nil || got.Scheme != MBR || got.ID != "deadbeef" || !slices.Equal(got.Partitions, want) {
		t.Errorf("%+v %v", got, err)
	}
	if !got.Partitions[0].FAT() || got.Partitions[1].FAT() {
		t.Error("types")
	}
	f, size = tool(t, 64*mb, "label: dos\nsize=8M,type=e\ntype=5\nsize=1M,type=83\nsize=4M,type=c\nsize=16M,type=83\n", "sfdisk", "-q")
	got, err = Read(f, size)
	if err != nil || len(got.Partitions) != 4 {
		t.Fatalf("%+v %v", got, err)
	}
	out, err := exec.Command("sfdisk", "-d", f.Name()).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Partitions {
		if line := dumped(p); !strings.Contains(spaceless(string(out)), line) {
			t.Errorf("no %s in\n%s", line, out)
		}
	}
	if got.Partitions[2].Number != 6 || got.Partitions[2].Type != "0c" {
		t.Errorf("%+v", got.Partitions[2])
	}
}

// dumped is a partition as `sfdisk -d` writes it, without blanks.
func dumped(p Partition) string {
	return fmt.Sprintf("disk.img%d:start=%d,size=%d,type=%s", p.Number, p.Start/512, p.Size/512, strings.TrimPrefix(p.Type, "0"))
}

func spaceless(s string) string { return strings.ReplaceAll(s, " ", "") }

func gpt(t *testing.T) (*os.File, int64) {
	return tool(t, 64*mb, "", "sgdisk", "-a", "2048", "-n", "1:2048:+16M", "-t", "1:ef00", "-c", "1:boot ü", "-n", "3:0:0", "-t", "3:8300", "-U", "01234567-89AB-CDEF-0123-456789ABCDEF")
}

func TestGPT(t *testing.T) {
	f, size := gpt(t)
	check := func(what string) {
		t.Helper()
		got, err := Read(f, size)
		if err != nil || got.Scheme != GPT || got.ID != "01234567-89ab-cdef-0123-456789abcdef" || len(got.Partitions) != 2 {
			t.Fatalf("%s: %+v %v", what, got, err)
		}
		want := Partition{Number: 1, Start: 2048 * 512, Size: 16 * mb, Type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", Name: "boot ü"}
		if p := got.Partitions[0]; p != want || !p.FAT() || got.Partitions[1].Number != 3 || got.Partitions[1].FAT() {
			t.Errorf("%s: %+v", what, got.Partitions)
		}
	}
	check("whole")
	if _, err := f.WriteAt([]byte{0xff}, 512+60); err != nil {
		t.Fatal(err)
	}
	check("by the copy at the end")
	if _, err := f.WriteAt([]byte{0xff}, size-512+60); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(f, size); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("both damaged: %+v %v", got, err)
	}
	// A hybrid still has its MBR.
	if _, err := f.WriteAt([]byte{0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 8, 0, 0, 0, 0x80, 0, 0}, 446+16); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(f, size); err != nil || got.Scheme != MBR || len(got.Partitions) != 1 || got.Partitions[0].Start != 2048*512 {
		t.Errorf("hybrid: %+v %v", got, err)
	}
}

func TestNone(t *testing.T) {
	empty := make([]byte, 4096)
	empty[510], empty[511] = 0x55, 0xaa
	for name, b := range map[string][]byte{"nothing": nil, "zeros": make([]byte, 4096), "no entry": empty} {
		if got, err := Read(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// ring is an extended partition whose second record leads back to the first.
func ring() []byte {
	b := make([]byte, 8*512)
	for i := range 3 {
		b[i*512+510], b[i*512+511] = 0x55, 0xaa
	}
	put := func(at int, kind, first byte) { b[at+4], b[at+8], b[at+12] = kind, first, 1 }
	put(446, 5, 1)
	put(512+446, 0x83, 1)
	put(512+446+16, 5, 1)
	put(1024+446, 0x83, 1)
	put(1024+446+16, 5, 0)
	b[1024+446+16+8] = 0
	return b
}

func TestRing(t *testing.T) {
	b := ring()
	if got, err := Read(bytes.NewReader(b), int64(len(b))); err != nil || len(got.Partitions) != maxLogical {
		t.Errorf("%d partitions: %v", len(got.Partitions), err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(ring())
	f.Add(make([]byte, 1024))
	if _, err := exec.LookPath("sgdisk"); err == nil {
		file := filepath.Join(f.TempDir(), "gpt.img")
		if err := os.WriteFile(file, make([]byte, 80*512), 0o600); err != nil {
			f.Fatal(err)
		}
		if out, err := exec.Command("sgdisk", "-a", "1", "-n", "1:0:0", file).CombinedOutput(); err != nil {
			f.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrNone) {
				t.Fatal(err)
			}
			return
		}
		for _, p := range got.Partitions {
			if p.Start < 0 || p.Size <= 0 || p.Number < 1 {
				t.Fatalf("%+v", p)
			}
		}
	})
}
