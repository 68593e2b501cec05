package flash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The format is "The .xz File Format" 1.2.1 (tukaani.org/xz/xz-file-format.txt); section numbers are its.

const (
	xzMagic  = "\xfd7zXZ\x00"
	xzFooter = "YZ"
	xzEnds   = 12 // bytes of a stream's header and as many of its footer (2.1)
	// maxIndex bounds what is read at once. A record has 2 to 18 bytes and stands for 24 MiB where xz works in parallel.
	maxIndex = 16 << 20
)

// xzBlock is one that can be unpacked by itself.
type xzBlock struct {
	at       int64 // in the file
	unpadded int64 // bytes without the padding to four (5.3)
	size     int64 // bytes unpacked
	check    byte  // sort of checksum, of the stream's flags (2.1.1.2)
}

// padded is how many bytes the block takes in the file.
func (b xzBlock) padded() int64 { return (b.unpadded + 3) &^ 3 }

// xzIndex reads where the blocks of a file are, from its end: streams may follow each other, with zeros between them (2.2).
func xzIndex(r io.ReaderAt, size int64) ([]xzBlock, error) {
	var all []xzBlock // backwards
	for end := size; end > 0; {
		if end%4 != 0 || end < 2*xzEnds+8 {
			return nil, errors.New("the xz file is cut off or damaged at its end")
		}
		foot := make([]byte, xzEnds)
		if _, err := r.ReadAt(foot, end-xzEnds); err != nil {
			return nil, err
		}
		if string(foot[10:]) != xzFooter {
			if binary.LittleEndian.Uint32(foot[8:]) == 0 {
				end -= 4 // padding
				continue
			}
			return nil, errors.New("the xz file is cut off or damaged at its end")
		}
		if crc32.ChecksumIEEE(foot[4:10]) != binary.LittleEndian.Uint32(foot) || foot[8] != 0 || foot[9] > 15 {
			return nil, errors.New("the xz file is damaged at its end")
		}
		n := (int64(binary.LittleEndian.Uint32(foot[4:])) + 1) * 4
		if n > maxIndex || n > end-2*xzEnds {
			return nil, errors.New("the xz file has an index that is too long")
		}
		index := make([]byte, n)
		if _, err := r.ReadAt(index, end-xzEnds-n); err != nil {
			return nil, err
		}
		blocks, err := xzRecords(index)
		if err != nil {
			return nil, fmt.Errorf("the index of the xz file: %w", err)
		}
		at := end - xzEnds - n
		for i := len(blocks) - 1; i >= 0; i-- {
			at -= blocks[i].padded()
			blocks[i].at, blocks[i].check = at, foot[9]
			all = append(all, blocks[i])
		}
		if at < xzEnds {
			return nil, errors.New("the index of the xz file: its blocks are longer than the file")
		}
		head := make([]byte, xzEnds)
		if _, err := r.ReadAt(head, at-xzEnds); err != nil {
			return nil, err
		}
		if string(head[:6]) != xzMagic || string(head[6:8]) != string(foot[8:10]) {
			return nil, errors.New("the index of the xz file does not lead to its beginning")
		}
		end = at - xzEnds
	}
	total := int64(0)
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	for _, b := range all {
		if total += b.size; total < 0 || total > 1<<60 {
			return nil, errors.New("the index of the xz file tells of more than there can be")
		}
	}
	return all, nil
}

// xzRecords decodes an index (4).
func xzRecords(b []byte) ([]xzBlock, error) {
	bad := errors.New("it is damaged")
	if len(b) < 8 || b[0] != 0 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, bad
	}
	b = b[1 : len(b)-4]
	vli := func() int64 { // 1.2: seven bits a byte, the lowest first, nine bytes at most
		v := int64(0)
		for i := 0; i < 9 && i < len(b); i++ {
			v |= int64(b[i]&0x7f) << (7 * i)
			if b[i]&0x80 == 0 {
				if b[i] == 0 && i > 0 {
					return -1
				}
				b = b[i+1:]
				return v
			}
		}
		return -1
	}
	n := vli()
	if n < 0 || n > int64(len(b))/2 {
		return nil, bad
	}
	out := make([]xzBlock, 0, n)
	for range n {
		u, s := vli(), vli()
		if u < 5 || u > 1<<60 || s < 0 || s > 1<<60 {
			return nil, bad
		}
		out = append(out, xzBlock{unpadded: u, size: s})
	}
	for _, p := range b {
		if p != 0 || len(b) > 3 {
			return nil, bad
		}
	}
	return out, nil
}

// xzAlone are the bytes before and after a block that make a stream of that block alone, so that any decoder can be given it.
func xzAlone(b xzBlock) (head, tail []byte) {
	le := binary.LittleEndian
	flags := []byte{0, b.check}
	head = append(append(head, xzMagic...), flags...)
	head = le.AppendUint32(head, crc32.ChecksumIEEE(flags))

	index := binary.AppendUvarint(binary.AppendUvarint([]byte{0, 1}, uint64(b.unpadded)), uint64(b.size))
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	index = le.AppendUint32(index, crc32.ChecksumIEEE(index))

	foot := append(le.AppendUint32(nil, uint32(len(index)/4-1)), flags...)
	tail = le.AppendUint32(index, crc32.ChecksumIEEE(foot))
	return head, append(append(tail, foot...), xzFooter...)
}
