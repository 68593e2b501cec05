package flash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

type blockDevice struct {
	file   *os.File
	size   int64
	block  int
	number string // in /sys/dev/block
	cached bool   // it cannot be read past the page cache, which is dropped then
}

// Open opens a disk for this process alone. With O_EXCL a block device is refused while it or one of its partitions is mounted,
// in any namespace, swapped to or held by the device mapper (open(2); block/bdev.c, bd_prepare_to_claim).
func Open(path string) (Target, error) {
	const flags = unix.O_RDWR | unix.O_EXCL | unix.O_CLOEXEC | unix.O_NONBLOCK
	d := &blockDevice{}
	f, err := os.OpenFile(path, flags|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		d.cached = true
		f, err = os.OpenFile(path, flags, 0)
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("%w: %s is mounted by a container or another session, or another program has it; close it there", ErrInUse, path)
	case errors.Is(err, unix.EROFS):
		return nil, fmt.Errorf("%w: %s", ErrProtected, path)
	case errors.Is(err, unix.ENOMEDIUM), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s: %w", ErrNoMedium, path, err)
	case err != nil:
		return nil, fmt.Errorf("cannot open the device: %w", err)
	}
	d.file = f
	if err := d.ask(); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot ask %s for its size: %w", path, err)
	}
	return d, nil
}

func (d *blockDevice) ask() error {
	var st unix.Stat_t
	fd := int(d.file.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return errors.New("it is no block device")
	}
	d.number = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	var size uint64
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size))); e != 0 {
		return e
	}
	block, err := unix.IoctlGetInt(fd, unix.BLKSSZGET)
	if err != nil {
		return err
	}
	d.size, d.block = int64(size), max(block, 512)
	return nil
}

func (d *blockDevice) ReadAt(b []byte, at int64) (int, error) {
	if d.cached {
		if err := unix.IoctlSetInt(int(d.file.Fd()), unix.BLKFLSBUF, 0); err != nil {
			return 0, fmt.Errorf("cannot drop what memory has of the device: %w", err)
		}
	}
	n, err := d.file.ReadAt(b, at)
	if n == len(b) && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (d *blockDevice) WriteAt(b []byte, at int64) (int, error) { return d.file.WriteAt(b, at) }

func (d *blockDevice) Flush() error { return unix.Fdatasync(int(d.file.Fd())) }

func (d *blockDevice) Gone() bool {
	text, err := os.ReadFile(filepath.Join("/sys/dev/block", d.number, "size"))
	return err != nil || len(text) > 0 && text[0] == '0'
}

// Done has the kernel read the partition table.
func (d *blockDevice) Done() error { return unix.IoctlSetInt(int(d.file.Fd()), unix.BLKRRPART, 0) }

func (d *blockDevice) Size() int64  { return d.size }
func (d *blockDevice) Block() int   { return d.block }
func (d *blockDevice) Close() error { return d.file.Close() }
