// Package medium is a boot partition as people have it at hand: a mounted folder, the
// raw image of a card, or (Linux) a card's device. Both are read and written alike:
// what does not fit is refused before anything is changed, what fails half-way is gone
// back on, and what was written is read back.
package medium

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/provision-net/provision/gadget/card/bootfiles"
	"github.com/provision-net/provision/gadget/card/flash"
)

// Medium is a boot partition.
type Medium interface {
	// Read gives a file; nil is one that is not there.
	Read(path string) ([]byte, error)
	// Write makes the changes: that of [bootfiles.RecordName] when those before it are on the
	// card, and before those behind it.
	Write(changes []bootfiles.Change) error
	// Problems are what is wrong with the file system, for people, and whether it was not
	// unmounted; looked is false where that cannot be seen. Free is how many bytes are free,
	// -1 where that cannot be told.
	Problems() (list []string, unclean, looked bool, err error)
	Free() int64
	// Says what it is, for people.
	String() string
	Close() error
}

// Errors that Open's and Write's errors wrap.
var (
	// ErrWrong: the path is no boot partition.
	ErrWrong = errors.New("not a Raspberry Pi's card")
	// ErrFull: not everything fits. Nothing has been changed.
	ErrFull = errors.New("it does not fit")
	// ErrProtected: it cannot be written. Nothing has been changed.
	ErrProtected = errors.New("it is write-protected")
	// ErrStuck: writing failed, and going back failed too.
	ErrStuck = errors.New("the card is half-written")
)

// maxFile is more than any file of a boot partition that is of interest here has.
const maxFile = 512 << 20

// packed are what compressed images and those of virtual machines begin with.
var packed = []struct{ magic, name string }{
	{"\xfd7zXZ\x00", "compressed by xz"}, {"\x1f\x8b", "compressed by gzip"}, {"\x28\xb5\x2f\xfd", "compressed by zstd"},
	{"PK\x03\x04", "a zip archive"}, {"QFI\xfb", "an image of QEMU (qcow2)"}, {"KDMV", "an image of VMware"},
}

// Open opens what is at path, for writing too where write is set.
func Open(path string, write bool) (Medium, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: give the folder that the card's boot partition is mounted at, or the file of an image", err)
	}
	if info.IsDir() {
		return openFolder(path)
	}
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	if !info.Mode().IsRegular() {
		if runtime.GOOS != "linux" || info.Mode()&fs.ModeCharDevice != 0 {
			return nil, fmt.Errorf("%w: %s is a device: give the folder that its boot partition is mounted at", ErrWrong, path)
		}
		if write {
			flag |= os.O_EXCL // refused while something on it is mounted (open(2))
		}
	}
	f, err := os.OpenFile(path, flag, 0)
	switch {
	case err != nil && busy(err):
		return nil, fmt.Errorf("cannot open %s: it is in use: unmount the card first, or give the folder it is mounted at", path)
	case err != nil && write && (errors.Is(err, fs.ErrPermission) || readOnly(err)):
		if r, e := os.Open(path); e == nil {
			r.Close()
			return nil, fmt.Errorf("cannot write to %s: %w: look at the file's rights, or at the switch at the card's side", path, ErrProtected)
		}
		return nil, err
	case err != nil:
		return nil, err
	}
	m, err := openImage(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

// unpacked refuses what only holds an image.
func unpacked(path string, r io.ReaderAt) error {
	head := make([]byte, 512)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	if n == 0 {
		return fmt.Errorf("%w: %s is empty", ErrWrong, path)
	}
	if note, ok := flash.ParseNote(head[:n]); ok {
		return fmt.Errorf("%w: %s is half-written: writing %s to it with card flash was broken off; the same command again goes on", ErrWrong, path, note.Image)
	}
	for _, p := range packed {
		if strings.HasPrefix(string(head[:n]), p.magic) {
			return fmt.Errorf("%w: %s is %s: unpack it first", ErrWrong, filepath.Base(path), p.name)
		}
	}
	return nil
}

// verify reads back what was written.
func verify(m Medium, changes []bootfiles.Change) error {
	for _, c := range changes {
		now, err := m.Read(c.Path)
		if err != nil {
			return fmt.Errorf("cannot read back %s: %w", c.Path, err)
		}
		if (now == nil) != (c.After == nil) || !bytes.Equal(now, c.After) {
			return fmt.Errorf("%s does not read back as it was written: is the card worn out?", c.Path)
		}
	}
	return nil
}
