package interfaces

import (
	"fmt"
	"strings"
)

// methods lists what the Linux builds of ifupdown 0.8.41 to 0.8.45 know
// (*.defn); another address family or method stops the reading of the file.
var methods = map[string][]string{
	"inet":  {"loopback", "static", "manual", "dhcp", "bootp", "tunnel", "ppp", "wvdial", "ipv4ll"},
	"inet6": {"auto", "loopback", "static", "manual", "dhcp", "tunnel", "v4tunnel", "6to4"},
	"ipx":   {"static", "dynamic"},
	"can":   {"static"},
	"meta":  {"none"},
}

func knownMethod(family, method string) bool {
	for _, m := range methods[family] {
		if m == method {
			return true
		}
	}
	return false
}

// Parse reads one file. It never fails: a line at which ifupdown would stop has Kind
// Bad with its Problem, and the lines behind it are Unread; all bytes are kept.
func Parse(path, text string) *File {
	f := &File{Path: path}
	if len(text) > MaxFile {
		f.Lines = []Line{{Number: 1, Raw: text, Kind: Bad, Stanza: -1,
			Problem: fmt.Sprintf("file is larger than %d bytes", MaxFile)}}
		return f
	}
	f.Lines = split(text)
	var p parser
	p.stanza = -1
	for i := range f.Lines {
		l := &f.Lines[i]
		if p.stopped {
			l.Kind = Unread
			continue
		}
		p.line(i, l)
		p.stopped = l.Kind == Bad
	}
	return f
}

// parser carries what one line means for the next: currently_processing of config.c.
type parser struct {
	stanza  int  // Iface or MappingLine that options belong to, -1 none
	mapping bool // stanza is a mapping
	script  bool // the mapping has its script
	stopped bool
}

func (p *parser) line(i int, l *Line) {
	if strings.IndexByte(l.Raw, 0) >= 0 {
		l.Kind, l.Problem = Bad, "NUL byte: ifupdown would lose the rest of the line"
		return
	}
	if l.Kind == Comment {
		return
	}
	var ok bool
	l.Word, l.Rest, ok = nextWord(l.Text)
	switch {
	case !ok:
		l.Kind = Blank
	case l.Word == "mapping":
		*p = parser{stanza: i, mapping: true}
		l.Kind, l.Stanza = MappingLine, i
	case l.Word == "source":
		p.stanza, l.Kind = -1, SourceLine
	case strings.HasPrefix(l.Word, "source-dir"):
		p.stanza, l.Kind = -1, SourceDir
	case l.Word == "iface":
		h := header(l.Rest)
		if h.fatal {
			l.Kind, l.Problem = Bad, h.problem
			return
		}
		*p = parser{stanza: i}
		l.Kind, l.Stanza, l.Problem = Iface, i, h.problem
	case l.Word == "auto" || strings.HasPrefix(l.Word, "allow-") && l.Word != "allow-":
		p.list(l, Auto)
	case l.Word == "no-auto-down":
		p.list(l, NoAutoDown)
	case l.Word == "no-scripts":
		p.list(l, NoScripts)
	case l.Word == "rename":
		p.stanza, l.Kind = -1, RenameLine
	default:
		p.option(l)
	}
}

// list is a line of names. Without any inside an iface stanza it names that stanza's
// interface and the stanza goes on; else the stanza ends.
func (p *parser) list(l *Line, kind Kind) {
	l.Kind = kind
	if l.Rest == "" && p.stanza >= 0 && !p.mapping {
		l.Stanza = p.stanza
		return
	}
	p.stanza = -1
}

func (p *parser) option(l *Line) {
	l.Stanza = p.stanza
	bad := func(text string) { l.Kind, l.Problem = Bad, text }
	switch {
	case p.stanza < 0:
		bad(fmt.Sprintf("misplaced option %q: no iface or mapping stanza begins before it", l.Word))
	case p.mapping && l.Word == "script" && p.script:
		bad("second script in one mapping")
	case p.mapping && l.Word == "script":
		l.Kind, p.script = Script, true
	case p.mapping && l.Word == "map":
		l.Kind = Map
	case p.mapping:
		bad(fmt.Sprintf("misplaced option %q: a mapping has only script and map", l.Word))
	case l.Rest == "":
		bad(fmt.Sprintf("option %q has no value", l.Word))
	default:
		l.Kind = OptionLine
	}
}

// head is what an iface line says.
type head struct {
	logical, family, method, parent string
	problem                         string
	fatal                           bool
}

// header reads the words behind "iface": NAME FAMILY METHOD, with "inherits PARENT"
// in place of method, of family and method, or behind them.
func header(rest string) head {
	var h head
	fail := func(format string, args ...any) head {
		h.problem, h.fatal = fmt.Sprintf(format, args...), true
		return h
	}
	var ok bool
	if h.logical, rest, ok = nextWord(rest); !ok {
		return fail("iface line without an interface name")
	}
	var word string
	inherits := false
	if word, rest, ok = nextWord(rest); ok {
		if _, known := methods[word]; !known {
			inherits = word == "inherits"
			if !inherits {
				return fail("unknown address family %q", word)
			}
		} else {
			h.family = word
			if word, rest, ok = nextWord(rest); ok {
				switch {
				case knownMethod(h.family, word):
					h.method = word
				case word == "inherits":
					inherits = true
				default:
					return fail("unknown method %q of address family %s", word, h.family)
				}
			}
		}
	}
	if h.family == "" && !inherits {
		return fail("iface line without an address family")
	}
	if h.method == "" && !inherits {
		return fail("iface line without a method")
	}
	if !inherits {
		if word, rest, ok = nextWord(rest); !ok {
			return h
		}
		if word != "inherits" {
			h.problem = fmt.Sprintf("extra word %q is ignored", word)
			return h
		}
	}
	if h.parent, _, ok = nextWord(rest); !ok {
		return fail("inherits without the name of an interface")
	}
	return h
}
