//go:build !arm

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// cardSecret is the first line of a file, of standard input, or what a person types.
func cardSecret(ctx context.Context, stdin io.Reader, ask io.Writer, from, what, flag, of string) (string, error) {
	s := secret{what, of, usageError{fmt.Errorf("no %s of %q was given: type it on a terminal, or use %s FILE (- is standard input)", what, of, flag)}}
	switch from {
	case "":
		if text, ok, err := s.typed(ctx, stdin, ask); ok {
			return text, err
		}
		return "", s.none
	case "-":
		return s.first(stdin)
	}
	return s.file(from)
}

// maxProgram is more than any build of this program has.
const maxProgram = 128 << 20

// cardProgram reads the program for the board: the one that was named, or a release's beside this one, or this one where it is for such a board.
func cardProgram(name string) (string, []byte, error) {
	if name == "" {
		self, err := installed()
		if err != nil {
			return "", nil, err
		}
		if name, err = besides(self); err != nil {
			return "", nil, err
		}
	}
	info, err := os.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxProgram) {
		err = errors.New("it is no file of a program")
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(name)
	}
	if err == nil {
		err = forBoard(data)
	}
	if err != nil {
		return "", nil, usageError{fmt.Errorf("cannot take %s as the board's program: %w", name, err)}
	}
	return name, data, nil
}

// besides is the board's program of the release that a program belongs to: in the same folder, or in its own archive that was unpacked
// beside this one's. A program that runs on such a board is one itself.
func besides(self string) (string, error) {
	name := filepath.Join(filepath.Dir(self), "provision-linux-armv6")
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(self)), "provision-*-linux-armv6", "provision"))
	switch {
	case err == nil && len(found) == 1:
		return found[0], nil
	case runtime.GOOS == "linux" && runtime.GOARCH == "arm64":
		return self, nil
	}
	return "", usageError{fmt.Errorf("which program is for the board? %s is not there: name it with --program; that of the release's linux-armv6 runs on every Raspberry Pi with a 32-bit system, that of linux-arm64 on one with a 64-bit system", name)}
}

// forBoard wants a program of Linux on ARM that needs no loader (elf(5)): a library of another release would keep it from starting.
func forBoard(b []byte) error {
	if len(b) < 64 || string(b[:4]) != "\x7fELF" || b[5] != 1 {
		return errors.New("it is no program of Linux")
	}
	le := binary.LittleEndian
	at, size, count := uint64(le.Uint32(b[28:])), le.Uint16(b[42:]), le.Uint16(b[44:])
	switch machine := le.Uint16(b[18:]); {
	case machine == 40 && b[4] == 1: // EM_ARM
	case machine == 183 && b[4] == 2: // EM_AARCH64
		at, size, count = le.Uint64(b[32:]), le.Uint16(b[54:]), le.Uint16(b[56:])
	default:
		return errors.New("it is for another processor: provision-linux-armv6 or provision-linux-arm64 is what a Raspberry Pi takes")
	}
	for i := range uint64(count) {
		if h := at + i*uint64(size); h+4 <= uint64(len(b)) && le.Uint32(b[h:]) == 3 { // PT_INTERP
			return errors.New("it is linked dynamically: take the one of a release")
		}
	}
	return nil
}
