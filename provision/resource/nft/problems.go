package nft

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// maxName is the longest name (NFT_NAME_MAXLEN without the zero byte).
const maxName = 255

// maxValue is the longest value of a register (NFT_DATA_VALUE_MAXLEN).
const maxValue = 64

// Problem is something in a table that the kernel would not take, that would not be read back as
// it was written, or that nft could not read.
type Problem struct {
	Path string // "chain input, rule 3"
	Text string
}

func (p Problem) String() string { return p.Path + ": " + p.Text }

// judge collects problems.
type judge struct {
	t      *Table
	chains map[string]*Chain
	sets   map[string]*Set
	all    []Problem
}

//go:noinline
func (j *judge) say(path, format string, args ...any) {
	j.all = append(j.all, Problem{path, fmt.Sprintf(format, args...)})
}

// Problems judges a table of our own before it is sent: everything at once. Nil is a table that
// every kernel with the modules that it needs takes as a whole, and that reads back the same.
func (t Table) Problems() []Problem {
	j := &judge{t: &t, chains: map[string]*Chain{}, sets: map[string]*Set{}}
	path := "table " + t.Name
	if !slices.Contains([]string{"inet", "ip", "ip6", "arp", "bridge", "netdev"}, t.Family) {
		j.say(path, "there is no family %q", t.Family)
	}
	if p := nameProblem(t.Name); p != "" {
		j.say(path, "%s", p)
	}
	if t.Dormant || t.Owner {
		j.say(path, "no table is made dormant or with an owner")
	}
	for i := range t.Chains {
		c := &t.Chains[i]
		if j.chains[c.Name] != nil {
			j.say("chain "+c.Name, "there are two of this name")
		}
		j.chains[c.Name] = c
	}
	for i := range t.Sets {
		s := &t.Sets[i]
		if j.sets[s.Name] != nil {
			j.say("set "+s.Name, "there are two of this name")
		}
		j.sets[s.Name] = s
	}
	for i := range t.Sets {
		j.set(&t.Sets[i])
	}
	for i := range t.Chains {
		j.chain(&t.Chains[i])
	}
	j.hooks()
	j.circles()
	return j.all
}

func (j *judge) comment(path, s string) {
	if p := textProblem(s); p != "" {
		j.say(path, "its comment: %s", p)
	}
}

func (j *judge) set(s *Set) {
	path := "set " + s.Name
	if p := nameProblem(s.Name); p != "" {
		j.say(path, "%s", p)
	}
	j.comment(path, s.Comment)
	j.types(path, s)
	if s.Anonymous {
		j.say(path, "sets without a name are nft's own: give it one")
	}
	switch {
	case !s.Learnt && s.Timeout != 0:
		j.say(path, "elements that time takes away are learnt: mark it as learnt or leave the timeout out")
	case s.Learnt && len(s.Elements) > 0:
		j.say(path, "a learnt set begins empty: its elements come at run time")
	case s.Timeout%1000 != 0:
		j.say(path, "its timeout is no whole number of seconds, which kernels round each in its own way")
	case s.Interval && s.Size != 0:
		j.say(path, "a set with ranges has no size: kernels count their ends differently")
	case s.Size != 0 && uint64(s.Size) < uint64(len(s.Elements)):
		j.say(path, "it has %d elements and room for %d", len(s.Elements), s.Size)
	case len(s.Elements) > MaxElements:
		j.say(path, "it has %d elements, more than %d", len(s.Elements), MaxElements)
	}
	j.elements(path, s)
}

func (j *judge) types(path string, s *Set) {
	for _, side := range [][]string{s.Key, s.Data} {
		for _, name := range side {
			if d, ok := typeByName(name); !ok || d.number == 0 {
				j.say(path, "there is no type %q", name)
			}
		}
	}
	switch {
	case len(s.Key) == 0 || KeySize(s.Key) == 0:
		j.say(path, "its keys have no type")
	case KeySize(s.Key) > maxValue || KeySize(s.Data) > maxValue:
		j.say(path, "a key or value is longer than %d bytes", maxValue)
	case len(s.Key) > 5 || len(s.Data) > 5: // 32 bits for parts of 6
		j.say(path, "a concatenation has five parts at most")
	case s.Interval && len(s.Key) == 1 && byteOrder(s.Key) == 1 && s.Key[0] != TypeIfname:
		j.say(path, "ranges of %s are not compared as numbers on every machine", s.Key[0])
	case slices.Contains(s.Data, TypeVerdict) && len(s.Data) > 1:
		j.say(path, "a verdict is no part of a concatenation")
	case slices.Contains(s.Key, TypeVerdict):
		j.say(path, "a verdict is no key")
	}
}

