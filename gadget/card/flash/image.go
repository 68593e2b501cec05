package flash

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ulikunitz/xz"
)

// ErrImage is wrapped by errors about what is to be written: it is no image, is damaged or not what its checksum says.
var ErrImage = errors.New("the image cannot be used")

// Form is how an image is packed.
type Form string

// Forms.
const (
	Plain Form = "plain"
	Gzip  Form = "gz"
	XZ    Form = "xz"
	Zstd  Form = "zst"
)

// Image is an opened image file.
type Image struct {
	Path     string
	Form     Form
	Packed   int64     // bytes of the file
	Modified time.Time // of the file
	// Size is that of what is written, -1 where only unpacking tells. AtLeast is known to be part of it.
	Size, AtLeast int64

	file   *os.File
	blocks []xzBlock
}

// OpenImage opens a file and finds out by its first bytes how it is packed: names lie.
func OpenImage(path string) (*Image, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImage, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no file", ErrImage, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImage, err)
	}
	i := &Image{Path: path, Packed: info.Size(), Modified: info.ModTime(), file: f, Size: -1}
	if err := i.look(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %s: %w", ErrImage, path, err)
	}
	return i, nil
}

// others are forms that people have and this does not unpack.
var others = []struct{ magic, say string }{
	{"PK\x03\x04", "it is a zip archive; unpack it first (unzip)"},
	{"BZh", "it is packed by bzip2; unpack it first (bunzip2)"},
	{"7z\xbc\xaf\x27\x1c", "it is a 7z archive; unpack it first"},
	{"<!DO", "it is a web page and no image; download it again"},
	{"<htm", "it is a web page and no image; download it again"},
}

func (i *Image) look() error {
	head := make([]byte, 64)
	n, err := i.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	if n == 0 {
		return errors.New("it is empty")
	}
	for _, o := range others {
		if bytes.HasPrefix(head, []byte(o.magic)) {
			return errors.New(o.say)
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		i.Form = Gzip
		// The last four bytes are the size modulo 2^32 of the last member (RFC 1952, section 2.3.1): a lower bound.
		tail := make([]byte, 4)
		if i.Packed >= 18 {
			if _, err := i.file.ReadAt(tail, i.Packed-4); err != nil {
				return err
			}
			i.AtLeast = int64(binary.LittleEndian.Uint32(tail))
		}
	case bytes.HasPrefix(head, []byte(xzMagic)):
		i.Form = XZ
		blocks, err := xzIndex(i.file, i.Packed)
		if err != nil {
			return err
		}
		i.blocks, i.Size = blocks, 0
		for _, b := range blocks {
			i.Size += b.size
		}
		i.AtLeast = i.Size
	case bytes.HasPrefix(head, []byte(zstdMagic)):
		i.Form, i.AtLeast = Zstd, zstdSize(head)
	default:
		i.Form, i.Size, i.AtLeast = Plain, i.Packed, i.Packed
	}
	return nil
}

// Name is the file's name without its folder.
func (i *Image) Name() string { return filepath.Base(i.Path) }

// Close closes the file.
func (i *Image) Close() error { return i.file.Close() }

// Sum is the SHA-256 of the file as it is, packed, as publishers give it. tell learns how many bytes have been read.
func (i *Image) Sum(ctx context.Context, tell func(done int64)) (string, error) {
	h := sha256.New()
	buf := make([]byte, 1<<20)
	r := io.NewSectionReader(i.file, 0, i.Packed)
	for done := int64(0); ; {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		done += int64(n)
		tell(done)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrImage, err)
		}
	}
}

// unpacked reads what is to be written, from the beginning.
type unpacked struct {
	io.Reader
	packed *counter // nil where the size is known
	close  func()
}

// counter counts what is read of the file; another goroutine looks at it.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// unpack begins to read; close has to be called.
func (i *Image) unpack() (*unpacked, error) {
	c := &counter{r: io.NewSectionReader(i.file, 0, i.Packed)}
	u := &unpacked{packed: c, close: func() {}}
	var err error
	switch i.Form {
	case Gzip:
		u.Reader, err = gzip.NewReader(c)
	case XZ:
		if n := xzWorkers(i.blocks); n > 1 {
			p := newXZBlocks(i.file, i.blocks, n)
			u.Reader, u.close = p, p.stop
		} else {
			u.Reader, err = xz.NewReader(bufio.NewReaderSize(c, 1<<18))
		}
	case Zstd:
		var z *zstdProgram
		if z, err = newZstd(c); err == nil {
			u.Reader, u.close = z, z.stop
		}
	default:
		u.Reader = c
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImage, err)
	}
	return u, nil
}
