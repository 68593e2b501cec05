// Package keyfile reads and edits the key files of GLib (GKeyFile) byte for byte:
// NetworkManager's profiles and its configuration. An edit changes or inserts one line
// and leaves every other byte as it was.
//
// What GKeyFile does (glib/gkeyfile.c): comments are lines whose first character that
// is not blank is "#" (";" is an error); a group is "[name]" with nothing but blanks
// behind it; a key ends at the first "=", blanks around the "=" do not count, and
// blanks at the end of a value do. A group or key that comes twice is one, and the
// last value counts. A key before the first group is an error.
package keyfile

import (
	"bytes"
	"fmt"
	"strings"
)

// MaxSize is the size in bytes beyond which a file is refused.
const MaxSize = 1 << 20

// Entry is one key line.
type Entry struct {
	Group, Key, Value string
	Line              int // 1-based
}

// File is a parsed key file.
type File struct {
	lines  []string // with their line ends
	groups []group
	Keys   []Entry // in the order of the file
}

type group struct {
	name string
	line int // 1-based
}

// Error is a line that GKeyFile would refuse.
type Error struct {
	Line int
	Text string
}

// Error names the line.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// Parse reads data as GKeyFile does.
func Parse(data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("larger than %d bytes", MaxSize)
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return nil, &Error{bytes.Count(data[:i], []byte("\n")) + 1, "a NUL byte"}
	}
	f := &File{}
	for line := range strings.Lines(string(data)) {
		f.lines = append(f.lines, line)
		n := len(f.lines)
		s := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		start := strings.TrimLeft(s, blanks)
		switch {
		case start == "" || start[0] == '#':
		case start[0] == '[':
			name, ok := groupName(start)
			if !ok {
				if !strings.Contains(start, "=") { // "[a=b" is a key for GKeyFile too
					return nil, &Error{n, fmt.Sprintf("%q is not a key-value pair, group, or comment", s)}
				}
				if err := f.key(start, n); err != nil {
					return nil, err
				}
				continue
			}
			if !validGroup(name) {
				return nil, &Error{n, fmt.Sprintf("invalid group name %q", name)}
			}
			f.groups = append(f.groups, group{name, n})
		default:
			if err := f.key(start, n); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// blanks is what g_ascii_isspace takes within a line.
const blanks = " \t\f\v\r"

func groupName(s string) (string, bool) {
	end := strings.IndexByte(s, ']')
	if end < 0 || strings.Trim(s[end+1:], " \t") != "" {
		return "", false
	}
	return s[1:end], true
}

// validGroup follows g_key_file_is_group_name: no brackets, no control characters.
func validGroup(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r == '[' || r == ']' || r < 0x20 || r == 0x7f })
}

func (f *File) key(s string, n int) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return &Error{n, fmt.Sprintf("%q is not a key-value pair, group, or comment", s)}
	}
	if len(f.groups) == 0 {
		return &Error{n, "a key before the first group"}
	}
	k = strings.TrimRight(k, blanks)
	if k == "" {
		return &Error{n, "a line without a key"}
	}
	f.Keys = append(f.Keys, Entry{f.groups[len(f.groups)-1].name, k, strings.TrimLeft(v, blanks), n})
	return nil
}

// Get returns the value that counts for a key of a group and its line.
func (f *File) Get(groupName, key string) (value string, line int, ok bool) {
	for _, e := range f.Keys {
		if e.Group == groupName && e.Key == key {
			value, line, ok = e.Value, e.Line, true
		}
	}
	return value, line, ok
}

// Groups lists the groups in order of their first appearance, and the line of that.
func (f *File) Groups() (names []string, lines []int) {
	seen := map[string]bool{}
	for _, g := range f.groups {
		if !seen[g.name] {
			seen[g.name] = true
			names, lines = append(names, g.name), append(lines, g.line)
		}
	}
	return names, lines
}

// Bytes is the file as it stands.
func (f *File) Bytes() []byte { return []byte(strings.Join(f.lines, "")) }

// Set gives a key a value and returns the new file: the line that counts is changed
// in place, keeping its indent and the blanks around "="; a new key goes behind the
// last key of its group; a new group goes to the end.
func (f *File) Set(groupName, key, value string) ([]byte, error) {
	if !validGroup(groupName) || key == "" || strings.ContainsAny(key, "=[]#\n\r\x00") || strings.Trim(key, blanks) != key ||
		strings.ContainsAny(value, "\n\r\x00") || strings.TrimLeft(value, blanks) != value {
		return nil, fmt.Errorf("cannot set %q of [%s]: not a key or value of a key file", key, groupName)
	}
	lines := make([]string, len(f.lines))
	copy(lines, f.lines)
	if _, n, ok := f.Get(groupName, key); ok {
		old := lines[n-1]
		body := strings.TrimRight(old, "\r\n")
		eq := strings.IndexByte(body, '=')
		rest := body[eq+1:]
		gap := rest[:len(rest)-len(strings.TrimLeft(rest, blanks))]
		lines[n-1] = body[:eq+1] + gap + value + old[len(body):]
		return []byte(strings.Join(lines, "")), nil
	}
	after := 0 // line behind which the key goes
	for _, g := range f.groups {
		if g.name == groupName {
			after = g.line
		}
	}
	for _, e := range f.Keys {
		if e.Group == groupName && e.Line > after && f.at(e.Line) == groupName {
			after = e.Line
		}
	}
	end := f.lineEnd()
	text := key + "=" + value + end
	if after == 0 {
		if n := len(lines); n > 0 {
			lines[n-1] = ended(lines[n-1], end)
			text = end + "[" + groupName + "]" + end + text
		} else {
			text = "[" + groupName + "]" + end + text
		}
		return []byte(strings.Join(append(lines, text), "")), nil
	}
	if !strings.HasSuffix(lines[after-1], "\n") { // the last line of the file
		lines[after-1] = ended(lines[after-1], end)
		text = strings.TrimSuffix(text, end)
	}
	out := append(lines[:after:after], text)
	return []byte(strings.Join(append(out, lines[after:]...), "")), nil
}

// at is the group that is open at a line.
func (f *File) at(line int) string {
	name := ""
	for _, g := range f.groups {
		if g.line <= line {
			name = g.name
		}
	}
	return name
}

// ended is a last line with its end: a carriage return that stands there already is
// half of it, or it would become part of the value.
func ended(line, end string) string {
	switch {
	case strings.HasSuffix(line, "\n"):
		return line
	case strings.HasSuffix(line, "\r"):
		return line + "\n"
	}
	return line + end
}

// lineEnd is what the file's lines end with.
func (f *File) lineEnd() string {
	if len(f.lines) > 0 && strings.HasSuffix(f.lines[0], "\r\n") {
		return "\r\n"
	}
	return "\n"
}
