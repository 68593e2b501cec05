package device

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// The structures of Windows' winioctl.h and ntddstor.h that its disks answer with, decoded from their bytes.

// storageDescriptor is of STORAGE_DEVICE_DESCRIPTOR what is needed.
type storageDescriptor struct {
	vendor, product, serial string
	removable               bool
	bus                     uint32 // STORAGE_BUS_TYPE
}

// parseStorage decodes a STORAGE_DEVICE_DESCRIPTOR: the offsets of its strings count from its beginning, and 0 is none.
func parseStorage(b []byte) (storageDescriptor, error) {
	if len(b) < 36 {
		return storageDescriptor{}, fmt.Errorf("a STORAGE_DEVICE_DESCRIPTOR of %d bytes", len(b))
	}
	le := binary.LittleEndian
	text := func(at int) string {
		off := int64(le.Uint32(b[at:]))
		if off == 0 || off >= int64(len(b)) {
			return ""
		}
		s := b[off:]
		if end := bytes.IndexByte(s, 0); end >= 0 {
			s = s[:end]
		}
		return strings.TrimSpace(strings.ToValidUTF8(string(s), ""))
	}
	return storageDescriptor{vendor: text(12), product: text(16), serial: text(24), removable: b[10] != 0, bus: le.Uint32(b[28:])}, nil
}

// busName is a STORAGE_BUS_TYPE in words, and whether it is one by which disks are plugged in from outside.
func busName(bus uint32) (name string, external bool) {
	names := map[uint32]string{1: "scsi", 2: "atapi", 3: "ata", 4: "ieee1394", 6: "fibre", 7: "usb", 8: "raid", 9: "iscsi", 10: "sas", 11: "sata",
		12: "sd", 13: "mmc", 14: "virtual", 15: "vhd", 16: "spaces", 17: "nvme"}
	if n, ok := names[bus]; ok {
		return n, bus == 4 || bus == 7 || bus == 12
	}
	return "bus " + strconv.FormatUint(uint64(bus), 10), false
}

// parseGeometry decodes a DISK_GEOMETRY_EX: DISK_GEOMETRY of 24 bytes, whose last four are the bytes of a block, then the size.
func parseGeometry(b []byte) (size int64, block int, err error) {
	if len(b) < 32 {
		return 0, 0, fmt.Errorf("a DISK_GEOMETRY_EX of %d bytes", len(b))
	}
	size, per := int64(binary.LittleEndian.Uint64(b[24:])), binary.LittleEndian.Uint32(b[20:])
	if size < 0 || per < 512 || per > 1<<16 {
		return 0, 0, fmt.Errorf("a DISK_GEOMETRY_EX with %d bytes in blocks of %d", size, per)
	}
	return size, int(per), nil
}

// parseExtents decodes a VOLUME_DISK_EXTENTS into the numbers of the disks that a volume is on: a count, then from byte 8 on
// DISK_EXTENT of 24 bytes each, which begins with the number.
func parseExtents(b []byte) ([]uint32, error) {
	if len(b) < 8 {
		return nil, fmt.Errorf("a VOLUME_DISK_EXTENTS of %d bytes", len(b))
	}
	n := int64(binary.LittleEndian.Uint32(b))
	if n > int64(len(b)-8)/24 {
		return nil, fmt.Errorf("a VOLUME_DISK_EXTENTS of %d bytes with %d extents", len(b), n)
	}
	var out []uint32
	for i := range n {
		out = append(out, binary.LittleEndian.Uint32(b[8+24*i:]))
	}
	return out, nil
}

// volume is one of Windows: its name \\?\Volume{GUID}\, where it is mounted, and the disks it is on.
type volume struct {
	name   string
	at     []string
	disks  []uint32
	system bool
}

// physical makes a disk out of what it answered and of the volumes on it. A drive letter alone is no use, for Windows gives one to
// every card: before anything is written its volumes are locked, which Windows refuses where a file is open.
func physical(number uint32, s storageDescriptor, size int64, block int, volumes []volume) Disk {
	bus, external := busName(s.bus)
	d := Disk{Path: `\\.\PhysicalDrive` + strconv.FormatUint(uint64(number), 10), Vendor: s.vendor, Model: s.product, Serial: s.serial,
		Bus: bus, Size: size, Block: block, Removable: s.removable || bus == "sd", External: external}
	for _, v := range volumes {
		for _, n := range v.disks {
			if n != number {
				continue
			}
			for _, at := range v.at {
				d.Parts = append(d.Parts, strings.TrimSuffix(at, `\`))
			}
			if v.system {
				d.Uses = append(d.Uses, Use{What: "Windows' own", Device: strings.Join(v.at, " "), System: true})
			}
			if len(v.disks) > 1 {
				d.Uses = append(d.Uses, Use{What: "a volume that other disks are part of", Device: v.name})
			}
			break
		}
	}
	return d
}
