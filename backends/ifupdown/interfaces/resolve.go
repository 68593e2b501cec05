package interfaces

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Resolve reads the configuration that begins at name, following source and
// source-directory lines in files, a map from absolute path to content. unreadable
// names files that exist but whose content is not known, with the reason: a source
// line that needs one is a problem. Relative words are resolved as ifup run from /
// resolves them.
func Resolve(name string, files map[string]string, unreadable map[string]string) *Config {
	r := &resolver{
		config: &Config{Path: name, Files: map[string]*File{}},
		tree:   newTree(files), unreadable: unreadable, seen: map[string]bool{},
	}
	if _, ok := files[name]; !ok {
		text := "no such file"
		if why, ok := unreadable[name]; ok {
			text = "cannot be read: " + why
		}
		r.problem(Problem{Place: Place{name, 0}, Text: text, Fatal: true})
		return r.config
	}
	r.read(name, 0)
	return r.config
}

type resolver struct {
	config     *Config
	tree       tree
	unreadable map[string]string
	seen       map[string]bool // by the path as spelt, as ifupdown remembers them
	values     int             // bytes of option values made so far
	halted     bool            // a limit was reached
}

func (r *resolver) problem(p Problem) { r.config.Problems = append(r.config.Problems, p) }

// limit gives up: what is behind a limit is not read, so nothing may be built on it.
func (r *resolver) limit(at Place, format string, args ...any) {
	if !r.halted {
		r.problem(Problem{Place: at, Text: fmt.Sprintf(format, args...), Fatal: true, Unknown: true})
	}
	r.halted = true
}

// read reads one file; depth 0 is the one ifup was given, whose errors are fatal,
// while those of a sourced file only hide the rest of that file.
func (r *resolver) read(spelt string, depth int) {
	if r.halted || r.seen[spelt] || len(spelt) > maxPath {
		return
	}
	r.seen[spelt] = true
	p := path.Clean(spelt)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	text, ok := r.tree.files[p]
	if !ok {
		return
	}
	if r.config.Files[p] == nil {
		r.config.Files[p] = Parse(p, text)
	}
	f := r.config.Files[p]
	r.config.Order = append(r.config.Order, p)
	if len(r.config.Order) > MaxFiles {
		r.limit(Place{p, 1}, "more than %d files are sourced", MaxFiles)
		return
	}
	run := reading{resolver: r, file: f, spelt: spelt, depth: depth}
	for i := range f.Lines {
		if r.halted || !run.line(i, &f.Lines[i]) {
			return
		}
	}
}

// reading is one pass over one file.
type reading struct {
	*resolver
	file    *File
	spelt   string
	depth   int
	stanza  *Stanza
	mapping int // index in config.Mappings
}

// line takes one line in and reports whether ifup reads on.
func (r *reading) line(i int, l *Line) bool {
	c, at := r.config, Place{r.file.Path, l.Number}
	stop := func(text string) bool {
		r.problem(Problem{Place: at, Text: text, Fatal: r.depth == 0, Truncates: true})
		return false
	}
	switch l.Kind {
	case Bad:
		return stop(l.Problem)
	case Iface:
		if l.Problem != "" {
			r.problem(Problem{Place: at, Text: l.Problem})
		}
		text := r.begin(i, l, at)
		if text != "" {
			return stop(text)
		}
	case OptionLine:
		r.option(l, at)
	case Auto:
		r.names(l, at, &c.Entries, strings.TrimPrefix(l.Word, "allow-"))
	case NoAutoDown, NoScripts:
		r.names(l, at, &c.Excluded, l.Word)
	case RenameLine:
		for _, w := range words(l.Rest) {
			from, to, _ := strings.Cut(w, "=")
			c.Renames = append(c.Renames, Rename{at, from, to})
		}
	case MappingLine:
		r.mapping = len(c.Mappings)
		c.Mappings = append(c.Mappings, Mapping{Place: at, Patterns: words(l.Rest)})
	case Script:
		c.Mappings[r.mapping].Script = l.Rest
	case Map:
		m := &c.Mappings[r.mapping]
		m.Maps = append(m.Maps, l.Rest)
	case SourceLine, SourceDir:
		r.source(l, at)
	}
	return true
}

