package nft

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// dice draws tables that share names and much of what is in them.
type dice struct{ *rand.Rand }

func (d dice) often() bool { return d.IntN(4) != 0 }

func (d dice) table() Table {
	t := Table{Family: OwnFamily, Name: OwnTable}
	for i := range 4 {
		if d.often() {
			t.Sets = append(t.Sets, d.set(i))
		}
	}
	var subs []string
	for i := range 3 {
		if d.often() {
			subs = append(subs, fmt.Sprintf("sub%d", i))
		}
	}
	if len(subs) > 0 {
		m := Set{Name: "verdicts", Key: []string{TypePort}, Data: []string{TypeVerdict}}
		for p := range 6 {
			if d.often() {
				m.Elements = append(m.Elements, Element{Key: []byte{0, byte(p)}, Verdict: &Verdict{Kind: "jump", Chain: subs[d.IntN(len(subs))]}})
			}
		}
		t.Sets = append(t.Sets, m)
	}
	for i, hook := range []string{"input", "forward", "output"} {
		if !d.often() {
			continue
		}
		c := Chain{Name: hook, Base: filter(hook, int32(d.IntN(7)/6), []string{"accept", "drop"}[d.IntN(2)])}
		if d.IntN(6) == 0 {
			c.Comment = "another"
		}
		c.Rules = d.rules(&t, subs, i)
		t.Chains = append(t.Chains, c)
	}
	for i, s := range subs {
		c := Chain{Name: s, Rules: d.rules(&t, nil, i)}
		if d.IntN(6) == 0 {
			c.Comment = "another"
		}
		t.Chains = append(t.Chains, c)
	}
	return t
}

// set draws set number i: its kind mostly stays, its elements partly.
func (d dice) set(i int) Set {
	s := Set{Name: fmt.Sprintf("set%d", i), Key: []string{TypeIPv4}}
	if d.IntN(8) == 0 {
		s.Comment = "another"
	}
	switch i {
	case 0:
		s.Elements = d.intervals()
		s.Interval = true
	case 1:
		for k := range 20 {
			if d.often() {
				s.Elements = append(s.Elements, Element{Key: []byte{10, 0, 0, byte(k)}})
			}
		}
	case 2:
		s.Key, s.Interval = []string{TypeIPv4, TypePort}, true
		for k := range 10 {
			if d.often() {
				key := []byte{10, 0, byte(k), 0, 0, 80, 0, 0}
				to := []byte{10, 0, byte(k), byte(d.IntN(3)), 0, byte(80 + d.IntN(2)), 0, 0}
				s.Elements = append(s.Elements, Element{Key: key, To: to})
			}
		}
	default:
		s.Learnt, s.Timeout = true, 60000
	}
	return s
}

// intervals often touch each other, begin at the first address or end at the last.
func (d dice) intervals() []Element {
	var cuts []uint32
	for range 2 + d.IntN(30) {
		cuts = append(cuts, uint32(d.IntN(16))<<28|uint32(d.IntN(4)))
	}
	cuts = append(cuts, 0)
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []Element
	for i, at := range cuts {
		if d.IntN(3) == 0 {
			continue
		}
		last := uint32(0xffffffff)
		if i+1 < len(cuts) {
			last = cuts[i+1] - 1
		}
		if d.IntN(3) == 0 {
			last = at + (last-at)/2
		}
		e := Element{Key: binary.BigEndian.AppendUint32(nil, at), To: binary.BigEndian.AppendUint32(nil, last)}
		if d.IntN(5) == 0 {
			e.Comment = "x"
		}
		out = append(out, e)
	}
	return out
}

// rules are mostly the same ones in the same order, each with its own port.
func (d dice) rules(t *Table, subs []string, chain int) []Rule {
	var out []Rule
	for i := range 12 {
		if !d.often() {
			continue
		}
		r := rule(tcpPort(uint16(1000*chain+i)), counter())
		switch d.IntN(5) {
		case 0:
			if len(t.Sets) > 0 {
				s := t.Sets[d.IntN(len(t.Sets))]
				if len(s.Data) == 0 && len(s.Key) == 1 {
					r = rule(saddr4(), Expr{Lookup: &Lookup{Set: s.Name, Reg: 1, Invert: d.IntN(2) == 0}}, verdict("accept", ""))
				} else if s.verdicts() && len(subs) > 0 {
					r = rule(tcpPort(0)[:3], Expr{Lookup: &Lookup{Set: s.Name, Reg: 1, Map: true}})
				}
			}
		case 1:
			if len(subs) > 0 {
				r.Exprs = append(r.Exprs, verdict("jump", subs[d.IntN(len(subs))]))
			}
		case 2:
			r.Comment = "drawn"
		}
		out = append(out, r)
	}
	if d.IntN(3) == 0 {
		d.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

// Whatever the way from one table to another: it is gone in one transaction, ends at the goal
// (Set reads it back), keeps what both have, and nft can read what it lists.
func TestRandomChanges(t *testing.T) {
	r := network(t)
	const seed = 20
	d := dice{rand.New(rand.NewPCG(seed, seed))}
	var before *Table
	keptRules := 0
	for n := range 100 {
		table := d.table()
		if p := table.Problems(); p != nil {
			t.Fatalf("seed %d, table %d: %v", seed, n, p)
		}
		want, made := Make(table, "")
		if n%2 == 0 { // the others are read from their text
			r.Know(made)
		}
		if err := try(r, "inet provision", want.Attrs); err != nil {
			was, _ := json.Marshal(before)
			is, _ := json.Marshal(table)
			t.Fatalf("seed %d, table %d: %v\nfrom %s\nto %s", seed, n, err, was, is)
		}
		if n%25 == 0 {
			if out, err := tryTool(t, tool(t, "", "list", "ruleset"), "-c", "-f", "-"); err != nil {
				t.Fatalf("nft does not read its own listing: %s", out)
			}
		}
		now := mustDump(t, "inet", "provision")
		keptRules += checkKept(t, before, &now)
		before = &now
	}
	if keptRules < 300 {
		t.Errorf("only %d rules were kept: the test tests nothing", keptRules)
	}
}

// checkKept finds rules that were in both tables, at the same places among what is the same, and
// were made anew all the same.
func checkKept(t *testing.T, before, now *Table) int {
	t.Helper()
	if before == nil {
		return 0
	}
	kept := 0
	old := byName(before.Chains, chainName)
	for i := range now.Chains {
		c := &now.Chains[i]
		o := old[c.Name]
		if o == nil || !sameChain(o, c) || len(c.Rules) == 0 {
			continue
		}
		handles := map[uint64]bool{}
		for _, r := range o.Rules {
			handles[r.Handle] = true
		}
		for _, r := range c.Rules {
			if handles[r.Handle] {
				kept++
			}
		}
		same := len(o.Rules) == len(c.Rules)
		for k := 0; same && k < len(c.Rules); k++ {
			a, _ := json.Marshal(o.Rules[k])
			b, _ := json.Marshal(c.Rules[k])
			same = string(a) == string(b) && len(c.Rules[k].Exprs) == 5 && c.Rules[k].Exprs[4].Counter != nil
		}
		for k := 0; same && k < len(c.Rules); k++ {
			if c.Rules[k].Handle != o.Rules[k].Handle {
				t.Errorf("chain %s did not change, and its rule %d was made anew", c.Name, k)
			}
		}
	}
	return kept
}
