package lists

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/provision-net/provision/routing/lists/plain"
	"github.com/provision-net/provision/routing/lists/span"
)

// Dir is where the last good copies are, a file NAME.list each, and what is known of the attempts.
const Dir = "/var/lib/provision/lists"

// Copy is the last good copy of what a list's registries and sources hold.
type Copy struct {
	Name string `json:"name"`
	// Spec is a digest of what it was made from: a copy of other countries is no copy.
	Spec string `json:"spec"`
	// Made is when the sources were read, or last found to be unchanged.
	Made time.Time `json:"made"`
	// Data is the oldest day that a registry's file was about; zero without registries.
	Data time.Time `json:"data,omitzero"`
	// Entries is how many records or lines it was made of.
	Entries int `json:"entries"`
	// Known are the validators of a list with a single source, for the next request.
	Known Validator `json:"known,omitzero"`

	Set span.Set `json:"-"`
}

// Validator is what a server says about a document's version (RFC 9110 section 8.8).
type Validator struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// file is the first line of a copy.
type file struct {
	Version int `json:"version"`
	Copy
	Runs  int    `json:"runs"`
	Check string `json:"sha256"` // of all that follows
}

const (
	version  = 1
	firstTag = "# provision list "
	maxFirst = 16 << 10
)

// FileName is the name of a list's copy in Dir.
func FileName(list string) string { return list + ".list" }

// Spec is a digest of what a copy of the list is made from.
func (l List) Spec() string {
	text, err := json.Marshal([][]string{l.Countries, l.registries(), l.Sources})
	if err != nil { // strings
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Bytes is the file of a copy: readable for people and for whoever reads lists of ranges.
func (c Copy) Bytes() []byte {
	var body bytes.Buffer
	runs := c.Set.Runs(4) + c.Set.Runs(6)
	body.Grow(runs * 34)
	for _, family := range []int{4, 6} {
		for _, r := range c.Set.Ranges(family) {
			body.Write(r.From.AppendTo(body.AvailableBuffer()))
			if r.To != r.From {
				body.WriteByte('-')
				body.Write(r.To.AppendTo(body.AvailableBuffer()))
			}
			body.WriteByte('\n')
		}
	}
	sum := sha256.Sum256(body.Bytes())
	first, err := json.Marshal(file{version, c, runs, hex.EncodeToString(sum[:])})
	if err != nil { // plain data
		panic(err)
	}
	out := make([]byte, 0, len(firstTag)+len(first)+1+body.Len())
	out = append(append(append(out, firstTag...), first...), '\n')
	return append(out, body.Bytes()...)
}

// ParseCopy reads such a file; one that is not whole is an error.
func ParseCopy(r io.Reader, most int) (Copy, error) {
	var f file
	in := bufio.NewReaderSize(r, maxFirst)
	first, err := in.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(first, []byte(firstTag)) {
		return f.Copy, fmt.Errorf("it is no copy of a list")
	}
	if err := json.Unmarshal(first[len(firstTag):], &f); err != nil {
		return f.Copy, fmt.Errorf("it is no copy of a list: %w", err)
	}
	if f.Version != version {
		return f.Copy, fmt.Errorf("it has version %d and this program knows %d", f.Version, version)
	}
	hash := sha256.New()
	var b span.Builder
	err = plain.Lines(io.TeeReader(in, hash), func(n int, line []byte) error {
		if err := plain.Entry(&b, string(line)); err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
		if b.Len() > most {
			return plain.TooMany(most)
		}
		return nil
	})
	if err == nil && (b.Len() != f.Runs || hex.EncodeToString(hash.Sum(nil)) != f.Check) {
		err = fmt.Errorf("it was cut or changed")
	}
	if err != nil {
		return Copy{}, err
	}
	f.Set = b.Set()
	return f.Copy, nil
}
