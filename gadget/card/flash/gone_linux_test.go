package flash

import (
	"errors"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// begins moves where a loop device begins in its file. Behind the file's end nothing is left of it: a disk of no bytes, as a card
// reader is when its card has been pulled out, and the kernel refuses what is still written. At 0 everything is there again.
func begins(t *testing.T, dev string, at int64) {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var info unix.LoopInfo64
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.LOOP_GET_STATUS64, uintptr(unsafe.Pointer(&info))); e != 0 {
		t.Fatal(e)
	}
	info.Offset = uint64(at)
	for range 100 { // EAGAIN while somebody's pages of it are cached (loop_set_status in drivers/block/loop.c)
		_, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.LOOP_SET_STATUS64, uintptr(unsafe.Pointer(&info)))
		if e == 0 {
			return
		}
		if e != unix.EAGAIN {
			t.Fatal(e)
		}
	}
	t.Fatal("the kernel does not let the device go")
}

// TestGone: a real block device goes away under the writer, and comes again: it says that it is half-written, and the same command goes on.
func TestGone(t *testing.T) {
	const pieces = 35
	file := sparse(t, t.TempDir(), (pieces+1)*Piece)
	dev := loop(t, file)
	target := opened(t, dev)
	want := noise(pieces*Piece, 14)
	j := job(t, packed(t, Plain, want), target)
	pulled := false
	j.Tell = func(p Progress) {
		if p.Stage == Writing && p.Done >= 33*Piece && !pulled {
			pulled = true
			begins(t, dev, (pieces+1)*Piece)
		}
	}
	_, err := Write(t.Context(), j)
	var half *HalfError
	if !pulled || !errors.Is(err, ErrGone) || !errors.As(err, &half) || !half.Again {
		t.Fatalf("pulled %v: %v (%+v)", pulled, err, half)
	}
	if !target.Gone() || target.Done() == nil {
		t.Errorf("gone: %v", target.Gone())
	}
	target.Close()
	if again, err := Open(dev); err == nil {
		if again.Size() > 0 {
			t.Errorf("a device that is gone has %d bytes", again.Size())
		}
		again.Close()
	}

	begins(t, dev, 0)
	head := make([]byte, 4096)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	if _, ok := ParseNote(head); !ok {
		t.Errorf("the card does not say that it is half-written: %q", head[:60])
	}
	j.Target, j.Tell = opened(t, dev), func(Progress) {}
	got, err := Write(t.Context(), j)
	if err != nil || got.Resumed < Piece {
		t.Fatalf("once more: %v, went on at %d", err, got.Resumed)
	}
	t.Logf("went on at piece %d of %d", got.Resumed/Piece, pieces)
	have := make([]byte, len(want))
	if _, err := f.ReadAt(have, 0); err != nil || string(have) != string(want) {
		t.Errorf("the device is not the image: %v", err)
	}
	j.Target.Close()
}
