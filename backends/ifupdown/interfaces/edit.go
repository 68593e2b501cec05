package interfaces

import (
	"errors"
	"fmt"
	"strings"
)

// SetOption returns the bytes of s's file with the option of that one stanza set to
// value. A line that is there keeps its indent, the blanks behind its name and its
// line ending; a new line goes behind the stanza's last option, with that option's
// indent. All other bytes stay. It refuses an option that several lines make, since
// ifupdown joins them with newlines.
func SetOption(s *Stanza, name, value string) (string, error) {
	f, iface := s.file, s.index
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("cannot set %s of %s at %s: %w", name, s.Logical, s.Place, err)
	}
	if err := plain(name, value); err != nil {
		return fail(err)
	}
	var have []int
	last := iface
	for i := iface + 1; i < len(f.Lines); i++ {
		l := &f.Lines[i]
		if l.Stanza != iface {
			continue
		}
		last = i
		if l.Kind == OptionLine && strings.TrimSuffix(l.Word, "?") == name {
			have = append(have, i)
		}
	}
	switch len(have) {
	case 0:
		for _, behind := range []int{last, iface} {
			if text, ok := insert(f, iface, behind, name, value); ok {
				return text, nil
			}
		}
		return fail(errors.New("the stanza's last line is continued over the end of the file: end it with a newline"))
	case 1:
		if f.Lines[have[0]].Rest == value {
			return f.String(), nil
		}
		if text, ok := replace(f, have[0], name, value); ok {
			return text, nil
		}
		return fail(fmt.Errorf("line %d is written in a way that cannot be kept", f.Lines[have[0]].Number))
	}
	return fail(fmt.Errorf("lines %d and %d both set it, and ifupdown joins them with a newline: delete one",
		f.Lines[have[0]].Number, f.Lines[have[1]].Number))
}

// plain refuses what would not come back as one option line.
func plain(name, value string) error {
	word, rest, _ := nextWord(name + " " + value)
	if name == "" || word != name || rest != value || value == "" || trimRight(value) != value ||
		strings.ContainsAny(name+value, "\n\x00") || strings.HasSuffix(value, `\`) || name[0] == '#' || strings.HasSuffix(name, "?") {
		return fmt.Errorf("%q %q is no option line", name, value)
	}
	return nil
}

// eol returns the line ending of raw: "\r\n", "\n" or none.
func eol(raw string) string {
	switch {
	case strings.HasSuffix(raw, "\r\n"):
		return "\r\n"
	case strings.HasSuffix(raw, "\n"):
		return "\n"
	}
	return ""
}

func indentOf(raw string) string { return raw[:len(raw)-len(trimLeft(raw))] }

// indentFor is the indent of the stanza's options, else that of the nearest stanza
// with options, else four blanks.
func indentFor(f *File, iface int) string {
	best := -1
	for i := range f.Lines {
		l := &f.Lines[i]
		if l.Kind != OptionLine {
			continue
		}
		if l.Stanza == iface {
			best = i // its last option
		} else if best < 0 || f.Lines[best].Stanza != iface && abs(i-iface) < abs(best-iface) {
			best = i
		}
	}
	if best < 0 {
		return "    "
	}
	indent := indentOf(f.Lines[best].Raw)
	if i := strings.LastIndexByte(indent, '\n'); i >= 0 {
		indent = indent[i+1:]
	}
	return indent
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

func insert(f *File, iface, behind int, name, value string) (string, bool) {
	line := indentFor(f, iface) + name + " " + value
	var b strings.Builder
	for i := range f.Lines {
		raw := f.Lines[i].Raw
		b.WriteString(raw)
		if i != behind {
			continue
		}
		end := eol(raw)
		if end != "" {
			b.WriteString(line + end)
			continue
		}
		end = "\n"
		if i > 0 && eol(f.Lines[i-1].Raw) != "" {
			end = eol(f.Lines[i-1].Raw)
		}
		b.WriteString(end + line)
	}
	text := b.String()
	return text, holds(f, text, behind+1, 1, iface, name, value)
}

func replace(f *File, at int, name, value string) (string, bool) {
	raw := f.Lines[at].Raw
	indent := indentOf(raw)
	end := eol(raw)
	word := f.Lines[at].Word
	line := indent + word + " " + value + end // when it is continued over several lines
	if strings.Count(raw, "\n") <= 1 && strings.HasPrefix(raw[len(indent):], word) {
		rest := raw[len(indent)+len(word):]
		blanks := indentOf(rest)
		body := trimRight(rest)
		if len(body) > len(blanks) {
			line = indent + word + blanks + value + rest[len(body):]
		}
	}
	var b strings.Builder
	for i := range f.Lines {
		if i == at {
			b.WriteString(line)
		} else {
			b.WriteString(f.Lines[i].Raw)
		}
	}
	text := b.String()
	return text, holds(f, text, at, 0, f.Lines[at].Stanza, name, value)
}

// holds reads the edited text again: line at is the wanted option of the stanza, and
// every other line is what it was. added is how many lines are new.
func holds(old *File, text string, at, added, iface int, name, value string) bool {
	f := Parse(old.Path, text)
	if len(f.Lines) != len(old.Lines)+added {
		return false
	}
	l := f.Lines[at]
	if l.Kind != OptionLine || l.Stanza != iface || strings.TrimSuffix(l.Word, "?") != name || l.Rest != value {
		return false
	}
	for i := range old.Lines {
		j := i
		if i >= at {
			j = i + added
		}
		if j == at {
			continue
		}
		a, b := old.Lines[i], f.Lines[j]
		if a.Text != b.Text || a.Kind != b.Kind || a.Raw != b.Raw && a.Raw+eol(b.Raw) != b.Raw {
			return false
		}
	}
	return true
}
