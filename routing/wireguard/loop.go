package wireguard

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/resource/route"
)

// Way is a route of the main table.
type Way struct {
	Dst    netip.Prefix
	Device string // empty: by a gateway, and so by none of ours
	Metric uint32 // 0: the kernel's own of the family
}

// ways are the routes of the main table, the best of each destination. wg-quick(8) keeps packets of the
// tunnel out of the tunnel for 0.0.0.0/0 and ::/0 only, by a mark and suppress_prefixlength 0; what
// has a longer prefix is in the main table, before that. Kernels up to 5.6 refuse to send what would go
// round (ELOOP), later ones and userspace devices do it until the packet is too large.
type ways struct {
	best map[netip.Prefix]Way
	bits map[int]bool // lengths that there are
}

func (w *ways) add(r Way) {
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		r.Metric = route.Default6
	}
	if first, ok := w.best[r.Dst]; ok && first.Metric <= r.Metric {
		return
	}
	if w.best == nil {
		w.best, w.bits = map[netip.Prefix]Way{}, map[int]bool{}
	}
	w.best[r.Dst], w.bits[r.Dst.Bits()] = r, true
}

// lookup is the longest that a is in.
func (w *ways) lookup(a netip.Addr) (Way, bool) {
	var out Way
	found := false
	for n := range w.bits {
		p, err := a.Prefix(n)
		if err != nil || found && n < out.Dst.Bits() {
			continue
		}
		if r, ok := w.best[p]; ok {
			out, found = r, true
		}
	}
	return out, found
}

// call is a peer and an address at which it is called.
type call struct {
	device, peer string
	to           netip.Addr
}

// loops refuses tunnels whose own packets would go into them.
func (p *planner) loops(c Config) {
	if len(p.calls) == 0 {
		p.everywhere(c)
		return
	}
	w := p.mainWays(c)
	own := map[netip.Addr]bool{}
	for _, a := range p.Facts.Addrs {
		own[a.Prefix.Addr()] = true
	}
	for _, x := range p.calls {
		if !own[x.to] && !x.to.IsLoopback() && !x.to.IsLinkLocalUnicast() {
			if into, round := p.follow(w, c, x); round {
				p.loop(c, x, into)
			}
		}
	}
	p.everywhere(c)
}

// mainWays are the routes of the main table as they will be.
func (p *planner) mainWays(c Config) *ways {
	w := &ways{}
	for _, name := range sortedKeys(c) {
		i := c[name]
		for _, text := range i.Addresses {
			if a, err := netip.ParsePrefix(text); err == nil && !a.IsSingleIP() {
				w.add(Way{Dst: a.Masked(), Device: name})
			}
		}
		if i.Route == RouteNone {
			continue
		}
		for _, x := range i.Peers {
			for _, text := range x.AllowedIPs {
				dst, _ := ParseAllowed(text) // judged before
				if table, wanted := p.table(name, i, dst); wanted && table == 0 && dst.Bits() > 0 {
					w.add(Way{Dst: dst, Device: name, Metric: i.Metric})
				}
			}
		}
	}
	for _, r := range p.Facts.Routes {
		if l, ok := p.Facts.LinkByIndex(r.Link); r.Table == route.Main && r.Type == "unicast" && (!ok || !c.Has(l.Name)) {
			w.add(Way{Dst: r.Dst, Metric: r.Metric})
		}
	}
	for _, s := range p.Static {
		if !c.Has(s.Device) {
			s.Device = ""
		}
		w.add(s)
	}
	return w
}

