package rule

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// words takes a name apart, one word after the other.
type words struct {
	name, rest string
	err        error
}

func (w *words) next() (s string) {
	s, w.rest, _ = strings.Cut(w.rest, " ")
	return s
}

func (w *words) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("rule %q: %s", w.name, fmt.Sprintf(format, args...))
	}
}

func (w *words) number(s string, base, bits int) uint64 {
	n, err := strconv.ParseUint(s, base, bits)
	if err != nil {
		w.fail("%q is no number", s)
	}
	return n
}

func (w *words) span(bits int) (first, last uint64) {
	a, b, both := strings.Cut(w.next(), "-")
	first = w.number(a, 10, bits)
	if last = first; both {
		last = w.number(b, 10, bits)
	}
	if last < first {
		w.fail("the range %s-%s ends before it begins", a, b)
	}
	return first, last
}

func (w *words) prefix(family int) netip.Prefix {
	s := w.next()
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4() != (family == 4) || p.Addr().Is4In6() {
		w.fail("%q is no prefix of that family", s)
	}
	return p
}

// Parse reads a name and refuses what is not in its canonical form.
func Parse(name string) (Key, error) {
	w := &words{name: name, rest: name}
	var k Key
	switch family := w.next(); family {
	case "inet":
		k.Family = 4
	case "inet6":
		k.Family = 6
	default:
		w.fail("want inet or inet6, not %q", family)
	}
	k.Priority = uint32(w.number(w.next(), 10, 32))
	done := false
	for w.rest != "" && w.err == nil && !done {
		switch s := w.next(); s {
		case "not":
			k.Not = true
		case "from":
			k.From = w.prefix(k.Family)
		case "to":
			k.To = w.prefix(k.Family)
		case "iif":
			k.Iif = w.next()
		case "oif":
			k.Oif = w.next()
		case "fwmark":
			mark, mask, _ := strings.Cut(w.next(), "/")
			k.Mark = uint32(w.number(strings.TrimPrefix(mark, "0x"), 16, 32))
			k.Mask = uint32(w.number(strings.TrimPrefix(mask, "0x"), 16, 32))
		case "ipproto":
			k.IPProto = uint8(w.number(w.next(), 10, 8))
		case "sport", "dport":
			a, b := w.span(16)
			r := Range{uint16(a), uint16(b)}
			if s == "sport" {
				k.SPort = r
			} else {
				k.DPort = r
			}
		case "uidrange":
			a, b := w.span(32)
			k.UID = &UIDs{uint32(a), uint32(b)}
		case "table", Goto:
			if s == Goto {
				k.Action = Goto
			}
			k.Target = uint32(w.number(w.next(), 10, 32))
			done = true
		case Unreachable, Blackhole, Prohibit:
			k.Action, done = s, true
		default:
			w.fail("%q is not understood", s)
		}
	}
	switch {
	case w.err != nil:
		return Key{}, w.err
	case !done:
		w.fail("says nothing to do: end it with table NUMBER, goto PRIORITY, unreachable, blackhole or prohibit")
	case k.Priority == 0 || k.Action != Goto && k.Action == "" && k.Target == 0:
		w.fail("priority and table are at least 1")
	case k.Action == Goto && k.Target <= k.Priority:
		w.fail("goto leads to a later priority only")
	case k.String() != name || k.normal().String() != name:
		w.fail("is written %q", k.normal())
	}
	if w.err != nil {
		return Key{}, w.err
	}
	return k, nil
}
