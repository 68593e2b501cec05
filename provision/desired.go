package provision

import (
	"errors"
	"fmt"
	"slices"
)

// check joins what several planners want of one reference and returns every
// contradiction at once. Two wings may both want a sysctl; they must not want it
// differently.
func (e *Engine) check(d Desired) (Desired, error) {
	var errs []error
	out := Desired{Notes: d.Notes}
	known := func(what string, r Ref) {
		if e.Resources[r.Kind] == nil {
			errs = append(errs, fmt.Errorf("cannot %s %s: no such kind of state", what, r))
		}
	}
	triggers := map[string]int{}
	for _, t := range d.Triggers {
		if e.Actors[t.Do.Kind] == nil {
			errs = append(errs, fmt.Errorf("cannot use trigger %s: no such kind of action: %s", t.Name, t.Do.Kind))
		}
		i, ok := triggers[t.Name]
		switch {
		case !ok:
			triggers[t.Name] = len(out.Triggers)
			t.On = slices.Clone(t.On)
			out.Triggers = append(out.Triggers, t)
		case !sameAction(out.Triggers[i].Do, t.Do):
			errs = append(errs, fmt.Errorf("cannot use trigger %s: it is given twice with different actions", t.Name))
		default:
			out.Triggers[i].On = union(out.Triggers[i].On, t.On)
		}
	}
	via := func(w Want) {
		for _, v := range w.Via {
			if _, ok := triggers[v]; !ok {
				errs = append(errs, fmt.Errorf("cannot want %s: no trigger is named %s", w.Ref, v))
			}
		}
	}
	wants := make(map[Ref]int, len(d.Wants))
	for _, w := range d.Wants {
		known("want", w.Ref)
		via(w)
		i, ok := wants[w.Ref]
		if !ok {
			wants[w.Ref] = len(out.Wants)
			out.Wants = append(out.Wants, w)
			continue
		}
		joined, err := join(out.Wants[i], w)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out.Wants[i] = joined
	}
	for _, w := range d.Expect {
		known("expect", w.Ref)
		via(w)
		out.Expect = append(out.Expect, w)
	}
	holds := map[Ref]int{}
	for _, h := range d.Holds {
		known("hold", h.Ref)
		if h.Attrs == nil {
			errs = append(errs, fmt.Errorf("cannot hold %s: a hold needs attributes", h.Ref))
		}
		i, ok := holds[h.Ref]
		switch {
		case !ok:
			holds[h.Ref] = len(out.Holds)
			h.While = slices.Clone(h.While)
			out.Holds = append(out.Holds, h)
		case !sameAttrs(out.Holds[i].Attrs, h.Attrs):
			errs = append(errs, fmt.Errorf("cannot hold %s: it is to be held in two different states", h.Ref))
		default:
			out.Holds[i].While = union(out.Holds[i].While, h.While)
		}
	}
	errs = append(errs, e.checkScope(out))
	return out, errors.Join(errs...)
}

// join makes one want of two for the same reference.
func join(a, b Want) (Want, error) {
	if (a.Attrs == nil) != (b.Attrs == nil) {
		return a, fmt.Errorf("cannot want %s both present and absent: %s; %s", a.Ref, a.Why, b.Why)
	}
	j := a
	j.Attrs = a.Attrs.clone()
	for k, v := range b.Attrs {
		if have, ok := j.Attrs[k]; ok && have != v {
			// The values may be secret, so only the attribute is named.
			return a, fmt.Errorf("cannot want two values of %s of %s: %s; %s", k, a.Ref, a.Why, b.Why)
		}
		j.Attrs[k] = v
	}
	if b.Why != "" && b.Why != a.Why {
		j.Why += "; " + b.Why
	}
	j.Mode = min(a.Mode, b.Mode)
	j.Via = slices.Clone(a.Via)
	for _, v := range b.Via {
		if !slices.Contains(j.Via, v) {
			j.Via = append(j.Via, v)
		}
	}
	return j, nil
}

func union(a, b []Ref) []Ref {
	for _, r := range b {
		if !slices.Contains(a, r) {
			a = append(a, r)
		}
	}
	return a
}

func sameAction(a, b Action) bool { return a.Kind == b.Kind && sameAttrs(a.Args, b.Args) }

func sameAttrs(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return true
}
