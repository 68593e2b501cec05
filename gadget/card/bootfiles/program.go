package bootfiles

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
)

// Program is what a program needs to run.
type Program struct {
	Bits int // 32 or 64
	Arch int // the version of the ARM architecture; 0 unknown
}

// ReadProgram wants a program of Linux on ARM that needs no loader (elf(5)): a library of another release would keep it from starting.
func ReadProgram(b []byte) (Program, error) {
	if len(b) < 64 || string(b[:4]) != "\x7fELF" || b[5] != 1 {
		return Program{}, errors.New("it is no program of Linux")
	}
	le := binary.LittleEndian
	p := Program{Bits: 32, Arch: goARM(b)}
	at, size, count := uint64(le.Uint32(b[28:])), le.Uint16(b[42:]), le.Uint16(b[44:])
	switch machine := le.Uint16(b[18:]); {
	case machine == 40 && b[4] == 1: // EM_ARM
	case machine == 183 && b[4] == 2: // EM_AARCH64
		p = Program{64, 8}
		at, size, count = le.Uint64(b[32:]), le.Uint16(b[54:]), le.Uint16(b[56:])
	default:
		return p, errors.New("it is for another processor: provision-linux-armv6 or provision-linux-arm64 is what a Raspberry Pi takes")
	}
	for i := range uint64(count) {
		if h := at + i*uint64(size); h+4 <= uint64(len(b)) && le.Uint32(b[h:]) == 3 { // PT_INTERP
			return p, errors.New("it is linked dynamically: take the one of a release")
		}
	}
	return p, nil
}

// goARM is the version that Go's compiler was told, which the program says of itself (runtime/debug.BuildInfo): 5, 6 or 7.
func goARM(b []byte) int {
	const key = "\nbuild\tGOARM="
	for {
		i := bytes.Index(b, []byte(key))
		if i < 0 || i+len(key)+1 >= len(b) {
			return 0
		}
		// These words may also be a text that the program has.
		if b = b[i+len(key):]; b[0] >= '5' && b[0] <= '7' && (b[1] == '\n' || b[1] == ',') {
			return int(b[0] - '0')
		}
	}
}

// Fits says why the program cannot run on a board with this card; model is that of its device tree, "" where any board may be meant.
// A kernel of 64 bits runs programs of 32 bits, too.
func (p Program) Fits(read Read, model string) error {
	files, err := Texts(read)
	if err != nil {
		return err
	}
	b, _ := bootfile.BoardOf(model, "")
	const take = "take provision-linux-armv6, which runs on every Raspberry Pi (--program)"
	if p.Bits == 32 {
		if have := b.Arch(); have != 0 && p.Arch > have {
			return fmt.Errorf("it is for ARMv%d, and a %s has ARMv%d: %s", p.Arch, b.Name, have, take)
		}
		return nil
	}
	bits, why := bootfile.Bits(files, b, func(name string) bool {
		data, failed := read(name)
		err = errors.Join(err, failed)
		return data != nil
	})
	switch {
	case err != nil:
		return err
	case bits == 32:
		return fmt.Errorf("it is of 64 bits, and the card's system of 32 (%s): %s", why, take)
	case bits == 0 && why != "" && model == "":
		return fmt.Errorf("it is of 64 bits, and the card's system is so on some boards only (%s): %s, or say with --board which it is", why, take)
	}
	return nil
}

// Texts are config.txt and what it includes.
func Texts(read Read) (map[string]string, error) {
	out := map[string]string{}
	todo := []string{"config.txt"}
	for len(todo) > 0 && len(out) <= 32 {
		name := todo[0]
		todo = todo[1:]
		if _, seen := out[name]; seen || !Safe(name) {
			continue
		}
		text, err := read(name)
		if err != nil {
			return nil, err
		}
		if text == nil {
			continue
		}
		out[name] = string(text)
		for line := range strings.Lines(string(text)) {
			if inc, ok := strings.CutPrefix(strings.TrimSpace(line), "include "); ok {
				todo = append(todo, path.Clean(strings.TrimSpace(inc)))
			}
		}
	}
	return out, nil
}
