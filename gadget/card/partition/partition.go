// Package partition reads the partition table of a disk or of an image of one: MBR
// with its logical partitions, and GPT. It only reads. MBR is as in the UEFI
// specification 2.10, section 5.2, its logical partitions as Linux reads them
// (block/partitions/msdos.c), GPT as in section 5.3.
package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
)

// ErrNone is wrapped by errors of Read: there is no partition table.
var ErrNone = errors.New("no partition table")

// Scheme is the sort of a table.
type Scheme string

// Schemes.
const (
	MBR Scheme = "mbr"
	GPT Scheme = "gpt"
)

// Table is a partition table.
type Table struct {
	Scheme Scheme
	// ID is what root=PARTUUID= begins with: eight hexadecimal digits of an MBR, the
	// disk's GUID of a GPT.
	ID         string
	Partitions []Partition
}

// Partition is one that has a type and at least a sector.
type Partition struct {
	Number      int    // as Linux counts: logical ones of an MBR begin with 5
	Start, Size int64  // bytes
	Type        string // MBR: two hexadecimal digits; GPT: a GUID in small letters
	Name        string // of GPT
}

// Types that hold a FAT file system.
var fatTypes = []string{
	"04", "06", "0b", "0c", "0e", "14", "16", "1b", "1c", "1e", "ef",
	"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", // EFI system
	"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", // basic data of Windows
}

// FAT reports whether by its type there is a FAT file system in it.
func (p Partition) FAT() bool { return slices.Contains(fatTypes, p.Type) }

// Read reads the table of a disk of size bytes.
func Read(r io.ReaderAt, size int64) (Table, error) {
	if size < sector {
		return Table{}, fmt.Errorf("%w: it has only %d bytes", ErrNone, size)
	}
	b, err := at(r, size, 0, 512)
	if err != nil {
		return Table{}, err
	}
	if b[510] != 0x55 || b[511] != 0xaa {
		return Table{}, fmt.Errorf("%w: the first sector has no signature", ErrNone)
	}
	mbr, protective, err := readMBR(r, size, b)
	if err != nil {
		return Table{}, err
	}
	if !protective {
		if len(mbr.Partitions) == 0 {
			return Table{}, fmt.Errorf("%w: the first sector lists none", ErrNone)
		}
		return mbr, nil
	}
	gpt, err := readGPT(r, size)
	if err != nil && len(mbr.Partitions) > 0 {
		return mbr, nil // a hybrid, which boards that know no GPT boot from
	}
	return gpt, err
}

// at reads n bytes; what is not there has no table.
func at(r io.ReaderAt, size, off int64, n int) ([]byte, error) {
	if off < 0 || off > size-int64(n) {
		return nil, fmt.Errorf("%w: it would go on at byte %d of %d", ErrNone, off, size)
	}
	b := make([]byte, n)
	if got, err := r.ReadAt(b, off); got < n {
		return nil, fmt.Errorf("cannot read %d bytes at %d: %w", n, off, err)
	}
	return b, nil
}

// maxLogical bounds the chain of logical partitions, which a damaged disk may have
// made into a ring. Linux takes 256 partitions in all.
const maxLogical = 128

const sector = 512 // of an MBR; disks with other ones have a GPT

func readMBR(r io.ReaderAt, size int64, b []byte) (t Table, protective bool, err error) {
	t = Table{Scheme: MBR, ID: fmt.Sprintf("%08x", binary.LittleEndian.Uint32(b[440:]))}
	for i := range 4 {
		e := entry(b, i)
		switch {
		case e.kind == 0 || e.sectors == 0:
		case e.kind == 0xee:
			protective = true
		case e.extended():
			logical, err := readLogical(r, size, e.first)
			if err != nil {
				return Table{}, false, err
			}
			t.Partitions = append(t.Partitions, logical...)
		default:
			t.Partitions = append(t.Partitions, e.partition(i+1, 0))
		}
	}
	sort.SliceStable(t.Partitions, func(i, j int) bool { return t.Partitions[i].Number < t.Partitions[j].Number })
	return t, protective, nil
}

// readLogical follows the chain of boot records in an extended partition: each has a
// partition, counted from the record, and the next record, counted from the extended
// partition.
func readLogical(r io.ReaderAt, size, base int64) ([]Partition, error) {
	var out []Partition
	for here, n := base, 0; n < maxLogical; n++ {
		b, err := at(r, size, here*sector, 512)
		if errors.Is(err, ErrNone) {
			return out, nil // the image ends before
		}
		if err != nil {
			return nil, err
		}
		if b[510] != 0x55 || b[511] != 0xaa {
			return out, nil
		}
		next := int64(0)
		for i := range 4 {
			switch e := entry(b, i); {
			case e.kind == 0 || e.sectors == 0:
			case e.extended():
				next = base + e.first
			case len(out) == n:
				out = append(out, e.partition(5+n, here))
			}
		}
		if next == 0 || len(out) == n {
			return out, nil
		}
		here = next
	}
	return out, nil
}

type mbrEntry struct {
	kind           byte
	first, sectors int64
}

func entry(b []byte, i int) mbrEntry {
	e := b[446+16*i:][:16]
	return mbrEntry{e[4], int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))}
}

func (e mbrEntry) extended() bool { return e.kind == 0x05 || e.kind == 0x0f || e.kind == 0x85 }

func (e mbrEntry) partition(number int, base int64) Partition {
	return Partition{Number: number, Start: (base + e.first) * sector, Size: e.sectors * sector, Type: fmt.Sprintf("%02x", e.kind)}
}

// guid is a GUID as it is written: its first three parts are little-endian.
func guid(b []byte) string {
	le := binary.LittleEndian
	return strings.ToLower(fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16]))
}
