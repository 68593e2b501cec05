package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// denyMark stands before the line that Deny writes, so that the next one finds it.
const denyMark = "# provision serves these interfaces itself:"

// Deny returns the file's bytes with a line by which dhcpcd leaves the interfaces alone, before
// the first block, where alone it counts. What is denied already is not said again; a line of an
// earlier Deny is written anew, and goes when it has nothing to say.
func (f *File) Deny(names ...string) (string, error) {
	for _, n := range names {
		if n == "" || strings.ContainsAny(n, " \t\n\x00#\\\",*?[") {
			return "", fmt.Errorf("cannot keep dhcpcd off %q: no interface name", n)
		}
	}
	var rest []Line
	for i := 0; i < len(f.Lines); i++ {
		l := f.Lines[i]
		if strings.TrimSuffix(l.Raw, "\n") == denyMark && i+1 < len(f.Lines) && f.Lines[i+1].Option == "denyinterfaces" {
			i++
			continue
		}
		rest = append(rest, l)
	}
	others := &File{Path: f.Path, Lines: rest}
	var say []string
	for _, n := range names {
		if _, denied := others.Denied(n); !denied && !slices.Contains(say, n) {
			say = append(say, n)
		}
	}
	ours := ""
	if len(say) > 0 {
		ours = denyMark + "\ndenyinterfaces " + strings.Join(say, " ") + "\n"
	}
	var b strings.Builder
	done := false
	for _, l := range rest {
		if l.head && !done {
			b.WriteString(ours)
			done = true
		}
		b.WriteString(l.Raw)
	}
	if !done {
		if n := b.Len(); ours != "" && n > 0 && !strings.HasSuffix(b.String(), "\n") {
			b.WriteString("\n")
		}
		b.WriteString(ours)
	}
	after, err := Parse(f.Path, b.String())
	if err != nil {
		return "", err
	}
	for _, n := range names {
		if _, denied := after.Denied(n); !denied {
			return "", errors.New("cannot keep dhcpcd off " + n + ": the edited file would not say it")
		}
	}
	return b.String(), nil
}
