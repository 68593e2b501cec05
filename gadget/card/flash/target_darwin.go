package flash

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctls of macOS' <sys/disk.h>.
const (
	dkiocGetBlockSize  = 0x40046418 // _IOR('d', 24, uint32_t)
	dkiocGetBlockCount = 0x40086419 // _IOR('d', 25, uint64_t)
	dkiocSyncCache     = 0x20006416 // _IO('d', 22)
)

type rawDisk struct {
	file  *os.File
	size  int64
	block int
}

// Open opens a disk for this process alone, by its unbuffered twin /dev/rdiskN: through the buffered one writing takes many
// times as long. macOS refuses it while a volume of the disk is mounted.
func Open(path string) (Target, error) {
	raw := path
	if n, ok := strings.CutPrefix(path, "/dev/disk"); ok {
		raw = "/dev/rdisk" + n
	}
	f, err := os.OpenFile(raw, os.O_RDWR|unix.O_EXLOCK|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EWOULDBLOCK):
		return nil, fmt.Errorf("%w: `diskutil unmountDisk %s` first", ErrInUse, path)
	case errors.Is(err, unix.EROFS):
		return nil, fmt.Errorf("%w: %s", ErrProtected, path)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s: %w", ErrNoMedium, path, err)
	case errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("cannot open the device: %w (also as root, where the terminal has no leave for removable volumes: "+
			"System Settings, Privacy & Security, Files and Folders)", err)
	case err != nil:
		return nil, fmt.Errorf("cannot open the device: %w", err)
	}
	var block uint32
	var count uint64
	d := &rawDisk{file: f}
	for _, q := range []struct {
		code uintptr
		to   unsafe.Pointer
	}{{dkiocGetBlockSize, unsafe.Pointer(&block)}, {dkiocGetBlockCount, unsafe.Pointer(&count)}} {
		if err := d.ioctl(q.code, q.to); err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot ask %s for its size: %w", path, err)
		}
	}
	d.block, d.size = max(int(block), 512), int64(count)*int64(block)
	return d, nil
}

func (d *rawDisk) ioctl(code uintptr, arg unsafe.Pointer) error {
	// The pointer variant of package unix is not exported.
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, d.file.Fd(), code, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}

func (d *rawDisk) ReadAt(b []byte, at int64) (int, error)  { return d.file.ReadAt(b, at) }
func (d *rawDisk) WriteAt(b []byte, at int64) (int, error) { return d.file.WriteAt(b, at) }
func (d *rawDisk) Flush() error                            { return d.ioctl(dkiocSyncCache, nil) }

func (d *rawDisk) Gone() bool {
	var count uint64
	return d.ioctl(dkiocGetBlockCount, unsafe.Pointer(&count)) != nil || count == 0
}

// Done does nothing: macOS looks by itself once the disk is closed.
func (d *rawDisk) Done() error  { return nil }
func (d *rawDisk) Size() int64  { return d.size }
func (d *rawDisk) Block() int   { return d.block }
func (d *rawDisk) Close() error { return d.file.Close() }
