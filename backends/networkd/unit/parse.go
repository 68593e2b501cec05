package unit

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read from one file. networkd itself takes lines of up to 1 MiB.
const (
	maxFile    = 1 << 20
	maxEntries = 20000
)

// Entry is one assignment of a unit file.
type Entry struct {
	Section string // without brackets
	Key     string
	Value   string // continuation lines joined, blanks at both ends removed
	File    string
	Line    int // 1-based, where the assignment begins
	Block   int // number of the section header it stands under, unique in its file
}

// Source is "file:line".
func (e Entry) Source() string { return fmt.Sprintf("%s:%d", e.File, e.Line) }

// File is one unit file: its assignments in order, repeated sections kept apart by Block.
type File struct {
	Path    string
	Entries []Entry
	// Problems are the lines that networkd ignores, and Broken is set when it would
	// refuse the whole file from there on.
	Problems []error
	Broken   bool
}

// Parse reads a unit file as systemd.syntax(7) and systemd's config_parse say:
// "#" and ";" begin a comment only at the start of a line, also between the lines of
// a continuation; a trailing backslash continues; an assignment before the first
// section, without "=" or without a key is ignored; a broken section header ends
// the reading of the file.
func Parse(file, text string) File {
	u := File{Path: file}
	problem := func(line int, format string, args ...any) {
		if len(u.Problems) < 100 {
			u.Problems = append(u.Problems, fmt.Errorf("%s:%d: %s", file, line, fmt.Sprintf(format, args...)))
		}
	}
	if len(text) > maxFile {
		u.Broken = true
		problem(1, "cannot read unit file: %d bytes are more than %d", len(text), maxFile)
		return u
	}
	text = strings.TrimPrefix(text, "\ufeff")

	section, block := "", 0
	var joined strings.Builder
	start, continued := 0, false
	finish := func() bool {
		line := strings.Trim(joined.String(), blanks)
		joined.Reset()
		continued = false
		switch {
		case line == "":
		case !utf8.ValidString(line):
			problem(start, "line is not UTF-8 and is ignored")
		case line[0] == '[':
			if line[len(line)-1] != ']' {
				problem(start, "section header %q has no closing bracket: networkd refuses the file", short(line))
				u.Broken = true
				return false
			}
			section = line[1 : len(line)-1]
			block++
		default:
			key, value, ok := strings.Cut(line, "=")
			key = strings.Trim(key, blanks)
			switch {
			case !ok:
				problem(start, "line %q has no \"=\" and is ignored", short(line))
			case key == "":
				problem(start, "line %q has no key and is ignored", short(line))
			case section == "":
				problem(start, "assignment %q stands before the first section and is ignored", short(line))
			case len(u.Entries) >= maxEntries:
				problem(start, "more than %d assignments: the rest is not read", maxEntries)
				u.Broken = true
				return false
			default:
				u.Entries = append(u.Entries, Entry{Section: section, Key: key,
					Value: strings.Trim(value, blanks), File: file, Line: start, Block: block})
			}
		}
		return true
	}

	number := 0
	for raw := range lines(text) {
		number++
		line := strings.TrimLeft(raw, blanks)
		if line != "" && (line[0] == '#' || line[0] == ';') {
			continue
		}
		if !continued {
			start = number
		}
		if endsEscaped(line) {
			joined.WriteString(line[:len(line)-1])
			joined.WriteByte(' ')
			continued = true
			continue
		}
		joined.WriteString(line)
		if !finish() {
			return u
		}
	}
	if continued {
		finish()
	}
	return u
}

// Render writes assignments as text that parses to the same assignments, each
// section header of the original once.
func Render(entries []Entry) string {
	var b strings.Builder
	for i, e := range entries {
		if i == 0 || e.File != entries[i-1].File || e.Block != entries[i-1].Block {
			fmt.Fprintf(&b, "\n[%s]\n", e.Section)
		}
		fmt.Fprintf(&b, "%s=%s", e.Key, e.Value)
		if endsEscaped(e.Value) {
			b.WriteByte(' ') // else the backslash would continue the line
		}
		b.WriteByte('\n')
	}
	return b.String()
}

const blanks = " \t\n\r"

// lines cuts at LF, CR LF, CR and NUL, as systemd's read_line does.
func lines(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for text != "" {
			i := strings.IndexAny(text, "\n\r\x00")
			if i < 0 {
				yield(text)
				return
			}
			line, end := text[:i], i+1
			if text[i] == '\r' && end < len(text) && text[end] == '\n' {
				end++
			}
			text = text[end:]
			if !yield(line) {
				return
			}
		}
	}
}

// endsEscaped reports an odd number of backslashes at the end of line.
func endsEscaped(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

func short(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "?") + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// Bool is systemd's parse_boolean.
func Bool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true, true
	case "0", "no", "n", "false", "f", "off":
		return false, true
	}
	return false, false
}
