package interfaces

import (
	"fmt"
	"strings"
)

// Kind says what a line is for ifupdown.
type Kind int

// Kinds of lines.
const (
	Blank       Kind = iota
	Comment          // first byte that is not white space is '#'
	Iface            // begins a stanza
	Auto             // auto or allow-CLASS
	NoAutoDown       // no-auto-down
	NoScripts        // no-scripts
	RenameLine       // rename
	SourceLine       // source
	SourceDir        // source-directory
	MappingLine      // begins a mapping
	Script           // script of a mapping
	Map              // map of a mapping
	OptionLine       // option of an iface stanza
	Bad              // ifupdown stops reading the file here
	Unread           // behind a Bad line
)

// Line is one logical line: a physical line with those that a trailing backslash
// joins to it.
type Line struct {
	Number  int    // of its first physical line, from 1
	Raw     string // all its bytes, line endings included
	Text    string // joined, without white space at both ends
	Word    string // first word, cut to 79 bytes as ifupdown cuts it
	Rest    string // what follows the first word
	Kind    Kind
	Stanza  int    // index in File.Lines of the Iface or MappingLine it belongs to, -1 outside
	Problem string // why ifupdown stops (Bad) or what it ignores
}

// File is one parsed file.
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

// isSpace is isspace(3) in the C locale, which is the one ifupdown runs in.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func trimLeft(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	return s
}

func trimRight(s string) string {
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// nextWord returns the first word of s, cut to 79 bytes, and what follows it. ok is
// false at the end of s.
func nextWord(s string) (word, rest string, ok bool) {
	if s == "" {
		return "", "", false
	}
	n := 0
	for n < len(s) && !isSpace(s[n]) {
		n++
	}
	return s[:min(n, maxWord)], trimLeft(s[n:]), true
}

func words(s string) []string {
	var out []string
	for {
		w, rest, ok := nextWord(s)
		if !ok {
			return out
		}
		out = append(out, w)
		s = rest
	}
}

// physical cuts the first physical line, with its newline, off text.
func physical(text string) (line, rest string) {
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		return text[:i+1], text[i+1:]
	}
	return text, ""
}

// split cuts text into logical lines as get_line of config.c does. A comment is
// never continued; the line after a backslash is never a comment; a backslash
// before CR LF joins nothing, because the CR stands between.
func split(text string) []Line {
	var out []Line
	for number := 1; text != ""; {
		phys, rest := physical(text)
		line := Line{Number: number, Raw: phys, Stanza: -1}
		number++
		joined := trimLeft(strings.TrimSuffix(phys, "\n"))
		if strings.HasPrefix(joined, "#") {
			line.Kind = Comment
		} else {
			acc := []byte(joined)
			for len(acc) > 0 && acc[len(acc)-1] == '\\' {
				acc = acc[:len(acc)-1]
				if rest == "" {
					continue // at the end of the file each trailing backslash goes
				}
				phys, rest = physical(rest)
				line.Raw += phys
				number++
				acc = append(acc, strings.TrimSuffix(phys, "\n")...)
			}
			joined = string(acc)
		}
		line.Text = trimRight(joined)
		out = append(out, line)
		text = rest
	}
	return out
}

// at prefixes a problem with its place.
func at(path string, line int, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", path, line, fmt.Sprintf(format, args...))
}
