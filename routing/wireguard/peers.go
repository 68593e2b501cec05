package wireguard

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// peers judges those of one interface. private is its key, zero where it is not known.
func (j *judge) peers(name string, i Interface, private wireguard.Key, mine []owned) {
	own := private.Public()
	keys := make(map[wireguard.Key]string, len(i.Peers))
	all := make([]owned, 0, 2*len(i.Peers)+len(mine))
	j.goes = slices.Grow(j.goes, 2*len(i.Peers))
	for _, peer := range sortedKeys(i.Peers) {
		p := i.Peers[peer]
		at := name + ".peers." + peer
		if why := BadPeer(peer); why != "" {
			j.add(at, "%s", why)
		}
		if p.PublicKey == "" {
			j.add(at+".public-key", "is missing: it is what the other end's `wg show` calls public key")
		}
		public := j.key(at, "public-key", p.PublicKey, "", "wg pubkey")
		j.key(at, "preshared-key", p.PresharedKey, p.PresharedKeyFile, "wg genpsk")
		switch other, twice := keys[public]; {
		case public == wireguard.Key{}:
		case twice:
			j.add(at+".public-key", "is that of %s.peers.%s already: to the kernel they are one peer", name, other)
		case public == own:
			j.add(at+".public-key", "is that of %s itself: give that of the other end", name)
		default:
			keys[public] = peer
		}
		if p.Endpoint != "" {
			if _, _, why := SplitEndpoint(p.Endpoint, false); why != "" {
				j.add(at+".endpoint", "%s", why)
			}
		}
		all = j.allowed(all, name, at, peer, i, p)
		j.client(at+".client", p.Client)
	}
	j.shared(all, mine)
}

// allowed judges the allowed-ips of one peer and adds them to all.
func (j *judge) allowed(all []owned, name, at, peer string, i Interface, p Peer) []owned {
	for n, text := range p.AllowedIPs {
		at := at + ".allowed-ips[" + strconv.Itoa(n) + "]"
		a, why := ParseAllowed(text)
		if why != "" {
			j.add(at, "%s", why)
			continue
		}
		if a.Bits() == 0 && i.Route == "" {
			j.add(at, "is everything, and %s.route does not say what becomes of it: full (everything leaves by the tunnel), split (only networks that are named), or none", name)
		}
		o := owned{prefix: a, device: name, who: peer, path: at, nested: p.Nested}
		all = append(all, o)
		if i.Route != RouteNone && a.Bits() > 0 {
			j.goes = append(j.goes, o)
		}
		if p.Endpoint != "" || a.IsSingleIP() || len(i.Peers) == 1 && i.ListenPort == 0 {
			continue
		}
		// One peer would own the tunnel's whole network, and the next one nothing.
		for _, text := range i.Addresses {
			if own, err := netip.ParsePrefix(text); err == nil && own.Masked() == a {
				j.add(at, "%s is the whole network of %s: a peer that calls this machine has its own addresses only, such as %s", a, name, netip.PrefixFrom(own.Addr().Next(), own.Addr().BitLen()))
			}
		}
	}
	return all
}

// shared finds allowed-ips that peers would take from each other: an address is at the last peer that
// it was given to, and silently so (drivers/net/wireguard/allowedips.c), and of nested ones the longer
// prefix wins.
func (j *judge) shared(all, mine []owned) {
	for _, o := range mine {
		all = append(all, owned{prefix: netip.PrefixFrom(o.prefix.Addr(), o.prefix.Addr().BitLen()), device: o.device, path: o.path, host: true})
	}
	// A prefix stands right before what lies within it.
	order := make([]*owned, len(all))
	for n := range all {
		order[n] = &all[n]
	}
	sort.Slice(order, func(a, b int) bool {
		x, y := order[a], order[b]
		if c := x.prefix.Addr().Compare(y.prefix.Addr()); c != 0 {
			return c < 0
		}
		if x.prefix.Bits() != y.prefix.Bits() {
			return x.prefix.Bits() < y.prefix.Bits()
		}
		return x.path < y.path
	})
	told := map[string]bool{}
	var open []*owned // those that the present one may lie in
	for _, o := range order {
		for len(open) > 0 && !open[len(open)-1].prefix.Overlaps(o.prefix) {
			open = open[:len(open)-1]
		}
		twice := false
		for n := len(open) - 1; n >= 0; n-- {
			if in := open[n]; j.pair(in, o, told) {
				twice = in.prefix == o.prefix && !in.host
				break
			}
		}
		if !twice { // else what lies within it lies within the other one, which is there
			open = append(open, o)
		}
	}
}