func (r *reading) names(l *Line, at Place, list *[]Entry, class string) {
	all := words(l.Rest)
	if l.Stanza >= 0 {
		all = []string{r.stanza.Logical}
	}
	for _, w := range all {
		*list = append(*list, Entry{at, class, w})
	}
}

// begin starts a stanza; a parent must stand before its heir.
func (r *reading) begin(i int, l *Line, at Place) string {
	h := header(l.Rest)
	s := &Stanza{Place: at, Logical: h.logical, Family: h.family, Method: h.method, file: r.file, index: i}
	if h.parent != "" {
		for _, p := range r.config.Stanzas {
			if p.Logical == h.parent && (h.family == "" || p.Family == h.family) {
				s.Parent = p
				break
			}
		}
		if s.Parent == nil {
			return fmt.Sprintf("cannot inherit from %q: no such stanza before this one", h.parent)
		}
		for _, o := range s.Parent.Options {
			o.Inherited = true
			s.Options = append(s.Options, o)
			r.values += len(o.Value)
		}
		if s.Family == "" {
			s.Family = s.Parent.Family
		}
		if s.Method == "" {
			s.Method = s.Parent.Method
		}
	}
	r.stanza = s
	r.config.Stanzas = append(r.config.Stanzas, s)
	if len(r.config.Stanzas) > MaxStanzas {
		r.limit(at, "more than %d iface stanzas", MaxStanzas)
	}
	r.checkValues(at)
	return ""
}

func (r *reading) option(l *Line, at Place) {
	s := r.stanza
	s.set(l.Word, l.Rest, at)
	if o, ok := s.Option(strings.TrimSuffix(l.Word, "?")); ok {
		r.values += len(o.Value) // joining copies what was there
	}
	if len(s.Options) > MaxOptions {
		r.limit(at, "stanza of %s has more than %d options", s.Logical, MaxOptions)
	}
	r.checkValues(at)
}

func (r *reading) checkValues(at Place) {
	if r.values > MaxValues {
		r.limit(at, "option values take more than %d bytes", MaxValues)
	}
}

func (r *reading) source(l *Line, at Place) {
	c := r.config
	if len(c.Sources) == MaxSources {
		r.limit(at, "more than %d source lines", MaxSources)
		return
	}
	if r.depth == MaxDepth {
		r.limit(at, "files source each other more than %d deep", MaxDepth)
		return
	}
	n := len(c.Sources)
	c.Sources = append(c.Sources, Source{Place: at, Directory: l.Kind == SourceDir, Arg: l.Rest})
	pattern := l.Rest
	if !strings.HasPrefix(pattern, "/") {
		pattern = dirname(r.spelt) + "/" + pattern
	}
	fields, err := expand(pattern)
	if err != nil {
		// An unknown word may stand for files that hold anything.
		r.problem(Problem{Place: at, Text: fmt.Sprintf("cannot follow %q: %v", l.Rest, err), Unknown: errors.Is(err, errUnknown)})
		return
	}
	for _, f := range fields {
		word := f.text
		if !strings.HasPrefix(word, "/") {
			word = "/" + word
		}
		c.Sources[n].Words = append(c.Sources[n].Words, word)
		c.Sources[n].globs = append(c.Sources[n].globs, f.glob)
		one := Source{Directory: l.Kind == SourceDir, Words: []string{word}, globs: []bool{f.glob}}
		for _, p := range slices.Sorted(maps.Keys(r.unreadable)) {
			if one.Covers(p) || strings.HasPrefix(path.Clean(word)+"/", p+"/") {
				r.problem(Problem{Place: at, Text: fmt.Sprintf("cannot read %s: %s", p, r.unreadable[p]), Unknown: true})
			}
		}
		found := []string{word}
		if f.glob {
			found = r.tree.glob(word)
		}
		for _, p := range found {
			if l.Kind != SourceDir {
				r.pull(n, p)
				continue
			}
			for _, name := range r.tree.names(p) {
				if directoryName(name) {
					r.pull(n, p+"/"+name)
				}
			}
		}
	}
}

func (r *reading) pull(source int, spelt string) {
	if _, ok := r.tree.files[path.Clean(spelt)]; !ok {
		return // missing, or a directory: ifup passes over both
	}
	r.config.Sources[source].Files = append(r.config.Sources[source].Files, spelt)
	r.read(spelt, r.depth+1)
}
