package nft

import (
	"fmt"
	"strings"
)

// freshSets gives the elements of small sets that a batch for generation gen has just made of
// nothing, for reading the table again. In generation gen+1 nobody else has changed anything, so
// they are what the batch said, as far as the kernel knew what that means: attributes that it
// does not know, such as the ends of ranges of several fields before Linux 5.6, it passes over
// without a word. That is the same for all sets of a sort, so one of each sort is read from the
// kernel. A policy has hundreds of sets, and to read one takes three system calls.
func freshSets(gen uint32, now, goal *Table) large {
	if goal == nil {
		return nil
	}
	had := map[string]bool{}
	if now != nil {
		for i := range now.Sets {
			had[now.Sets[i].Name] = true
		}
	}
	fresh := map[string]*Set{}
	for i := range goal.Sets {
		if s := &goal.Sets[i]; !had[s.Name] && !s.Learnt && !s.Anonymous && len(s.Elements) <= LargeSet {
			fresh[s.Name] = s
		}
	}
	proof := map[string]string{} // by sort: the set that is read
	return func(at uint32, name string) ([]Element, bool) {
		s := fresh[name]
		if s == nil || at != gen+1 {
			return nil, false
		}
		sort := sortOfSet(s)
		if proof[sort] == "" {
			proof[sort] = name
		}
		return s.Elements, proof[sort] != name
	}
}

// sortOfSet is the same for sets whose elements are told to the kernel by the same attributes.
func sortOfSet(s *Set) string {
	const (
		catchAll = 1 << iota
		ranges
		data
		comments
		timeouts
		verdicts
		chains
		many // more than one message of a batch may hold
	)
	uses := 0
	use := func(bit int, is bool) {
		if is {
			uses |= bit
		}
	}
	for i := range s.Elements {
		e := &s.Elements[i]
		use(catchAll, e.Key == nil)
		use(ranges, e.To != nil)
		use(data, e.Data != nil)
		use(comments, e.Comment != "")
		use(timeouts, e.Timeout != 0)
		use(verdicts, e.Verdict != nil)
		use(chains, e.Verdict != nil && e.Verdict.Chain != "")
	}
	use(many, len(s.Elements) > 100)
	return fmt.Sprint(strings.Join(s.Key, "."), ":", strings.Join(s.Data, "."), s.Interval, uses)
}
