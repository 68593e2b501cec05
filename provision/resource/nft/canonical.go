package nft

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Canonical is the table as Get reads it after Set: what the kernel fills in is filled in, what
// has no meaning is left out, and what has no order is sorted: sets by name, elements by key,
// chains by hook and priority. Rules keep their order. The table given is not changed, but what
// is returned shares most of its slices.
func Canonical(t Table) Table {
	rename := anonymousNames(t)
	t.Sets = slices.Clone(t.Sets)
	for i := range t.Sets {
		t.Sets[i] = canonicalSet(t.Sets[i])
		if to, ok := rename[t.Sets[i].Name]; ok {
			t.Sets[i].Name = to
		}
	}
	sort.SliceStable(t.Sets, func(i, j int) bool { return t.Sets[i].Name < t.Sets[j].Name })
	t.Chains = slices.Clone(t.Chains)
	sort.SliceStable(t.Chains, func(i, j int) bool { return compareChains(t.Chains[i], t.Chains[j]) < 0 })
	for i := range t.Chains {
		c := &t.Chains[i]
		c.Rules = slices.Clone(c.Rules)
		for j := range c.Rules {
			c.Rules[j].Exprs = canonicalExprs(c.Rules[j].Exprs, rename)
			c.Rules[j].Handle = 0
		}
	}
	return t
}

// hookOrder is the order in which a packet meets the hooks (enum nf_inet_hooks), devices first.
func hookOrder(hook string) int {
	return slices.Index([]string{"ingress", "prerouting", "input", "forward", "output", "postrouting"}, hook)
}

func compareChains(a, b Chain) int {
	if (a.Base == nil) != (b.Base == nil) {
		if a.Base != nil {
			return -1
		}
		return 1
	}
	if a.Base != nil {
		if c := cmp.Or(cmp.Compare(hookOrder(a.Base.Hook), hookOrder(b.Base.Hook)), cmp.Compare(a.Base.Priority, b.Base.Priority)); c != 0 {
			return c
		}
	}
	return strings.Compare(a.Name, b.Name)
}

// maxDynamic is how many elements a set takes that rules add to where it says nothing
// (net/netfilter/nft_dynset.c).
const maxDynamic = 0xffff

func canonicalSet(s Set) Set {
	if s.Learnt {
		s.Elements, s.Count, s.SHA256 = nil, 0, ""
		if s.Size == 0 && !s.Interval {
			s.Size = maxDynamic
		}
		return s
	}
	if len(s.Elements) == 0 {
		s.Elements = nil
	}
	sorted := slices.IsSortedFunc(s.Elements, compareElements)
	same := !slices.ContainsFunc(s.Elements, func(e Element) bool {
		return e.To != nil && bytes.Equal(e.Key, e.To) || e.Timeout != 0 || e.Expires != 0
	})
	if sorted && same {
		return s
	}
	s.Elements = slices.Clone(s.Elements)
	slices.SortFunc(s.Elements, compareElements)
	for i := range s.Elements {
		e := &s.Elements[i]
		if bytes.Equal(e.Key, e.To) {
			e.To = nil
		}
		e.Timeout, e.Expires = 0, 0
	}
	return s
}

func compareElements(a, b Element) int { return bytes.Compare(a.Key, b.Key) }

// anonymous is how the names of nft's nameless sets begin; the kernel fills in the number
// (nf_tables_set_alloc_name).
const (
	anonymous     = "__set"
	anonymousName = anonymous + "%d"
)

// anonymousNames gives nft's nameless sets new names in the order in which rules use them: the
// kernel numbers them as it likes, and they are made anew with each rule.
func anonymousNames(t Table) map[string]string {
	var names map[string]string
	for _, s := range t.Sets {
		if s.Anonymous {
			if names == nil {
				names = map[string]string{}
			}
			names[s.Name] = s.Name
		}
	}
	if names == nil {
		return nil
	}
	chains := slices.Clone(t.Chains)
	sort.SliceStable(chains, func(i, j int) bool { return compareChains(chains[i], chains[j]) < 0 })
	n := 0
	for _, c := range chains {
		for _, r := range c.Rules {
			for _, e := range r.Exprs {
				if e.Lookup == nil {
					continue
				}
				if _, ok := names[e.Lookup.Set]; ok {
					names[e.Lookup.Set] = fmt.Sprintf(anonymousName, n)
					n++
				}
			}
		}
	}
	return names
}