// follow goes after a tunnel's packet, from one tunnel into the next, until it leaves or is back. A peer
// may well be called through another one, of the same device too.
func (p *planner) follow(w *ways, c Config, first call) (into Way, round bool) {
	x := first
	for range len(p.calls) + 1 {
		r, ok := w.lookup(x.to)
		if full := p.lane(c, x); full != "" && (!ok || r.Dst.Bits() == 0) {
			r, ok = Way{Dst: route.Any(familyOf(netip.PrefixFrom(x.to, 0))), Device: full}, true
		}
		if !ok || r.Device == "" {
			return into, false
		}
		if x == first {
			into = r
		}
		next := holder(c[r.Device], x.to)
		if next == "" || next == first.peer && r.Device == first.device {
			return into, true
		}
		n := slices.IndexFunc(p.calls, func(x call) bool { return x.device == r.Device && x.peer == next })
		if n < 0 {
			return into, false // it calls this machine, from wherever it is
		}
		x = p.calls[n]
	}
	return into, false // others go round, and are told
}

// lane is the tunnel by which everything leaves, also what x sends, where its packets have no mark of
// their own.
func (p *planner) lane(c Config, x call) string {
	if p.Marks[x.device] != 0 || c[x.device].FwMark != 0 {
		return ""
	}
	for _, name := range sortedKeys(c) {
		if p.Tables[name] != 0 && slices.Contains(c[name].Families(), familyOf(netip.PrefixFrom(x.to, 0))) {
			return name
		}
	}
	return ""
}

// holder is the peer of a device that has an address: that of the longest prefix.
func holder(i Interface, a netip.Addr) string {
	peer, bits := "", -1
	for name, x := range i.Peers {
		for _, text := range x.AllowedIPs {
			if allowed, why := ParseAllowed(text); why == "" && allowed.Contains(a) && allowed.Bits() > bits {
				peer, bits = name, allowed.Bits()
			}
		}
	}
	return peer
}

// loop says that a tunnel's packets to an endpoint would go into it.
func (p *planner) loop(c Config, x call, into Way) {
	i := c[into.Device]
	at, what := into.Device, ""
	peer := holder(i, x.to)
	switch n := slices.IndexFunc(i.Addresses, func(text string) bool {
		a, err := netip.ParsePrefix(text)
		return err == nil && a.Masked() == into.Dst
	}); {
	case n >= 0:
		at += fmt.Sprintf(".addresses[%d]", n)
		what = fmt.Sprintf("write the address with the length /%d", x.to.BitLen())
	case peer == "" || !slices.ContainsFunc(i.Peers[peer].AllowedIPs, func(text string) bool { a, _ := ParseAllowed(text); return a == into.Dst }):
		what = "leave the route to it out of policy"
	default:
		at += ".peers." + peer + ".allowed-ips"
		what = fmt.Sprintf("leave %s out there", x.to)
		if p.Tables[into.Device] == 0 && into.Dst.Bits() <= 1 {
			what = "write route: full, if everything is to leave by " + into.Device
		}
	}
	back := "into"
	if into.Device != x.device {
		back = "by " + into.Device + " back into"
	}
	text := fmt.Sprintf("%s holds %s, where peer %s of %s is called, so what is sent there would go %s the tunnel that it comes from: %s, or give it a way beside, such as policy: {routes: [{to: %s, via: GATEWAY, interface: eth0}]} under routing",
		into.Dst, x.to, x.peer, x.device, back, what, netip.PrefixFrom(x.to, x.to.BitLen()))
	if mark := c[x.device].FwMark; mark != 0 {
		p.note("warning", at, "%s; that is right only where a rule for the mark 0x%x leads beside", text, mark)
		return
	}
	p.fail(at, "%s", text)
}

// everywhere refuses the two halves of everything where endpoints are names that have no address yet:
// whatever they get, it lies within.
func (p *planner) everywhere(c Config) {
	for _, n := range p.r.Named {
		i := c[n.Device]
		if len(p.Resolved[n.Host]) > 0 || i.Route == RouteNone || i.FwMark != 0 || p.Tables[n.Device] != 0 {
			continue
		}
		for _, family := range []int{4, 6} {
			if i.halves(family) {
				p.fail(n.Device+".route", "allowed-ips have both halves of everything, also the address of %s, so what is sent there would go into the tunnel that it comes from: write route: full", n.Host)
				break
			}
		}
	}
}
