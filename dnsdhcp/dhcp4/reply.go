package dhcp4

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// reply builds the answer of a kind (0: BOOTP) that gives addr for d; d is 0 where there is no lease.
func (x *exchange) reply(kind uint8, addr netip.Addr, d time.Duration) {
	x.b.Reset()
	x.replyMore(kind, addr, d)
}

// replyMore is reply to which options were put already.
func (x *exchange) replyMore(kind uint8, addr netip.Addr, d time.Duration) {
	p, b := &x.p, &x.b
	if kind != 0 {
		b.PutU8(wire.OptMessageType, kind)
		b.PutAddr(wire.OptServerID, x.self)
		x.times(d)
	}
	h := wire.Header{
		Op: wire.BootReply, HType: p.HType, HLen: p.HLen, XID: p.XID, Flags: p.Flags, YIAddr: addr, GIAddr: p.GIAddr, CHAddr: p.CHAddr,
	}
	if kind == wire.Ack {
		h.CIAddr = p.CIAddr
	}
	x.options(kind, &h)
	x.echo()
	x.finish(kind, &h, addr)
}

// times puts lease time, T1 and T2.
func (x *exchange) times(d time.Duration) {
	if d <= 0 {
		return
	}
	s := seconds(d)
	x.b.PutU32(wire.OptLeaseTime, s)
	if s == math.MaxUint32 {
		return // RFC 2131 section 3.3: never renewed
	}
	t1, t2 := s/2, s/8*7+s%8*7/8
	if n := seconds(x.n.T1); n > 0 && n < s {
		t1 = n
	}
	if n := seconds(x.n.T2); n > 0 && n < s {
		t2 = n
	}
	if x.host != nil {
		for _, o := range x.host.Options {
			if len(o.Data) != 4 {
				continue
			}
			switch n := binary.BigEndian.Uint32(o.Data); {
			case o.Code == wire.OptT1 && n < s:
				t1 = n
			case o.Code == wire.OptT2 && n < s:
				t2 = n
			}
		}
	}
	if t1 < t2 {
		x.b.PutU32(wire.OptT1, t1)
		x.b.PutU32(wire.OptT2, t2)
	}
}

func seconds(d time.Duration) uint32 {
	return uint32(min(d/time.Second, math.MaxUint32)) // Infinite is more
}

// nak refuses, so that the client starts anew at once. It always goes to everybody: the address that the client has is
// the wrong one (RFC 2131 section 4.3.2).
func (x *exchange) nak(reason string) {
	x.because(reason, "")
	p := &x.p
	x.b.Reset()
	x.b.PutU8(wire.OptMessageType, wire.Nak)
	x.b.PutAddr(wire.OptServerID, x.self)
	x.tmp = append(x.tmp[:0], reason...)
	x.b.PutCopy(wire.OptMessage, x.tmp)
	x.echo()
	h := wire.Header{
		Op: wire.BootReply, HType: p.HType, HLen: p.HLen, XID: p.XID, Flags: p.Flags, GIAddr: p.GIAddr, CHAddr: p.CHAddr,
	}
	if !p.GIAddr.IsUnspecified() {
		h.Flags |= wire.FlagBroadcast // the relay agent shall broadcast it, too
	}
	x.finish(wire.Nak, &h, netip.Addr{})
}

func (x *exchange) ack(addr netip.Addr, d time.Duration, reason string) {
	if x.env.ReadOnly {
		reason = ReasonShortened
	}
	x.because(reason, "")
	x.reply(wire.Ack, addr, d)
}

// echo puts what a server gives back as it came: the client identifier (RFC 6842), the relay agent's information (RFC
// 3046 section 2.2) and the subnet that was chosen (RFC 3011).
func (x *exchange) echo() {
	for _, c := range [...]uint8{wire.OptClientID, wire.OptRelayAgent} {
		if v := x.p.Get(c); v != nil && (c != wire.OptRelayAgent || !x.p.GIAddr.IsUnspecified()) {
			x.b.Put(c, v)
		}
	}
	if x.selected {
		x.b.Put(wire.OptSubnetSelection, x.p.Get(wire.OptSubnetSelection))
	}
}

