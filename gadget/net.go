package gadget

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/gadget/subnet"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/linkname"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

// mine reports whether an interface of this machine is a gadget's own: told by the address that we
// give it, or gave it in the layout that is there now, or as the bridge of that name.
func (p *planner) mine(l facts.Link) bool {
	if l.Kind == "" {
		for _, have := range p.Facts.USB.Gadgets {
			for _, f := range have.Functions {
				if f.Dev != "" && strings.EqualFold(f.Dev, l.MAC) && (p.owns(have.Name) || usbgadget.Owned(have.Name)) {
					return true
				}
			}
		}
	}
	for _, g := range p.gadgets {
		if g.Bridge != "" && l.Name == g.Bridge && l.Kind == "bridge" {
			return true
		}
		for _, x := range g.parts {
			if x.MAC != "" && (l.MAC == x.MAC || l.PermMAC == x.MAC) && l.Kind == "" {
				return true
			}
		}
	}
	return false
}

// occupied are the networks that the links must stay clear of: of every address and route that is
// not our links' own, and those that other links are given by name.
func (p *planner) occupied() {
	own := map[int]bool{}
	for _, l := range p.Facts.Links {
		own[l.Index] = p.mine(l)
	}
	add := func(n netip.Prefix) {
		if n.IsValid() && n.Bits() > 0 && !n.Addr().IsLoopback() && !n.Addr().IsLinkLocalUnicast() && !slices.Contains(p.taken, n.Masked()) {
			p.taken = append(p.taken, n.Masked())
		}
	}
	for _, a := range p.Facts.Addrs {
		if !own[a.Link] {
			add(a.Prefix)
		}
	}
	for _, r := range p.Facts.Routes {
		hops := len(r.Hops) == 0 && own[r.Link]
		for _, h := range r.Hops {
			hops = hops || own[h.Link]
		}
		if !hops {
			add(r.Dst)
			if r.Gateway.Is4() {
				add(netip.PrefixFrom(r.Gateway, 32))
			}
		}
	}
	for _, g := range p.gadgets {
		for _, list := range append([][]string{g.Addresses}, lists(g.parts)...) {
			for _, s := range list {
				if a, err := parseAddress(s); err == nil {
					if o, hit := p.taken.Conflict(a); hit {
						p.note("warning", "gadget."+g.Path+"addresses", "%s is in %s, which this machine reaches elsewhere: hosts there are out of reach while the link is up", a, o)
					}
				}
			}
		}
	}
	for _, g := range p.gadgets {
		for _, list := range append([][]string{g.Addresses}, lists(g.parts)...) {
			for _, s := range list {
				if a, err := parseAddress(s); err == nil {
					add(a)
				}
			}
		}
	}
}

func lists(parts []part) [][]string {
	var out [][]string
	for _, x := range parts {
		out = append(out, x.Addresses)
	}
	return out
}

// net plans the links of a gadget.
func (p *planner) net(index int, g *gadget) {
	var made []Link
	for i := range g.parts {
		x := &g.parts[i]
		if !x.at.Network() {
			continue
		}
		x.Interface = p.called(g, x)
		for n := range g.dev.Functions {
			if g.dev.Functions[n].Name == x.at.Name() {
				g.dev.Functions[n].Interface = x.Interface
			}
		}
		made = append(made, Link{Gadget: g.dev.Name, Name: x.Interface, MAC: x.MAC, Router: x.Router, Routes: prefixes(x.Routes), MTU: x.MTU, Functions: []string{x.at.Name()}})
		p.after.Wants = append(p.after.Wants, linkname.Want(x.MAC, x.Interface, "the interface of "+x.at.Name()))
	}
	if len(made) == 0 {
		return
	}
	if g.Bridge != "" {
		made = []Link{p.bridged(g, made)}
	}
	for i := range made {
		l, n := &made[i], index<<8|i
		path, list := g.Path+"addresses", g.Addresses
		if own := g.part(l.Functions[0]); g.Bridge == "" && len(own.Addresses) > 0 {
			path, list = own.path+".addresses", own.Addresses
		}
		if l.Router != RouterClient {
			l.Addresses = p.addresses(*l, n, path, list)
		}
		p.up(g, *l)
	}
	p.r.Links = append(p.r.Links, made...)
}

