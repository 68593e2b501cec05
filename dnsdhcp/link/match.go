package link

import (
	"bytes"
	"fmt"
	"net"
	"path"
	"strings"
)

// Match says which interfaces are meant.
type Match struct {
	Pattern string           // name or shell pattern (path.Match)
	MAC     net.HardwareAddr // and the address, if there is one
}

// Best returns the index of the match that an interface belongs to: the one that is the very name, wherever it stands, and
// of these the one that names the address too; else the first pattern that fits. -1 if there is none. An interface of which
// nothing but the name is known (mac is empty) may have any address. A pattern that CheckPattern refuses fits nothing.
func Best(matches []Match, name string, mac net.HardwareAddr) int {
	exact, best := -1, -1
	for i, m := range matches {
		if len(m.MAC) > 0 && len(mac) > 0 && !bytes.Equal(m.MAC, mac) {
			continue
		}
		if m.Pattern == name {
			if len(m.MAC) > 0 {
				return i
			}
			if exact < 0 {
				exact = i
			}
			continue
		}
		if ok, err := path.Match(m.Pattern, name); ok && err == nil && best < 0 {
			best = i
		}
	}
	if exact >= 0 {
		return exact
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