// finish lays the message out and says where it goes.
func (x *exchange) finish(kind uint8, h *wire.Header, addr netip.Addr) {
	size, _ := x.p.U16(wire.OptMaxSize)
	limit := wire.Limit(int(size), x.in.Link.MTU)
	if kind == 0 {
		limit = wire.MinReply // the vendor area of BOOTP has 64 bytes
	}
	x.out.Reply = x.b.Append(x.out.Reply, h, x.p.Get(wire.OptRequestList), limit)
	x.out.Dropped = append(x.out.Dropped, x.b.Dropped...)
	x.out.Dest = x.dest(kind, addr)
	x.out.Entry.Reply = wire.TypeName(kind)
}

// dest is RFC 2131 section 4.1.
func (x *exchange) dest(kind uint8, addr netip.Addr) Dest {
	p := &x.p
	d := Dest{IfIndex: x.in.Link.Index, From: x.from()}
	switch {
	case !p.GIAddr.IsUnspecified():
		d.Path, d.To = Unicast, netip.AddrPortFrom(p.GIAddr, ServerPort)
	// NetworkManager leaves the address that it has lost in ciaddr when it selects anew after a NAK; there it does not hear us.
	case kind == wire.Ack && !p.CIAddr.IsUnspecified() && (p.CIAddr == addr || !addr.IsValid() || addr.IsUnspecified()):
		d.Path, d.To = Unicast, netip.AddrPortFrom(p.CIAddr, ClientPort)
	case kind == wire.Nak, p.Flags&wire.FlagBroadcast != 0, x.n.Broadcast, !addr.IsValid() || addr.IsUnspecified(),
		p.HType != 1, len(x.c.HW.Addr) != 6, p.CHAddr[0]&1 != 0:
		d.Path, d.To = Broadcast, netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), ClientPort)
	default:
		d.Path, d.To, d.HW = Direct, netip.AddrPortFrom(addr, ClientPort), x.c.HW
	}
	return d
}

// from is the source address: what we are known by if that is the link's own, which it is not if a relay agent took our
// place (RFC 5107).
func (x *exchange) from() netip.Addr {
	l := x.in.Link
	if isOwn(l, x.self) {
		return x.self
	}
	if isOwn(l, x.in.To) {
		return x.in.To
	}
	for i := range l.Addrs {
		if a := l.Addrs[i].Prefix.Addr(); a.Is4() && !l.Addrs[i].Tentative {
			return a
		}
	}
	return x.self
}

// wants says that the client asked for an option. One that sent no list gets what a client of that age can use: that is
// the caller's to decide.
func (x *exchange) wants(code uint8, unlisted bool) bool {
	if !x.p.Has(wire.OptRequestList) {
		return unlisted
	}
	return x.p.Requests(code)
}

// options puts what the client is told: of the host before that of the network before what follows from it.
func (x *exchange) options(kind uint8, h *wire.Header) {
	n, b := x.n, &x.b
	if kind == 0 {
		// None of those that a BOOTP client would not know what to do with.
		for _, c := range [...]uint8{wire.OptLeaseTime, wire.OptT1, wire.OptT2, wire.OptServerID, wire.OptMessageType} {
			b.Block(c)
		}
	}
	if kind == wire.Ack && x.p.Type() == wire.Inform {
		for _, c := range [...]uint8{wire.OptLeaseTime, wire.OptT1, wire.OptT2} {
			b.Block(c) // RFC 2131 section 4.3.5
		}
	}
	if n.IPv6Only > 0 && x.p.Requests(wire.OptV6Only) {
		b.PutU32(wire.OptV6Only, seconds(n.IPv6Only))
	}
	x.router, x.routes = nil, nil
	if x.host != nil {
		x.configured(x.host.Options)
	}
	x.configured(n.Options)
	b.PutCopy(wire.OptSubnetMask, n.mask[:])
	if n.broadcast.IsValid() && x.wants(wire.OptBroadcast, true) {
		b.PutAddr(wire.OptBroadcast, n.broadcast)
	}
	x.wayOut()
	x.addrs(wire.OptDNS, n.DNS, true)
	x.addrs(wire.OptNTP, n.NTP, true)
	if len(n.domain) > 0 && x.wants(wire.OptDomain, true) {
		b.Put(wire.OptDomain, n.domain)
	}
	if n.search != nil && x.wants(wire.OptSearch, false) {
		b.Put(wire.OptSearch, n.search)
	}
	if n.MTU != 0 && x.wants(wire.OptMTU, true) {
		b.PutU16(wire.OptMTU, n.MTU)
	}
	if len(n.portal) > 0 && x.wants(wire.OptCaptivePortal, false) {
		b.Put(wire.OptCaptivePortal, n.portal)
	}
	x.names()
	x.boot(h)
}

