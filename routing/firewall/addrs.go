package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/provision-net/provision/routing/match"
)

// addrs is what the source or destination of a rule holds; the zero value is nothing.
type addrs struct {
	any    bool
	v4, v6 []match.Range // merged and sorted
	group  string        // when it is that group and nothing else
}

//go:noinline
func (a *addrs) of(family int) []match.Range {
	if family == 6 {
		return a.v6
	}
	return a.v4
}

// has says whether there can be a packet of the family.
func (a *addrs) has(family int) bool { return a.any || len(a.of(family)) > 0 }

// covers says that each address of the family that b holds is one of a's.
func (a *addrs) covers(b *addrs, family int) bool {
	if a.any {
		return true
	}
	theirs, mine, i := b.of(family), a.of(family), 0
	if b.any {
		return len(mine) == 1 && mine[0].From.IsUnspecified() && mine[0] == all(family)
	}
	for _, r := range theirs {
		for i < len(mine) && mine[i].To.Less(r.From) {
			i++
		}
		if i == len(mine) || r.From.Less(mine[i].From) || mine[i].To.Less(r.To) {
			return false
		}
	}
	return true
}

// overlaps says that some address of the range is among them.
func (a *addrs) overlaps(r match.Range) bool {
	return a.any || slices.ContainsFunc(a.of(match.Family(r.From)), func(x match.Range) bool {
		return !r.To.Less(x.From) && !x.To.Less(r.From)
	})
}

// within says that b is not any and holds no address outside of the ranges.
func (a *addrs) within(outer addrs) bool {
	return !a.any && (len(a.v4)+len(a.v6)) > 0 && outer.covers(a, 4) && outer.covers(a, 6)
}

func all(family int) match.Range {
	if family == 6 {
		return match.RangeOf(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	return match.RangeOf(netip.PrefixFrom(netip.IPv4Unspecified(), 0))
}

func (a *addrs) add(r match.Range) {
	if match.Family(r.From) == 6 {
		a.v6 = append(a.v6, r)
	} else {
		a.v4 = append(a.v4, r)
	}
}

// groups resolves names to addresses.
type groups struct {
	conf Groups
	done map[string]addrs
	busy map[string]bool
}

// parse reads a list of addresses; an empty one is any.
func (g *groups) parse(words []string, fail func(i int, format string, args ...any)) addrs {
	if len(words) == 0 {
		return addrs{any: true}
	}
	var out addrs
	for i, w := range words {
		if w == anyWord {
			out.any = true
			continue
		}
		if _, is := g.conf[w]; is {
			in := g.group(w)
			out.any = out.any || in.any
			out.v4, out.v6 = append(out.v4, in.v4...), append(out.v6, in.v6...)
			if len(words) == 1 {
				out.group = w
			}
			continue
		}
		r, err := parseRange(w)
		if err != nil {
			fail(i, "%v", err)
			continue
		}
		out.add(r)
	}
	if out.any {
		return addrs{any: true}
	}
	out.v4, out.v6 = match.Merge(out.v4), match.Merge(out.v6)
	return out
}

// group resolves one group; what is wrong inside is told once, where the group is.
func (g *groups) group(name string) addrs {
	if a, ok := g.done[name]; ok || g.busy[name] || len(g.conf[name]) == 0 {
		return a
	}
	g.busy[name] = true
	a := g.parse(g.conf[name], func(int, string, ...any) {})
	delete(g.busy, name)
	g.done[name] = a
	return a
}

// reaches says whether a group holds another one, by however many steps.
func (g *groups) reaches(from, to string, seen map[string]bool) bool {
	if seen[from] {
		return false
	}
	seen[from] = true
	return slices.ContainsFunc(g.conf[from], func(w string) bool { return w == to || g.reaches(w, to, seen) })
}

// parseRange reads an address, a prefix or a range.
func parseRange(w string) (match.Range, error) {
	if strings.Contains(w, "%") {
		return match.Range{}, fmt.Errorf("%q names an interface: leave %s out and use source-interface or destination-interface", w, w[strings.Index(w, "%"):])
	}
	if strings.Contains(w, "/") {
		p, err := netip.ParsePrefix(w)
		switch {
		case err != nil:
			return match.Range{}, fmt.Errorf("%q is no prefix: write it as 192.0.2.0/24 or 2001:db8::/32", w)
		case p.Addr().Is4In6():
			return match.Range{}, fmt.Errorf("%q is IPv4 written as IPv6: write the IPv4 prefix", w)
		case p != p.Masked():
			return match.Range{}, fmt.Errorf("%q has bits behind its length: write %s for the network or %s for the one address", w, p.Masked(), p.Addr())
		}
		return match.RangeOf(p), nil
	}
	if a, err := netip.ParseAddr(w); err == nil {
		return match.Range{From: a.Unmap(), To: a.Unmap()}, nil
	}
	if from, to, ok := strings.Cut(w, "-"); ok {
		a, err := netip.ParseAddr(from)
		b, err2 := netip.ParseAddr(to)
		if err == nil && err2 == nil {
			a, b = a.Unmap(), b.Unmap()
			switch {
			case a.BitLen() != b.BitLen():
				return match.Range{}, fmt.Errorf("%q begins in one family and ends in the other", w)
			case b.Less(a):
				return match.Range{}, fmt.Errorf("%q ends before it begins: write %s-%s", w, b, a)
			}
			return match.Range{From: a, To: b}, nil
		}
	}
	return match.Range{}, fmt.Errorf("%q is no address and no group that is known", w)
}
