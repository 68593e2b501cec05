package watch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// Keep sees to it that state which was committed stays: the own firewall table, routes, policy
// rules and kernel parameters that somebody flushed or changed are set again.
type Keep struct {
	Wants []provision.Want
	// Class says how an attribute is compared (provision.Classifier); nil: all exactly.
	Class func(kind, attr string) provision.Class
	refs  []provision.Ref
}

// keepEvery is for what makes no event: most kernel parameters.
const keepEvery = time.Minute

// Name is "keep".
func (k *Keep) Name() string { return "keep" }

// Needs the references.
func (k *Keep) Needs() Needs {
	if k.refs == nil {
		for _, w := range k.Wants {
			if w.Mode != provision.Report {
				k.refs = append(k.refs, w.Ref)
			}
		}
	}
	return Needs{Parts: facts.AllParts, NFT: true, Refs: k.refs, Every: keepEvery}
}

// Look compares what was read.
func (k *Keep) Look(s *State) []Repair {
	var out []Repair
	for _, w := range k.Wants {
		have, read := s.Have[w.Ref]
		if !read || w.Mode == provision.Report || w.Mode == provision.IfPresent && have == nil {
			continue
		}
		what := k.differs(w, have)
		if what == "" {
			continue
		}
		why := w.Ref.String() + " " + what
		if w.Why != "" {
			why += " (" + w.Why + ")"
		}
		out = append(out, Repair{Key: w.Ref.String(), Why: why, Set: &Fix{w, have}, Urgent: true})
	}
	return out
}

// differs says in what way have is not what is wanted; empty when it is.
func (k *Keep) differs(w provision.Want, have provision.Attrs) string {
	switch {
	case w.Attrs == nil && have == nil:
		return ""
	case w.Attrs == nil:
		return "is there again"
	case have == nil:
		return "is gone"
	}
	var names []string
	for _, a := range slices.Sorted(maps.Keys(w.Attrs)) {
		if k.Class != nil && k.Class(w.Kind, a) == provision.Initial {
			continue
		}
		if w.Attrs[a] != have[a] {
			names = append(names, a)
		}
	}
	if names == nil {
		return ""
	}
	return fmt.Sprintf("was changed (%s)", strings.Join(names, ", "))
}
