package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
)

func (r *run) effect(format string, args ...any) {
	r.effects = append(r.effects, fmt.Sprintf(format, args...))
}

func (r *run) finish(kind string) outcome {
	r.verdict = nft.Verdict{Kind: kind}
	return ended
}

// act runs an expression that does something.
func (r *run) act(e *nft.Expr) outcome {
	m, s := r.m, r.m.s
	switch {
	case e.Verdict != nil:
		if e.Verdict.Kind == "continue" {
			return goOn
		}
		r.verdict = *e.Verdict
		return ended
	case e.Counter != nil:
		return goOn
	case e.Limit != nil: // taken as not exceeded
		return when(!e.Limit.Over)
	case e.Log != nil:
		if e.Log.Prefix != "" {
			r.effect("logged as %q", e.Log.Prefix)
		} else {
			r.effect("logged")
		}
		return goOn
	case e.Notrack != nil:
		if !m.seen {
			s.ctState, s.flow, m.seen = nft.StateUntracked, nil, true
			r.effect("not tracked")
		}
		return goOn
	case e.Reject != nil:
		m.out.Verdict = Rejected
		return r.finish("drop")
	case e.Meta != nil:
		return r.setMeta(e.Meta)
	case e.Ct != nil:
		if e.Ct.Key == "mark" && s.flow != nil {
			b, known := r.regs.get(e.Ct.Reg, 4)
			s.flow.mark = word{binary.NativeEndian.Uint32(b), known}
			r.effect("the flow's mark becomes %s", markText(s.flow.mark))
		} else if e.Ct.Key != "mark" {
			r.effect("sets ct %s", e.Ct.Key)
			if e.Ct.Key == "zone" {
				m.doubt("connection tracking zones are not simulated")
			}
		}
		return goOn
	case e.Exthdr != nil:
		r.effect("rewrites a TCP option")
		return goOn
	case e.DynSet != nil:
		return r.dynset(e.DynSet)
	case e.NAT != nil:
		return r.nat(e.NAT)
	case e.Masq != nil:
		return r.masquerade(e.Masq)
	case e.Redir != nil:
		return r.redirect(e.Redir)
	}
	return unsure
}

func markText(w word) string {
	if !w.known {
		return "unknown"
	}
	return fmt.Sprintf("%#x", w.v)
}

func (r *run) setMeta(e *nft.Meta) outcome {
	s := r.m.s
	switch e.Key {
	case "mark":
		b, known := r.regs.get(e.Reg, 4)
		s.mark = word{binary.NativeEndian.Uint32(b), known}
		r.effect("mark becomes %s", markText(s.mark))
	case "pkttype":
		if b, known := r.regs.get(e.Reg, 1); known {
			s.pktType = b[0]
		}
	case "nftrace", "priority":
	default:
		r.effect("sets meta %s", e.Key)
	}
	return goOn
}

// dynset follows nft_dynset_eval: the element's own expressions may end the rule.
func (r *run) dynset(e *nft.DynSet) outcome {
	set := r.set(e.Set)
	if set == nil {
		return unsure
	}
	key, known := r.regs.get(e.Reg, nft.KeySize(set.Key))
	name := r.setName(e.Set)
	if known && e.Op != "delete" {
		r.m.added[name] = append(r.m.added[name], slices.Clone(key))
	}
	switch e.Op {
	case "delete":
		r.effect("taken out of @%s", e.Set)
	default:
		r.effect("put into @%s", e.Set)
	}
	for _, x := range e.Exprs {
		if x.Limit != nil && x.Limit.Over {
			return noMatch
		}
		if x.Limit == nil && x.Counter == nil {
			return unsure
		}
	}
	if e.Invert {
		return noMatch
	}
	return goOn
}

func (r *run) addr(reg uint32) (netip.Addr, bool) {
	if reg == 0 {
		return netip.Addr{}, true
	}
	n := 4
	if r.m.s.six() {
		n = 16
	}
	b, known := r.regs.get(reg, n)
	a, ok := netip.AddrFromSlice(b)
	return a, known && ok
}

func (r *run) portOf(reg uint32) (uint16, bool) {
	if reg == 0 {
		return 0, true
	}
	b, known := r.regs.get(reg, 2)
	return binary.BigEndian.Uint16(b), known
}

