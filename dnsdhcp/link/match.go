package link

import (
	"fmt"
	"path"
	"strings"
)

// Best returns the index of the pattern that an interface's name belongs to: the one that is the very name, wherever it
// stands, else the first shell pattern (path.Match) that fits. -1 if there is none. A pattern that CheckPattern refuses
// fits nothing.
func Best(patterns []string, name string) int {
	best := -1
	for i, p := range patterns {
		if p == name {
			return i
		}
		if ok, err := path.Match(p, name); ok && err == nil && best < 0 {
			best = i
		}
	}
	return best
}

// nameSize is IFNAMSIZ of if.h, the terminating zero included.
const nameSize = 16

// CheckPattern says why a pattern can fit no interface, or nil. Names have 1 to 15 bytes, no slash, no colon and no blank
// (dev_valid_name in net/core/dev.c).
func CheckPattern(p string) error {
	if _, err := path.Match(p, ""); err != nil {
		return fmt.Errorf("cannot use the pattern %q: it is malformed", p)
	}
	switch {
	case p == "", p == ".", p == "..":
		return fmt.Errorf("cannot use %q: no interface is called that", p)
	case strings.ContainsAny(p, "/: \t\n\v\f\r"):
		return fmt.Errorf("cannot use %q: an interface's name has no slash, colon or blank", p)
	case !strings.ContainsAny(p, `*?[\`) && len(p) >= nameSize:
		return fmt.Errorf("cannot use %q: an interface's name has at most %d bytes", p, nameSize-1)
	}
	return nil
}
