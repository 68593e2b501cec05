package flash

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/provision-net/provision/gadget/card/device"
)

// Piece is how much is written, read and compared at once: cards erase 4 MiB at a time (SD Physical Layer Specification,
// section 4.13, AU_SIZE), and smaller writes make them copy.
const Piece = 4 << 20

// checkpoint is after how many pieces the device is made to have them, which is noted.
const checkpoint = 16

// Errors of Write, each wrapped with what to do.
var (
	// ErrTooSmall: the image is larger than the card.
	ErrTooSmall = errors.New("the card is too small")
	// ErrGone: it was pulled out, or its reader has lost it.
	ErrGone = errors.New("the card has gone")
	// ErrVerify: what was read back is not what was written.
	ErrVerify = errors.New("the card does not keep what is written to it")
)

// HalfError is a failure after which the card has neither what was on it before nor the image.
type HalfError struct {
	At, Total int64 // bytes; Total is -1 where it is not known
	Again     bool  // the next run goes on instead of beginning anew
	Err       error
}

func (e *HalfError) Error() string {
	of := ""
	if e.Total > 0 {
		of = " of " + device.Bytes(e.Total)
	}
	next := "the same command again begins anew"
	if e.Again {
		next = "the same command again goes on from there"
	}
	return fmt.Sprintf("%v\nthe card is half-written (%s%s) and of no use now: %s", e.Err, device.Bytes(e.At), of, next)
}

// Unwrap is the cause.
func (e *HalfError) Unwrap() error { return e.Err }

// Job is one image for one card.
type Job struct {
	Image  *Image
	Target Target
	Device string // its name, for the note about how far it is written
	Notes  Notes  // "" keeps none
	// NoTable: the image need not begin with a partition table.
	NoTable bool
	Tell    func(Progress) // called by the goroutine that called Write
	Now     func() time.Time
	Random  io.Reader // of tokens
}

// Result is what was done.
type Result struct {
	Bytes    int64         `json:"bytes"`
	SHA256   string        `json:"sha256"` // of what is on the card
	Resumed  int64         `json:"resumed_bytes,omitempty"`
	Wrote    time.Duration `json:"write_ns"`
	Verified time.Duration `json:"verify_ns"`
	Notes    []string      `json:"notes,omitempty"`
}

// Check compares the SHA-256 of the image's file with the one it should have, before anything is written.
func Check(ctx context.Context, i *Image, want string, now func() time.Time, tell func(Progress)) error {
	m := meter{stage: Checking, total: i.Packed}
	got, err := i.Sum(ctx, func(done int64) { tell(m.add(now(), done, -1)) })
	if err != nil {
		return err
	}
	p := m.add(now(), i.Packed, -1)
	p.Over = true
	tell(p)
	if got != want {
		return fmt.Errorf("%w: its SHA-256 is %s and should be %s: download it again", ErrImage, got, want)
	}
	return nil
}

// Fits refuses an image that is known to be larger than a card.
func Fits(i *Image, size int64) error {
	if i.AtLeast > size {
		more, or := "", ""
		if i.Size < 0 {
			more = "at least "
		}
		if i.Form == Gzip { // its last bytes say so, whatever they are
			or = "; or the image is cut off"
		}
		return fmt.Errorf("%w: the image has %s%s (%d bytes), the card %s (%d bytes)%s", ErrTooSmall, more, device.Bytes(i.AtLeast), i.AtLeast, device.Bytes(size), size, or)
	}
	return nil
}

// run is a job under way.
type run struct {
	Job
	source *source
	head   []byte // the image's first piece, which is written last
	note   Note
	state  State // as it was saved last; Written 0: not yet
	from   int64 // where writing begins: Piece, or further where an earlier run came
	agreed bool  // the image is the one that an earlier run began with
	half   bool  // the card has neither the old nor the new
	at     int64
	before string // SHA-256 of the image up to there
	result Result
}

// Write writes the image to the card, reads it back and has the system look at it again. Unless the error is a HalfError the
// card is as it was.
func Write(ctx context.Context, j Job) (Result, error) {
	r := &run{Job: j, from: Piece}
	if err := r.write(ctx); err != nil {
		if r.half {
			_, again := r.Notes.Load(r.note.Token)
			err = &HalfError{At: r.at, Total: r.Image.Size, Again: again, Err: err}
		}
		return r.result, err
	}
	return r.result, nil
}

