package nft

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// LargeSet is the most elements that a table's text lists; more are kept in a blob.
const LargeSet = 1000

// Bounds of a blob: of a set with more elements no router's memory is left.
const (
	MaxElements = 1 << 21
	MaxBlob     = 96 << 20
)

const blobMagic = "nftset1\n"

// What is behind an element's key.
const (
	hasTo = 1 << iota
	hasData
	hasVerdict
	hasComment
)

// writeElements writes elements as a blob: the magic, their number, and for each its key and
// what else there is, each with its length before it.
func writeElements(w io.Writer, elems []Element) error {
	b := append([]byte(blobMagic), binary.AppendUvarint(nil, uint64(len(elems)))...)
	for i := range elems {
		b = appendElement(b, &elems[i])
		if len(b) >= 32<<10 {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	_, err := w.Write(b)
	return err
}

func appendElement(b []byte, e *Element) []byte {
	var has byte
	for _, h := range []struct {
		there bool
		bit   byte
	}{{e.To != nil, hasTo}, {e.Data != nil, hasData}, {e.Verdict != nil, hasVerdict}, {e.Comment != "", hasComment}} {
		if h.there {
			has |= h.bit
		}
	}
	b = append(b, has)
	field := func(v []byte) { b = append(binary.AppendUvarint(b, uint64(len(v))), v...) }
	field(e.Key)
	if e.To != nil {
		field(e.To)
	}
	if e.Data != nil {
		field(e.Data)
	}
	if e.Verdict != nil {
		field([]byte(e.Verdict.Kind))
		field([]byte(e.Verdict.Chain))
	}
	if e.Comment != "" {
		field([]byte(e.Comment))
	}
	return b
}

// digest names a list of elements: the SHA-256 of its blob, in hex.
func digest(elems []Element) string {
	h := sha256.New()
	_ = writeElements(h, elems) // a hash takes everything
	return hex.EncodeToString(h.Sum(nil))
}

var errBlob = errors.New("it is damaged")

// readElements reads a blob. Keys are parts of b.
func readElements(b []byte) ([]Element, error) {
	rest, ok := bytes.CutPrefix(b, []byte(blobMagic))
	if !ok {
		return nil, errBlob
	}
	n, size := binary.Uvarint(rest)
	if size <= 0 || n > MaxElements {
		return nil, errBlob
	}
	rest = rest[size:]
	if n > uint64(len(rest)) { // each takes two bytes at least
		return nil, errBlob
	}
	out := make([]Element, n)
	r := blobReader{rest: rest}
	for i := range out {
		e := &out[i]
		has := r.byte()
		e.Key = r.field(64)
		if len(e.Key) == 0 {
			e.Key = nil
		}
		if has&hasTo != 0 {
			e.To = r.field(64)
		}
		if has&hasData != 0 {
			e.Data = r.field(64)
		}
		if has&hasVerdict != 0 {
			e.Verdict = &Verdict{Kind: string(r.field(16)), Chain: string(r.field(256))}
		}
		if has&hasComment != 0 {
			e.Comment = string(r.field(255))
		}
		if r.bad || has >= hasComment<<1 {
			return nil, fmt.Errorf("element %d: %w", i, errBlob)
		}
	}
	if len(r.rest) != 0 {
		return nil, errBlob
	}
	return out, nil
}

type blobReader struct {
	rest []byte
	bad  bool
}

func (r *blobReader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	v := r.rest[0]
	r.rest = r.rest[1:]
	return v
}

func (r *blobReader) field(limit uint64) []byte {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > limit || n > uint64(len(r.rest)-size) {
		r.bad = true
		return nil
	}
	v := r.rest[size : size+int(n) : size+int(n)]
	r.rest = r.rest[size+int(n):]
	return v
}
