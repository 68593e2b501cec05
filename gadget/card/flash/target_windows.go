package flash

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/windows"

	"github.com/provision-net/provision/gadget/card/device"
)

// Control codes of winioctl.h.
const (
	fsctlLockVolume          = 0x00090018
	fsctlDismountVolume      = 0x00090020
	ioctlDiskUpdateProperies = 0x00070140
	ioctlDiskIsWritable      = 0x00070024
	ioctlStorageCheckVerify  = 0x002d4800
)

type physicalDrive struct {
	handle  windows.Handle
	volumes []windows.Handle // locked as long as the disk is open
	size    int64
	block   int
}

// Open opens a disk for this process alone: each volume on it is locked, which Windows refuses while a file on it is open, and
// dismounted; only then does Windows take writes to where they were.
func Open(path string) (Target, error) {
	all, err := device.List(context.Background())
	if err != nil {
		return nil, err
	}
	for _, disk := range all {
		if disk.Path != path {
			continue
		}
		names, err := device.Volumes(disk)
		if err != nil {
			return nil, err
		}
		d := &physicalDrive{size: disk.Size, block: disk.Block}
		if err := d.open(path, names); err != nil {
			d.Close()
			return nil, err
		}
		return d, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNoMedium, path)
}

func (d *physicalDrive) open(path string, volumes []string) error {
	for _, v := range volumes {
		h, err := openHandle(v, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, 0)
		if err != nil {
			return fmt.Errorf("cannot open a volume of the device: %w", err)
		}
		d.volumes = append(d.volumes, h)
		if err := control(h, fsctlLockVolume); err != nil {
			return fmt.Errorf("%w: close the windows and programs that show what is on it (%w)", ErrInUse, err)
		}
		if err := control(h, fsctlDismountVolume); err != nil {
			return fmt.Errorf("cannot dismount a volume of the device: %w", err)
		}
	}
	h, err := openHandle(path, windows.FILE_SHARE_READ, windows.FILE_FLAG_NO_BUFFERING|windows.FILE_FLAG_WRITE_THROUGH)
	switch {
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return fmt.Errorf("%w: another program has it", ErrInUse)
	case errors.Is(err, windows.ERROR_WRITE_PROTECT):
		return fmt.Errorf("%w: %s", ErrProtected, path)
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return fmt.Errorf("cannot open the device: %w: start the prompt as administrator", err)
	case err != nil:
		return fmt.Errorf("cannot open the device: %w", err)
	}
	d.handle = h
	if err := control(h, ioctlDiskIsWritable); errors.Is(err, windows.ERROR_WRITE_PROTECT) {
		return fmt.Errorf("%w: %s", ErrProtected, path)
	}
	return nil
}

func openHandle(path string, share, flags uint32) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, share, nil, windows.OPEN_EXISTING, flags, 0)
}

func control(h windows.Handle, code uint32) error {
	var n uint32
	return windows.DeviceIoControl(h, code, nil, 0, nil, 0, &n, nil)
}

// place says by an OVERLAPPED where a call on a handle that is not asynchronous begins.
func place(at int64) *windows.Overlapped {
	return &windows.Overlapped{Offset: uint32(at), OffsetHigh: uint32(at >> 32)}
}

func (d *physicalDrive) ReadAt(b []byte, at int64) (int, error) {
	var n uint32
	err := windows.ReadFile(d.handle, b, &n, place(at))
	if err == nil && int(n) < len(b) {
		err = io.ErrUnexpectedEOF
	}
	return int(n), err
}

func (d *physicalDrive) WriteAt(b []byte, at int64) (int, error) {
	var n uint32
	err := windows.WriteFile(d.handle, b, &n, place(at))
	if err == nil && int(n) < len(b) {
		err = io.ErrShortWrite
	}
	return int(n), err
}

func (d *physicalDrive) Flush() error { return windows.FlushFileBuffers(d.handle) }
func (d *physicalDrive) Gone() bool   { return control(d.handle, ioctlStorageCheckVerify) != nil }
func (d *physicalDrive) Done() error  { return control(d.handle, ioctlDiskUpdateProperies) }
func (d *physicalDrive) Size() int64  { return d.size }
func (d *physicalDrive) Block() int   { return d.block }

func (d *physicalDrive) Close() error {
	var err error
	if d.handle != 0 {
		err = windows.CloseHandle(d.handle)
	}
	for _, h := range d.volumes { // which unlocks them
		err = errors.Join(err, windows.CloseHandle(h))
	}
	return err
}
