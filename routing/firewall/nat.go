package firewall

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/routing/match"
)

// target is what one family of addresses is changed to.
type target struct {
	addrs  match.Range
	prefix netip.Prefix // valid: the prefix changes, the rest stays
	port   uint16       // 0: stays
	self   bool         // this machine
	auto   bool         // the outgoing interface's address
	ula    bool         // only sources of fc00::/7
}

// all is every address that the target may give.
func (t target) all() match.Range {
	if t.prefix.IsValid() {
		return match.RangeOf(t.prefix)
	}
	return t.addrs
}

// hidden is nat-source: nil is not given.
type hidden struct {
	no bool
	to map[int]target // by family
}

// sent is nat-destination: nil is not given.
type sent struct{ to map[int]target }

func parseNATSource(s string) (*hidden, error) {
	switch s {
	case "":
		return nil, nil
	case "no":
		return &hidden{no: true}, nil
	case "auto":
		return &hidden{to: map[int]target{4: {auto: true}, 6: {auto: true, ula: true}}}, nil
	}
	h := &hidden{to: map[int]target{}}
	return h, each(s, h.to, func(w string) (target, int, error) {
		if strings.Contains(w, "/") {
			return prefixTarget(w)
		}
		r, err := parseRange(w)
		if err != nil {
			return target{}, 0, fmt.Errorf("%q is neither auto nor no nor an address, a range or a prefix", w)
		}
		return target{addrs: r}, match.Family(r.From), usable(r)
	})
}

func parseNATDestination(s string) (*sent, error) {
	if s == "" || s == "no" {
		return nil, nil
	}
	d := &sent{to: map[int]target{}}
	return d, each(s, d.to, func(w string) (target, int, error) {
		if port, is := strings.CutPrefix(w, selfWord+":"); is {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 {
				return target{}, 0, fmt.Errorf("%q: %q is no port", w, port)
			}
			return target{self: true, port: uint16(n)}, 0, nil
		}
		if strings.Contains(w, "/") {
			return prefixTarget(w)
		}
		if a, err := netip.ParseAddr(w); err == nil {
			r := match.Range{From: a.Unmap(), To: a.Unmap()}
			return target{addrs: r}, match.Family(a), usable(r)
		}
		ap, err := netip.ParseAddrPort(w)
		if err != nil || ap.Port() == 0 {
			return target{}, 0, fmt.Errorf("%q is no address: write 192.0.2.1, 192.0.2.1:8080, 2001:db8::1, [2001:db8::1]:8080, a prefix or self:8080", w)
		}
		r := match.Range{From: ap.Addr().Unmap(), To: ap.Addr().Unmap()}
		return target{addrs: r, port: ap.Port()}, match.Family(r.From), usable(r)
	})
}

// each reads the parts between commas, one for a family; family 0 is both.
func each(s string, to map[int]target, read func(string) (target, int, error)) error {
	for _, w := range strings.Split(s, ",") {
		t, family, err := read(strings.TrimSpace(w))
		if err != nil {
			return err
		}
		families := []int{family}
		if family == 0 {
			families = []int{4, 6}
		}
		for _, f := range families {
			if _, twice := to[f]; twice {
				return fmt.Errorf("%q names two for IPv%d: one for each family", s, f)
			}
			to[f] = t
		}
	}
	return nil
}

func prefixTarget(w string) (target, int, error) {
	p, err := netip.ParsePrefix(w)
	switch {
	case err != nil:
		return target{}, 0, fmt.Errorf("%q is no prefix", w)
	case p != p.Masked():
		return target{}, 0, fmt.Errorf("%q has bits behind its length: write %s", w, p.Masked())
	}
	return target{prefix: p}, match.Family(p.Addr()), usable(match.RangeOf(p))
}

// usable refuses addresses that no packet may have as its new one.
func usable(r match.Range) error {
	for _, a := range []netip.Addr{r.From, r.To} {
		if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return fmt.Errorf("%s is no address that a packet can be given", a)
		}
	}
	return nil
}
