package packet

import (
	"fmt"
	"net/netip"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
	"github.com/provision-net/provision/provision/resource/nft"
)

type (
	tableOf   = nft.Table
	netipAddr = netip.Addr
)

const (
	arphrdEther    = 1
	arphrdLoopback = 772
)

// comeIn is the path of a packet that a device receives (ip_rcv, ipv6_rcv).
func (m *machine) comeIn() Result {
	s := m.s
	s.in = m.link(m.p.In)
	if s.in == nil {
		return m.end(NoRoute, "there is no device "+m.p.In, nil)
	}
	if s.in.Master != 0 {
		if b := m.linkAt(s.in.Master); b != nil && b.Kind == "bridge" {
			m.note(s.in.Name + " is a port of the bridge " + b.Name + ": the packet comes in by the bridge")
			s.in = b
		} else if b != nil && b.Kind == "vrf" {
			m.doubt("%s is a port of the VRF %s, which is not simulated", s.in.Name, b.Name)
		}
	}
	if !s.in.Up {
		return m.end(Dropped, s.in.Name+" is down", nil)
	}
	if !s.src.IsValid() {
		return m.end(NoRoute, "a packet that comes in needs a source address", nil)
	}
	s.mac = s.in.ARPHRD == arphrdEther
	if s.mac {
		s.pktType = m.frameType()
	}
	if !m.hook("ingress") || !m.hook("prerouting") {
		return m.lost()
	}
	return m.routeIn()
}

// frameType is how the link addresses the frame (PACKET_HOST, _BROADCAST, _MULTICAST).
func (m *machine) frameType() byte {
	switch {
	case m.s.dst.IsMulticast():
		return 2
	case m.s.dst.Is4() && m.addrType(m.s.dst, nil) == typeBroadcast:
		return 1
	}
	return 0
}

// routeIn is the routing decision for a packet from outside (ip_route_input_slow,
// ip6_route_input).
func (m *machine) routeIn() Result {
	s := m.s
	m.at = "routing"
	if why := m.martian(); why != "" {
		return m.end(Dropped, why, nil)
	}
	if s.dst.IsMulticast() || s.dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		m.note("is for everybody on the link: delivered to the programs that listen")
		return m.deliver()
	}
	m.route = fib.Lookup(m.f, fib.Query{Dst: m.zoned(s.dst, s.in), Src: s.src, Iif: s.in.Name, Mark: s.mark.v})
	if !s.mark.known && m.markRules() {
		m.doubt("a policy rule asks for the mark, which is not known")
	}
	m.step(Step{Text: m.routeText(), Effect: m.routeWhy(), Match: true})
	switch m.route.Kind {
	case fib.Local, fib.Broadcast:
		if why := m.reverse(); why != "" {
			return m.end(Dropped, why, nil)
		}
		return m.deliver()
	case fib.Unicast:
	case fib.Blackhole:
		return m.end(Dropped, "the route is a blackhole", nil)
	default:
		return m.end(NoRoute, m.refused(), nil)
	}
	if why := m.forwards(); why != "" {
		return m.end(Dropped, why, nil)
	}
	if why := m.reverse(); why != "" {
		return m.end(Dropped, why, nil)
	}
	if s.six() && (s.src.IsLinkLocalUnicast() || s.dst.IsLinkLocalUnicast()) {
		return m.end(Dropped, "link-local addresses are not forwarded", nil)
	}
	if s.ttl <= 1 {
		return m.end(Rejected, "its time to live ends here", nil)
	}
	s.ttl--
	s.out = m.linkAt(m.route.Link)
	if !m.hook("forward") {
		return m.lost()
	}
	return m.leave()
}

// deliver hands the packet to this machine.
func (m *machine) deliver() Result {
	m.s.out = nil
	if !m.hook("input") {
		return m.lost()
	}
	return m.end(Delivered, "for this machine itself", nil)
}

// leave is the last part of the way out.
func (m *machine) leave() Result {
	s := m.s
	s.out = m.linkAt(m.route.Link)
	if !m.hook("postrouting") {
		return m.lost()
	}
	if s.out == nil {
		return m.end(NoRoute, "the route has no device", nil)
	}
	m.out.Dev, m.out.Gateway, m.out.Table = s.out.Name, m.route.Gateway, m.route.Rule.Table
	why := "leaves by " + s.out.Name
	if len(m.route.Hops) > 1 {
		why += ", the first of several next hops: the kernel picks one by a hash of the flow"
	}
	if !s.out.Up || s.out.ARPHRD != arphrdLoopback && s.out.Kind == "" && !s.out.Carrier {
		m.note(s.out.Name + " has no carrier")
	}
	return m.end(Leaves, why, nil)
}

