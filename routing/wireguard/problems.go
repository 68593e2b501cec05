package wireguard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	j := &judge{ports: map[uint16]string{}}
	for _, name := range sortedKeys(c) {
		j.device(name, c[name])
	}
	j.routes()
	return j.out
}

// judge gathers what is wrong.
type judge struct {
	out   []Problem
	ports map[uint16]string // listen ports and whose they are
	nets  []owned           // networks of interfaces
	goes  []owned           // what has a route
}

// owned is a prefix and who has it.
type owned struct {
	prefix netip.Prefix
	device string
	who    string
	path   string
	nested bool
	host   bool // an address of this machine
}

func (j *judge) add(path, format string, args ...any) {
	j.out = append(j.out, Problem{path, fmt.Sprintf(format, args...)})
}

func (j *judge) device(name string, i Interface) {
	if why := BadInterface(name); why != "" {
		j.add(name, "%s", why)
		return
	}
	private := j.key(name, "private-key", i.PrivateKey, i.PrivateKeyFile, "provision wireguard init")
	if i.PrivateKey == "" && i.PrivateKeyFile == "" {
		j.add(name+".private-key-file", "is missing: name a file of mode 0600 with the private key")
	}
	if i.ListenPort != 0 {
		if other, twice := j.ports[i.ListenPort]; twice {
			j.add(name+".listen-port", "%d is that of %s already: each interface has its own", i.ListenPort, other)
		}
		j.ports[i.ListenPort] = name
	}
	mine := j.addresses(name, i)
	j.words(name, i)
	j.peers(name, i, private, mine)
}

// key judges a key that is given as it is or in a file; the zero key is none.
func (j *judge) key(at, key, text, file, maker string) wireguard.Key {
	if text != "" && file != "" {
		j.add(at+"."+key, "cannot stand beside %s-file: keep one of them", key)
	}
	if file != "" && !strings.HasPrefix(file, "/") {
		j.add(at+"."+key+"-file", "%q is no whole path, which begins with /", file)
	}
	k, err := wireguard.ParseKey(text)
	if err == nil && text != "" && k == (wireguard.Key{}) {
		err = fmt.Errorf("it is all zeros, which is no key")
	}
	if err != nil {
		j.add(at+"."+key, "is no key: %v; `%s` makes one", err, maker)
	}
	return k
}

// addresses judges what this machine is called in the tunnel.
func (j *judge) addresses(name string, i Interface) []owned {
	var mine []owned
	for n, text := range i.Addresses {
		at := fmt.Sprintf("%s.addresses[%d]", name, n)
		a, why := hostPrefix(text)
		if why != "" {
			j.add(at, "%s", why)
			continue
		}
		for _, o := range j.nets {
			if o.prefix.Addr() == a.Addr() && (o.device == name || !a.Addr().IsLinkLocalUnicast()) {
				j.add(at, "%s is an address of %s already", a.Addr(), o.device)
			} else if o.device != name && o.prefix.Overlaps(a) && !a.Addr().IsLinkLocalUnicast() {
				j.add(at, "the network %s overlaps with %s of %s: packets to it could go by either, so give each interface its own", a.Masked(), o.prefix.Masked(), o.device)
			} else {
				continue
			}
			break
		}
		o := owned{prefix: a, device: name, path: at}
		j.nets = append(j.nets, o)
		mine = append(mine, o)
		if r := i.Route; r != RouteNone && !a.IsSingleIP() && !a.Addr().IsLinkLocalUnicast() {
			j.goes = append(j.goes, owned{prefix: a.Masked(), device: name, path: at})
		}
	}
	return mine
}

