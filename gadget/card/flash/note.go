package flash

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
)

// noteSize is how many bytes the note on a card takes, or a block of the device where that is larger.
const noteSize = 4096

const noteTitle = "provision card flash: this card is half-written and of no use.\n"

// Note is what the first sector of a card says while it is being written. It has no signature of a partition table.
type Note struct {
	Token string // 32 hexadecimal digits, drawn anew for each card
	Image string // name of the file
}

// Bytes is the note as it is written, followed by zeros.
func (n Note) Bytes() []byte {
	name := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(n.Image, "?"))
	if len(name) > 200 {
		name = strings.ToValidUTF8(name[:200], "")
	}
	text := fmt.Sprintf("%stoken: %s\nimage: %s\nRun the same command again, which goes on, or write something else to it.\n", noteTitle, n.Token, name)
	return append([]byte(text), make([]byte, noteSize-len(text))...)
}

// ParseNote reads the beginning of a card; false: there is no note.
func ParseNote(b []byte) (Note, bool) {
	if len(b) > 512 {
		b = b[:512] // it is shorter, and the rest may be another file system's
	}
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	rest, ok := strings.CutPrefix(string(b), noteTitle+"token: ")
	if !ok {
		return Note{}, false
	}
	token, rest, _ := strings.Cut(rest, "\n")
	if raw, err := hex.DecodeString(token); err != nil || len(raw) != 16 || strings.ToLower(token) != token {
		return Note{}, false
	}
	image, ok := strings.CutPrefix(rest, "image: ")
	if !ok {
		return Note{}, false
	}
	image, _, _ = strings.Cut(image, "\n")
	return Note{Token: token, Image: image}, true
}
