package nft

import (
	"slices"
	"strings"
)

func flagsText(flags []string) string {
	var out []string
	for _, f := range []string{"random", "fully-random", "persistent"} {
		if slices.Contains(flags, f) {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return " " + strings.Join(out, ",")
}

// ports writes ":80" or ":80-90"; nothing without registers.
func (s *sayer) ports(lo, hi uint32) (string, bool) {
	if lo == 0 {
		return "", hi == 0
	}
	a, ok := s.operand(TypePort, lo)
	if !ok || hi == 0 || hi == lo {
		return ":" + a, ok
	}
	z, ok := s.operand(TypePort, hi)
	if z == a {
		return ":" + a, ok
	}
	return ":" + a + "-" + z, ok
}

func (s *sayer) toPorts(word string, lo, hi uint32, flags []string) bool {
	p, ok := s.ports(lo, hi)
	if !ok {
		return false
	}
	if p != "" {
		p = " to " + p
	}
	s.act(word + p + flagsText(flags))
	return true
}

func (s *sayer) nat(n NAT) bool {
	typ := map[string]string{"ip": TypeIPv4, "ip6": TypeIPv6}[n.Family]
	var b strings.Builder
	b.WriteString(n.Kind)
	prefix := slices.Contains(n.Flags, "prefix")
	if n.AddrMin != 0 && s.family != n.Family {
		b.WriteString(" " + n.Family)
	}
	if prefix {
		b.WriteString(" prefix")
	}
	b.WriteString(" to ")
	addr, ok := "", true
	if n.AddrMin != 0 {
		if addr, ok = s.natAddr(n, typ, prefix); !ok {
			return false
		}
	}
	m := s.reg(n.AddrMin)
	p := ""
	if q := s.reg(n.PortMin); q != nil && q.set != "" && q.at > 0 && m != nil && m.set == q.set {
		p = "" // both come out of the map
	} else if p, ok = s.ports(n.PortMin, n.PortMax); !ok {
		return false
	}
	if typ == TypeIPv6 && p != "" {
		addr = "[" + addr + "]"
	}
	if addr == "" && p == "" {
		return false
	}
	b.WriteString(addr + p + flagsText(n.Flags))
	s.act(b.String())
	return true
}

func (s *sayer) natAddr(n NAT, typ string, prefix bool) (string, bool) {
	lo, hi := s.reg(n.AddrMin), s.reg(n.AddrMax)
	if lo == nil || typ == "" {
		return "", false
	}
	if lo.data == nil || n.AddrMax == 0 || n.AddrMax == n.AddrMin {
		return s.operand(typ, n.AddrMin)
	}
	if hi == nil || len(hi.data) != len(lo.data) {
		return "", false
	}
	if prefix {
		return sayRange(typ, lo.data, hi.data, false)
	}
	a, ok := s.operand(typ, n.AddrMin)
	z, ok2 := s.operand(typ, n.AddrMax)
	if a == z {
		return a, ok && ok2
	}
	return a + "-" + z, ok && ok2
}
