package backends

import (
	"errors"
	"fmt"
	"maps"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/file"
)

// Merge puts together what several backends want: a reference that two of them want
// alike is wanted once, SysctlPath is the union of its lines, and anything else that
// two want differently is an error.
func Merge(parts ...provision.Desired) (provision.Desired, error) {
	var out provision.Desired
	var errs []error
	at := map[provision.Ref]int{}
	for _, p := range parts {
		for _, w := range p.Wants {
			i, twice := at[w.Ref]
			if !twice {
				at[w.Ref] = len(out.Wants)
				w.Attrs = maps.Clone(w.Attrs)
				out.Wants = append(out.Wants, w)
				continue
			}
			have := &out.Wants[i]
			switch {
			case maps.Equal(have.Attrs, w.Attrs):
			case w.Ref == file.Ref(SysctlPath) && have.Attrs != nil && w.Attrs != nil:
				have.Attrs[file.AttrContent] = joinSysctl(have.Attrs[file.AttrContent], w.Attrs[file.AttrContent])
			default:
				errs = append(errs, fmt.Errorf("cannot plan: %s is wanted in two ways (%s; %s)", w.Ref, have.Why, w.Why))
				continue
			}
			have.Mode = min(have.Mode, w.Mode)
			have.Via = append(have.Via, w.Via...)
		}
		out.Holds = append(out.Holds, p.Holds...)
		out.Triggers = append(out.Triggers, p.Triggers...)
		out.Expect = append(out.Expect, p.Expect...)
		out.Notes = append(out.Notes, p.Notes...)
	}
	return out, errors.Join(errs...)
}
