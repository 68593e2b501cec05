package packet

import (
	"bytes"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/resource/nft"
)

func (r *run) set(name string) *nft.Set {
	for i := range r.base.table.Sets {
		if r.base.table.Sets[i].Name == name {
			return &r.base.table.Sets[i]
		}
	}
	return nil
}

func (r *run) setName(name string) string {
	return r.base.table.Family + " " + r.base.table.Name + " " + name
}

// lookup follows nft_lookup_eval.
func (r *run) lookup(e *nft.Lookup) outcome {
	set := r.set(e.Set)
	if set == nil || set.SHA256 != "" && len(set.Elements) != set.Count {
		return unsure // its elements are not at hand
	}
	n := nft.KeySize(set.Key)
	key, known := r.regs.get(e.Reg, n)
	if n == 0 || !known {
		return unsure
	}
	el := find(set, key)
	fresh := el == nil && slices.ContainsFunc(r.m.added[r.setName(e.Set)], func(k []byte) bool { return bytes.Equal(k, key) })
	ours := r.base.table.Family == nft.OwnFamily && r.base.table.Name == nft.OwnTable
	if el == nil && !fresh && set.Learnt && ours && r.m.w.Planned {
		return unsure // what it will have learnt is not known
	}
	found := el != nil || fresh
	if found == e.Invert {
		return noMatch
	}
	if !e.Map || e.Invert {
		return goOn
	}
	if el == nil {
		return unsure
	}
	if e.Dst == 0 {
		if el.Verdict == nil {
			return unsure
		}
		r.verdict = *el.Verdict
		if r.verdict.Kind == "continue" {
			return goOn
		}
		return ended
	}
	r.regs.put(e.Dst, el.Data, true)
	return goOn
}

// find looks for the element that holds the key: exactly, in a range, in the ranges of all
// parts of a concatenation, or the one that stands for every other key.
func find(set *nft.Set, key []byte) *nft.Element {
	es := set.Elements
	sorted := len(set.Key) == 1 || !set.Interval
	if sorted {
		i := sort.Search(len(es), func(i int) bool { return bytes.Compare(es[i].Key, key) > 0 })
		if i > 0 && len(es[i-1].Key) > 0 && inside(set, &es[i-1], key) {
			return &es[i-1]
		}
	} else {
		for i := range es {
			if len(es[i].Key) > 0 && inside(set, &es[i], key) {
				return &es[i]
			}
		}
	}
	for i := range es {
		if len(es[i].Key) == 0 {
			return &es[i]
		}
	}
	return nil
}

func inside(set *nft.Set, e *nft.Element, key []byte) bool {
	to := e.To
	if len(to) == 0 {
		to = e.Key
	}
	if len(e.Key) != len(key) || len(to) != len(key) {
		return false
	}
	if len(set.Key) == 1 {
		return bytes.Compare(key, e.Key) >= 0 && bytes.Compare(key, to) <= 0
	}
	at := 0
	for _, part := range set.Key {
		n := min((nft.TypeSize(part)+3)&^3, len(key)-at)
		k := key[at : at+n]
		if bytes.Compare(k, e.Key[at:at+n]) < 0 || bytes.Compare(k, to[at:at+n]) > 0 {
			return false
		}
		at += n
	}
	return true
}
