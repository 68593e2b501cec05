package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxClusters bounds the memory for the allocation table: 64 MiB. Boot partitions
// have some 100,000 clusters, a card of 64 GB in one piece two million.
const maxClusters = 16 << 20

// ErrFormat is wrapped by the errors of Open: what is there is no FAT16 or FAT32 file
// system.
var ErrFormat = errors.New("no FAT16 or FAT32 file system")

// Volume is a file system as it was when it was opened. It only reads; writing is
// [Plan.Apply], after which the volume has to be opened again.
type Volume struct {
	r io.ReaderAt

	bits    int   // 16 or 32
	sector  int   // bytes of a sector
	cluster int   // bytes of a cluster
	size    int64 // of the file system, by its own word

	fatStart, fatSize int64 // of the first table, and of each
	fats              []int // the tables that are in use: all of them, or the active one
	rootStart         int64 // of FAT16's root directory
	rootSlots         int
	rootCluster       uint32 // of FAT32's
	dataStart         int64  // of cluster 2
	clusters          uint32 // their number; the last one is clusters+1
	info              int64  // of the FSInfo sector; 0 for none
	state             int64  // of the boot sector's byte with Linux' dirty bit

	table []byte // the table, as far as there are clusters
	boot  []byte // the boot sector
}

func formatError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Open reads the boot sector and the allocation table of a file system that begins
// at offset 0 of r; size is how many bytes there are. Errors wrap ErrFormat or come
// from r.
func Open(r io.ReaderAt, size int64) (*Volume, error) {
	b := make([]byte, 512)
	if _, err := r.ReadAt(b, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, formatError("it has fewer than 512 bytes")
		}
		return nil, fmt.Errorf("cannot read the boot sector: %w", err)
	}
	v := &Volume{r: r}
	if err := v.geometry(b, size); err != nil {
		return nil, err
	}
	v.boot = make([]byte, v.sector)
	if err := v.read(v.boot, 0); err != nil {
		return nil, err
	}
	v.table = make([]byte, int64(v.clusters+2)*int64(v.width()))
	if err := v.read(v.table, v.fatStart+int64(v.fats[0])*v.fatSize); err != nil {
		return nil, err
	}
	return v, v.fsinfo()
}

// geometry reads the BIOS parameter block.
func (v *Volume) geometry(b []byte, size int64) error {
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	long := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
	switch {
	case b[510] != 0x55 || b[511] != 0xaa:
		return formatError("the boot sector has no signature")
	case bytes.Equal(b[3:11], []byte("EXFAT   ")):
		return formatError("it is exFAT")
	case bytes.Equal(b[3:11], []byte("NTFS    ")):
		return formatError("it is NTFS")
	}
	sector, per := word(11), int64(b[13])
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 {
		return formatError("sectors of %d bytes", sector)
	}
	if per == 0 || per&(per-1) != 0 || per*sector > 256<<10 {
		return formatError("clusters of %d sectors", per)
	}
	reserved, fats, slots := word(14), int64(b[16]), word(17)
	if reserved == 0 || fats == 0 || fats > 4 {
		return formatError("%d reserved sectors and %d tables", reserved, fats)
	}
	total := word(19)
	if total == 0 {
		total = long(32)
	}
	perFAT := word(22)
	v.bits, v.state = 16, 37
	if perFAT == 0 { // Linux takes this for the mark of FAT32, whatever the number of clusters (fat_fill_super)
		perFAT = long(36)
		v.bits, v.state = 32, 65
	}
	root := (slots*32 + sector - 1) / sector
	data := reserved + fats*perFAT + root
	if perFAT == 0 || total <= data {
		return formatError("%d sectors have no room for its own tables", total)
	}
	if total*sector > size {
		return formatError("it says to have %d bytes, of which only %d are there: is the image cut off?", total*sector, size)
	}
	v.sector, v.cluster, v.size = int(sector), int(per*sector), total*sector
	n := (total - data) / per
	// What the table has no entries for does not exist, and the other way round.
	n = min(n, perFAT*sector/int64(v.width())-2)
	switch {
	case n < 1:
		return formatError("it has no clusters")
	case n > maxClusters:
		return formatError("%d clusters are more than this editor takes on", n)
	case v.bits == 16 && n < 4085:
		return formatError("it is FAT12")
	case v.bits == 16 && (n > 65524 || slots == 0):
		return formatError("FAT16 with %d clusters and a root directory of %d entries", n, slots)
	case v.bits == 32 && slots != 0:
		return formatError("FAT32 with a root directory of fixed size")
	}
	v.clusters = uint32(n)
	v.fatStart, v.fatSize = reserved*sector, perFAT*sector
	v.rootStart, v.rootSlots = v.fatStart+fats*v.fatSize, int(slots)
	v.dataStart = data * sector
	for i := range int(fats) {
		v.fats = append(v.fats, i)
	}
	if v.bits == 32 {
		return v.geometry32(b, reserved)
	}
	return nil
}

