// Package qr makes QR codes (ISO/IEC 18004) of configurations for phones: for a terminal, as PNG and as
// SVG. Every code is read back from its modules before it is given out.
package qr

import (
	"errors"
	"fmt"

	"rsc.io/qr/coding"
)

// Level is how much of a code may be unreadable.
type Level int

// Levels: about 7 and 15 percent.
const (
	L Level = iota
	M
)

func (l Level) String() string { return [...]string{"L", "M"}[l] }

// Code is a code without its quiet zone.
type Code struct {
	Version int // 1 to 40
	Level   Level
	Size    int // modules on a side
	dark    []bool
}

// Dark reports whether a module is dark; what lies outside is not.
func (c Code) Dark(x, y int) bool {
	return x >= 0 && y >= 0 && x < c.Size && y < c.Size && c.dark[y*c.Size+x]
}

// size is that of a version's side in modules.
func size(version int) int { return 17 + 4*version }

// maxVersion is the largest code there is.
const maxVersion = 40

// Version is the smallest version that n bytes fit into; 0 is none. A code of version v has 17+4v
// modules on a side, so how large it becomes is known before it is made.
func Version(n int, l Level) int {
	for v := 1; v <= maxVersion; v++ {
		if n <= capacity(v, l) {
			return v
		}
	}
	return 0
}

// Capacity is the most bytes that a code of this level holds: 2953 and 2331.
func Capacity(l Level) int { return capacity(maxVersion, l) }

// ErrTooLong is (wrapped) what Encode says of a text that no code holds.
var ErrTooLong = errors.New("too long for a QR code")

// Encode makes the smallest code of a level and reads it back.
func Encode(text string, l Level) (Code, error) {
	v := Version(len(text), l)
	if v == 0 {
		return Code{}, fmt.Errorf("%d bytes, and %d fit: %w", len(text), Capacity(l), ErrTooLong)
	}
	plan, err := coding.NewPlan(coding.Version(v), coding.Level(l), 0)
	if err != nil {
		return Code{}, fmt.Errorf("cannot plan a QR code: %w", err)
	}
	made, err := plan.Encode(coding.String(text))
	if err != nil {
		return Code{}, fmt.Errorf("cannot make a QR code: %w", err)
	}
	c := Code{Version: v, Level: l, Size: made.Size, dark: make([]bool, made.Size*made.Size)}
	for i := range c.dark {
		c.dark[i] = made.Black(i%c.Size, i/c.Size)
	}
	again, err := Decode(c.Size, c.Dark)
	if err == nil && again != text {
		err = errors.New("it says something else")
	}
	if err != nil {
		return Code{}, fmt.Errorf("the QR code cannot be read back: %w: export the file instead", err)
	}
	return c, nil
}
