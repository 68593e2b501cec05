package nft

import (
	"bytes"
	"cmp"
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
		t.datas = set.Data
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

// elements writes all elements of a set, in nft's order.
func elements(set Set) ([]string, bool) {
	es := slices.Clone(set.Elements)
	// Single intervals of numbers in host order are kept in network order, or they were no intervals.
	d, _ := typeOf(set.Key[0])
	swapped := set.Interval && len(set.Key) == 1 && d.host
	slices.SortStableFunc(es, func(a, b Element) int { return compareKeys(set, swapped, a.Key, b.Key) })
	out := make([]string, 0, len(es))
	good := true
	for _, e := range es {
		text, ok := "*", true // every key that has no element of its own
		if len(e.Key) > 0 {
			text, ok = concat(set.Key, e.Key, e.To, swapped)
		}
		if !ok {
			text, good = hexNumber(e.Key), false
		}
		if e.Timeout > 0 && e.Timeout != set.Timeout {
			text += " timeout " + sayTime(e.Timeout)
		}
		if e.Expires > 0 {
			text += " expires " + sayTime(e.Expires)
		}
		if e.Comment != "" {
			text += " comment " + quote(e.Comment)
		}
		switch {
		case e.Verdict != nil:
			text += " : " + verdictText(*e.Verdict)
		case len(set.Data) > 0:
			d, ok := dataText(set.Data, e.Data)
			if !ok {
				d, good = hexNumber(e.Data), false
			}
			text += " : " + d
		}
		out = append(out, text)
	}
	return out, good
}

// dataText writes a map's value; nat prefixes are both ends of a range.
func dataText(types []string, data []byte) (string, bool) {
	if d, ok := typeByName(types[0]); ok && len(types) == 1 && len(data) == d.size && d.size == 2*TypeSize(d.whole()) {
		return sayRange(d.whole(), data[:d.size/2], data[d.size/2:], false)
	}
	return concat(types, data, nil, false)
}

// whole is the type by a number alone, whatever the size: a map's value that has twice the size
// of its type is a range.
func (d datatype) whole() string {
	for _, x := range datatypes {
		if x.number == d.number {
			return x.name
		}
	}
	return ""
}

// concat writes the parts of a key; with to each part is a range.
func concat(types []string, from, to []byte, swapped bool) (string, bool) {
	if len(to) == 0 {
		to = from
	}
	var out []string
	for i, name := range types {
		d, known := typeOf(name)
		n := d.size
		if n == 0 && i == len(types)-1 {
			n = len(from)
		}
		if !known || len(from) < n || len(to) < n || n == 0 {
			return "", false
		}
		text, ok := sayRange(name, from[:n], to[:n], swapped)
		if !ok {
			return "", false
		}
		out = append(out, text)
		n = min(int(align4(uint32(n))), len(from), len(to))
		from, to = from[n:], to[n:]
	}
	return strings.Join(out, " . "), len(from) == 0
}

// compareKeys orders as nft does: as numbers, in the order of the type's bytes; "*" is last.
func compareKeys(set Set, swapped bool, a, b []byte) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a))
	}
	for _, name := range set.Key {
		d, _ := typeOf(name)
		n := min(len(a), len(b))
		if len(set.Key) > 1 {
			n = min(n, int(align4(uint32(d.size))))
		}
		x, y := a[:n], b[:n]
		if (d.host && !swapped) || name == TypeIfname && !set.Interval {
			x, y = reversed(x), reversed(y)
		}
		if c := bytes.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[n:], b[n:]
	}
	return 0
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
