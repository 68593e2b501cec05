package qr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"strconv"
	"strings"
)

// quiet is the border that the standard asks for, in modules; readers of today do with narrow.
const (
	quiet  = 4
	narrow = 2
)

// Terminal is what a terminal is told to show.
type Terminal struct {
	Code
	Border        int // modules
	Columns, Rows int
}

// ErrNoRoom is (wrapped) what ForTerminal says of a code that the terminal has no room for.
var ErrNoRoom = errors.New("the QR code does not fit")

// ForTerminal makes the code that a terminal of this size has room for: level M with the standard's
// border if it can be, then level L, then the narrow border. Nothing larger is made: a code that has
// scrolled away at the top cannot be read. The size is known before anything is drawn.
func ForTerminal(text string, columns, rows int) (Terminal, error) {
	var last Terminal
	for _, try := range []struct {
		l      Level
		border int
	}{{M, quiet}, {L, quiet}, {L, narrow}} {
		v := Version(len(text), try.l)
		if v == 0 {
			continue
		}
		side := size(v) + 2*try.border
		last = Terminal{Border: try.border, Columns: side, Rows: (side + 1) / 2}
		if last.Columns > columns || last.Rows > rows {
			continue
		}
		c, err := Encode(text, try.l)
		last.Code = c
		return last, err
	}
	if last.Columns == 0 {
		return last, fmt.Errorf("%d bytes, and %d fit: %w: export the file instead", len(text), Capacity(L), ErrTooLong)
	}
	return last, fmt.Errorf("%w: it takes %d columns and %d rows, and the terminal has %d and %d: make the window larger or its letters smaller, or write an image with --png FILE or --svg FILE",
		ErrNoRoom, last.Columns, last.Rows, columns, rows)
}

// String draws the code with half blocks, two rows of modules in a line, dark on light whatever the
// colours of the terminal are.
func (t Terminal) String() string { return t.draw("\x1b[38;5;16;48;5;231m", "\x1b[0m", false) }

// Plain draws it without colours, for terminals that write light on dark.
func (t Terminal) Plain() string { return t.draw("", "", true) }

func (t Terminal) draw(begin, end string, light bool) string {
	var b strings.Builder
	side := t.Size + 2*t.Border
	for y := 0; y < side; y += 2 {
		b.WriteString(begin)
		for x := range side {
			up, down := t.Dark(x-t.Border, y-t.Border), t.Dark(x-t.Border, y+1-t.Border)
			if light {
				// The row below the last one is not part of the code.
				up, down = !up, !down && y+1 < side
			}
			switch {
			case up && down:
				b.WriteString("█")
			case up:
				b.WriteString("▀")
			case down:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString(end + "\n")
	}
	return b.String()
}

// SVG is the code as an image without a size of its own.
func (c Code) SVG() []byte {
	var b bytes.Buffer
	side := strconv.Itoa(c.Size + 2*quiet)
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + side + " " + side + `" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h` + side + "v" + side + `H0z"/><path d="`)
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			run := 0
			for c.Dark(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	b.WriteString("\"/></svg>\n")
	return b.Bytes()
}

// PNG is the code as an image with scale pixels for each module, one bit each (RFC 2083). It is not
// compressed: it is made and shown, not kept.
func (c Code) PNG(scale int) []byte {
	scale = max(scale, 1)
	side := (c.Size + 2*quiet) * scale
	stride := 1 + (side+7)/8
	raw := make([]byte, 0, side*stride)
	for y := range side {
		row := make([]byte, stride) // the first byte says: no filter
		for x := range side {
			if !c.Dark(x/scale-quiet, y/scale-quiet) {
				row[1+x/8] |= 0x80 >> (x % 8)
			}
		}
		raw = append(raw, row...)
	}
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	head := binary.BigEndian.AppendUint32(nil, uint32(side))
	head = binary.BigEndian.AppendUint32(head, uint32(side))
	chunk(&b, "IHDR", append(head, 1, 0, 0, 0, 0))
	chunk(&b, "IDAT", stored(raw))
	chunk(&b, "IEND", nil)
	return b.Bytes()
}

func chunk(b *bytes.Buffer, kind string, data []byte) {
	_ = binary.Write(b, binary.BigEndian, uint32(len(data))) // a buffer takes everything
	body := append([]byte(kind), data...)
	b.Write(body)
	_ = binary.Write(b, binary.BigEndian, crc32.ChecksumIEEE(body))
}

// stored is zlib's form of data as it is (RFC 1950, RFC 1951 section 3.2.4).
func stored(data []byte) []byte {
	const most = 65535
	out := []byte{0x78, 0x01}
	sum := adler32.Checksum(data)
	for len(data) > 0 {
		n := min(len(data), most)
		last := byte(0)
		if n == len(data) {
			last = 1
		}
		out = append(out, last, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		out, data = append(out, data[:n]...), data[n:]
	}
	return binary.BigEndian.AppendUint32(out, sum)
}