// configured puts options as they are configured. Those about the way out are noted as well: see wayOut.
func (x *exchange) configured(list []option.Option) {
	for i := range list {
		o := &list[i]
		if o.Code == wire.OptRouter && x.router == nil {
			x.router = o
		}
		switch {
		case o.Off:
			x.b.Block(o.Code)
			if o.Code == wire.OptRoutes {
				x.b.Block(wire.OptMicrosoftRoutes)
			}
		case o.Code == wire.OptV6Only && !x.p.Requests(o.Code):
			// RFC 8925 section 3.3: never unasked.
		case o.Code == wire.OptRoutes:
			if x.routes == nil {
				x.routes = o
			}
		case o.Forced, o.Code == wire.OptSubnetMask, x.wants(o.Code, true):
			x.b.Put(o.Code, o.Data)
		}
	}
}

// addrs puts a list of addresses; 0.0.0.0 is us.
func (x *exchange) addrs(code uint8, list []netip.Addr, unlisted bool) {
	if len(list) == 0 || x.b.Has(code) || !x.wants(code, unlisted) {
		return
	}
	x.tmp = x.tmp[:0]
	for _, a := range list {
		v := x.orSelf(a).As4()
		x.tmp = append(x.tmp, v[:]...)
	}
	x.b.PutCopy(code, x.tmp)
}

func (x *exchange) orSelf(a netip.Addr) netip.Addr {
	if a.IsValid() && !a.IsUnspecified() {
		return a
	}
	return x.us()
}

// us is our own address as clients reach it: not that of a relay agent in our place.
func (x *exchange) us() netip.Addr {
	if x.p.GIAddr.IsUnspecified() {
		return x.self
	}
	return x.from()
}

// wayOut puts router and routes: 3 for all that ask, and 121 where there is more than a default route to tell, with the
// default route in it, because who reads 121 ignores 3 (RFC 3442). Old Windows knows it as 249.
func (x *exchange) wayOut() {
	n := x.n
	var gateway netip.Addr
	switch {
	case x.router != nil && len(x.router.Data) >= 4:
		gateway = netip.AddrFrom4([4]byte(x.router.Data))
	case x.router == nil && n.Router == FullRouter:
		gateway = x.orSelf(n.RouterAddr)
		if x.wants(wire.OptRouter, true) {
			x.b.PutAddr(wire.OptRouter, gateway)
		}
	}
	x.tmp = x.tmp[:0]
	if x.routes != nil {
		x.tmp = append(x.tmp, x.routes.Data...)
	} else if n.Router != NoRouter {
		for _, p := range n.Routes {
			x.tmp = option.AppendRoutes(x.tmp, []option.Route{{Dest: p, Via: x.us()}})
		}
	}
	if len(x.tmp) == 0 {
		return
	}
	if gateway.IsValid() && !hasDefault(x.tmp) {
		x.tmp = option.AppendRoutes(x.tmp, []option.Route{{Dest: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: gateway}})
	}
	for _, code := range [...]uint8{wire.OptRoutes, wire.OptMicrosoftRoutes} {
		forced := x.routes != nil && x.routes.Forced && code == wire.OptRoutes
		if forced || x.wants(code, x.routes != nil && code == wire.OptRoutes) {
			x.b.PutCopy(code, x.tmp)
		}
	}
}

// hasDefault says whether routes in the encoding of RFC 3442 have one of length 0.
func hasDefault(b []byte) bool {
	for len(b) > 0 {
		if b[0] == 0 {
			return true
		}
		n := 1 + (int(b[0])+7)/8 + 4
		if n > len(b) {
			return false
		}
		b = b[n:]
	}
	return false
}

var _ Leases = (*lease.Table)(nil)
