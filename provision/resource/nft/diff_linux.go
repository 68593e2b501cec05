package nft

import (
	"bytes"
	"slices"
)

// difference is the way from one table to another in one transaction.
type difference struct {
	have, want Table // both canonical, have with handles
	c          *changes
	ids        map[string]uint32 // of sets made in this batch

	oldChains, newChains map[string]*Chain
	oldSets, newSets     map[string]*Set
	// Made anew under the same name: what refers to them must be made anew, too.
	chains, sets map[string]bool
}

// diff is the smallest batch that makes want of have: chains, rules, sets and elements that are
// in both stay, with their counters. have is nil where there is no table. Both are canonical,
// but for have's rules, which keep their handles.
func diff(have *Table, want Table) (*changes, error) {
	c, err := newChanges(want.Family, want.Name)
	if err != nil {
		return nil, err
	}
	d := &difference{want: want, c: c, ids: map[string]uint32{}, chains: map[string]bool{}, sets: map[string]bool{}}
	if have != nil {
		d.have = *have
	}
	if have == nil || have.Dormant != want.Dormant {
		c.newTable(want.Dormant)
	}
	d.oldChains, d.newChains = byName(d.have.Chains, chainName), byName(d.want.Chains, chainName)
	d.oldSets, d.newSets = byName(d.have.Sets, setName), byName(d.want.Sets, setName)
	d.replaced()
	plans := d.rules()
	for _, p := range plans {
		p.remove(d)
	}
	if err := d.removeSets(); err != nil {
		return nil, err
	}
	d.removeChains()
	if err := d.addChains(); err != nil {
		return nil, err
	}
	if err := d.addSets(); err != nil {
		return nil, err
	}
	d.c.batch.Grow(roughSize(plans))
	for _, p := range plans {
		if err := p.add(d); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func chainName(c *Chain) string { return c.Name }

func setName(s *Set) string { return s.Name }

func byName[T any](list []T, name func(*T) string) map[string]*T {
	out := make(map[string]*T, len(list))
	for i := range list {
		out[name(&list[i])] = &list[i]
	}
	return out
}

// replaced finds what has the same name and cannot become what is wanted.
func (d *difference) replaced() {
	for name, c := range d.newChains {
		if o := d.oldChains[name]; o != nil && !sameChain(o, c) {
			d.chains[name] = true
		}
	}
	for name, s := range d.newSets {
		if o := d.oldSets[name]; o != nil && !sameSet(o, s) {
			d.sets[name] = true
		}
	}
}

// sameChain is about what a chain is, not what is in it; a policy can be changed.
func sameChain(a, b *Chain) bool {
	if a.Comment != b.Comment || (a.Base == nil) != (b.Base == nil) {
		return false
	}
	if a.Base == nil {
		return true
	}
	x, y := *a.Base, *b.Base
	x.Policy, y.Policy = "", ""
	return x == y
}

func sameSet(a, b *Set) bool {
	return sameKeys(a, b) && a.Timeout == b.Timeout && a.Size == b.Size && a.Comment == b.Comment &&
		// Anonymous sets are made with the rule that uses them.
		!a.Anonymous && !b.Anonymous
}

// sameKeys tells whether the elements of one can be put into the other.
func sameKeys(a, b *Set) bool {
	return slices.Equal(a.Key, b.Key) && slices.Equal(a.Data, b.Data) && a.Interval == b.Interval && a.Learnt == b.Learnt
}

// tied tells whether a rule has to be made anew because of what it names.
func (d *difference) tied(exprs []Expr) bool {
	return slices.ContainsFunc(exprs, func(e Expr) bool {
		switch {
		case e.Verdict != nil:
			return d.chains[e.Verdict.Chain]
		case e.Lookup != nil:
			return d.sets[e.Lookup.Set]
		case e.DynSet != nil:
			return d.sets[e.DynSet.Set]
		}
		return false
	})
}

func (d *difference) removeSets() error {
	for i := range d.have.Sets {
		s := &d.have.Sets[i]
		w := d.newSets[s.Name]
		switch {
		case s.Anonymous: // goes with its rule
		case w == nil || d.sets[s.Name]:
			if s.verdicts() && len(s.Elements) > 0 {
				d.c.flushSet(s.Name) // old kernels keep the chains that it names in use until then
			}
			d.c.deleteSet(s.Name)
		case !s.Learnt:
			if err := d.c.elements(s, 0, true, d.without(s.Elements, w.Elements)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *difference) addSets() error {
	for i := range d.want.Sets {
		s := &d.want.Sets[i]
		o := d.oldSets[s.Name]
		if o != nil && !d.sets[s.Name] {
			if s.Learnt {
				continue
			}
			if err := d.c.elements(s, 0, false, d.without(s.Elements, o.Elements)); err != nil {
				return err
			}
			continue
		}
		id, err := d.c.newSet(s)
		if err != nil {
			return err
		}
		d.ids[s.Name] = id
		elems := s.Elements
		if s.Learnt && o != nil && sameKeys(o, s) {
			elems = o.Elements // with the time that they still have
		}
		if err := d.c.elements(s, id, false, elems); err != nil {
			return err
		}
	}
	return nil
}

// without are the elements of a that are not in b as they are, or that name a chain which is
// made anew. Both are sorted.
func (d *difference) without(a, b []Element) []Element {
	var out []Element
	for i := range a {
		for len(b) > 0 && compareElements(b[0], a[i]) < 0 {
			b = b[1:]
		}
		same := len(b) > 0 && sameElement(&a[i], &b[0])
		if !same || a[i].Verdict != nil && d.chains[a[i].Verdict.Chain] {
			out = append(out, a[i])
		}
	}
	return out
}

func sameElement(a, b *Element) bool {
	if (a.Verdict == nil) != (b.Verdict == nil) || a.Verdict != nil && *a.Verdict != *b.Verdict {
		return false
	}
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.last(), b.last()) && bytes.Equal(a.Data, b.Data) && a.Comment == b.Comment
}

func (d *difference) removeChains() {
	for i := range d.have.Chains {
		name := d.have.Chains[i].Name
		if d.newChains[name] == nil || d.chains[name] {
			d.c.deleteChain(name)
		}
	}
}

func (d *difference) addChains() error {
	for i := range d.want.Chains {
		c := &d.want.Chains[i]
		o := d.oldChains[c.Name]
		var err error
		switch {
		case o == nil || d.chains[c.Name]:
			err = d.c.newChain(c)
		case c.Base != nil && c.Base.Policy != o.Base.Policy:
			err = d.c.policy(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
