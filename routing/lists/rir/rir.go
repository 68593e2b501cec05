// Package rir reads the statistics files of the five regional registries, "delegated-NAME-extended"
// (https://www.apnic.net/about-apnic/corporate-documents/documents/resource-guidelines/rir-statistics-exchange-format/
// and the extended format of the NRO): which addresses were given to networks of which country.
//
// A line is registry|cc|type|start|value|date|status|opaque-id. The value of an ipv4 line is how
// many addresses there are from start on, which is often no power of two; that of an ipv6 line is
// the length of a prefix. The country is that of the holder, not that of a machine.
package rir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"github.com/provision-net/provision/routing/lists/plain"
	"github.com/provision-net/provision/routing/lists/span"
)

// File is what a file says about itself, and how much of it was taken.
type File struct {
	Registry string
	// Date is the last day that the file is about; zero where its header has none.
	Date time.Time
	// Lines are the records of addresses, of any country; Taken those that were wanted.
	Lines, Taken int
}

// ErrForm is wrapped by errors about a file that is no such file, or not whole.
var ErrForm = errors.New("not a registry's delegated-extended file")

// Registries are the names that may stand at the beginning of a line.
func Registries() []string {
	return []string{"afrinic", "apnic", "arin", "iana", "lacnic", "ripencc", "ripe"}
}

// Wanted says where the addresses of a country, by its two upper-case letters, are to be put.
type Wanted map[string][]*span.Builder

// Add reads a file and puts the addresses of the wanted countries, those with the status allocated or
// assigned, where they are wanted. Its summary counts the records of each type, so a file that was
// cut is an error. None of the builders gets more than most runs.
func Add(r io.Reader, want Wanted, most int) (File, error) {
	var f File
	p := parser{want: want, most: most, counts: map[string][2]int{}}
	err := plain.Lines(r, func(n int, line []byte) error {
		if err := p.line(&f, line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		return nil
	})
	if err == nil {
		err = p.whole(&f)
	}
	return f, err
}

type parser struct {
	want   Wanted
	most   int
	header bool
	total  int               // of the header, -1 unknown
	counts map[string][2]int // by type: said and seen
	seen   int
}

func (p *parser) line(f *File, line []byte) error {
	if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
		return nil
	}
	var fields [8][]byte
	n := 0
	for rest := line; n < len(fields); n++ {
		var more bool
		if fields[n], rest, more = bytes.Cut(rest, []byte{'|'}); !more {
			n++
			break
		}
	}
	switch {
	case !p.header:
		return p.version(f, fields[:n])
	case n >= 6 && string(fields[5]) == "summary":
		count, err := strconv.Atoi(string(fields[4]))
		if err != nil || count < 0 {
			return fmt.Errorf("%w: %.80q counts nothing", ErrForm, line)
		}
		c := p.counts[string(fields[2])]
		p.counts[string(fields[2])] = [2]int{count, c[1]}
		return nil
	case n < 7 || string(fields[0]) != f.Registry && !known(fields[0]):
		return fmt.Errorf("%w: %.80q is no record", ErrForm, line)
	}
	return p.record(f, fields[:n], line)
}

func known(registry []byte) bool {
	for _, r := range Registries() {
		if string(registry) == r {
			return true
		}
	}
	return false
}

// version reads the header: version|registry|serial|records|startdate|enddate|UTCoffset.
func (p *parser) version(f *File, fields [][]byte) error {
	if len(fields) < 7 || !known(fields[1]) || len(fields[0]) == 0 || fields[0][0] != '2' {
		return fmt.Errorf("%w: it does not begin with 2|REGISTRY|SERIAL|RECORDS|FROM|TO|OFFSET", ErrForm)
	}
	p.header, p.total = true, -1
	f.Registry = string(fields[1])
	if n, err := strconv.Atoi(string(fields[3])); err == nil && n >= 0 {
		p.total = n
	}
	if t, err := time.Parse("20060102", string(fields[5])); err == nil {
		f.Date = t
	}
	return nil
}

func (p *parser) record(f *File, fields [][]byte, line []byte) error {
	p.seen++
	typ := string(fields[2])
	c := p.counts[typ]
	p.counts[typ] = [2]int{c[0], c[1] + 1}
	if typ != "ipv4" && typ != "ipv6" {
		return nil // asn, and what may come
	}
	f.Lines++
	status := string(fields[6])
	into := p.want[string(fields[1])]
	if status != "allocated" && status != "assigned" || len(into) == 0 {
		return nil
	}
	from, to, err := extent(typ, fields)
	if err != nil {
		return fmt.Errorf("%w: %.80q: %w", ErrForm, line, err)
	}
	f.Taken++
	for _, b := range into {
		if err := b.Add(from, to); err != nil {
			return fmt.Errorf("%w: %.80q: %w", ErrForm, line, err)
		}
		if b.Len() > p.most {
			return plain.TooMany(p.most)
		}
	}
	return nil
}

// extent is the first and the last address of a record.
func extent(typ string, fields [][]byte) (from, to netip.Addr, err error) {
	start, err := netip.ParseAddr(string(fields[3]))
	if err != nil || start.Zone() != "" || start.Is4In6() {
		return from, to, errors.New("it begins with no address")
	}
	value, err := strconv.ParseUint(string(fields[4]), 10, 33)
	switch {
	case err != nil || value == 0:
		return from, to, errors.New("its size is no number")
	case typ == "ipv4":
		if !start.Is4() {
			return from, to, errors.New("ipv4 begins with an address of IPv6")
		}
		b := start.As4()
		end := uint64(binary.BigEndian.Uint32(b[:])) + value - 1
		if end > 1<<32-1 {
			return from, to, errors.New("it goes beyond 255.255.255.255")
		}
		binary.BigEndian.PutUint32(b[:], uint32(end))
		return start, netip.AddrFrom4(b), nil
	case start.Is4() || value > 128:
		return from, to, errors.New("it is no prefix of IPv6")
	}
	p := netip.PrefixFrom(start, int(value))
	if p.Masked() != p {
		return from, to, errors.New("it has bits behind its length")
	}
	return start, span.Last(p), nil
}

// whole compares what was seen with what the file counts of itself.
func (p *parser) whole(f *File) error {
	if !p.header {
		return fmt.Errorf("%w: it is empty", ErrForm)
	}
	for _, typ := range []string{"ipv4", "ipv6"} {
		if c := p.counts[typ]; c[0] > c[1] {
			return fmt.Errorf("%w: %s counts %d records of %s and has %d: it was cut", ErrForm, f.Registry, c[0], typ, c[1])
		}
	}
	// The header's number is of all records; some registries do not count those without a country.
	if p.total > 0 && len(p.counts) > 0 && p.seen == 0 {
		return fmt.Errorf("%w: %s counts %d records and has none: it was cut", ErrForm, f.Registry, p.total)
	}
	return nil
}
