// Package conf reads dhcpcd.conf(5) as dhcpcd 8 to 10 reads it (get_line of common.c,
// read_config of if-options.c) and sets one interface's metric without touching any
// other byte.
package conf

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// MaxFile is the buffer of read_config (UDPLEN_MAX): dhcpcd reads no further.
const MaxFile = 64 << 10

// Line is one line. Options before the first block are for every interface.
type Line struct {
	Number int    // from 1
	Raw    string // with its newline
	Option string // empty for blank lines and comments
	Value  string
	Block  string // "interface", "ssid", "profile" or empty: what it stands in
	Of     string // the block's argument
	head   bool   // begins the block
	value  int    // where Value begins in Raw
}

// File is a parsed dhcpcd.conf; String returns its bytes.
type File struct {
	Path  string
	Lines []Line
}

// String is the file's bytes.
func (f *File) String() string {
	var b strings.Builder
	for i := range f.Lines {
		b.WriteString(f.Lines[i].Raw)
	}
	return b.String()
}

// Parse reads a file. It keeps every byte; it refuses what dhcpcd would not read to
// the end.
func Parse(name, text string) (*File, error) {
	f := &File{Path: name}
	var err error
	if len(text) >= MaxFile {
		err = fmt.Errorf("%s: larger than the %d bytes that dhcpcd reads", name, MaxFile-1)
	}
	block, of := "", ""
	for n := 1; text != ""; n++ {
		end := strings.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		l := Line{Number: n, Raw: text[:end]}
		text = text[end:]
		if strings.IndexByte(l.Raw, 0) >= 0 && err == nil {
			err = fmt.Errorf("%s:%d: NUL byte: dhcpcd would lose the rest of the line", name, n)
		}
		l.read()
		if l.Option == "interface" || l.Option == "ssid" || l.Option == "profile" {
			block, of, l.head = l.Option, l.Value, true
		}
		l.Block, l.Of = block, of
		f.Lines = append(f.Lines, l)
	}
	return f, err
}

// read splits a line into option and value. A carriage return is no white space for
// dhcpcd: in a file with CR LF it belongs to the last word.
func (l *Line) read() {
	s := strings.TrimSuffix(l.Raw, "\n")
	body := strings.TrimLeft(s, " \t")
	at := len(s) - len(body)
	if body == "" || body[0] == '#' || body[0] == ';' {
		return
	}
	body = body[:comment(body)]
	n := strings.IndexAny(body, " \t")
	if n < 0 {
		l.Option = body
		return
	}
	l.Option = body[:n]
	value := strings.TrimLeft(body[n:], " \t\v\f\r")
	l.value = at + len(body) - len(value)
	for len(value) > 1 && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') && value[len(value)-2] != '\\' {
		value = value[:len(value)-1]
	}
	l.Value = value
}

// comment is where a comment behind an option begins: at a '#' that is neither
// escaped nor within double quotes.
func comment(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '#':
			if !quoted {
				return i
			}
		}
	}
	return len(s)
}

// Active returns the option lines that count for an interface, in reading order:
// global ones and those of its interface blocks. ssid and profile blocks are chosen at
// run time and are left out.
func (f *File) Active(ifname string) []Line {
	var out []Line
	for _, l := range f.Lines {
		if l.Option != "" && !l.head && (l.Block == "" || l.Block == "interface" && l.Of == ifname) {
			out = append(out, l)
		}
	}
	return out
}

// Last returns the last line of one option that counts for an interface.
func (f *File) Last(ifname, option string) (Line, bool) {
	var last Line
	found := false
	for _, l := range f.Active(ifname) {
		if l.Option == option {
			last, found = l, true
		}
	}
	return last, found
}

// Head returns the line that begins an interface's block.
func (f *File) Head(ifname string) (Line, bool) {
	for _, l := range f.Lines {
		if l.head && l.Block == "interface" && l.Of == ifname {
			return l, true
		}
	}
	return Line{}, false
}

// Global reports whether an option stands before every block.
func (f *File) Global(option string) bool {
	for _, l := range f.Lines {
		if l.Option == option && l.Block == "" {
			return true
		}
	}
	return false
}

