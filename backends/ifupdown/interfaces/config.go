package interfaces

import (
	"fmt"
	"path"
	"strings"
)

// Place is a line of a file.
type Place struct {
	File string
	Line int
}

// String returns "file:line".
func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Option is one option of a stanza. ifupdown joins the values of a repeated option
// with newlines, except those of pre-up, up, down and post-down, which stay apart.
type Option struct {
	Name, Value string
	Place       Place // where the value, or the last piece of it, stands
	Inherited   bool  // some of the value comes from the parent
	Count       int   // how many lines make the value
}

// Stanza is one iface stanza, as ifup would carry it out.
type Stanza struct {
	Place
	Logical, Family, Method string
	Parent                  *Stanza // inherits
	Options                 []Option
	file                    *File
	index                   int // of the iface line
}

// Option returns the named option.
func (s *Stanza) Option(name string) (Option, bool) {
	for _, o := range s.Options {
		if o.Name == name {
			return o, true
		}
	}
	return Option{}, false
}

// File is the file that the stanza stands in.
func (s *Stanza) File() *File { return s.file }

// Entry is one name or pattern of an auto, allow-CLASS, no-auto-down or no-scripts
// line. Class is "auto", what follows "allow-", "no-auto-down" or "no-scripts".
type Entry struct {
	Place
	Class, Name string
}

// Mapping is a mapping stanza. Its script is named, never run.
type Mapping struct {
	Place
	Patterns []string
	Script   string
	Maps     []string
}

// Matches reports whether the mapping decides for the logical interface.
func (m Mapping) Matches(logical string) bool {
	for _, p := range m.Patterns {
		if match(p, logical, false) {
			return true
		}
	}
	return false
}

// Rename is one CUR=NEW of a rename line; CUR may be a pattern.
type Rename struct {
	Place
	From, To string
}

// Source is one source or source-directory line.
type Source struct {
	Place
	Directory bool
	Arg       string
	Words     []string // absolute file or directory patterns it stands for
	globs     []bool
	Files     []string // what it pulled in, in reading order
}

// Covers reports whether the line would pull in a file of that path.
func (s Source) Covers(p string) bool {
	for i, w := range s.Words {
		switch {
		case s.Directory && !directoryName(path.Base(p)):
		case s.Directory && s.globs[i] && covers(w, path.Dir(p)),
			s.Directory && !s.globs[i] && path.Clean(w) == path.Dir(p),
			!s.Directory && s.globs[i] && covers(w, p),
			!s.Directory && !s.globs[i] && path.Clean(w) == path.Clean(p):
			return true
		}
	}
	return false
}

// Problem is something wrong with a line. Fatal: ifup refuses the whole
// configuration. Truncates: ifup reads no further in that file. Unknown: ifup may
// see stanzas that we do not.
type Problem struct {
	Place
	Text                      string
	Fatal, Truncates, Unknown bool
}

// Error returns "file:line: text".
func (p Problem) Error() string { return p.Place.String() + ": " + p.Text }

// Config is what ifup makes of a tree of files.
type Config struct {
	Path     string
	Files    map[string]*File // by the path as given, cleaned
	Order    []string         // in reading order
	Stanzas  []*Stanza        // in execution order
	Entries  []Entry          // auto and allow-CLASS
	Excluded []Entry          // no-auto-down and no-scripts
	Mappings []Mapping
	Renames  []Rename
	Sources  []Source
	Problems []Problem
}

// Written returns the iface stanzas for a logical interface: those that ifup carries
// out, and behind them those that it never reaches because of an error before them.
// What somebody wrote down is theirs also while it is broken.
func (c *Config) Written(logical string) []*Stanza {
	var out []*Stanza
	reached := map[Place]bool{}
	for _, s := range c.Stanzas {
		if s.Logical == logical {
			out = append(out, s)
			reached[s.Place] = true
		}
	}
	for _, p := range c.Order {
		f := c.Files[p]
		for i := range f.Lines {
			l := &f.Lines[i]
			if l.Kind != Iface && l.Kind != Bad && l.Kind != Unread || reached[Place{p, l.Number}] {
				continue
			}
			word, rest, _ := nextWord(l.Text)
			if h := header(rest); word == "iface" && h.logical == logical {
				out = append(out, &Stanza{Place: Place{p, l.Number}, Logical: logical, Family: h.family, Method: h.method, file: f, index: i})
				reached[Place{p, l.Number}] = true
			}
		}
	}
	return out
}

// Broken returns the problems that stop ifup, hide lines from it, or hide from us what
// it reads.
func (c *Config) Broken() []Problem {
	var out []Problem
	for _, p := range c.Problems {
		if p.Fatal || p.Truncates || p.Unknown {
			out = append(out, p)
		}
	}
	return out
}

// Covering returns the source lines that would pull in a file of that path.
func (c *Config) Covering(p string) []Source {
	var out []Source
	for _, s := range c.Sources {
		if s.Covers(p) {
			out = append(out, s)
		}
	}
	return out
}

// PulledInBy returns the source line through which a file is read; ok is false for
// the configuration's first file.
func (c *Config) PulledInBy(p string) (Source, bool) {
	for _, s := range c.Sources {
		for _, f := range s.Files {
			if path.Clean(f) == path.Clean(p) {
				return s, true
			}
		}
	}
	return Source{}, false
}

// Of returns the stanzas of a logical interface, in execution order.
func (c *Config) Of(logical string) []*Stanza {
	var out []*Stanza
	for _, s := range c.Stanzas {
		if s.Logical == logical {
			out = append(out, s)
		}
	}
	return out
}

// Heirs returns the stanzas that inherit from s, also through others.
func (c *Config) Heirs(s *Stanza) []*Stanza {
	var out []*Stanza
	for _, h := range c.Stanzas {
		for p := h.Parent; p != nil; p = p.Parent {
			if p == s {
				out = append(out, h)
				break
			}
		}
	}
	return out
}

// isScript reports whether ifupdown runs each line of the option by itself.
func isScript(name string) bool {
	return name == "pre-up" || name == "up" || name == "down" || name == "post-down"
}

// set is the option switch of read_interfaces_defn and set_variable of config.c.
func (s *Stanza) set(word, value string, at Place) {
	switch word {
	case "post-up":
		word = "up"
	case "pre-down":
		word = "down"
	}
	name, keep := strings.CutSuffix(word, "?")
	if isScript(word) {
		s.Options = append(s.Options, Option{Name: word, Value: value, Place: at, Count: 1})
		return
	}
	for i := range s.Options {
		o := &s.Options[i]
		if o.Name != name {
			continue
		}
		if keep {
			return // "name?" leaves an option that is there
		}
		o.Value += "\n" + value
		o.Place = at
		o.Count++
		return
	}
	s.Options = append(s.Options, Option{Name: name, Value: value, Place: at, Count: 1})
}
