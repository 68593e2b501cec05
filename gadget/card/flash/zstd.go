package flash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// zstdSize is the size of the first frame as its header tells it (RFC 8878, section 3.1.1.1); 0 where it does not. Others may follow.
func zstdSize(b []byte) int64 {
	if len(b) < 5 {
		return 0
	}
	flags := b[4]
	single := flags&0x20 != 0
	at := 5 + []int{0, 1, 2, 4}[flags&3] // a dictionary's number
	if !single {
		at++ // the window
	}
	var v uint64
	switch n := []int{0, 2, 4, 8}[flags>>6]; {
	case n == 0 && !single:
		return 0
	case n == 0 && len(b) > at:
		v = uint64(b[at])
	case n > 0 && len(b) >= at+n:
		for i := n - 1; i >= 0; i-- {
			v = v<<8 | uint64(b[at+i])
		}
		if n == 2 {
			v += 256
		}
	}
	if v > 1<<60 {
		return 0
	}
	return int64(v)
}

// zstdMagic begins a frame.
var zstdMagic = string(binary.LittleEndian.AppendUint32(nil, 0xfd2fb528))

// zstdProgram unpacks by the program zstd: a decoder of our own would be an eightieth of this program, for the rarest form.
type zstdProgram struct {
	cmd  *exec.Cmd
	out  io.ReadCloser
	said bytes.Buffer
	once sync.Once
	err  error
}

func newZstd(packed io.Reader) (*zstdProgram, error) {
	path, err := exec.LookPath("zstd")
	if err != nil {
		return nil, errors.New("to unpack .zst the program zstd is needed: install it, or unpack the image elsewhere first (zstd -d)")
	}
	z := &zstdProgram{cmd: exec.Command(path, "-dcq", "--long=31")}
	z.cmd.Stdin, z.cmd.Stderr = packed, &z.said
	if z.out, err = z.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := z.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", path, err)
	}
	return z, nil
}

// Read ends with io.EOF only where the program was content with all of it.
func (z *zstdProgram) Read(b []byte) (int, error) {
	n, err := z.out.Read(b)
	if n == 0 && errors.Is(err, io.EOF) {
		if z.wait(); z.err != nil {
			return 0, z.err
		}
	}
	return n, err
}

func (z *zstdProgram) wait() {
	z.once.Do(func() {
		if err := z.cmd.Wait(); err != nil {
			z.err = fmt.Errorf("zstd: %w: %s", err, strings.TrimSpace(z.said.String()))
		}
	})
}

// stop ends the program, wherever it is.
func (z *zstdProgram) stop() {
	_ = z.cmd.Process.Kill()
	z.wait()
}
