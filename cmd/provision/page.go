package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/provision-net/provision/provision"
)

// page is text under way to a person. Everything that is written to it passes line
// or rows, which make harmless what a terminal would take for a command: file names,
// SSIDs and file contents are bytes that somebody else chose.
type page struct {
	buf                           bytes.Buffer
	width                         int // columns to wrap at; 0 leaves lines whole, for pipes and files
	bold, red, green, yellow, dim func(string) painted
	// device names the device that a selector of a reference means; nil knows none.
	device func(selector string) string
}

// painted is text that has been made harmless and may carry our own colours.
type painted string

// line writes one line. Strings among the arguments are made harmless; a line that
// is too long for the terminal continues below, further in.
func (p *page) line(format string, args ...any) {
	p.buf.WriteString(wrap(sentence(format, args...), p.width))
	p.buf.WriteByte('\n')
}

// verbatim is line for text whose line breaks mean something: contents of files.
func (p *page) verbatim(format string, args ...any) {
	p.buf.WriteString(sentence(format, args...))
	p.buf.WriteByte('\n')
}

// sentence is Sprintf with harmless arguments.
func sentence(format string, args ...any) string {
	for i, a := range args {
		switch a := a.(type) {
		case painted:
			args[i] = string(a)
		case string:
			args[i] = visible(a)
		case fmt.Stringer:
			args[i] = visible(a.String())
		case error:
			args[i] = visible(a.Error())
		default:
			if v := reflect.ValueOf(a); v.Kind() == reflect.String {
				args[i] = visible(v.String())
			}
		}
	}
	return fmt.Sprintf(format, args...)
}

// title begins a section; an empty line stands before all but the first.
func (p *page) title(s string) {
	if p.buf.Len() > 0 {
		p.buf.WriteByte('\n')
	}
	p.line("%s", p.bold(s))
}

// rows draws a table whose first row is its heading; cells are plain text, since colours would spoil the alignment.
func (p *page) rows(rows [][]string) { p.table(rows, true) }

// list is rows without a heading.
func (p *page) list(rows [][]string) { p.table(rows, false) }

func (p *page) table(rows [][]string, heading bool) {
	for _, r := range rows {
		for i, c := range r {
			r[i] = strings.ReplaceAll(visible(c), "\t", `\t`)
		}
	}
	for _, line := range layOut(rows, heading, p.width) {
		p.buf.WriteString(line + "\n")
	}
}

// ref names a piece of state for people.
func (p *page) ref(r provision.Ref) string { return refText(r, p.device) }

// visible writes out what is no printable character: control characters (ESC begins
// the commands of a terminal, so do the C1 controls), what is not UTF-8, and the marks
// that turn the direction of text around. Tabs stay.
func visible(s string) string {
	plain := func(r rune) bool { return r == '\t' || r == ' ' || unicode.IsPrint(r) }
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case plain(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += size
	}
	return b.String()
}

// visibleLines is visible for text of several lines.
func visibleLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = visible(l)
	}
	return strings.Join(lines, "\n")
}

// wrap breaks a line at spaces so that it fits into width columns; what follows
// stands four columns further in than the line begins. Escape sequences of colours
// take no room, a word that is too long stays whole.
func wrap(s string, width int) string {
	if width <= 0 || columns(s) <= width {
		return s
	}
	body := strings.TrimLeft(s, " ")
	indent := strings.Repeat(" ", len(s)-len(body))
	var b strings.Builder
	b.WriteString(indent)
	at, first := len(indent), true
	for _, word := range strings.SplitAfter(body, " ") {
		bare := strings.TrimRight(word, " ")
		if !first && at+columns(bare) > width {
			text := strings.TrimRight(b.String(), " ")
			b.Reset()
			b.WriteString(text + "\n" + indent + "    ")
			at = len(indent) + 4
		}
		b.WriteString(word)
		at += columns(word)
		first = first && bare == ""
	}
	return strings.TrimRight(b.String(), " ")
}

// columns counts what a terminal shows of s: without the sequences ESC [ ... m.
func columns(s string) int {
	n := 0
	for i := 0; i < len(s); {
		if strings.HasPrefix(s[i:], "\x1b[") {
			if end := strings.IndexByte(s[i:], 'm'); end > 0 {
				i += end + 1
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		n += runeColumns(r)
		i += size
	}
	return n
}