// pair judges o, which lies within in, and reports whether it found anything.
func (j *judge) pair(in, o *owned, told map[string]bool) bool {
	same := in.prefix == o.prefix
	switch {
	case o.host && !in.host && same:
		j.add(in.path, "%s is the address of this machine itself: give the peer another one", o.prefix.Addr())
	case in.host && !o.host && same:
		j.add(o.path, "%s is the address of this machine itself: give the peer another one", o.prefix.Addr())
	case o.host || in.host:
		return false // the kernel asks its own addresses first
	case same && in.who == o.who:
		j.add(o.path, "%s is said twice", o.prefix)
	case same:
		j.add(o.path, "%s is that of peer %s already, and would be taken from it: an address is at one peer", o.prefix, in.who)
	case in.who == o.who || in.prefix.Bits() == 0 || in.nested || told[in.path]:
		return false
	default:
		told[in.path] = true
		j.add(in.path, "%s holds %s of peer %s: give each peer its own addresses, or say nested: true here if the longer prefix is to win", in.prefix, o.prefix, o.who)
	}
	return true
}

// routes finds networks that two interfaces would both have a route to.
func (j *judge) routes() {
	first := make(map[netip.Prefix]*owned, len(j.goes))
	for n := range j.goes {
		o := &j.goes[n]
		f, twice := first[o.prefix]
		if !twice {
			first[o.prefix] = o
		} else if f.device != o.device {
			j.add(o.path, "%s is reached by %s already (%s): say route: none for one of them, or give each its own", o.prefix, f.device, f.path)
		}
	}
}

func (j *judge) client(at string, c *Client) {
	if c == nil {
		return
	}
	j.key(at, "private-key", c.PrivateKey, "", "wg genkey")
	for n, text := range c.Addresses {
		if _, why := hostPrefix(text); why != "" {
			j.add(fmt.Sprintf("%s.addresses[%d]", at, n), "%s", why)
		}
	}
	for n, text := range c.AllowedIPs {
		if _, why := ParseAllowed(text); why != "" {
			j.add(fmt.Sprintf("%s.allowed-ips[%d]", at, n), "%s", why)
		}
	}
	for n, text := range c.DNS {
		if text == NoDNS && len(c.DNS) > 1 {
			j.add(fmt.Sprintf("%s.dns[%d]", at, n), "none stands alone: the peer keeps the name servers it has")
			continue
		}
		if a, err := netip.ParseAddr(text); (err != nil || a.Zone() != "") && badDomain(text) != "" {
			j.add(fmt.Sprintf("%s.dns[%d]", at, n), "%q is neither an address of a name server nor a domain", text)
		}
	}
	if c.MTU != 0 && c.MTU < 576 {
		j.add(at+".mtu", "%d is less than the 576 bytes that every host takes", c.MTU)
	}
	if c.Endpoint != "" {
		if _, _, why := SplitEndpoint(c.Endpoint, true); why != "" {
			j.add(at+".endpoint", "%s", why)
		}
	}
}

// ParseAllowed reads an entry of allowed-ips; why says what is wrong with it. What has bits behind its
// length is refused, though the kernel would cut them off: who writes 10.0.0.2/24 seldom means the
// other 255 addresses.
func ParseAllowed(text string) (p netip.Prefix, why string) {
	if !strings.Contains(text, "/") {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
			return netip.PrefixFrom(a, a.BitLen()), ""
		}
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p.Addr().Is4In6():
		return p, fmt.Sprintf("%q is no prefix such as 10.97.98.2/32 or fd12:3456:789a:1::2/128", text)
	case p.Masked() != p:
		return p, fmt.Sprintf("%s has bits behind its length: write %s for the one address, or %s", p, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), p.Masked())
	}
	return p, ""
}

// SplitEndpoint reads host:port; why says what is wrong. Where portless is true the port may be
// missing, and is 0 then. The host is an address in its canonical form, or a name.
func SplitEndpoint(text string, portless bool) (host string, port uint16, why string) {
	host = text
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil && portless && (a.Is4() || strings.HasPrefix(text, "[") == strings.HasSuffix(text, "]")) {
		host = a.String()
	} else {
		h, digits, ok := cutPort(text)
		if !ok && !portless {
			return "", 0, fmt.Sprintf("%q has no port: write host:51820, with an IPv6 address as [2001:db8::1]:51820", text)
		}
		if ok {
			n, err := strconv.ParseUint(digits, 10, 16)
			if err != nil || n == 0 {
				return "", 0, fmt.Sprintf("%q is no port: 1 to 65535", digits)
			}
			host, port = h, uint16(n)
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
			return "", 0, fmt.Sprintf("%s is no address of a machine", a)
		}
		return a.String(), port, ""
	}
	if strings.Trim(host, "0123456789.") == "" || badDomain(host) != "" {
		return "", 0, fmt.Sprintf("%q is neither an address nor the name of a machine", host)
	}
	return host, port, ""
}

// cutPort takes the port from behind an address in brackets, an IPv4 address or a name.
func cutPort(text string) (host, port string, ok bool) {
	if strings.HasPrefix(text, "[") {
		host, port, ok = strings.Cut(text[1:], "]:")
		return host, port, ok && strings.Contains(host, ":")
	}
	host, port, ok = strings.Cut(text, ":")
	return host, port, ok && host != "" && !strings.Contains(port, ":")
}
