//go:build !arm

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/provision-net/provision/gadget/card/bootfiles"
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
func cardProgram(name, board string, read bootfiles.Read) (string, []byte, error) {
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
		var p bootfiles.Program
		if p, err = bootfiles.ReadProgram(data); err == nil {
			err = p.Fits(read, board)
		}
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