func (r *run) write(ctx context.Context) error {
	if err := Fits(r.Image, r.Target.Size()); err != nil {
		return err
	}
	u, err := r.Image.unpack()
	if err != nil {
		return err
	}
	r.source = newSource(u)
	defer r.source.stop()
	first, err := r.source.next(ctx)
	if err != nil {
		return err
	}
	if first.n == 0 {
		return fmt.Errorf("%w: there is nothing in it", ErrImage)
	}
	if !r.NoTable && (first.n < 512 || first.data[510] != 0x55 || first.data[511] != 0xaa) {
		return fmt.Errorf("%w: it does not begin with a partition table, so it is no image of a whole disk (--no-table writes it all the same)", ErrImage)
	}
	if int64(first.n) > r.Target.Size() {
		return fmt.Errorf("%w: it has %s", ErrTooSmall, device.Bytes(r.Target.Size()))
	}
	r.head = first.data[:r.padded(first.n)] // this one is not given back
	if err := r.begin(); err != nil {
		return err
	}
	began := r.Now()
	if err := r.body(ctx); err != nil {
		return err
	}
	r.result.Wrote = r.Now().Sub(began)
	began = r.Now()
	if err := r.verify(ctx); err != nil {
		return err
	}
	if err := r.finish(); err != nil {
		return err
	}
	r.result.Verified = r.Now().Sub(began)
	r.half = false
	r.Notes.Remove(r.note.Token, r.Now())
	if err := r.Target.Done(); err != nil {
		r.result.Notes = append(r.result.Notes, "this computer has not noticed the new partitions yet ("+err.Error()+"): take the card out and put it in again")
	}
	return nil
}

// padded rounds a length up to whole blocks; the memory behind is zeros.
func (r *run) padded(n int) int {
	b := r.Target.Block()
	return (n + b - 1) / b * b
}

// begin looks for the note of an earlier run, or puts one there.
func (r *run) begin() error {
	room := int(min(int64(Piece), r.Target.Size()/int64(r.Target.Block())*int64(r.Target.Block())))
	b := aligned(room)
	if n := r.noteLength(); n <= room {
		if err := r.readAll(b[:n], 0); err != nil {
			return fmt.Errorf("cannot read the card: %w", r.cause(err))
		}
	}
	if note, ok := ParseNote(b); ok {
		r.note, r.half = note, true // whoever did it
		if s, ok := r.Notes.Load(note.Token); ok && s.Packed == r.Image.Packed && s.Modified.Equal(r.Image.Modified) && s.Size == r.Target.Size() && s.Image == r.Image.Name() {
			r.state, r.from = s, s.Written
			return nil
		}
		r.Notes.Remove(note.Token, r.Now())
	}
	raw := make([]byte, 16)
	if _, err := io.ReadFull(r.Random, raw); err != nil {
		return fmt.Errorf("cannot draw a random number: %w", err)
	}
	r.note, r.half = Note{Token: hex.EncodeToString(raw), Image: r.Image.Name()}, true
	clear(b)
	copy(b, r.note.Bytes())
	// The rest of the first piece goes too: a GPT, and what else systems look for there.
	if err := r.writeAll(b, 0); err != nil {
		return err
	}
	return r.flush()
}

// noteLength is how much of the card's beginning the note takes: whole blocks.
func (r *run) noteLength() int { return r.padded(noteSize) }

// body writes everything but the first piece.
func (r *run) body(ctx context.Context) error {
	m := meter{stage: Writing, total: r.Image.Size}
	tell := func(over bool) {
		part := float64(-1)
		if r.Image.Size < 0 {
			part = r.source.part(r.Image.Packed)
		}
		p := m.add(r.Now(), r.at, part)
		p.Over = over
		r.Tell(p)
	}
	r.at = int64(len(r.head))
	tell(false)
	var durable, pending State // pending is written, durable one checkpoint older
	since := 0
	for {
		p, err := r.source.next(ctx)
		if err != nil {
			r.pause(ctx)
			return err
		}
		if p.n == 0 {
			break
		}
		if r.at+int64(p.n) > r.Target.Size() {
			return fmt.Errorf("%w: the image goes on behind its end at %s", ErrTooSmall, device.Bytes(r.Target.Size()))
		}
		if r.at >= r.from {
			if r.at == r.from && r.from > Piece {
				if p.before != r.state.Prefix {
					r.Notes.Remove(r.note.Token, r.Now())
					return fmt.Errorf("%w: the card was begun with another one of this name and size", ErrImage)
				}
				r.result.Resumed, r.agreed = r.from, true
				m = meter{stage: Writing, total: r.Image.Size} // what was only read has another rate
				tell(false)
			}
			if since == checkpoint {
				if err := r.flush(); err != nil {
					return err
				}
				durable, pending, since = pending, r.mark(p.before), 0
				if durable.Written > 0 {
					r.save(durable)
				}
			}
			if err := r.writeAll(p.data[:r.padded(p.n)], r.at); err != nil {
				return err
			}
			since++
		}
		r.at += int64(p.n)
		r.before = p.upto
		r.source.done(p)
		tell(false)
	}
	if r.Image.Size >= 0 && r.source.total != r.Image.Size {
		return fmt.Errorf("%w: it has %d bytes and should have %d", ErrImage, r.source.total, r.Image.Size)
	}
	if r.at <= r.from && r.from > Piece {
		r.Notes.Remove(r.note.Token, r.Now())
		return fmt.Errorf("%w: the card was begun with a longer one of this name and size", ErrImage)
	}
	r.result.Bytes, r.result.SHA256 = r.source.total, r.source.sum()
	if err := r.wipeEnd(); err != nil {
		return err
	}
	if err := r.flush(); err != nil {
		return err
	}
	if n := len(r.source.sums); n > 1 { // an interrupted comparison is all that is left to do then
		s := r.mark(hex.EncodeToString(r.source.sums[n-2][:]))
		s.Written = int64(n-1) * Piece
		r.save(s)
	}
	tell(true)
	return nil
}

