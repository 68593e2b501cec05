package watch

import (
	"fmt"
	"path"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// fits reports whether one of the patterns means the device; a pattern is that of path.Match
// ("eni*"). With "hardware" in place of a name, devices of real hardware are meant.
func fits(patterns []string, l facts.Link) bool {
	if l.ARPHRD == arphrdLoopback {
		return false
	}
	for _, p := range patterns {
		if p == hardware {
			if l.Kind == "" {
				return true
			}
			continue
		}
		if ok, _ := path.Match(p, l.Name); ok {
			return true
		}
	}
	return false
}

const (
	hardware       = "@hardware" // no name of a device: it is what an empty list stands for
	arphrdLoopback = 772         // linux/if_arp.h
	arphrdNone     = 65534
)

// badPattern says what is wrong with a pattern; empty when nothing is.
func badPattern(p string) string {
	switch {
	case p == "":
		return "is empty: name an interface, or give a pattern such as eth*"
	case p == "all" || p == "default":
		return fmt.Sprintf("%q is no interface but the kernel's word for every one, whose value others depend on: give a pattern such as eth*", p)
	case p == "lo":
		return `"lo" is the loopback, which has nothing to repair: take it out`
	case strings.ContainsAny(p, "/: \t\n"):
		return fmt.Sprintf("%q cannot be the name of an interface", p)
	}
	if _, err := path.Match(p, "eth0"); err != nil {
		return fmt.Sprintf("%q is not a pattern: a [ needs its ]", p)
	}
	return ""
}
