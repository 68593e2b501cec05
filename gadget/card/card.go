// Package card finds the boot partition of an SD card or of an image of one, as a
// piece of the disk that cannot be left while writing. What is in it is package fat's,
// what its files should say is package bootfiles'.
package card

import (
	"errors"
	"fmt"
	"io"

	"github.com/provision-net/provision/gadget/card/fat"
	"github.com/provision-net/provision/gadget/card/partition"
)

// ErrNoBoot is wrapped by errors of Boot: there is no boot partition.
var ErrNoBoot = errors.New("no boot partition")

// Place is a piece of a disk, in bytes. What is outside it can be neither read nor
// written by it.
type Place struct {
	disk        fat.Disk
	Partition   int // its number; 0 for a disk that has none and is one file system
	Start, Size int64
}

// ReadAt reads from the beginning of the place on.
func (p Place) ReadAt(b []byte, at int64) (int, error) {
	return io.NewSectionReader(p.disk, p.Start, p.Size).ReadAt(b, at)
}

// WriteAt writes all of b or, where that would leave the place, nothing.
func (p Place) WriteAt(b []byte, at int64) (int, error) {
	if at < 0 || at > p.Size-int64(len(b)) {
		return 0, fmt.Errorf("cannot write %d bytes at %d: the partition has %d", len(b), at, p.Size)
	}
	return p.disk.WriteAt(b, p.Start+at)
}

// Sync has everything written to the disk, where the disk can be told to.
func (p Place) Sync() error {
	if s, ok := p.disk.(interface{ Sync() error }); ok {
		return s.Sync()
	}
	return nil
}

// Boot finds the partition from which a Raspberry Pi boots on a disk of size bytes: a
// FAT file system with config.txt or cmdline.txt in it, or else the first one there
// is. A disk without partitions may be such a file system itself.
func Boot(d fat.Disk, size int64) (Place, *fat.Volume, error) {
	whole := Place{disk: d, Size: size}
	if v, err := fat.Open(whole, size); err == nil {
		return whole, v, nil // a partition table would not look like that; mkfs.vfat --mbr does both
	} else if !errors.Is(err, fat.ErrFormat) {
		return Place{}, nil, err
	}
	table, err := partition.Read(d, size)
	if errors.Is(err, partition.ErrNone) {
		return Place{}, nil, fmt.Errorf("%w: %w", ErrNoBoot, err)
	}
	if err != nil {
		return Place{}, nil, err
	}
	var place Place
	var volume *fat.Volume
	why := errors.New("none of the partitions is of a type for FAT")
	for _, p := range table.Partitions {
		if !p.FAT() {
			continue
		}
		here := Place{d, p.Number, p.Start, min(p.Size, size-p.Start)}
		if here.Size <= 0 {
			why = fmt.Errorf("partition %d begins behind the end, at byte %d of %d: is the image cut off?", p.Number, p.Start, size)
			continue
		}
		v, err := fat.Open(here, here.Size)
		if errors.Is(err, fat.ErrFormat) {
			why = fmt.Errorf("partition %d: %w", p.Number, err)
			continue
		}
		if err != nil {
			return Place{}, nil, fmt.Errorf("partition %d: %w", p.Number, err)
		}
		for _, name := range []string{"config.txt", "cmdline.txt"} {
			if e, err := v.Stat(name); err == nil && !e.Dir {
				return here, v, nil
			}
		}
		if volume == nil {
			place, volume = here, v
		}
	}
	if volume == nil {
		return Place{}, nil, fmt.Errorf("%w: %w", ErrNoBoot, why)
	}
	return place, volume, nil
}