// words judges what is left of an interface.
func (j *judge) words(name string, i Interface) {
	v6 := slices.ContainsFunc(i.Addresses, func(s string) bool { return strings.Contains(s, ":") })
	switch {
	case i.MTU == 0:
	case i.MTU < 576:
		j.add(name+".mtu", "%d is less than the 576 bytes that every host takes (RFC 791)", i.MTU)
	case i.MTU < minMTU && v6:
		j.add(name+".mtu", "%d is less than the 1280 bytes that IPv6 needs (RFC 8200 section 5)", i.MTU)
	}
	j.oneOf(name+".nat", i.NAT, "auto", "yes", "no")
	j.oneOf(name+".route", i.Route, RouteNone, RouteSplit, RouteFull)
	if i.Route == RouteFull && len(i.Families()) == 0 {
		j.add(name+".route", "is full, and nothing can leave by the tunnel: a peer needs 0.0.0.0/0 and ::/0 among its allowed-ips, and addresses one of the same family")
	}
	if i.Zone != "" && (len(i.Zone) > 32 || strings.Trim(i.Zone, letters+"_-") != "" || strings.Trim(i.Zone[:1], "_-") == "" || i.Zone == "any" || i.Zone == "self") {
		j.add(name+".zone", "%q is no name of a zone: 1 to 32 letters, digits, - and _, a letter or digit first", i.Zone)
	}
	for n, r := range i.Reach {
		if r == "" || r == "any" || r == "self" || strings.Trim(r, letters+"_-") != "" {
			j.add(fmt.Sprintf("%s.reach[%d]", name, n), "%q is neither internet nor peers nor the name of a zone", r)
		}
	}
	if i.NAT != "" && !slices.Contains(i.Reach, ReachInternet) {
		j.add(name+".nat", "says how peers leave, but reach does not have internet")
	}
	for n, text := range i.DNS {
		if a, err := netip.ParseAddr(text); err != nil || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			j.add(fmt.Sprintf("%s.dns[%d]", name, n), "%q is no address of a name server; what is searched goes into domains", text)
		}
	}
	for n, d := range i.Domains {
		if why := badDomain(strings.TrimPrefix(d, "~")); why != "" && d != "~." {
			j.add(fmt.Sprintf("%s.domains[%d]", name, n), "%s", why)
		}
	}
	if len(i.Domains) > 0 && len(i.DNS) == 0 {
		j.add(name+".domains", "are asked nowhere: dns has no name server")
	}
	if l := i.LANAccess; l != "" {
		if why := BadInterface(l); why != "" || l == name {
			j.add(name+".lan-access", "%q is no interface of a LAN, such as eth0", l)
		}
	}
	if e := i.PublicEndpoint; e != "" {
		if _, _, why := SplitEndpoint(e, true); why != "" {
			j.add(name+".public-endpoint", "%s", why)
		}
	}
}

func (j *judge) oneOf(path, word string, words ...string) {
	if word != "" && !slices.Contains(words, word) {
		j.add(path, "%q is none of %s", word, strings.Join(words, ", "))
	}
}

// hostPrefix reads an address with the length of its network.
func hostPrefix(text string) (netip.Prefix, string) {
	p, err := netip.ParsePrefix(text)
	if a, bare := netip.ParseAddr(text); err != nil && bare == nil && a.Zone() == "" {
		return p, fmt.Sprintf("%s has no length: write %s, or that of its network", text, netip.PrefixFrom(a, a.BitLen()))
	}
	if err != nil || p.Addr().Is4In6() || p.Bits() == 0 {
		return p, fmt.Sprintf("%q is no address such as 10.97.98.1/24 or fd12:3456:789a:1::1/64", text)
	}
	a := p.Addr()
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return p, fmt.Sprintf("%s is no address that an interface can have", a)
	}
	if a.Is4() && p.Bits() < 31 && (a == p.Masked().Addr() || a == last4(p)) {
		return p, fmt.Sprintf("%s is the network %s itself or its broadcast: take an address between them, such as %s", a, p.Masked(), p.Masked().Addr().Next())
	}
	return p, ""
}

// last4 is the highest address of an IPv4 network.
func last4(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

func badDomain(d string) string {
	d = strings.TrimSuffix(d, ".")
	for _, label := range strings.Split(d, ".") {
		if label == "" || len(label) > 63 || len(d) > 253 || strings.Trim(label, letters+"_-") != "" || strings.HasPrefix(label, "-") {
			return fmt.Sprintf("%q is no domain, such as example.org", d)
		}
	}
	return ""
}
