// Package plain reads lists of addresses as most are published: an address, a prefix or a range a
// line, with comments. What is no address is counted, not guessed.
package plain

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/provision-net/provision/routing/lists/span"
)

// maxLine is the longest line, in bytes.
const maxLine = 64 << 10

// ErrTooMany is wrapped by errors about a list that is larger than it may be.
var ErrTooMany = errors.New("the list is too large")

// ErrForm is wrapped by errors about what is no list of addresses.
var ErrForm = errors.New("not a list of addresses")

// TooMany is the error about more than so many entries.
func TooMany(most int) error {
	return fmt.Errorf("%w: more than %d entries (max-entries)", ErrTooMany, most)
}

// Lines calls do for each line of r, numbered from 1, without its end. The bytes are valid until it returns.
func Lines(r io.Reader, do func(n int, line []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 8<<10), maxLine)
	n := 0
	for s.Scan() {
		n++
		if err := do(n, s.Bytes()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("line %d is longer than %d bytes: %w", n+1, maxLine, ErrForm)
		}
		return err
	}
	return nil
}

// Result is what came of a list.
type Result struct {
	Taken int
	// Odd are lines that are no addresses, and First is one of them with its number, for people.
	Odd   int
	First string
}

// Add reads a list and puts its addresses into b. Of a line the first word counts, what stands behind it or behind #
// or ; does not (Spamhaus DROP writes "PREFIX ; NAME"). A list more than one line in ten of which is no address is
// something else, mostly a page that says no.
func Add(b *span.Builder, r io.Reader, most int) (Result, error) {
	var out Result
	err := Lines(r, func(n int, line []byte) error {
		word := firstWord(line)
		if len(word) == 0 {
			return nil
		}
		if err := Entry(b, string(word)); err != nil {
			if out.Odd++; out.First == "" {
				out.First = fmt.Sprintf("line %d: %v", n, err)
			}
			if out.Odd > 20 && out.Odd*10 > out.Taken {
				return fmt.Errorf("%w: %s", ErrForm, out.First)
			}
			return nil
		}
		if out.Taken++; b.Len() > most {
			return TooMany(most)
		}
		return nil
	})
	if err == nil && out.Odd*10 > out.Taken {
		err = fmt.Errorf("%w: %s", ErrForm, out.First)
	}
	if err == nil && out.Taken == 0 {
		err = fmt.Errorf("%w: nothing is in it", ErrForm)
	}
	return out, err
}

func firstWord(line []byte) []byte {
	if i := bytes.IndexAny(line, "#;"); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")))
	if i := bytes.IndexAny(line, " \t,"); i >= 0 {
		// A range may be written with blanks around its dash (PeerGuardian, many firewalls).
		rest := bytes.TrimSpace(line[i:])
		if len(rest) > 1 && rest[0] == '-' {
			return append(append([]byte(nil), line[:i]...), append([]byte{'-'}, firstWord(rest[1:])...)...)
		}
		line = line[:i]
	}
	return line
}

// Entry puts one address, prefix or range (FROM-TO) in.
func Entry(b *span.Builder, word string) error {
	if a, err := netip.ParseAddr(word); err == nil {
		if a.Zone() != "" {
			return fmt.Errorf("%q names an interface: leave it out", short(word))
		}
		return b.Add(a, a)
	}
	if p, err := netip.ParsePrefix(word); err == nil {
		if p.Addr().Is4In6() {
			return fmt.Errorf("%q is IPv4 written as IPv6", short(word))
		}
		if p.Masked() != p {
			return fmt.Errorf("%q has bits behind its length: write %s, or %s for the one address", short(word), p.Masked(), p.Addr())
		}
		return b.AddPrefix(p)
	}
	for i := range len(word) {
		if word[i] != '-' {
			continue
		}
		from, err1 := netip.ParseAddr(word[:i])
		to, err2 := netip.ParseAddr(word[i+1:])
		if err1 == nil && err2 == nil {
			return b.Add(from, to)
		}
		break
	}
	return fmt.Errorf("%q is no address, prefix or range", short(word))
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
