package fat

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Record is what it takes to go back on a plan: what was there before each write, and
// how the write is known again. It is made before the plan is applied, and holds no
// byte of what was written.
type Record struct {
	Size  int64 // of the file system
	Steps []Was
}

// Was is a write from behind.
type Was struct {
	At    int64
	Fresh bool
	stage stage
	Old   []byte
	New   [sha256.Size]byte // of what was written
}

// Record of the plan.
func (p *Plan) Record() Record {
	r := Record{Size: p.Size}
	for _, s := range p.Steps {
		r.Steps = append(r.Steps, Was{s.At, s.Fresh, s.stage, s.Old, sha256.Sum256(s.New)})
	}
	return r
}

// Undo puts back what was there before, byte for byte, in the opposite order, however
// far the plan had got. Where a sector is none of what it was in the meantime (the
// board has run, say), nothing is written and the error wraps ErrChanged.
func (r Record) Undo(d Disk) error {
	states := map[int64]int{} // how many writes of a place have been done
	of := map[int64][]int{}
	for i, s := range r.Steps {
		of[s.At] = append(of[s.At], i)
	}
	for at, steps := range of {
		n, err := r.reached(d, steps)
		if err != nil {
			return fmt.Errorf("cannot go back: %w", err)
		}
		states[at] = n
	}
	for i := len(r.Steps) - 1; i >= 0; i-- {
		s := r.Steps[i]
		if i+1 < len(r.Steps) && r.Steps[i+1].stage != s.stage {
			if err := flush(d); err != nil {
				return fmt.Errorf("cannot go back: %d of %d writes are left: %w", i+1, len(r.Steps), err)
			}
		}
		steps := of[s.At]
		of[s.At] = steps[:len(steps)-1]
		if len(steps) > states[s.At] {
			continue // this one was not done
		}
		if _, err := d.WriteAt(s.Old, s.At); err != nil {
			return fmt.Errorf("cannot go back: %d of %d writes are left: %w", i+1, len(r.Steps), err)
		}
	}
	if err := flush(d); err != nil {
		return fmt.Errorf("cannot go back: %w", err)
	}
	return nil
}

// reached says how many of the writes of one place have been done.
func (r Record) reached(d Disk, steps []int) (int, error) {
	s := r.Steps[steps[0]]
	if s.Fresh {
		return len(steps), nil
	}
	have := make([]byte, len(s.Old))
	if n, err := d.ReadAt(have, s.At); n < len(have) {
		return 0, fmt.Errorf("cannot read %d bytes at %d: %w", len(have), s.At, err)
	}
	sum := sha256.Sum256(have)
	for i := len(steps) - 1; i >= 0; i-- {
		if r.Steps[steps[i]].New == sum {
			return i + 1, nil
		}
	}
	if bytes.Equal(have, s.Old) {
		return 0, nil
	}
	return 0, fmt.Errorf("the bytes at %d: %w", s.At, ErrChanged)
}

// Form of a record in a file: magic, then compressed: size, number of steps, and for
// each of them place, flag, stage, length, digest and bytes; then the digest of all that.
const (
	magic     = "provision FAT undo 1\n"
	maxRecord = 1 << 30 // bytes of all steps together
)

// ErrRecord is wrapped by what ReadRecord refuses.
var ErrRecord = errors.New("no record of a change to a card")

// WriteTo writes the record so that ReadRecord can read it.
func (r Record) WriteTo(w io.Writer) (int64, error) {
	var out bytes.Buffer
	out.WriteString(magic)
	z, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return 0, err
	}
	sum := sha256.New()
	body := io.MultiWriter(z, sum)
	put := func(b []byte) {
		if err == nil {
			_, err = body.Write(b)
		}
	}
	put(binary.LittleEndian.AppendUint64(nil, uint64(r.Size)))
	put(binary.LittleEndian.AppendUint32(nil, uint32(len(r.Steps))))
	for _, s := range r.Steps {
		head := binary.LittleEndian.AppendUint64(nil, uint64(s.At))
		head = append(head, flag(s.Fresh), byte(s.stage))
		put(append(binary.LittleEndian.AppendUint32(head, uint32(len(s.Old))), s.New[:]...))
		put(s.Old)
	}
	if err == nil {
		_, err = z.Write(sum.Sum(nil))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return 0, err
	}
	return out.WriteTo(w)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// ReadRecord reads what WriteTo wrote. What is damaged or cut off is refused.
func ReadRecord(r io.Reader) (Record, error) {
	bad := func(err error) (Record, error) { return Record{}, fmt.Errorf("%w: %w", ErrRecord, err) }
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil {
		return bad(err)
	}
	if string(head) != magic {
		return bad(errors.New("it does not begin like one"))
	}
	sum := sha256.New()
	plain := flate.NewReader(r)
	body := io.TeeReader(plain, sum)
	b := make([]byte, 12)
	if _, err := io.ReadFull(body, b); err != nil {
		return bad(err)
	}
	out := Record{Size: int64(binary.LittleEndian.Uint64(b))}
	total := int64(0)
	for range binary.LittleEndian.Uint32(b[8:]) {
		h := make([]byte, 14+sha256.Size)
		if _, err := io.ReadFull(body, h); err != nil {
			return bad(err)
		}
		s := Was{At: int64(binary.LittleEndian.Uint64(h)), Fresh: h[8] != 0, stage: stage(h[9]), New: [sha256.Size]byte(h[14:])}
		n := int64(binary.LittleEndian.Uint32(h[10:]))
		total += n
		if s.At < 0 || total > maxRecord || s.At > out.Size-n {
			return bad(fmt.Errorf("%d bytes at %d are not of the file system", n, s.At))
		}
		var old bytes.Buffer // grows with what is there, whatever length is claimed
		if got, err := io.CopyN(&old, body, n); err != nil {
			return bad(fmt.Errorf("%d of %d bytes: %w", got, n, err))
		}
		s.Old = old.Bytes()
		out.Steps = append(out.Steps, s)
	}
	want := sum.Sum(nil)
	have := make([]byte, len(want))
	if _, err := io.ReadFull(plain, have); err != nil {
		return bad(err)
	}
	if !bytes.Equal(want, have) {
		return bad(errors.New("its digest is wrong"))
	}
	if n, err := plain.Read(have); n > 0 || !errors.Is(err, io.EOF) {
		return bad(errors.New("it does not end where it should"))
	}
	return out, nil
}
