package facts

import (
	"path"
	"sort"
	"strings"
)

// Bounds of following source lines.
const (
	maxSourceDepth = 10
	maxSourceFiles = 1000
)

// collectInterfaces reads /etc/network/interfaces and every file that its source
// and source-directory lines reach (interfaces(5)), and interfaces.d as it lies,
// because a file there that no line reaches explains why it has no effect.
func (r *gathering) collectInterfaces() {
	const main = "/etc/network/interfaces"
	seen := map[string]bool{}
	r.followSources(main, 0, seen)
	for _, n := range r.list("/etc/network/interfaces.d") {
		if !strings.HasPrefix(n, ".") {
			r.collect(path.Join("/etc/network/interfaces.d", n))
		}
	}
}

func (r *gathering) followSources(name string, depth int, seen map[string]bool) {
	if seen[name] || len(seen) >= maxSourceFiles || depth > maxSourceDepth {
		return
	}
	seen[name] = true
	if !r.collect(name) {
		return
	}
	f, ok := r.file(name)
	if !ok {
		return
	}
	for _, s := range interfaceSources(f.Text) {
		pattern := s.pattern
		if !strings.HasPrefix(pattern, "/") {
			pattern = path.Join(path.Dir(name), pattern)
		}
		for _, p := range r.glob(pattern) {
			if !s.directory {
				r.followSources(p, depth+1, seen)
				continue
			}
			for _, n := range r.list(p) {
				if interfacesDirName(n) {
					r.followSources(path.Join(p, n), depth+1, seen)
				}
			}
		}
	}
}

// source is one source or source-directory line.
type source struct {
	pattern   string
	directory bool
}

// interfaceSources finds the source lines, continuation lines joined.
func interfaceSources(text string) []source {
	var out []source
	text = strings.ReplaceAll(text, "\\\r\n", "")
	text = strings.ReplaceAll(text, "\\\n", "")
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || len(out) >= maxSourceFiles {
			continue
		}
		switch f[0] {
		case "source":
			for _, p := range f[1:] {
				out = append(out, source{pattern: p})
			}
		case "source-directory", "source-dir":
			for _, p := range f[1:] {
				out = append(out, source{pattern: p, directory: true})
			}
		}
	}
	return out
}

// interfacesDirName tells which files of a source-directory are read: only names
// of letters, digits, "_" and "-".
func interfacesDirName(n string) bool {
	for _, c := range n {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return n != ""
}

// glob expands a shell pattern inside the root, one path component after the
// other, as wordexp(3) does for ifupdown. Hidden names need their dot.
func (r *gathering) glob(pattern string) []string {
	found := []string{"/"}
	for c := range strings.SplitSeq(strings.Trim(path.Clean(pattern), "/"), "/") {
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(c, "*?[") {
				next = append(next, path.Join(dir, c))
				continue
			}
			names, err := r.t.ReadDir(dir)
			if err != nil {
				continue
			}
			for _, n := range names {
				if strings.HasPrefix(n, ".") && !strings.HasPrefix(c, ".") {
					continue
				}
				if ok, err := path.Match(c, n); err == nil && ok && len(next) < maxSourceFiles {
					next = append(next, path.Join(dir, n))
				}
			}
		}
		found = next
	}
	var out []string
	for _, p := range found {
		if r.t.Exists(p) {
			out = append(out, p)
		}
	}
	sort.Strings(out)
	return out
}
