package interfaces

import (
	"path"
	"slices"
	"strings"
)

// tree is the directories that a map of files implies.
type tree struct {
	files map[string]string
	dirs  map[string]map[string]bool // cleaned directory to the names in it
}

func newTree(files map[string]string) tree {
	t := tree{files: files, dirs: map[string]map[string]bool{"/": {}}}
	for p := range files {
		p = path.Clean(p)
		for p != "/" && p != "." {
			dir, name := path.Dir(p), path.Base(p)
			if t.dirs[dir][name] {
				break
			}
			if t.dirs[dir] == nil {
				t.dirs[dir] = map[string]bool{}
			}
			t.dirs[dir][name] = true
			p = dir
		}
	}
	return t
}

func (t tree) isDir(p string) bool { return t.dirs[path.Clean(p)] != nil }

func (t tree) exists(p string) bool {
	_, ok := t.files[path.Clean(p)]
	return ok || t.isDir(p)
}

// names lists a directory in the order of alphasort in the C locale.
func (t tree) names(dir string) []string {
	var out []string
	for n := range t.dirs[path.Clean(dir)] {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// glob is glob(3) without flags but GLOB_NOCHECK, sorted as qsort and strcoll in the
// C locale leave it; results are spelt as the pattern is.
func (t tree) glob(pattern string) []string {
	found := []string{""}
	for i, part := range strings.Split(pattern, "/") {
		var next []string
		for _, dir := range found {
			prefix := dir
			if i > 0 {
				prefix += "/"
			}
			if strings.ContainsAny(part, `*?[\`) {
				for _, n := range t.names(prefix + ".") {
					if match(part, n, true) {
						next = append(next, prefix+n)
					}
				}
			} else if part == "" || t.exists(prefix+part) {
				next = append(next, prefix+part)
			}
		}
		found = next
	}
	slices.Sort(found)
	return found
}

// covers reports whether the glob pattern would produce the path p, whose file need
// not exist.
func covers(pattern, p string) bool {
	if strings.Contains(pattern, "/..") || strings.Contains(pattern, "../") {
		return false
	}
	want := strings.Split(path.Clean(p), "/")
	var have []string
	for i, part := range strings.Split(pattern, "/") {
		if i > 0 && (part == "" || part == ".") {
			continue
		}
		have = append(have, part)
	}
	if len(have) != len(want) {
		return false
	}
	for i := range have {
		if !match(have[i], want[i], true) {
			return false
		}
	}
	return true
}

// directoryName reports whether source-directory reads a file called name:
// directory_filter of config.c.
func directoryName(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return name != ""
}

// dirname is dirname(3): of a name without a slash it is ".".
func dirname(p string) string {
	i := strings.LastIndexByte(strings.TrimRight(p, "/"), '/')
	if i < 0 {
		return "."
	}
	if d := strings.TrimRight(p[:i], "/"); d != "" {
		return d
	}
	return "/"
}
