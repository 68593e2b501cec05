package uplink

import (
	"fmt"
	"strings"
)

// Problem is something wrong in the configuration. Path is relative to the key "uplinks":
// "[0].checks[1]".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	p := &problems{}
	if len(c) == 1 {
		p.add("", "there is one uplink: a second one is needed to choose from")
	}
	first := map[string]int{}
	for i, u := range c {
		at := fmt.Sprintf("[%d]", i)
		switch was, twice := first[u.Interface]; {
		case u.Interface == "":
			p.add(at+".interface", "is missing: name the interface, such as eth0")
		case len(u.Interface) > 15 || u.Interface == "." || u.Interface == ".." || strings.ContainsAny(u.Interface, "/: \t\n*?["):
			p.add(at+".interface", "%q is no name of an interface; patterns cannot be used here", u.Interface)
		case twice:
			p.add(at+".interface", "%s is already [%d]", u.Interface, was)
		}
		first[u.Interface] = i
		u.problems(p, at)
	}
	return p.list
}

func (u Uplink) problems(p *problems, at string) {
	if len(u.Checks) > mostChecks {
		p.add(at+".checks", "%d are too many: at most %d", len(u.Checks), mostChecks)
	}
	for i, text := range u.Checks {
		if _, err := ParseCheck(text); err != nil {
			p.add(fmt.Sprintf("%s.checks[%d]", at, i), "%v", err)
		}
	}
	interval, err1 := duration(u.Interval)
	timeout, err2 := duration(u.Timeout)
	_, err3 := duration(u.Hold)
	for i, err := range []error{err1, err2, err3} {
		if err != nil {
			p.add(at+[]string{".interval", ".timeout", ".hold"}[i], "%v", err)
		}
	}
	if t, i := or(timeout, defaultTimeout), or(interval, defaultInterval); err1 == nil && err2 == nil && t > i {
		p.add(at+".timeout", "%v is longer than the interval of %v: rounds would overlap", t, i)
	}
	for _, n := range []struct {
		key string
		v   int
	}{{".fail", u.Fail}, {".recover", u.Recover}} {
		if n.v < 0 || n.v > 1000 {
			p.add(at+n.key, "%d is out of range: 1 to 1000 rounds", n.v)
		}
	}
}

type problems struct{ list []Problem }

func (p *problems) add(path, format string, args ...any) {
	p.list = append(p.list, Problem{path, fmt.Sprintf(format, args...)})
}
