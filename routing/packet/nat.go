package packet

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
)

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