// geometry32 reads what only FAT32 has.
func (v *Volume) geometry32(b []byte, reserved int64) error {
	if b[42] != 0 || b[43] != 0 {
		return formatError("FAT32 of version %d.%d", b[43], b[42])
	}
	if flags := b[40]; flags&0x80 != 0 { // one table is active, the others are not kept
		active := int(flags & 0x0f)
		if active >= len(v.fats) {
			return formatError("table %d of %d is the active one", active+1, len(v.fats))
		}
		v.fats = []int{active}
	}
	v.rootCluster = binary.LittleEndian.Uint32(b[44:])
	if !v.valid(v.rootCluster) {
		return formatError("the root directory is at cluster %d of %d", v.rootCluster, v.clusters)
	}
	if at := int64(binary.LittleEndian.Uint16(b[48:])); at > 0 && at < reserved {
		v.info = at * int64(v.sector)
	}
	return nil
}

// fsinfo looks whether the FSInfo sector is one; what is none is left alone.
func (v *Volume) fsinfo() error {
	if v.info == 0 {
		return nil
	}
	b := make([]byte, 512)
	if err := v.read(b, v.info); err != nil {
		return err
	}
	if string(b[:4]) != "RRaA" || string(b[484:488]) != "rrAa" || b[510] != 0x55 || b[511] != 0xaa {
		v.info = 0
	}
	return nil
}

// read fills b from the volume.
func (v *Volume) read(b []byte, at int64) error {
	if at < 0 || at+int64(len(b)) > v.size {
		return fmt.Errorf("cannot read %d bytes at %d: the file system ends at %d", len(b), at, v.size)
	}
	if n, err := v.r.ReadAt(b, at); n < len(b) {
		return fmt.Errorf("cannot read %d bytes at %d: %w", len(b), at, err)
	}
	return nil
}

// width is how many bytes an entry of the table has.
func (v *Volume) width() int { return v.bits / 8 }

// valid reports whether there is a cluster of that number.
func (v *Volume) valid(n uint32) bool { return n >= 2 && n-2 < v.clusters }

// at is where a cluster begins.
func (v *Volume) at(n uint32) int64 { return v.dataStart + int64(n-2)*int64(v.cluster) }

// Bits is 16 or 32.
func (v *Volume) Bits() int { return v.bits }

// Size is how many bytes the file system has, by its own word.
func (v *Volume) Size() int64 { return v.size }

// Free is how many bytes are free, by the table and in whole clusters.
func (v *Volume) Free() int64 { return int64(v.free(v.table)) * int64(v.cluster) }

// Label is the volume's name in the root directory, or else that of the boot sector.
func (v *Volume) Label() string {
	if raw, err := v.rawFolder(v.root()); err == nil {
		for at := 0; at < len(raw) && raw[at] != 0; at += slotSize {
			s := raw[at : at+slotSize]
			if s[0] != gone && s[attrAt]&0x3f != attrLong && s[attrAt]&attrLabel != 0 {
				return string(bytes.TrimRight(s[:11], " "))
			}
		}
	}
	at := int(v.state) + 6
	return string(bytes.TrimRight(v.boot[at:at+11], " "))
}

// Dirty reports whether the file system was not unmounted or ejected properly, by
// Linux' bit in the boot sector or Windows' in the table.
func (v *Volume) Dirty() bool {
	return v.boot[v.state]&1 != 0 || v.get(v.table, 1)&v.clean() == 0
}
