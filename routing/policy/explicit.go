package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// problems reads r, tells what is wrong, and returns the routes that it means.
func (r Route) problems(add func(key, format string, args ...any)) []route.Spec {
	var s route.Spec
	bad := false
	fail := func(key, format string, args ...any) { bad = true; add(key, format, args...) }
	families := map[int]bool{}
	if r.To != "" && r.To != "default" {
		p, why := prefix(r.To)
		if why != "" {
			fail("to", "%s", why)
		}
		s.Dst = p
		families[familyOf(p.Addr())] = true
	}
	for _, a := range []struct {
		key, text string
		to        *netip.Addr
	}{{"via", r.Via, &s.Gateway}, {"from", r.From, &s.Source}} {
		if a.text == "" {
			continue
		}
		var why string
		if *a.to, why = address(a.text); why != "" {
			fail(a.key, "%s", why)
			continue
		}
		families[familyOf(*a.to)] = true
	}
	s.Table, s.Metric, s.MTU, s.OnLink = r.Table, r.Metric, r.MTU, r.OnLink
	if r.Table == tableLocal {
		fail("table", "255 is the kernel's own list of this machine's addresses: choose another table")
	}
	switch r.Type {
	case "", "unicast":
		if why := badInterface(r.Interface); why != "" {
			fail("interface", "%s", why)
		}
		s.Dev = "name:" + r.Interface
	case route.Unreachable, route.Blackhole, route.Prohibit, route.Throw:
		s.Type = r.Type
		if r.Interface != "" || r.Via != "" || r.From != "" || r.MTU != 0 || r.OnLink {
			fail("type", "%s packets go nowhere: leave out interface, via, from, mtu and on-link", r.Type)
		}
	default:
		fail("type", "%q is none of unicast, unreachable, blackhole, prohibit, throw", r.Type)
	}
	if r.OnLink && r.Via == "" {
		fail("on-link", "is about a gateway: give via, or leave it out")
	}
	if r.MTU != 0 && r.MTU < 68 {
		fail("mtu", "%d is less than any link carries: at least 68, for IPv6 1280", r.MTU)
	}
	// IPv4 may go by an IPv6 gateway (RFC 8950), if to says that it is IPv4.
	if len(families) > 1 && !(s.Dst.IsValid() && s.Dst.Addr().Is4() && s.Gateway.Is6() && !s.Source.Is6()) {
		fail("", "mixes IPv4 and IPv6: to, via and from have to be of one family")
	}
	if bad {
		return nil
	}
	var out []route.Spec
	for _, family := range []int{4, 6} {
		if s.Dst.IsValid() {
			if familyOf(s.Dst.Addr()) != family {
				continue
			}
		} else if len(families) > 0 && !families[family] {
			continue
		}
		f := s
		f.Family = family
		if !f.Dst.IsValid() {
			f.Dst = route.Any(family)
		}
		if f.Table == 0 {
			f.Table = tableMain
		}
		if family == 6 && f.Metric == 0 {
			f.Metric = route.Default6
		}
		out = append(out, f)
	}
	return out
}

func protocols() map[string]uint8 {
	return map[string]uint8{"": 0, "icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
}

// problems reads r, tells what is wrong, and returns the rules that it means, without priority.
func (r Rule) problems(add func(key, format string, args ...any)) []rule.Spec {
	var s rule.Spec
	bad := false
	fail := func(key, format string, args ...any) { bad = true; add(key, format, args...) }
	families := map[int]bool{}
	for _, p := range []struct {
		key, text string
		to        *netip.Prefix
	}{{"from", r.From, &s.From}, {"to", r.To, &s.To}} {
		if p.text == "" {
			continue
		}
		var why string
		if *p.to, why = prefix(p.text); why != "" {
			fail(p.key, "%s", why)
			continue
		}
		families[familyOf(p.to.Addr())] = true
	}
	for _, d := range []struct {
		key, text string
		to        *string
	}{{"iif", r.IIF, &s.Iif}, {"oif", r.OIF, &s.Oif}} {
		if d.text == "" {
			continue
		}
		if why := badInterface(d.text); why != "" {
			fail(d.key, "%s", why)
		}
		*d.to = "name:" + d.text
	}
	if r.FWMark != "" {
		var why string
		if s.Mark, s.Mask, why = mark(r.FWMark); why != "" {
			fail("fwmark", "%s", why)
		}
	}
	proto, known := protocols()[r.Protocol]
	if !known {
		fail("protocol", "%q is none of tcp, udp, icmp, icmpv6", r.Protocol)
	}
	s.IPProto = proto
	for _, p := range []struct {
		key, text string
		to        *rule.Range
	}{{"source-port", r.SPort, &s.SPort}, {"port", r.DPort, &s.DPort}} {
		if p.text == "" {
			continue
		}
		var why string
		if *p.to, why = ports(p.text); why != "" {
			fail(p.key, "%s", why)
		} else if r.Protocol != "tcp" && r.Protocol != "udp" {
			fail(p.key, "wants a protocol that has ports: tcp or udp")
		}
	}
	s.Not = r.Not
	if r.Suppress != nil {
		n := int(*r.Suppress)
		s.Suppress = &n
		if most := 128; n > most || families[4] && n > 32 {
			fail("suppress-prefixlength", "%d is longer than an address", n)
		}
	}
	switch r.Type {
	case "", "table":
		if s.Target = r.Table; r.Table == 0 {
			fail("table", "is missing: the number of the routing table to ask")
		}
	case rule.Unreachable, rule.Blackhole, rule.Prohibit:
		s.Action = r.Type
		if r.Table != 0 || r.Suppress != nil {
			fail("type", "%s packets ask no table: leave out table and suppress-prefixlength", r.Type)
		}
	default:
		fail("type", "%q is none of table, unreachable, blackhole, prohibit", r.Type)
	}
	if r.Priority >= priorityMain {
		fail("priority", "%d comes after the main table, which has a route for everything: at most %d", r.Priority, priorityMain-1)
	}
	if s.Action != "" && !r.Not && r.From == "" && r.To == "" && r.IIF == "" && r.OIF == "" && r.FWMark == "" && r.Protocol == "" {
		fail("", "would cut this machine off: say which packets are meant")
	}
	want, ok := map[string][]int{"": {4, 6}, "both": {4, 6}, "ipv4": {4}, "ipv6": {6}}[r.Family]
	if !ok {
		fail("family", "%q is none of ipv4, ipv6, both", r.Family)
	}
	if len(families) > 1 {
		fail("", "mixes IPv4 and IPv6: from and to have to be of one family")
	}
	if bad {
		return nil
	}
	var out []rule.Spec
	for _, family := range want {
		switch {
		case len(families) > 0 && !families[family]:
			if r.Family != "" {
				fail("family", "%s and the addresses do not go together", r.Family)
				return nil
			}
			continue
		case r.Protocol == "icmp" && family == 6, r.Protocol == "icmpv6" && family == 4:
			continue
		}
		f := s
		f.Family = family
		out = append(out, f)
	}
	if out == nil {
		fail("protocol", "there is no %s in that family", r.Protocol)
	}
	return out
}

func ports(text string) (rule.Range, string) {
	a, b, both := strings.Cut(text, "-")
	if !both {
		b = a
	}
	first, err1 := strconv.ParseUint(strings.TrimSpace(a), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(b), 10, 16)
	if err1 != nil || err2 != nil || first == 0 || last < first {
		return rule.Range{}, fmt.Sprintf("%q is no port nor a range such as 8000-8080", text)
	}
	return rule.Range{First: uint16(first), Last: uint16(last)}, ""
}
