package zone

import (
	"fmt"
	"strings"
)

// Group names a group of upstreams.
type Group string

const (
	Default Group = ""  // the upstreams for everything
	Never   Group = "#" // no upstream at all
)

// Routes say which upstreams are asked about which names: the route of the longest suffix counts. They are built once
// and never change; building 100,000 takes tens of milliseconds and is done beside the running ones.
//
// A map with whole suffixes as keys and not a tree of labels: a suffix of the name that is looked up is a part of
// its string, so nothing is allocated, and there is one probe per label instead of one per label and level.
type Routes struct {
	groups map[string]Group
	labels int // the most labels that any key has
}

// NewRoutes takes suffixes (a final dot is optional, "." is everything) and their groups.
func NewRoutes(groups map[string]Group) (*Routes, error) {
	r := &Routes{groups: make(map[string]Group, len(groups))}
	for name, g := range groups {
		fqdn, err := canonical(name)
		if err != nil {
			return nil, fmt.Errorf("route for %q: %w", name, err)
		}
		if have, ok := r.groups[fqdn]; ok && have != g {
			return nil, fmt.Errorf("two routes for %q", fqdn)
		}
		// A part of the caller's file may be all that name is: do not keep all of that alive.
		r.groups[strings.Clone(fqdn)] = g
		r.labels = max(r.labels, labels(fqdn))
	}
	return r, nil
}

// Route is the group for a name (lower case, fully qualified). The second result is false if no route fits.
func (r *Routes) Route(name string) (Group, bool) {
	g, _, ok := r.match(name)
	return g, ok
}

// match also says which suffix has decided. A route for the root is one.
func (r *Routes) match(name string) (Group, string, bool) {
	if r == nil || len(r.groups) == 0 {
		return Default, "", false
	}
	i := 0
	if name != "." {
		for n := labels(name); n > r.labels; n-- {
			i = next(name, i)
		}
		for ; i < len(name); i = next(name, i) {
			if g, ok := r.groups[name[i:]]; ok {
				return g, name[i:], true
			}
		}
	}
	g, ok := r.groups["."]
	return g, ".", ok
}

func labels(name string) int {
	if name == "." {
		return 0
	}
	n := 0
	for i := 0; i < len(name); i = next(name, i) {
		n++
	}
	return n
}