// pause notes exactly how far the card is where somebody has stopped the program and the card works.
func (r *run) pause(ctx context.Context) {
	n := r.at / Piece
	if ctx.Err() == nil || r.at%Piece != 0 || n < 2 || r.from > Piece && (!r.agreed || r.at < r.from) || r.flush() != nil {
		return
	}
	r.save(r.mark(r.before))
}

// mark is the state at the present place.
func (r *run) mark(prefix string) State {
	return State{Token: r.note.Token, Image: r.Image.Name(), Packed: r.Image.Packed, Modified: r.Image.Modified, Written: r.at, Prefix: prefix,
		Device: r.Device, Size: r.Target.Size(), When: r.Now()}
}

// save notes how far the card is; without that the next run begins anew, which is no reason to stop.
func (r *run) save(s State) {
	if err := r.Notes.Save(s); err != nil && len(r.result.Notes) == 0 {
		r.result.Notes = append(r.result.Notes, err.Error())
	}
}

// wipeEnd clears the last MiB where the image does not reach: an old GPT has its copy there, which some systems would bring back.
func (r *run) wipeEnd() error {
	block := int64(r.Target.Block())
	end := r.Target.Size() / block * block
	start := max(end-1<<20, int64(r.padded(int(r.at%block)))+r.at/block*block, int64(len(r.head)))
	if start >= end {
		return nil
	}
	return r.writeAll(aligned(int(end-start)), start)
}

// verify reads everything but the first piece back.
func (r *run) verify(ctx context.Context) error {
	m := meter{stage: Verifying, total: r.result.Bytes}
	sums := r.source.sums
	check := newChecker(r.head[:min(int64(len(r.head)), r.result.Bytes)])
	back := newReadBack(ctx, r.Target, r.result.Bytes)
	defer back.stop()
	for k := 1; k < len(sums); k++ {
		p, err := back.next(ctx)
		if err != nil {
			var read *readError
			if errors.As(err, &read) {
				r.Notes.Remove(r.note.Token, r.Now())
				return fmt.Errorf("cannot read the card back at %s: %w", device.Bytes(int64(k)*Piece), r.cause(read.err))
			}
			return err
		}
		if !check.same(p.data[:p.n], sums[k]) {
			r.Notes.Remove(r.note.Token, r.Now()) // what it kept of the rest is not worth anything
			return fmt.Errorf("%w: at %s it differs; it is worn out, or smaller than it says", ErrVerify, device.Bytes(int64(k)*Piece))
		}
		back.done(p)
		r.Tell(m.add(r.Now(), min(int64(k+1)*Piece, r.result.Bytes), -1))
	}
	p := m.add(r.Now(), r.result.Bytes, -1)
	p.Over = true
	r.Tell(p)
	return nil
}

// finish writes the image's beginning: first what no system looks at by itself, then the sectors with the partition table.
func (r *run) finish() error {
	first := min(r.noteLength(), len(r.head))
	b := aligned(len(r.head))
	for _, part := range []struct{ from, to int }{{first, len(r.head)}, {0, first}} {
		if part.from == part.to {
			continue
		}
		want, got := r.head[part.from:part.to], b[part.from:part.to]
		if err := r.writeAll(want, int64(part.from)); err != nil {
			return err
		}
		if err := r.flush(); err != nil {
			return err
		}
		if err := r.readAll(got, int64(part.from)); err != nil {
			return fmt.Errorf("cannot read the card back at its beginning: %w", r.cause(err))
		}
		if string(got) != string(want) {
			return fmt.Errorf("%w: at its beginning it differs; it is worn out, or smaller than it says", ErrVerify)
		}
	}
	return nil
}

func (r *run) writeAll(b []byte, at int64) error {
	if _, err := r.Target.WriteAt(b, at); err != nil {
		return fmt.Errorf("cannot write to the card at %s: %w", device.Bytes(at), r.cause(err))
	}
	return nil
}

func (r *run) readAll(b []byte, at int64) error {
	n, err := r.Target.ReadAt(b, at)
	if err == nil && n < len(b) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (r *run) flush() error {
	if err := r.Target.Flush(); err != nil {
		return fmt.Errorf("cannot make the card keep what was written up to %s: %w", device.Bytes(r.at), r.cause(err))
	}
	return nil
}

// patience is how long a system may take from the first failing write to knowing that the device has gone.
const patience = 2 * time.Second

// cause tells a card that was pulled out from one that fails: the errors are the same.
func (r *run) cause(err error) error {
	for range 20 { // the error comes first, then the system notices why
		if r.Target.Gone() {
			break
		}
		time.Sleep(patience / 20)
	}
	if r.Target.Gone() {
		return fmt.Errorf("%w: it was taken out, or its reader has lost it (%w)", ErrGone, err)
	}
	return fmt.Errorf("%w: the card or its reader is broken, or the contacts are dirty", err)
}