// sendOut is the path of a packet that this machine makes (ip_local_out).
func (m *machine) sendOut() Result {
	s := m.s
	m.at = "routing"
	m.route = fib.Lookup(m.f, fib.Query{Dst: s.dst, Src: s.src, Oif: m.p.Out, Mark: s.mark.v})
	m.step(Step{Text: m.routeText(), Effect: m.routeWhy(), Match: true})
	if r, done := m.unroutable(); done {
		return r
	}
	s.dst = s.dst.WithZone("")
	if !s.src.IsValid() {
		s.src = m.route.Src
	}
	if !s.src.IsValid() {
		return m.end(NoRoute, "there is no source address to send from", nil)
	}
	s.out = m.outLink()
	if !m.hook("output") {
		return m.lost()
	}
	if m.route.Kind != fib.Local {
		return m.leave()
	}
	// What is for this machine goes out by the loopback and comes in again.
	s.out = m.outLink()
	if !m.hook("postrouting") {
		return m.lost()
	}
	s.in, s.out, s.mac = m.outLink(), nil, true
	if !m.hook("prerouting") {
		return m.lost()
	}
	return m.deliver()
}

// outLink is the device of the route; for this machine's own addresses the loopback.
func (m *machine) outLink() *facts.Link {
	if m.route.Kind != fib.Local {
		return m.linkAt(m.route.Link)
	}
	if l := m.link("lo"); l != nil {
		return l
	}
	return &facts.Link{Index: 1, Name: "lo", ARPHRD: arphrdLoopback, Up: true}
}

func (m *machine) unroutable() (Result, bool) {
	if m.escapes() {
		return m.end(NoRoute, escapeWhy, nil), true
	}
	switch m.route.Kind {
	case fib.Unicast, fib.Local, fib.Broadcast:
		return Result{}, false
	}
	return m.end(NoRoute, m.refused(), nil), true
}

// reroute looks for a new route after a hook of output has changed what routes depend on
// (ip_route_me_harder, net/ipv4/netfilter.c). The rest of that hook still sees the old device.
func (m *machine) reroute(why string) bool {
	q := fib.Query{Dst: m.s.dst, Src: m.s.src, Oif: m.p.Out, Mark: m.s.mark.v}
	m.route = fib.Lookup(m.f, q)
	m.step(Step{Text: m.routeText(), Effect: why + ": " + m.routeWhy(), Match: true})
	m.out.Verdict, m.out.Why = NoRoute, m.refused()
	if m.escapes() {
		m.out.Why = escapeWhy
		return false
	}
	switch m.route.Kind {
	case fib.Unicast, fib.Local, fib.Broadcast:
		m.out.Verdict, m.out.Why = "", ""
		return true
	}
	return false
}

const escapeWhy = "a packet from the loopback's address cannot leave the machine (route_localnet is off)"

// escapes is the check of __mkroute_output (net/ipv4/route.c).
func (m *machine) escapes() bool {
	if m.s.six() || !m.s.src.IsLoopback() || m.route.Kind != fib.Unicast {
		return false
	}
	l := m.linkAt(m.route.Link)
	return l != nil && l.ARPHRD != arphrdLoopback && l.Sysctl["ipv4.route_localnet"] != "1"
}

func (m *machine) refused() string {
	if m.route.Kind == fib.NoRoute {
		return fmt.Sprintf("there is no route to %v", m.s.dst)
	}
	return fmt.Sprintf("the route to %v is %s", m.s.dst, m.route.Kind)
}

// zoned binds a link-local destination to the device it came in by.
func (m *machine) zoned(a netip.Addr, l *facts.Link) netip.Addr {
	if a.Is6() && a.IsLinkLocalUnicast() && l != nil {
		return a.WithZone(l.Name)
	}
	return a
}

func (m *machine) markRules() bool {
	for _, r := range m.f.Rules {
		if r.Mask != 0 {
			return true
		}
	}
	return false
}

// routeText writes the rule and the route that decide.
func (m *machine) routeText() string {
	if m.route.Rule.Family == 0 && m.route.Kind == fib.NoRoute {
		return "route"
	}
	text := fib.RuleText(m.route.Rule)
	if m.route.Route.Dst.IsValid() {
		text += ", " + fib.RouteText(m.f, m.route.Route)
	}
	return text
}

func (m *machine) routeWhy() string {
	switch m.route.Kind {
	case fib.Local:
		return "for this machine"
	case fib.Broadcast:
		return "broadcast of the link"
	case fib.Unicast:
		l := m.linkAt(m.route.Link)
		if l == nil {
			return "no device"
		}
		if m.route.Gateway.IsValid() {
			return fmt.Sprintf("out by %s via %v", l.Name, m.route.Gateway)
		}
		return "out by " + l.Name
	}
	return m.refused()
}

func (m *machine) lookupTo(a netip.Addr) fib.Result {
	return fib.Lookup(m.f, fib.Query{Dst: a})
}
