package bootfile

import (
	"strings"
	"unicode/utf8"
)

// Param is one parameter of the kernel's command line.
type Param struct {
	Key, Value string
	Start, End int // bytes of the text
	HasValue   bool
}

// Cmdline is cmdline.txt.
type Cmdline struct {
	Params   []Param // of the first line, which is all that is used
	Problems []Problem
}

// Problem is something that keeps a boot file from working.
type Problem struct {
	Code string `json:"code"` // empty, nul, bom, lines, crlf, no-root, not-text, quote
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// ParseCmdline reads cmdline.txt: one line of parameters separated by blanks, where
// double quotes keep blanks (Documentation/admin-guide/kernel-parameters.rst).
func ParseCmdline(text string) Cmdline {
	var c Cmdline
	bad := func(code string, line int, text string) { c.Problems = append(c.Problems, Problem{code, line, text}) }
	body := text
	if strings.HasPrefix(body, "\ufeff") {
		bad("bom", 1, "it begins with a byte order mark, which becomes part of the first parameter: save it as plain text")
	}
	if strings.ContainsRune(body, 0) {
		bad("nul", 0, "it has zero bytes, as UTF-16 text or a damaged card has: the kernel reads no further than the first one")
	}
	first, rest, more := strings.Cut(body, "\n")
	if strings.HasSuffix(first, "\r") {
		if first = strings.TrimSuffix(first, "\r"); strings.TrimSpace(rest) == "" {
			bad("crlf", 1, "its line ends as Windows' editors do it: the last parameter gets a carriage return at its end")
		} else {
			bad("crlf", 1, "its lines end as Windows' editors do it")
		}
	} else if strings.ContainsRune(first, '\r') {
		bad("crlf", 1, "it has a carriage return in the middle")
	}
	if more && strings.TrimSpace(rest) != "" {
		n := 2
		for line := range strings.Lines(rest) {
			if strings.TrimSpace(line) != "" {
				break
			}
			n++
		}
		bad("lines", n, "it has more than one line: only the first one is used")
	}
	if !utf8.ValidString(first) {
		bad("not-text", 1, "it is no text")
	}
	if strings.Count(first, `"`)%2 == 1 {
		bad("quote", 1, "it has a double quote that is not closed")
	}
	c.Params = params(first)
	if len(c.Params) == 0 {
		bad("empty", 1, "its first line is empty: the kernel gets no parameters, so no root file system")
	} else if _, ok := c.Get("root"); !ok {
		if _, nfs := c.Get("nfsroot"); !nfs {
			bad("no-root", 1, "it has no root=: the kernel does not know its root file system")
		}
	}
	return c
}

func params(line string) []Param {
	var out []Param
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
	for i := 0; i < len(line); {
		if blank(line[i]) {
			i++
			continue
		}
		start, quote := i, false
		for i < len(line) && (quote || !blank(line[i])) {
			if line[i] == '"' {
				quote = !quote
			}
			i++
		}
		p := Param{Start: start, End: i}
		p.Key, p.Value, p.HasValue = strings.Cut(line[start:i], "=")
		out = append(out, p)
	}
	return out
}

// Get returns the last value of a parameter, which is the one that counts for most.
func (c Cmdline) Get(key string) (string, bool) {
	for i := len(c.Params) - 1; i >= 0; i-- {
		if c.Params[i].Key == key {
			return c.Params[i].Value, true
		}
	}
	return "", false
}

// Modules are those of all modules-load= (systemd-modules-load.service(8)), in order.
func (c Cmdline) Modules() []string {
	var out []string
	for _, p := range c.Params {
		if p.Key != "modules-load" && p.Key != "modules_load" && p.Key != "rd.modules-load" {
			continue
		}
		for m := range strings.SplitSeq(p.Value, ",") {
			if m != "" {
				out = append(out, m)
			}
		}
	}
	return out
}

// EnsureModules puts modules into modules-load=, after those that are there or as a
// new parameter at the end of the first line. Everything else stays.
func EnsureModules(text string, names ...string) (string, bool) {
	c := ParseCmdline(text)
	have := map[string]bool{}
	for _, m := range c.Modules() {
		have[m] = true
	}
	var add []string
	for _, n := range names {
		if !have[n] {
			add = append(add, n)
			have[n] = true
		}
	}
	if len(add) == 0 {
		return text, false
	}
	list := strings.Join(add, ",")
	for _, p := range c.Params {
		if p.Key == "modules-load" && p.HasValue {
			if p.Value != "" && !strings.HasSuffix(p.Value, ",") {
				list = "," + list
			}
			return text[:p.End] + list + text[p.End:], true
		}
	}
	n := len(c.Params)
	if n == 0 {
		return "modules-load=" + list + text, true
	}
	last := c.Params[n-1]
	if strings.Count(text[last.Start:last.End], `"`)%2 == 1 {
		return "modules-load=" + list + " " + text, true // behind an open quote it would be part of that
	}
	return text[:last.End] + " modules-load=" + list + text[last.End:], true
}

// DropModules takes modules out of every modules-load=, and the parameter with its
// blank where nothing is left in it.
func DropModules(text string, names ...string) (string, bool) {
	drop := map[string]bool{}
	for _, n := range names {
		drop[n] = true
	}
	ps := ParseCmdline(text).Params
	changed := false
	for i := len(ps) - 1; i >= 0; i-- { // from the end: positions before stay good
		p := ps[i]
		if p.Key != "modules-load" && p.Key != "modules_load" && p.Key != "rd.modules-load" || !p.HasValue {
			continue
		}
		var keep []string
		n := 0
		for m := range strings.SplitSeq(p.Value, ",") {
			if drop[m] {
				n++
			} else if m != "" {
				keep = append(keep, m)
			}
		}
		if n == 0 {
			continue
		}
		changed = true
		if len(keep) > 0 {
			text = text[:p.Start] + p.Key + "=" + strings.Join(keep, ",") + text[p.End:]
			continue
		}
		start, end := p.Start, p.End
		if start > 0 && text[start-1] == ' ' {
			start--
		} else if end < len(text) && text[end] == ' ' {
			end++
		}
		text = text[:start] + text[end:]
	}
	return text, changed
}
