package firewall

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// add puts a set into the table once; sets are named after what they hold.
func (c *compiler) add(s nft.Set) string {
	if !c.sets[s.Name] {
		c.sets[s.Name] = true
		c.table.Sets = append(c.table.Sets, s)
	}
	return s.Name
}

func (c *compiler) nameSet(name string, names []string) string {
	return c.add(nft.Set{Name: name, Key: []string{nft.TypeIfname}, Elements: match.Names(names)})
}

// addr is the word for a source or destination of the family: nothing for any address, a
// comparison for one run, a look-up for more.
func (c *compiler) addr(a addrs, family int, destination bool) words {
	if a.any {
		return nil
	}
	rs := a.of(family)
	prefix, in, between := match.SAddr, match.SAddrIn, match.SAddrRange
	if destination {
		prefix, in, between = match.DAddr, match.DAddrIn, match.DAddrRange
	}
	if len(rs) == 1 {
		if p, ok := asPrefix(rs[0]); ok {
			return prefix(p)
		}
		return between(rs[0].From, rs[0].To)
	}
	return in(family, c.addrSet(a, family))
}

func (c *compiler) addrSet(a addrs, family int) string {
	typ := nft.TypeIPv4
	if family == 6 {
		typ = nft.TypeIPv6
	}
	name, comment := "", ""
	if a.group != "" {
		name, comment = fmt.Sprintf("group.%s.%d", a.group, family), "groups."+a.group
	} else {
		h := sha256.New()
		for _, r := range a.of(family) {
			fmt.Fprintf(h, "%s-%s ", r.From, r.To)
		}
		name = fmt.Sprintf("addresses.%s.%d", hex.EncodeToString(h.Sum(nil)[:6]), family)
	}
	if c.sets[name] {
		return name
	}
	return c.add(nft.Set{Name: name, Key: []string{typ}, Interval: true, Comment: comment, Elements: match.Addresses(a.of(family))})
}

// ports is the word for a protocol's destination ports.
func (c *compiler) ports(proto uint8, ps []match.PortRange, source bool) words {
	between, in := match.DPortRange, match.DPortIn
	if source {
		between, in = match.SPortRange, match.SPortIn
	}
	switch len(ps) {
	case 0:
		return match.L4Proto(proto)
	case 1:
		return between(proto, ps[0].From, ps[0].To)
	}
	var b strings.Builder
	for _, p := range ps {
		if p.From == p.To {
			fmt.Fprintf(&b, ".%d", p.From)
		} else {
			fmt.Fprintf(&b, ".%d-%d", p.From, p.To)
		}
	}
	name := b.String()
	if len(name) > 60 {
		sum := sha256.Sum256([]byte(name))
		name = "." + hex.EncodeToString(sum[:6])
	}
	return in(proto, c.add(nft.Set{Name: "ports" + name, Key: []string{nft.TypePort}, Interval: true, Elements: match.Ports(ps)}))
}

// kind is the word for one protocol, 0 for any.
type kind struct {
	proto  uint8
	family int // 4, 6; 0 whichever
	word   words
}

// kinds are a rule's protocols in a family (0: whichever), one rule each.
func (c *compiler) kinds(ts []traffic, family int) []kind {
	if ts == nil {
		return []kind{{family: family}}
	}
	var out []kind
	for _, t := range ts {
		if family != 0 && t.family() != 0 && t.family() != family {
			continue
		}
		is := max(family, t.family())
		if len(t.types) == 0 {
			out = append(out, kind{t.proto, is, c.ports(t.proto, t.ports, false)})
			continue
		}
		for _, n := range t.types {
			if t.proto == match.ICMPv6 {
				out = append(out, kind{t.proto, is, match.ICMPv6Type(n)})
			} else {
				out = append(out, kind{t.proto, is, match.ICMPType(n)})
			}
		}
	}
	return out
}
