package claim

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// interfacesFile is where ifupdown begins to read (interfaces(5)).
const interfacesFile = "/etc/network/interfaces"

// maxSources bounds the files that one interfaces file may pull in.
const maxSources = 256

// runPartsName is what source-directory takes (run-parts(8)): "x.conf" is ignored.
var runPartsName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Ifupdown lists the iface stanzas for l that ifup would carry out.
func Ifupdown(f *facts.Facts, l facts.Link) []Claim {
	var out []Claim
	seen := map[string]bool{}
	var read func(name string)
	read = func(name string) {
		if seen[name] || len(seen) >= maxSources {
			return
		}
		seen[name] = true
		t, ok := text(f, name)
		if !ok {
			return
		}
		for _, line := range logicalLines(t) {
			w := strings.Fields(line.text)
			switch {
			case len(w) >= 2 && w[0] == "source":
				for _, pattern := range w[1:] {
					for _, p := range filesLike(f, absolute(pattern, name)) {
						read(p)
					}
				}
			case len(w) == 2 && w[0] == "source-directory":
				for _, p := range filesLike(f, absolute(w[1], name)+"/*") {
					if runPartsName.MatchString(path.Base(p)) {
						read(p)
					}
				}
			case len(w) >= 4 && w[0] == "iface" && (w[1] == l.Name || slices.Contains(l.Alt, w[1])):
				out = append(out, Claim{ID: w[1], File: name, Line: line.number, Method: method(w[3]),
					Text: fmt.Sprintf("stanza \"%s\"", strings.Join(w, " "))})
			}
		}
	}
	read(interfacesFile)
	return out
}

func method(m string) string {
	switch m {
	case "dhcp", "static", "manual", "auto":
		return m
	}
	return ""
}

type logical struct {
	text   string
	number int
}

// logicalLines joins lines that end in a backslash and drops comments, which count
// only at the start of a line.
func logicalLines(t string) []logical {
	var out []logical
	var joined strings.Builder
	start := 0
	for i, raw := range strings.Split(t, "\n") {
		if start == 0 {
			start = i + 1
		}
		if rest, more := strings.CutSuffix(raw, "\\"); more {
			joined.WriteString(rest)
			continue
		}
		joined.WriteString(raw)
		if s := strings.TrimSpace(joined.String()); s != "" && s[0] != '#' {
			out = append(out, logical{s, start})
		}
		joined.Reset()
		start = 0
	}
	return out
}

func absolute(p, from string) string {
	if strings.HasPrefix(p, "/") {
		return path.Clean(p)
	}
	return path.Join(path.Dir(from), p)
}

// filesLike returns the read files whose path fits a shell pattern, sorted.
func filesLike(f *facts.Facts, pattern string) []string {
	var out []string
	for p := range f.Files {
		if glob(pattern, p) && !strings.HasPrefix(path.Base(p), ".") {
			out = append(out, p)
		}
	}
	sort.Strings(out)
	return out
}