func (r *run) portRange(lo, hi uint32) (a, z uint16, ok bool) {
	a, ok = r.portOf(lo)
	if hi == 0 {
		hi = lo
	}
	z, ok2 := r.portOf(hi)
	return a, max(a, z), ok && ok2
}

// nat follows nft_nat_eval; a rule of the other family goes on with the next.
func (r *run) nat(e *nft.NAT) outcome {
	m, s := r.m, r.m.s
	if e.Family == "ip" && s.six() || e.Family == "ip6" && !s.six() {
		return goOn
	}
	if s.flow == nil {
		return r.finish("accept")
	}
	lo, ok := r.addr(e.AddrMin)
	hi, ok2 := r.addr(e.AddrMax)
	pa, pz, ok3 := r.portRange(e.PortMin, e.PortMax)
	if !ok || !ok2 || !ok3 {
		return unsure
	}
	if slices.Contains(e.Flags, "prefix") && lo.IsValid() {
		old := s.dst
		if e.Kind == "snat" {
			old = s.src
		}
		lo = netmap(lo, hi, old)
		hi = lo
	}
	if lo.IsValid() && hi.IsValid() && lo != hi {
		r.effect("one address of %v to %v", lo, hi)
	}
	return r.change(lo, pa, pz, m)
}

// netmap keeps the host's bits (nft_nat_setup_netmap).
func netmap(lo, hi, old netip.Addr) netip.Addr {
	a, z, o := lo.AsSlice(), hi.AsSlice(), old.AsSlice()
	if len(z) != len(a) || len(o) != len(a) {
		return lo
	}
	for i := range a {
		mask := ^(a[i] ^ z[i])
		a[i] = a[i]&mask | o[i]&^mask
	}
	out, _ := netip.AddrFromSlice(a)
	return out
}

// change fixes the flow's NAT and says what it does to this packet.
func (r *run) change(to netip.Addr, pa, pz uint16, m *machine) outcome {
	m.setup(to, pa, pz)
	before, after := *m.s, *m.s
	f := m.s.flow
	if m.at == "postrouting" || m.at == "input" {
		after.src, after.sport = f.newSrc, f.newSport
	} else {
		after.dst, after.dport = f.newDst, f.newDport
	}
	r.effect("%s", rewritten(&before, &after))
	return r.finish("accept")
}

func (r *run) masquerade(e *nft.Masq) outcome {
	pa, pz, ok := r.portRange(e.PortMin, e.PortMax)
	if !ok {
		return unsure
	}
	return r.masqueradeTo(pa, pz)
}

func (r *run) masqueradeTo(pa, pz uint16) outcome {
	m := r.m
	if m.s.flow == nil {
		return r.finish("accept")
	}
	a := m.masqueradeAs()
	if !a.IsValid() {
		r.effect("the outgoing device has no address")
		return r.finish("drop")
	}
	return r.change(a, pa, pz, m)
}

// redirect follows nf_nat_redirect.c: to the loopback for packets of this machine, else to the
// first address of the device that the packet came in by.
func (r *run) redirect(e *nft.Redir) outcome {
	pa, pz, ok := r.portRange(e.PortMin, e.PortMax)
	if !ok {
		return unsure
	}
	return r.redirectTo(pa, pz)
}

func (r *run) redirectTo(pa, pz uint16) outcome {
	m, s := r.m, r.m.s
	if s.flow == nil {
		return r.finish("accept")
	}
	var to netip.Addr
	switch {
	case m.at == "output" && s.six():
		to = netip.IPv6Loopback()
	case m.at == "output":
		to = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case s.in != nil:
		to = m.firstAddr(s.in)
	}
	if !to.IsValid() {
		r.effect("the device has no address")
		return r.finish("drop")
	}
	return r.change(to, pa, pz, m)
}

// firstAddr is the first address of a device, for IPv6 one of the destination's scope.
func (m *machine) firstAddr(l *facts.Link) netip.Addr {
	for _, a := range m.f.Addrs {
		x := a.Prefix.Addr()
		if a.Link == l.Index && x.Is4() != m.s.six() && !a.Tentative && (x.Is4() || x.IsLinkLocalUnicast() == m.s.dst.IsLinkLocalUnicast()) {
			return x
		}
	}
	return netip.Addr{}
}
