package flash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
)

// ahead is how many pieces are unpacked before they are written: a card that pauses for a second does not stop the unpacking.
const ahead = 6

// piece is a part of the image in memory that a device can take; 0 bytes are its end.
type piece struct {
	data   []byte // Piece bytes, zeros from n on
	n      int
	before string // SHA-256 of everything before it, in hexadecimal
	upto   string // and with it
	err    error
}

// source unpacks and sums an image in two goroutines of its own.
type source struct {
	in    *unpacked
	ready chan piece
	free  chan []byte
	ended chan struct{}
	all   sync.WaitGroup

	// Of the whole, once the end has been given out; sums are those of the image up to and with each piece.
	total int64
	sums  [][sha256.Size]byte
	last  [sha256.Size]byte
}

func newSource(u *unpacked) *source {
	s := &source{in: u, ready: make(chan piece), free: make(chan []byte, ahead), ended: make(chan struct{})}
	for range ahead {
		s.free <- aligned(Piece)
	}
	raw := make(chan piece)
	s.all.Go(func() {
		defer close(raw)
		for s.fill(raw) {
		}
	})
	s.all.Go(func() {
		defer close(s.ready)
		h := sha256.New()
		s.last = sha256.Sum256(nil)
		for p := range raw {
			p.before = hex.EncodeToString(s.last[:])
			if p.n > 0 {
				h.Write(p.data[:p.n])
				h.Sum(s.last[:0])
				s.sums = append(s.sums, s.last)
				s.total += int64(p.n)
			}
			p.upto = hex.EncodeToString(s.last[:])
			select {
			case s.ready <- p:
			case <-s.ended:
			}
		}
	})
	return s
}

// fill makes the next piece; false after the last.
func (s *source) fill(to chan<- piece) bool {
	var p piece
	select {
	case p.data = <-s.free:
	case <-s.ended:
		return false
	}
	var err error
	for p.n < len(p.data) && err == nil {
		var n int
		n, err = s.in.Read(p.data[p.n:])
		p.n += n
	}
	clear(p.data[p.n:])
	if err != nil && !errors.Is(err, io.EOF) {
		// Only io.EOF itself is an end: an unexpected one is an image that was cut off.
		p.err = fmt.Errorf("%w: it is damaged or cut off: %w", ErrImage, err)
	}
	select {
	case to <- p:
	case <-s.ended:
		return false
	}
	return err == nil && p.n > 0
}

// next is the next piece; it has to be given back by done. The one after the last has no bytes.
func (s *source) next(ctx context.Context) (piece, error) {
	if ctx.Err() != nil {
		return piece{}, context.Cause(ctx)
	}
	select {
	case p := <-s.ready: // closed: no bytes
		return p, p.err
	case <-ctx.Done():
		return piece{}, context.Cause(ctx)
	}
}

func (s *source) done(p piece) { s.free <- p.data }

// sum is that of the whole image.
func (s *source) sum() string { return hex.EncodeToString(s.last[:]) }

// part is how much of the file has been read.
func (s *source) part(packed int64) float64 {
	if packed <= 0 {
		return -1
	}
	return float64(s.in.packed.n.Load()) / float64(packed)
}

func (s *source) stop() {
	close(s.ended)
	s.all.Wait()
	s.in.close()
}

// checker sums what is read back.
type checker struct{ h hash.Hash }

func newChecker(head []byte) checker {
	c := checker{sha256.New()}
	c.h.Write(head)
	return c
}

// same reports whether with these bytes the sum is the one that the image had there.
func (c checker) same(b []byte, want [sha256.Size]byte) bool {
	c.h.Write(b)
	var got [sha256.Size]byte
	c.h.Sum(got[:0])
	return got == want
}

// readBack reads a device's pieces from the second on, some ahead of the summing.
type readBack struct {
	ready chan piece
	free  chan []byte
	ended chan struct{}
	all   sync.WaitGroup
}

// readError is a failure to read the device.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

func newReadBack(ctx context.Context, t Target, size int64) *readBack {
	b := &readBack{ready: make(chan piece), free: make(chan []byte, 3), ended: make(chan struct{})}
	for range cap(b.free) {
		b.free <- aligned(Piece)
	}
	block := int64(t.Block())
	b.all.Go(func() {
		defer close(b.ready)
		for at := int64(Piece); at < size; at += Piece {
			var p piece
			select {
			case p.data = <-b.free:
			case <-b.ended:
				return
			}
			p.n = int(min(Piece, size-at))
			whole := p.data[:(int64(p.n)+block-1)/block*block]
			if n, err := t.ReadAt(whole, at); err != nil || n < len(whole) {
				if err == nil {
					err = io.ErrUnexpectedEOF
				}
				p.err = &readError{err}
			}
			select {
			case b.ready <- p:
			case <-b.ended:
				return
			}
			if p.err != nil || ctx.Err() != nil {
				return
			}
		}
	})
	return b
}

func (b *readBack) next(ctx context.Context) (piece, error) {
	select {
	case p, ok := <-b.ready:
		if !ok {
			return p, context.Cause(ctx)
		}
		return p, p.err
	case <-ctx.Done():
		return piece{}, context.Cause(ctx)
	}
}

func (b *readBack) done(p piece) { b.free <- p.data }

func (b *readBack) stop() {
	close(b.ended)
	b.all.Wait()
}
