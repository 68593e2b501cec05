package partition

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"unicode/utf16"
)

// Bounds of a table: the specification asks for 128 entries of 128 bytes.
const (
	maxEntries   = 1024
	maxEntrySize = 4096
)

// readGPT reads the table at the beginning, or else the copy at the end, with sectors
// of 512 or 4096 bytes.
func readGPT(r io.ReaderAt, size int64) (Table, error) {
	var first error
	for _, sector := range []int64{512, 4096} {
		for _, off := range []int64{sector, size/sector*sector - sector} {
			t, err := gptAt(r, size, off, sector)
			if err == nil {
				return t, nil
			}
			if first == nil {
				first = err
			}
		}
	}
	return Table{}, first
}

func gptAt(r io.ReaderAt, size, off, sector int64) (Table, error) {
	le := binary.LittleEndian
	h, err := at(r, size, off, 512)
	if err != nil {
		return Table{}, err
	}
	n := le.Uint32(h[12:])
	if string(h[:8]) != "EFI PART" || n < 92 || n > 512 {
		return Table{}, fmt.Errorf("%w: the first sector announces a GPT, and there is none", ErrNone)
	}
	sum := le.Uint32(h[16:])
	plain := slices.Clone(h[:n])
	clear(plain[16:20])
	if crc32.ChecksumIEEE(plain) != sum {
		return Table{}, fmt.Errorf("%w: the checksum of the GPT is wrong", ErrNone)
	}
	count, each := le.Uint32(h[80:]), le.Uint32(h[84:])
	if count > maxEntries || each < 128 || each > maxEntrySize {
		return Table{}, fmt.Errorf("%w: a GPT of %d entries of %d bytes", ErrNone, count, each)
	}
	list := le.Uint64(h[72:])
	if list > uint64(size)/uint64(sector) {
		return Table{}, fmt.Errorf("%w: the list of the GPT is not on the disk", ErrNone)
	}
	b, err := at(r, size, int64(list)*sector, int(count*each))
	if err != nil {
		return Table{}, err
	}
	if crc32.ChecksumIEEE(b) != le.Uint32(h[88:]) {
		return Table{}, fmt.Errorf("%w: the checksum of the GPT's list is wrong", ErrNone)
	}
	t := Table{Scheme: GPT, ID: guid(h[56:])}
	for i := range int(count) {
		e := b[i*int(each):][:128]
		start, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		if guid(e) == guid(make([]byte, 16)) || last < start || last > math.MaxInt64/uint64(sector)-1 {
			continue
		}
		var name []uint16
		for at := 56; at < 128 && le.Uint16(e[at:]) != 0; at += 2 {
			name = append(name, le.Uint16(e[at:]))
		}
		t.Partitions = append(t.Partitions, Partition{Number: i + 1, Start: int64(start) * sector, Size: int64(last-start+1) * sector, Type: guid(e), Name: string(utf16.Decode(name))})
	}
	return t, nil
}