func (j *judge) elements(path string, s *Set) {
	size, data := KeySize(s.Key), KeySize(s.Data)
	told := 0
	for i := range s.Elements {
		e := &s.Elements[i]
		text := ""
		switch {
		case len(e.Key) != size || e.To != nil && len(e.To) != size:
			text = fmt.Sprintf("has %d bytes, a key has %d", len(e.Key), size)
		case e.To != nil && !s.Interval:
			text = "is a range, and the set has none"
		case e.To != nil && !ascending(s.Key, e.Key, e.To):
			text = "ends before it begins"
		case e.Verdict != nil != s.verdicts() || !s.verdicts() && len(e.Data) != data:
			text = "does not have the value that a map's element has, or has one in a set"
		case e.Verdict != nil:
			text = j.target(*e.Verdict)
		case e.Timeout != 0:
			text = "has a timeout, and the set is not learnt"
		case i > 0 && overlap(s, &s.Elements[i-1], e):
			text = "is not behind the element before it, or overlaps it"
		}
		if p := textProblem(e.Comment); p != "" && text == "" {
			text = "has a comment that cannot be kept: " + p
		}
		if text == "" {
			continue
		}
		if told++; told > 10 {
			j.say(path, "and more of this")
			return
		}
		j.say(fmt.Sprintf("%s, element %d (%x)", path, i+1, e.Key), "%s", text)
	}
}

// ascending compares the parts of a range each for itself.
func ascending(types []string, from, to []byte) bool {
	if len(types) == 1 {
		return bytes.Compare(from, to) <= 0
	}
	for _, t := range types {
		n := (TypeSize(t) + 3) &^ 3
		if bytes.Compare(from[:n], to[:n]) > 0 {
			return false
		}
		from, to = from[n:], to[n:]
	}
	return true
}

// overlap is about elements next to each other; ranges of concatenations may lie across each
// other in ways that the kernel judges.
func overlap(s *Set, a, b *Element) bool {
	if s.ranged() {
		return compareElements(*a, *b) > 0
	}
	return bytes.Compare(a.last(), b.Key) >= 0
}

// sendable refuses what cannot even be put into a message, of a table that is put back as it
// was found, too.
func (t *Table) sendable() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	comment := func(path, s string) {
		if len(s) > 250 { // NFT_USERDATA_MAXLEN holds its type, its length and more
			fail("%s: its comment is longer than 250 bytes", path)
		}
	}
	for i := range t.Sets {
		s := &t.Sets[i]
		comment("set "+s.Name, s.Comment)
		if len(s.Name) > maxName || KeySize(s.Key) == 0 || KeySize(s.Key) > maxValue || KeySize(s.Data) > maxValue {
			fail("set %s: its name or its types cannot be", s.Name)
		}
		for k := range s.Elements {
			e := &s.Elements[k]
			comment("set "+s.Name, e.Comment)
			if len(e.Key) > maxValue || len(e.To) > maxValue || len(e.Data) > maxValue {
				fail("set %s: an element is longer than %d bytes", s.Name, maxValue)
			}
		}
	}
	for i := range t.Chains {
		c := &t.Chains[i]
		comment("chain "+c.Name, c.Comment)
		if len(c.Name) > maxName {
			fail("chain %s: its name is too long", c.Name)
		}
		for k := range c.Rules {
			comment(fmt.Sprintf("chain %s, rule %d", c.Name, k+1), c.Rules[k].Comment)
			if n := weight(c.Rules[k].Exprs); n > 60000 {
				fail("chain %s, rule %d: it is larger than the kernel takes", c.Name, k+1)
			}
		}
	}
	return errors.Join(errs...)
}

// weight is not less than the bytes that a rule takes in a message.
func weight(exprs []Expr) int {
	n := 0
	for _, e := range exprs {
		n += 200
		switch {
		case e.Cmp != nil:
			n += len(e.Cmp.Data)
		case e.Range != nil:
			n += len(e.Range.From) + len(e.Range.To)
		case e.Bitwise != nil:
			n += len(e.Bitwise.Mask) + len(e.Bitwise.Xor)
		case e.Immediate != nil:
			n += len(e.Immediate.Data)
		case e.Lookup != nil:
			n += len(e.Lookup.Set)
		case e.Verdict != nil:
			n += len(e.Verdict.Chain)
		case e.Log != nil:
			n += len(e.Log.Prefix)
		case e.DynSet != nil:
			n += len(e.DynSet.Set) + weight(e.DynSet.Exprs)
		case e.Unknown != nil:
			n += len(e.Unknown.Name) + len(e.Unknown.Data)
		}
	}
	return n
}
