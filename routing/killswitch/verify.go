package killswitch

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/provision-net/provision/provision/resource/nft"
)

// Missing names what of the guard is not in a table that was read from the kernel, or not as it
// should be: nothing, when all of it holds. Both tables are compared in their canonical form; what
// else is in the table does not matter, because what the guard drops nobody gives back.
func Missing(guard, have nft.Table) []string {
	guard, have = nft.Canonical(guard), nft.Canonical(have)
	if have.Family != guard.Family || have.Name != guard.Name {
		return []string{fmt.Sprintf("the table %s %s is not there", guard.Family, guard.Name)}
	}
	var out []string
	if have.Dormant {
		out = append(out, "the table is switched off (dormant)")
	}
	for _, want := range guard.Sets {
		i := slices.IndexFunc(have.Sets, func(s nft.Set) bool { return s.Name == want.Name })
		switch {
		case i < 0:
			out = append(out, "set "+want.Name+" is not there")
		case !same(comparable(want), comparable(have.Sets[i])):
			out = append(out, "set "+want.Name+" was changed")
		}
	}
	for _, want := range guard.Chains {
		i := slices.IndexFunc(have.Chains, func(c nft.Chain) bool { return c.Name == want.Name })
		switch {
		case i < 0:
			out = append(out, "chain "+want.Name+" is not there")
		case !same(want.Base, have.Chains[i].Base):
			out = append(out, "chain "+want.Name+" is at another hook")
		case len(want.Rules) != len(have.Chains[i].Rules):
			out = append(out, fmt.Sprintf("chain %s has %d rules instead of %d", want.Name, len(have.Chains[i].Rules), len(want.Rules)))
		default:
			for j := range want.Rules {
				if !same(want.Rules[j].Exprs, have.Chains[i].Rules[j].Exprs) {
					out = append(out, fmt.Sprintf("rule %d of chain %s was changed", j+1, want.Name))
				}
			}
		}
	}
	return out
}

// comparable leaves of a set what the guard stands on: a learnt set's elements come and go, and
// its size is nobody's concern.
func comparable(s nft.Set) nft.Set {
	s.Comment, s.Size = "", 0
	if s.Learnt {
		s.Elements = nil
	}
	return s
}

func same(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true // nearly always, and much quicker
	}
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
