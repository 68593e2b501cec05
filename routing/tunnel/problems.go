package tunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/provision/resource/sit"
)

// names are those of c, sorted.
func (c Config) names() []string {
	out := make([]string, 0, len(c))
	for n := range c {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	p := &problems{}
	ends, lans := map[string]string{}, map[string]string{}
	var routed []claim
	for _, name := range c.names() {
		t := c[name]
		if err := sit.CheckName(name); err != nil {
			p.add(name, "%s", strings.TrimPrefix(err.Error(), "tunnel "))
		}
		t.judge(p, name)
		if first, twice := ends[t.Remote]; twice && t.Remote != "" {
			p.add(name+".remote", "%s is the other end of %s already: the kernel cannot tell their packets apart", t.Remote, first)
		}
		ends[t.Remote] = name
		for i, text := range t.Routed {
			at := fmt.Sprintf("%s.routed[%d]", name, i)
			r, ok := prefix(text)
			switch {
			case !ok:
				p.add(at, "%q is no IPv6 prefix, such as 2001:db8:2::/64", text)
				continue
			case r.Bits() > 64:
				p.add(at, "%s is smaller than a /64, and hosts make their addresses in a /64 (RFC 4862)", text)
			case r.Bits() < 16:
				p.add(at, "%s is more than anybody routes to one machine", text)
			}
			for _, o := range routed {
				if o.prefix.Overlaps(r) {
					p.add(at, "%s lies in, or holds, %s of %s", r, o.prefix, o.at)
				}
			}
			if own, err := netip.ParsePrefix(t.Address); err == nil && own.Overlaps(r) {
				p.add(at, "%s is the tunnel's own network: the routed prefix is another one (at tunnelbroker.net it differs by one digit)", r)
			}
			routed = append(routed, claim{r, at})
		}
		for i, l := range t.LAN {
			at := fmt.Sprintf("%s.lan[%d].interface", name, i)
			if l.Interface == name {
				p.add(at, "%s is the tunnel itself: name the interface of the network behind", name)
			} else if sit.CheckName(l.Interface) != nil {
				p.add(at, "%q is no name of an interface", l.Interface)
			} else if first, twice := lans[l.Interface]; twice {
				p.add(at, "%s has a prefix by %s already", l.Interface, first)
			}
			lans[l.Interface] = fmt.Sprintf("%s.lan[%d]", name, i)
		}
		if _, wrong := t.subnets(); len(wrong) > 0 {
			for _, w := range wrong {
				p.add(name+"."+w.Path, "%s", w.Text)
			}
		}
	}
	return p.list
}

type claim struct {
	prefix netip.Prefix
	at     string
}

type problems struct{ list []Problem }

func (p *problems) add(path, format string, args ...any) {
	p.list = append(p.list, Problem{path, fmt.Sprintf(format, args...)})
}

func (t Tunnel) judge(p *problems, name string) {
	if t.Type != "" && t.Type != SixInFour {
		p.add(name+".type", "%q is no type of tunnel: there is 6in4", t.Type)
	}
	if t.Remote == "" {
		p.add(name+".remote", "is missing: the server's IPv4 address")
	} else if a, ok := four(t.Remote); !ok || a.IsLoopback() {
		p.add(name+".remote", "%q is no IPv4 address of a server: write it as 192.0.2.1, a name would need IPv4 and DNS before the tunnel", t.Remote)
	}
	if _, ok := four(t.Local); t.Local != "" && !ok {
		p.add(name+".local", "%q is no IPv4 address of this machine; leave it out to have the one of the way out", t.Local)
	}
	if t.Interface != "" && (sit.CheckName(t.Interface) != nil || t.Interface == name) {
		p.add(name+".interface", "%q is no interface that outer packets can leave by", t.Interface)
	}
	switch a, err := netip.ParsePrefix(t.Address); {
	case t.Address == "":
		p.add(name+".address", "is missing: the client's IPv6 address, such as 2001:db8:1::2/64")
	case err != nil || !host(a.Addr()):
		p.add(name+".address", "%q is no IPv6 address with the length of its network, such as 2001:db8:1::2/64", t.Address)
	case a.Bits() < 128 && a == a.Masked():
		p.add(name+".address", "%s is the network, not an address in it: the client's ends in ::2 at most brokers", t.Address)
	}
	if t.MTU != 0 && (t.MTU < 1280 || t.MTU > 65515) {
		p.add(name+".mtu", "%d is none: IPv6 needs 1280, and 1480 fit into a packet of Ethernet (RFC 4213 section 3.2)", t.MTU)
	}
	if !slices.Contains([]string{"", "default", "none"}, t.Route) {
		p.add(name+".route", "%q is neither default nor none", t.Route)
	}
	if t.Route == "none" && t.Metric != 0 {
		p.add(name+".metric", "is that of the default route, which route: none leaves out")
	}
	for _, w := range t.Update.Problems() {
		path := name + ".update"
		if w.Path != "" {
			path += "." + w.Path
		}
		p.add(path, "%s", w.Text)
	}
}

// four reads an address that a host can have.
func four(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func host(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.Zone() == "" && a.IsGlobalUnicast()
}

// prefix reads one of IPv6 that hosts can have, whatever its host bits.
func prefix(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil && host(p.Addr()) && p.Addr() == p.Masked().Addr()
}