// prefixes are networks that Problems has seen.
func prefixes(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range list {
		if n, err := netip.ParsePrefix(r); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// macOf is the address of the function whose interface has that name.
func (g *gadget) macOf(name string) string {
	for _, x := range g.parts {
		if x.at.Network() && x.Interface == name {
			return x.MAC
		}
	}
	return ""
}

func (g *gadget) part(function string) part {
	for _, x := range g.parts {
		if x.at.Name() == function {
			return x
		}
	}
	return part{}
}

// called is the name of a function's interface: as configured, else the first usbN that is free.
// The kernel counts them as they are bound, with other machines' phones among them, so a name is
// given out here and the interface, found by its address, is renamed where the kernel chose another.
func (p *planner) called(g *gadget, x *part) string {
	taken := func(name string) bool {
		l, there := p.Facts.LinkByName(name)
		return there && !p.mine(l)
	}
	if x.Interface != "" {
		if taken(x.Interface) {
			p.fail(x.path, "the interface name %s is taken by another device of this machine: choose another one", x.Interface)
		}
		p.names = append(p.names, x.Interface)
		return x.Interface
	}
	for n := 0; ; n++ {
		name := "usb" + strconv.Itoa(n)
		if slices.Contains(p.names, name) || taken(name) || p.wanted(name) {
			continue
		}
		p.names = append(p.names, name)
		return name
	}
}

// wanted reports whether a name is configured for some interface.
func (p *planner) wanted(name string) bool {
	for _, g := range p.gadgets {
		if g.Bridge == name || slices.Contains(g.Interfaces, name) || slices.ContainsFunc(g.Functions, func(f Function) bool { return f.Interface == name }) {
			return true
		}
	}
	return false
}

// bridged is the bridge of a gadget's interfaces.
func (p *planner) bridged(g *gadget, ports []Link) Link {
	b := Link{Gadget: g.dev.Name, Name: g.Bridge, MAC: p.seed.Bridge(g.dev.Name, g.Bridge), Bridge: true, Router: ports[0].Router, Routes: ports[0].Routes, MTU: ports[0].MTU}
	if l, there := p.Facts.LinkByName(g.Bridge); there && l.Kind != "bridge" {
		p.fail(g.Path+"bridge", "the interface name %s is taken by a device that is no bridge: choose another one", g.Bridge)
	}
	p.after.Wants = append(p.after.Wants, bridge.Want(g.Bridge, b.MAC, "gadget."+g.Path+"bridge"))
	for _, l := range ports {
		b.Ports = append(b.Ports, l.Name)
		b.Functions = append(b.Functions, l.Functions...)
		p.after.Wants = append(p.after.Wants, bridge.Port("mac:"+l.MAC, g.Bridge, "gadget."+g.Path+"bridge"))
	}
	return b
}

// selector finds the link's device.
func (l Link) selector() string {
	if l.Bridge {
		return "name:" + l.Name
	}
	return "mac:" + l.MAC
}

// up has the link's addresses, and then the link up: the host sees a cable plugged in only then
// (eth_open in u_ether.c), and everything answers by that time.
func (p *planner) up(g *gadget, l Link) {
	why := "gadget." + g.Path + "router: " + l.Router
	sel := l.selector()
	if l.Router != RouterClient && p.ipv6() {
		// Routes and addresses that the host may announce are not for who serves it.
		// Of a bridge's ports neither, which are the same devices with and without the bridge.
		for _, port := range l.Ports {
			for _, s := range [][2]string{{"accept_ra", "0"}, {"addr_gen_mode", "1"}} {
				p.after.Wants = append(p.after.Wants, sysctl.Link("ipv6", "mac:"+g.macOf(port), s[0], s[1], "port of "+l.Name))
			}
		}
		p.after.Wants = append(p.after.Wants, sysctl.Link("ipv6", sel, "accept_ra", "0", "this side announces the network of "+l.Name))
		// The kernel would make another link-local address of the MAC when the device comes up, and a host
		// would find its router there: IN6_ADDR_GEN_MODE_NONE (linux/if_link.h).
		p.after.Wants = append(p.after.Wants, sysctl.Link("ipv6", sel, "addr_gen_mode", "1", "fe80::1 is the only link-local address of "+l.Name))
	}
	for _, a := range l.Addresses {
		switch {
		case a.Addr().Is4():
			p.after.Wants = append(p.after.Wants, address.Want(sel, a, why))
		case p.ipv6():
			// Detection of duplicates would ask one host, and keep the server silent for a second.
			p.after.Wants = append(p.after.Wants, address.Want(sel, a, why, address.NoDAD))
		}
	}
	for _, port := range l.Ports {
		p.after.Wants = append(p.after.Wants, link.Up("mac:"+g.macOf(port), "port of "+l.Name))
	}
	p.after.Wants = append(p.after.Wants, link.Up(sel, why))
}

// ipv6 reports whether the kernel has IPv6.
func (p *planner) ipv6() bool {
	v, known := p.Facts.Sysctl["net.ipv6.conf.all.disable_ipv6"]
	return known && v == "0"
}

// addresses are those of a link: fe80::1 always, and what list says, or one small network of each
// family of its own.
// They hang on the link's place, not on its function, so that a host finds what it knows when the
// profile changes.
func (p *planner) addresses(l Link, place int, path string, list []string) []netip.Prefix {
	if len(list) == 0 {
		list = []string{Auto}
	}
	var out []netip.Prefix
	for _, s := range list {
		if s != Auto {
			if a, err := parseAddress(s); err == nil && !slices.Contains(out, a) {
				out = append(out, a)
			}
			continue
		}
		var have []netip.Prefix
		for _, a := range p.Facts.Addrs {
			if f, ok := p.Facts.LinkByIndex(a.Link); ok && p.mine(f) {
				have = append(have, a.Prefix)
			}
		}
		what := "subnet of link " + strconv.Itoa(place)
		n, crowded, ok := subnet.Choose(func(n int) uint32 { return p.seed.Draw(what, n) }, have, p.taken)
		switch {
		case !ok:
			p.fail(path, "no private network is free for %s: write one, for example addresses: [192.168.137.1/24]", l.Name)
			continue
		case crowded.IsValid():
			p.note("warning", "gadget."+path, "every private network is covered by a route such as %s: %s takes %s out of it; write addresses to choose", crowded, l.Name, n)
		}
		p.taken = append(p.taken, n)
		out = append(out, subnet.Own(n))
		if six := p.seed.ULA(place); !hasULA(list) {
			out = append(out, netip.PrefixFrom(six.Addr().Next(), six.Bits()))
		}
	}
	return append(out, netip.MustParsePrefix("fe80::1/64"))
}

// hasULA reports whether a list names an IPv6 network itself.
func hasULA(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, ":") })
}