// Denied names the line by which dhcpcd leaves an interface alone: it is in
// denyinterfaces, or there is an allowinterfaces without it. Both count only before
// the first block.
func (f *File) Denied(ifname string) (Line, bool) {
	var allow Line
	listed, allowed := false, false
	for _, l := range f.Lines {
		if l.Block != "" || l.Option != "denyinterfaces" && l.Option != "allowinterfaces" {
			continue
		}
		fits := false
		for _, pattern := range strings.FieldsFunc(l.Value, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
			ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), ifname)
			fits = fits || ok || err != nil && pattern == ifname
		}
		if l.Option == "denyinterfaces" && fits {
			return l, true
		}
		if l.Option == "allowinterfaces" {
			allow, listed, allowed = l, true, allowed || fits
		}
	}
	return allow, listed && !allowed
}

// SetMetric returns the file's bytes with the interface's metric set in its block: the
// last metric line there is changed in place; else a line goes behind the block's last
// option; else a block goes to the end.
func (f *File) SetMetric(ifname string, metric uint32) (string, error) {
	value := fmt.Sprint(metric)
	if ifname == "" || strings.ContainsAny(ifname, " \t\n\x00#\\\"") {
		return "", fmt.Errorf("cannot set the metric of %q: no interface name", ifname)
	}
	if metric > 1<<31-1 {
		return "", fmt.Errorf("cannot set the metric of %s to %d: dhcpcd takes at most 2147483647", ifname, metric)
	}
	inBlock, last, have := -1, -1, -1
	for i, l := range f.Lines {
		if l.Block != "interface" || l.Of != ifname || l.Option == "" {
			continue
		}
		inBlock, last = i, i
		if l.Option == "metric" {
			have = i
		}
	}
	var b strings.Builder
	for i, l := range f.Lines {
		switch {
		case i == have && l.Value != "":
			b.WriteString(l.Raw[:l.value] + value + l.Raw[l.value+len(l.Value):])
		case i == have:
			indent := l.Raw[:strings.Index(l.Raw, l.Option)]
			b.WriteString(indent + "metric " + value + "\n")
		case i == last && have < 0:
			indent := ""
			if !l.head {
				indent = l.Raw[:len(l.Raw)-len(strings.TrimLeft(l.Raw, " \t"))]
			}
			if strings.HasSuffix(l.Raw, "\n") {
				b.WriteString(l.Raw + indent + "metric " + value + "\n")
			} else {
				b.WriteString(l.Raw + "\n" + indent + "metric " + value)
			}
		default:
			b.WriteString(l.Raw)
		}
	}
	if inBlock < 0 {
		if n := len(f.Lines); n > 0 {
			if !strings.HasSuffix(f.Lines[n-1].Raw, "\n") {
				b.WriteString("\n")
			}
			b.WriteString("\n")
		}
		b.WriteString("interface " + ifname + "\nmetric " + value + "\n")
	}
	return b.String(), f.check(b.String(), ifname, value)
}

// check reads the edited text again.
func (f *File) check(text, ifname, value string) error {
	after, err := Parse(f.Path, text)
	if err != nil {
		return err
	}
	if l, ok := after.Last(ifname, "metric"); !ok || l.Value != value {
		return fmt.Errorf("cannot set the metric of %s in %s: the edited file would not say it", ifname, f.Path)
	}
	var was, is []string
	for _, l := range f.Lines {
		if l.Option != "" && !(l.Option == "metric" && l.Block == "interface" && l.Of == ifname) {
			was = append(was, l.Raw)
		}
	}
	for _, l := range after.Lines {
		if l.Option != "" && !(l.Option == "metric" && l.Block == "interface" && l.Of == ifname) {
			is = append(is, l.Raw)
		}
	}
	if len(is) == len(was)+1 { // the new block's head
		is = is[:len(was)]
	}
	if len(is) != len(was) {
		return errors.New("the edit would change more than this one option")
	}
	for i := range was {
		if strings.TrimSuffix(was[i], "\n") != strings.TrimSuffix(is[i], "\n") {
			return errors.New("the edit would change more than this one option")
		}
	}
	return nil
}
