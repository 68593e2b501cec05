// Package hosts reads hosts(5) files for the DNS server and keeps up with their changes.
package hosts

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/provision-net/provision/dnsdhcp/name"
)

// Table is what some files say. It never changes and may be used from everywhere.
type Table struct {
	addrs   map[string][]netip.Addr
	names   map[netip.Addr]string
	parents map[string]struct{} // names that have one of addrs below them
}

// Problem is a line, or a part of one, that was skipped.
type Problem struct {
	File string
	Line int
	Why  string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Why) }

// Addrs returns the addresses of a name (lower case, no final dot) in the order of the lines.
func (t *Table) Addrs(name string) []netip.Addr { return t.addrs[name] }

// Name returns the first name of the first line with the address: hosts(5) calls that one canonical.
func (t *Table) Name(addr netip.Addr) (string, bool) {
	n, ok := t.names[addr]
	return n, ok
}

// Below reports whether there are names below name.
func (t *Table) Below(name string) bool {
	_, ok := t.parents[name]
	return ok
}

// Len is the number of names.
func (t *Table) Len() int { return len(t.addrs) }

// maxAddrs of one name: an answer must have room for them.
const maxAddrs = 64

// maxProblems that are kept; a file that is no hosts file at all has one per line.
const maxProblems = 50

type parser struct {
	t        *Table
	problems []Problem
	skipped  int
}

func newParser() *parser {
	return &parser{t: &Table{addrs: map[string][]netip.Addr{}, names: map[netip.Addr]string{}, parents: map[string]struct{}{}}}
}

// Parse reads one file: an address and its names per line, # begins a comment, all else as lenient as libc is with
// it: any white space, carriage returns, a final dot, any case. Lines that make no sense are skipped and returned
// (the first 50; the int is how many there were). Addresses with a zone are skipped in silence, they are of this
// machine's links only.
func Parse(file string, data []byte) (*Table, []Problem, int) {
	p := newParser()
	p.parse(file, data)
	return p.t, p.problems, p.skipped
}

func (p *parser) parse(file string, data []byte) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // editors on Windows
	for n := 1; len(data) > 0; n++ {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		p.line(file, n, line)
	}
}

func (p *parser) line(file string, n int, line []byte) {
	fail := func(format string, args ...any) {
		if p.skipped++; len(p.problems) < maxProblems {
			p.problems = append(p.problems, Problem{file, n, fmt.Sprintf(format, args...)})
		}
	}
	if i := bytes.IndexByte(line, '#'); i >= 0 {
		line = line[:i]
	}
	word, rest := field(line)
	if len(word) == 0 {
		return
	}
	addr, err := netip.ParseAddr(string(word))
	if err != nil {
		fail("%s is not an address", quote(word))
		return
	}
	word, rest = field(rest)
	if len(word) == 0 {
		fail("an address without a name")
		return
	}
	for ; len(word) > 0; word, rest = field(rest) {
		host, ok := hostName(word)
		if !ok {
			fail("%s is not a host name", quote(word))
			continue
		}
		if addr.Zone() != "" {
			continue
		}
		if !p.add(host, addr.Unmap()) {
			fail("more than %d addresses for %s", maxAddrs, quote(word))
		}
	}
}

func (p *parser) add(host string, addr netip.Addr) bool {
	have, old := p.t.addrs[host]
	if slices.Contains(have, addr) {
		return true
	}
	if len(have) == maxAddrs {
		return false
	}
	p.t.addrs[host] = append(have, addr)
	if _, ok := p.t.names[addr]; !ok {
		p.t.names[addr] = host
	}
	if old {
		return true
	}
	for rest := host; ; {
		_, up, ok := strings.Cut(rest, ".")
		if !ok {
			return true
		}
		if _, ok := p.t.parents[up]; ok {
			return true
		}
		p.t.parents[up] = struct{}{}
		rest = up
	}
}

// field splits the first word off.
func field(s []byte) (word, rest []byte) {
	i := 0
	for i < len(s) && space(s[i]) {
		i++
	}
	j := i
	for j < len(s) && !space(s[j]) {
		j++
	}
	return s[i:j], s[j:]
}

func space(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// hostName is a name in lower case without the final dot. Letters, digits, hyphens and, as people use them,
// underscores; no wildcards, and nothing that is an address.
func hostName(b []byte) (string, bool) {
	b = bytes.TrimSuffix(b, []byte("."))
	if len(b) == 0 || len(b) > 253 {
		return "", false
	}
	out := make([]byte, len(b))
	label := 0
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_':
		case c == '-':
			if label == 0 || i+1 == len(b) || b[i+1] == '.' {
				return "", false
			}
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = -1
		default:
			return "", false
		}
		if label++; label > name.MaxLabel {
			return "", false
		}
		out[i] = c
	}
	if label == 0 {
		return "", false // two dots at the end
	}
	if _, err := netip.ParseAddr(string(out)); err == nil {
		return "", false // the reverse of a line that has its halves swapped
	}
	return string(out), true
}

func quote(b []byte) string {
	if len(b) > 80 {
		return `"` + name.Quote(string(b[:80])) + `..."`
	}
	return `"` + name.Quote(string(b)) + `"`
}
