package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sync"
	"sync/atomic"
)

// A frame is two marker bytes, the payload's length (16 bits), a CRC-32C of length and payload (32 bits), all little
// endian, and the payload. The marker is where the reader looks for the next frame behind damage; a run of zeros, which
// is what a power cut leaves of an extended file, is none.
const (
	mark0, mark1 = 0xa7, 0x1e
	header       = 8
	maxPayload   = 1<<16 - 1
)

// castagnoli is the polynomial's table as the processor's own instructions take it. What package crc32 prepares for them takes
// a tenth of a millisecond, which only those pay who have much to sum: the first slowly bytes are summed by a plain table.
var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

const slowly = 64 << 10

// plain is the table of the reversed polynomial byte by byte (RFC 3720 appendix B.4 has the sums it must give). For a table
// that is not its own crc32.Update does no more than look up.
var plain = sync.OnceValue(func() *crc32.Table {
	t := new(crc32.Table)
	for i := range t {
		c := uint32(i)
		for range 8 {
			if c&1 == 1 {
				c = c>>1 ^ crc32.Castagnoli
			} else {
				c >>= 1
			}
		}
		t[i] = c
	}
	return t
})

var summed atomic.Int64 // bytes

var errTooLong = errors.New("the record is too long")

// appendFrame appends a frame whose payload build appends.
func appendFrame(to []byte, build func([]byte) []byte) ([]byte, error) {
	start := len(to)
	to = build(append(to, mark0, mark1, 0, 0, 0, 0, 0, 0))
	size := len(to) - start - header
	if size > maxPayload {
		return to[:start], errTooLong
	}
	binary.LittleEndian.PutUint16(to[start+2:], uint16(size))
	binary.LittleEndian.PutUint32(to[start+4:], sum(to[start:]))
	return to, nil
}

func sum(frame []byte) uint32 {
	table := castagnoli
	if summed.Load() < slowly {
		summed.Add(int64(len(frame)))
		table = plain
	}
	return crc32.Update(crc32.Checksum(frame[2:4], table()), table(), frame[header:])
}

// next returns the payload of the frame at the start of data and the frame's length; 0 if there is no whole one.
func next(data []byte) (payload []byte, n int) {
	if len(data) < header || data[0] != mark0 || data[1] != mark1 {
		return nil, 0
	}
	n = header + int(binary.LittleEndian.Uint16(data[2:]))
	if n > len(data) || binary.LittleEndian.Uint32(data[4:]) != sum(data[:n]) {
		return nil, 0
	}
	return data[header:n], n
}

// scan calls use for every whole frame and damage for what lies between or behind them; last: nothing whole follows.
func scan(data []byte, use func(payload []byte), damage func(bad []byte, last bool)) {
	for len(data) > 0 {
		if payload, n := next(data); n > 0 {
			use(payload)
			data = data[n:]
			continue
		}
		skip := 1
		for skip < len(data) {
			i := bytes.IndexByte(data[skip:], mark0)
			if i < 0 {
				skip = len(data)
				break
			}
			if skip += i; func() bool { _, n := next(data[skip:]); return n > 0 }() {
				break
			}
			skip++
		}
		skip = min(skip, len(data))
		damage(data[:skip], skip == len(data))
		data = data[skip:]
	}
}
