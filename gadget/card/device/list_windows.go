package device

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Control codes of winioctl.h: CTL_CODE(type, function, METHOD_BUFFERED, FILE_ANY_ACCESS).
const (
	ioctlStorageQueryProperty = 0x002d1400
	ioctlDiskGetGeometryEx    = 0x000700a0
	ioctlVolumeGetDiskExtents = 0x00560000
)

// maxDisks bounds the numbers that are tried: they have holes where a reader was pulled out.
const maxDisks = 64

// List is every disk of this computer. It needs no administrator: what is asked here is answered without any access.
func List(context.Context) ([]Disk, error) {
	volumes, err := volumes()
	if err != nil {
		return nil, err
	}
	var all []Disk
	for n := range uint32(maxDisks) {
		h, err := query(fmt.Sprintf(`\\.\PhysicalDrive%d`, n))
		if err != nil {
			if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) || errors.Is(err, windows.ERROR_PATH_NOT_FOUND) {
				continue
			}
			return nil, fmt.Errorf("cannot look at disk %d: %w", n, err)
		}
		d, err := look(n, h, volumes)
		_ = windows.CloseHandle(h)
		if err != nil {
			return nil, fmt.Errorf("cannot look at disk %d: %w", n, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// Real follows nothing: disks have one name here.
func Real(name string) (string, error) { return name, nil }

// query opens a disk or a volume for questions alone.
func query(path string) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(name, 0, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING, 0, 0)
}

func look(n uint32, h windows.Handle, volumes []volume) (Disk, error) {
	ask := make([]byte, 12) // STORAGE_PROPERTY_QUERY: StorageDeviceProperty, PropertyStandardQuery
	b, err := control(h, ioctlStorageQueryProperty, ask, 4096)
	if err != nil {
		return Disk{}, err
	}
	s, err := parseStorage(b)
	if err != nil {
		return Disk{}, err
	}
	size, block := int64(0), 512
	if b, err = control(h, ioctlDiskGetGeometryEx, nil, 4096); err == nil { // a reader without a card answers that it is not ready
		if size, block, err = parseGeometry(b); err != nil {
			return Disk{}, err
		}
	}
	return physical(n, s, size, block, volumes), nil
}

func control(h windows.Handle, code uint32, in []byte, room int) ([]byte, error) {
	out := make([]byte, room)
	var got uint32
	var ask *byte
	if len(in) > 0 {
		ask = unsafe.SliceData(in)
	}
	if err := windows.DeviceIoControl(h, code, ask, uint32(len(in)), &out[0], uint32(room), &got, nil); err != nil {
		return nil, err
	}
	return out[:got], nil
}

// volumes are all of this computer that are on disks.
func volumes() ([]volume, error) {
	dir, err := windows.GetSystemWindowsDirectory()
	if err != nil {
		return nil, fmt.Errorf("cannot find out where Windows is: %w", err)
	}
	name := make([]uint16, windows.MAX_PATH+1)
	find, err := windows.FindFirstVolume(&name[0], uint32(len(name)))
	if err != nil {
		return nil, fmt.Errorf("cannot list the volumes of this computer: %w", err)
	}
	defer func() { _ = windows.FindVolumeClose(find) }()
	var all []volume
	for {
		v := volume{name: windows.UTF16ToString(name)}
		v.at = mountedAt(v.name)
		for _, at := range v.at {
			v.system = v.system || strings.HasPrefix(strings.ToLower(dir)+`\`, strings.ToLower(at))
		}
		if v.disks, err = disksOf(v.name); err == nil { // a CD is on none
			all = append(all, v)
		} else if v.system {
			return nil, fmt.Errorf("cannot find out which disk Windows is on: %w", err)
		}
		if err := windows.FindNextVolume(find, &name[0], uint32(len(name))); err != nil {
			if errors.Is(err, windows.ERROR_NO_MORE_FILES) {
				return all, nil
			}
			return nil, fmt.Errorf("cannot list the volumes of this computer: %w", err)
		}
	}
}

// mountedAt are the drive letters and folders of a volume.
func mountedAt(name string) []string {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil
	}
	buf := make([]uint16, 4096)
	var n uint32
	if err := windows.GetVolumePathNamesForVolumeName(p, &buf[0], uint32(len(buf)), &n); err != nil {
		return nil
	}
	return list(buf[:min(int(n), len(buf))])
}

// list reads a REG_MULTI_SZ: each string ends with a zero, and so does the whole.
func list(b []uint16) []string {
	var out []string
	for len(b) > 0 && b[0] != 0 {
		n := 0
		for n < len(b) && b[n] != 0 {
			n++
		}
		out = append(out, windows.UTF16ToString(b[:n]))
		b = b[min(len(b), n+1):]
	}
	return out
}

func disksOf(name string) ([]uint32, error) {
	h, err := query(strings.TrimSuffix(name, `\`)) // with it the root folder would be opened
	if err != nil {
		return nil, err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	b, err := control(h, ioctlVolumeGetDiskExtents, nil, 8+24*64)
	if err != nil {
		return nil, err
	}
	return parseExtents(b)
}

// Volumes are the names, such as \\?\Volume{GUID}, of what is on a disk: they are locked before it is written.
func Volumes(d Disk) ([]string, error) {
	all, err := volumes()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, v := range all {
		for _, n := range v.disks {
			if fmt.Sprintf(`\\.\PhysicalDrive%d`, n) == d.Path {
				out = append(out, strings.TrimSuffix(v.name, `\`))
				break
			}
		}
	}
	return out, nil
}
