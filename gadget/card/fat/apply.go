package fat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrChanged: the card is not what the plan was made for, or not what was left behind.
var ErrChanged = errors.New("it has been changed by something else")

// Plan is a list of writes, in the order in which they have to be done.
type Plan struct {
	Size   int64 // of the file system
	Steps  []Step
	sector int
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Bytes is how much is written.
func (p *Plan) Bytes() int64 {
	var n int64
	for _, s := range p.Steps {
		n += int64(len(s.New))
	}
	return n
}

// Disk is where a plan is applied: the volume from its first byte on. What also has
// Sync, as *os.File does, is told after each stage.
type Disk interface {
	io.ReaderAt
	io.WriterAt
}

// Apply writes the plan, after a look whether everything is still as it was when it
// was made, and reads it back. When it fails half-way each file is the old or the new
// one, and the plan's [Record] goes back.
func (p *Plan) Apply(d Disk) error {
	first := map[int64]bool{}
	for _, s := range p.Steps {
		if first[s.At] || s.Fresh {
			continue
		}
		first[s.At] = true
		if err := holds(d, s.At, s.Old); err != nil {
			return fmt.Errorf("cannot apply: %w", err)
		}
	}
	last := map[int64][]byte{}
	for i, s := range p.Steps {
		if i > 0 && p.Steps[i-1].stage != s.stage {
			if err := flush(d); err != nil {
				return fmt.Errorf("cannot apply: after %d of %d writes: %w", i, len(p.Steps), err)
			}
		}
		if _, err := d.WriteAt(s.New, s.At); err != nil {
			return fmt.Errorf("cannot apply: after %d of %d writes: %w", i, len(p.Steps), err)
		}
		last[s.At] = s.New
	}
	if err := flush(d); err != nil {
		return fmt.Errorf("cannot apply: after all writes: %w", err)
	}
	for at, want := range last {
		if err := holds(d, at, want); err != nil {
			return fmt.Errorf("cannot apply: what was written does not read back: %w", err)
		}
	}
	return nil
}

func flush(d Disk) error {
	if s, ok := d.(interface{ Sync() error }); ok {
		return s.Sync()
	}
	return nil
}

// holds compares what is at an offset.
func holds(d Disk, at int64, want []byte) error {
	have := make([]byte, len(want))
	if n, err := d.ReadAt(have, at); n < len(have) {
		return fmt.Errorf("cannot read %d bytes at %d: %w", len(have), at, err)
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("the bytes at %d: %w", at, ErrChanged)
	}
	return nil
}
