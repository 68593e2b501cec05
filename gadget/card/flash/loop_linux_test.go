package flash

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/nstest"
)

// loop makes a real block device out of a file of so many bytes.
func loop(t testing.TB, file string, flags ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: loop devices need root")
	}
	out, err := exec.Command("losetup", append(flags, "--show", "-f", file)...).CombinedOutput()
	if err != nil {
		t.Skipf("skipped: cannot make a loop device: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup -d: %v: %s", err, out)
		}
	})
	return dev
}

func sparse(t testing.TB, dir string, size int64) string {
	t.Helper()
	file := filepath.Join(dir, "disk")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
		t.Fatal(err)
	}
	return file
}

func opened(t testing.TB, dev string) Target {
	t.Helper()
	target, err := Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return target
}

// TestBlockDevice: through the kernel, with blocks of both sizes, to a file that is then compared.
func TestBlockDevice(t *testing.T) {
	for _, block := range []string{"512", "4096"} {
		file := sparse(t, t.TempDir(), 5*Piece)
		dev := loop(t, file, "-b", block)
		want := noise(3*Piece+1700, 11)
		target := opened(t, dev)
		if target.Size() != 5*Piece || target.Gone() {
			t.Errorf("%d bytes, gone: %v", target.Size(), target.Gone())
		}
		got, err := Write(t.Context(), job(t, packed(t, Zstd, want), target))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("blocks of %s: %+v", block, got)
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have[:len(want)], want) {
			t.Error("the device is not the image")
		}
		target.Close()
	}
}

// TestInUse: who opens a device that is mounted is refused by the kernel, wherever it is mounted; so is a second one who writes.
func TestInUse(t *testing.T) {
	file := sparse(t, t.TempDir(), 8<<20)
	if out, err := exec.Command("mke2fs", "-q", file).CombinedOutput(); err != nil {
		t.Skipf("skipped: mke2fs: %v: %s", err, out)
	}
	dev := loop(t, file)
	first := opened(t, dev)
	if _, err := Open(dev); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	first.Close()
	t.Run("mounted", func(t *testing.T) {
		nstest.Mounts(t)
		nstest.Mount(t, dev, t.TempDir(), "ext2", unix.MS_RDONLY, "")
		done := make(chan error)
		go func() { // outside the namespace
			_, err := Open(dev)
			done <- err
		}()
		if err := <-done; !errors.Is(err, ErrInUse) {
			t.Errorf("mounted: %v", err)
		}
	})
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrNoMedium) {
		t.Error(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "no block device") {
		t.Error(err)
	}
	ro := loop(t, file, "-r")
	if target, err := Open(ro); err == nil {
		_, err = target.WriteAt(aligned(4096), 0)
		if target.Close(); err == nil {
			t.Error("a write-protected device was written")
		}
	}
}

// TestFullBehind: the writes of a device fail in the middle, as those of a card whose spare blocks are used up do.
func TestFullBehind(t *testing.T) {
	nstest.Mounts(t)
	dir := nstest.Tmpfs(t, "size=10M")
	dev := loop(t, sparse(t, dir, 8*Piece))
	target := opened(t, dev)
	_, err := Write(t.Context(), job(t, packed(t, Plain, noise(6*Piece, 12)), target))
	var half *HalfError
	if !errors.As(err, &half) || half.Again || !errors.Is(err, unix.EIO) && !errors.Is(err, unix.ENOSPC) || errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
	b := aligned(4096)
	if _, err := target.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if _, ok := ParseNote(b); !ok {
		t.Errorf("the device does not say so: %q", b[:100])
	}
	target.Close()
}

// TestLost: what was changed behind the writer's back, on a device that said it had it, is found.
func TestLost(t *testing.T) {
	file := sparse(t, t.TempDir(), 5*Piece)
	target := opened(t, loop(t, file))
	j := job(t, packed(t, Plain, noise(4*Piece, 13)), target)
	j.Tell = func(p Progress) {
		if p.Stage == Writing && p.Over {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte{1}, 2*Piece+5555); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Write(t.Context(), j); !errors.Is(err, ErrVerify) || !strings.Contains(err.Error(), "at 8.4 MB it differs") {
		t.Error(err)
	}
	target.Close()
}
