package provision

import (
	"sort"
	"strconv"
	"strings"
)

// Masked stands for a secret wherever it is shown.
const Masked = "(secret)"

// String returns the attributes in one line, sorted, "absent" for nil. It shows
// values as they are: mask secrets first.
func (a Attrs) String() string {
	if a == nil {
		return "absent"
	}
	if len(a) == 0 {
		return "present"
	}
	keys := a.keys()
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(' ')
		}
		v := a[k]
		if len(v) > 80 {
			v = v[:80] + "..."
		}
		b.WriteString(k + "=" + strconv.Quote(v))
	}
	return b.String()
}

func (a Attrs) keys() []string {
	keys := make([]string, 0, len(a))
	for k := range a {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (a Attrs) clone() Attrs {
	if a == nil {
		return nil
	}
	c := make(Attrs, len(a))
	for k, v := range a {
		c[k] = v
	}
	return c
}

// classes asks the resource of one kind how its attributes are compared.
type classes struct{ c Classifier }

//go:noinline
func classesOf(r Resource) classes {
	c, _ := r.(Classifier)
	return classes{c}
}

func (c classes) of(attr string) Class {
	if c.c == nil {
		return Exact
	}
	return c.c.Class(attr)
}

// mask returns a copy in which secrets are hidden. An empty secret stays empty, so
// that set and unset can be told apart.
func (c classes) mask(a Attrs) Attrs {
	if a == nil || c.c == nil {
		return a.clone()
	}
	m := make(Attrs, len(a))
	for k, v := range a {
		if v != "" && c.of(k) == Secret {
			v = Masked
		}
		m[k] = v
	}
	return m
}

// compared returns the attributes of a that take part in comparisons and updates:
// all but the initial ones.
func (c classes) compared(a Attrs) Attrs {
	if a == nil || c.c == nil {
		return a
	}
	for k := range a {
		if c.of(k) == Initial {
			m := make(Attrs, len(a))
			for k, v := range a {
				if c.of(k) != Initial {
					m[k] = v
				}
			}
			return m
		}
	}
	return a
}

// differs reports whether have lacks anything that want lists. A missing
// attribute is the empty string.
func (c classes) differs(have, want Attrs) bool {
	if have == nil || want == nil {
		return (have == nil) != (want == nil)
	}
	for k, v := range want {
		if have[k] != v && c.of(k) != Initial {
			return true
		}
	}
	return false
}

// change shows one difference: what differs of an update, everything of a
// creation or removal, secrets masked.
func (c classes) change(ref Ref, have, want Attrs, why string, pruned bool) Change {
	ch := Change{Ref: ref, Why: why, Pruned: pruned}
	switch {
	case want == nil:
		ch.Op, ch.Have = Delete, c.mask(have)
	case have == nil:
		ch.Op, ch.Want = Create, c.mask(want)
	default:
		ch.Op, ch.Have, ch.Want = Update, Attrs{}, Attrs{}
		for k, v := range want {
			if have[k] != v && c.of(k) != Initial {
				ch.Have[k], ch.Want[k] = have[k], v
			}
		}
		ch.Have, ch.Want = c.mask(ch.Have), c.mask(ch.Want)
	}
	return ch
}

// unmet shows an expectation that does not hold: of what is there only the
// attributes that are asked for.
func (c classes) unmet(w Want, have Attrs) Unmet {
	u := Unmet{Ref: w.Ref, Want: c.mask(w.Attrs), Why: w.Why, Mode: w.Mode}
	if have != nil && w.Attrs != nil {
		u.Have = Attrs{}
		for k := range w.Attrs {
			u.Have[k] = have[k]
		}
		u.Have = c.mask(u.Have)
	} else {
		u.Have = c.mask(have)
	}
	return u
}
