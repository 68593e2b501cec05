package nft

import (
	"fmt"
	"slices"
	"strings"
)

func (s *sayer) set(name string) *Set {
	if s.table == nil {
		return nil
	}
	for i := range s.table.Sets {
		if s.table.Sets[i].Name == name {
			return &s.table.Sets[i]
		}
	}
	return nil
}

// setText is how a rule names a set.
func (s *sayer) setText(name string) (string, bool) {
	set := s.set(name)
	if set == nil {
		return "@" + name, s.table == nil // RuleText knows no sets
	}
	if !set.Anonymous {
		return "@" + name, true
	}
	es, ok := elements(*set)
	return "{ " + strings.Join(es, ", ") + " }", ok
}

// key writes the registers that a set's key is read from.
func (s *sayer) key(set *Set, reg uint32) ([]*term, string, bool) {
	var terms []*term
	var words []string
	pos := offset(reg)
	take := func() bool {
		t := s.regs[pos]
		if t == nil || t.set != "" || t.data != nil || t.size == 0 {
			return false
		}
		w, ok := s.left(t)
		if !ok {
			return false
		}
		terms, words = append(terms, t), append(words, w)
		pos += align4(t.size)
		return true
	}
	if set != nil {
		for range set.Key {
			if !take() {
				return nil, "", false
			}
		}
	} else {
		for s.regs[pos] != nil && s.regs[pos].fresh && take() {
		}
	}
	for _, t := range terms {
		if !strings.HasPrefix(t.text, "@") {
			s.use(t)
		}
		t.fresh = false
	}
	return terms, strings.Join(words, " . "), len(terms) > 0
}

// lookup says a match, a verdict map or a map; nat's maps of ranges have one register for each end.
func (s *sayer) lookup(l Lookup) bool {
	set := s.set(l.Set)
	terms, left, ok := s.key(set, l.Reg)
	if !ok {
		return false
	}
	name, ok := s.setText(l.Set)
	if !ok {
		return false
	}
	switch {
	case !l.Map:
		sign := ""
		if l.Invert {
			sign = "!= "
		}
		s.add(left + " " + sign + name)
		return true
	case l.Invert:
		return false
	case l.Dst == 0:
		s.act(left + " vmap " + name)
		return true
	}
	t := &term{text: left + " map " + name, set: l.Set, proto: terms[0].proto}
	if set != nil {
		if len(set.Data) > 0 {
			t.typ = set.Data[0]
		}
		at := uint32(0)
		for i, d := range set.Data { // parts of a concatenation have registers of their own
			ty, _ := typeOf(d)
			if i == 0 {
				t.size = uint32(ty.size)
			} else {
				s.regs[offset(l.Dst)+at] = &term{set: l.Set, at: at}
			}
			at += align4(uint32(ty.size))
		}
	}
	return s.load(l.Dst, t)
}

// perLine is how many elements nft writes in a line.
func perLine(set Set) int {
	if len(set.Key) > 1 || len(set.Data) > 0 {
		return 1
	}
	switch set.Key[0] {
	case TypeIPv4, "ether_addr", "iface_index":
		return 2
	case TypeIPv6, TypeIfname:
		return 1
	}
	return 4
}

func setText(b *strings.Builder, set Set, dynamic bool) bool {
	word := "set"
	if len(set.Data) > 0 {
		word = "map"
	}
	fmt.Fprintf(b, "\t%s %s {\n\t\ttype %s", word, set.Name, strings.Join(set.Key, " . "))
	if len(set.Data) > 0 {
		fmt.Fprintf(b, " : %s", strings.Join(set.Data, " . "))
	}
	b.WriteByte('\n')
	if set.Size > 0 {
		fmt.Fprintf(b, "\t\tsize %d\n", set.Size)
	}
	var flags []string
	if dynamic {
		flags = append(flags, "dynamic")
	}
	if set.Interval {
		flags = append(flags, "interval")
	}
	// A default timeout says it all, where it is the only flag.
	if set.Timeout > 0 && len(flags) > 0 || set.Timeout == 0 && set.Learnt {
		flags = append(flags, "timeout")
	}
	if len(flags) > 0 {
		fmt.Fprintf(b, "\t\tflags %s\n", strings.Join(flags, ","))
	}
	if set.Timeout > 0 {
		fmt.Fprintf(b, "\t\ttimeout %s\n", sayTime(set.Timeout))
	}
	if set.Comment != "" {
		fmt.Fprintf(b, "\t\tcomment %s\n", quote(set.Comment))
	}
	es, good := elements(set)
	for _, name := range slices.Concat(set.Key, set.Data) {
		good = good && !strings.HasPrefix(name, "#") // a type that has no name
	}
	if set.SHA256 != "" && len(set.Elements) != set.Count {
		fmt.Fprintf(b, "\t\t# %d elements are not at hand: sha256 %s\n", set.Count, set.SHA256)
		good = false
	}
	if len(es) > 0 {
		b.WriteString("\t\telements = { ")
		n := perLine(set)
		for i, e := range es {
			switch {
			case i == 0:
			case i%n == 0:
				b.WriteString(",\n\t\t\t     ")
			default:
				b.WriteString(", ")
			}
			b.WriteString(e)
		}
		b.WriteString(" }\n")
	}
	b.WriteString("\t}\n")
	return good
}
