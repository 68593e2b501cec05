// Package addressing plans the addresses of a tunnel: networks that nobody else here uses, and a pair
// of addresses for each peer.
package addressing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/provision-net/provision/provision/facts"
)

// Plan is the networks of one tunnel, masked. One of them may be missing (not valid).
type Plan struct{ V4, V6 netip.Prefix }

// ULA draws the /48 of a site: fd00::/8 and 40 random bits (RFC 4193 section 3.2.1, which also allows a
// random number in place of the digest of time and MAC). It is drawn once, kept, and never given to
// another site.
func ULA(random io.Reader) (netip.Prefix, error) {
	b := [16]byte{0: 0xfd}
	if _, err := io.ReadFull(random, b[1:6]); err != nil {
		return netip.Prefix{}, fmt.Errorf("cannot draw a private IPv6 network: no random bytes: %w", err)
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), 48), nil
}

// Subnet is the /64 with this number of a site's /48 (RFC 4193 section 3.1).
func Subnet(site netip.Prefix, id uint16) netip.Prefix {
	b := site.Masked().Addr().As16()
	binary.BigEndian.PutUint16(b[6:], id)
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// Draw makes a plan of a random 10.x.y.0/24 and the first /64 of a random ULA, none of them used here.
func Draw(random io.Reader, taken []netip.Prefix) (Plan, error) {
	v4, err := Draw4(random, taken)
	if err != nil {
		return Plan{}, err
	}
	site, err := ULA(random)
	return Plan{v4, Subnet(site, 1)}, err
}

// Draw4 draws a 10.x.y.0/24 beside what is taken. The ones that everybody's guide uses are left out: a
// phone sits in somebody else's network one day, and two networks with the same numbers cannot talk.
func Draw4(random io.Reader, taken []netip.Prefix) (netip.Prefix, error) {
	var b [2]byte
	for range 1000 {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return netip.Prefix{}, fmt.Errorf("cannot draw a private IPv4 network: no random bytes: %w", err)
		}
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, b[0], b[1], 0}), 24)
		if b[0] > 10 && b[0] < 240 && b[0] != 88 && b[0] != 96 && b[0] != 244 && free(p, taken) {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("no network of 10.0.0.0/8 is free beside those of this machine: name one, such as 172.29.98.0/24")
}

func free(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if t.Overlaps(p) {
			return false
		}
	}
	return true
}

// Taken are the networks that this machine has addresses in or routes to, beside default routes.
func Taken(f *facts.Facts) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range f.Addrs {
		out = append(out, a.Prefix.Masked())
	}
	for _, r := range f.Routes {
		// 10.0.0.0/8 and the like are somebody's way out, not a network that is used.
		if r.Dst.IsValid() && r.Dst.Bits() > 8 {
			out = append(out, r.Dst.Masked())
		}
	}
	return out
}

// Clash is a network of p that is taken; not valid when there is none.
func (p Plan) Clash(taken []netip.Prefix) netip.Prefix {
	for _, n := range p.networks() {
		for _, t := range taken {
			if t.Overlaps(n) {
				return t
			}
		}
	}
	return netip.Prefix{}
}

// Of is the plan of an interface with these addresses; of more than one network of a family the first.
func Of(addresses []netip.Prefix) Plan {
	var p Plan
	for _, a := range addresses {
		if n := a.Masked(); a.Addr().Is4() && !p.V4.IsValid() {
			p.V4 = n
		} else if a.Addr().Is6() && !p.V6.IsValid() {
			p.V6 = n
		}
	}
	return p
}

func (p Plan) networks() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range []netip.Prefix{p.V4, p.V6} {
		if n.IsValid() {
			out = append(out, n)
		}
	}
	return out
}

// Networks are those of the plan, IPv4 first.
func (p Plan) Networks() []netip.Prefix { return p.networks() }

// Host are the addresses with this number, each with the length of its network; 1 is this machine.
// It is an error when a network has no such address.
func (p Plan) Host(n uint32) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, net := range p.networks() {
		a, ok := nth(net, n)
		if !ok {
			return nil, fmt.Errorf("%s has no address number %d: it is full; move to a larger network", net, n)
		}
		out = append(out, netip.PrefixFrom(a, net.Bits()))
	}
	return out, nil
}

// Next are the first addresses, with the same number in both families, that are nobody's: a /32 and a
// /128. Used are the addresses and allowed-ips of everybody; default routes among them do not count.
func (p Plan) Next(used []netip.Prefix) ([]netip.Prefix, error) {
	if len(p.networks()) == 0 {
		return nil, errors.New("the interface has no network to give addresses of: give it one, such as 10.97.98.1/24")
	}
	single := make(map[netip.Addr]bool, len(used))
	var wide []netip.Prefix
	for _, u := range used {
		if u.IsSingleIP() {
			single[u.Addr()] = true
		} else if u.Bits() > 0 {
			wide = append(wide, u)
		}
	}
	for n := uint32(2); ; n++ {
		all, err := p.Host(n)
		if err != nil {
			return nil, err
		}
		taken := false
		for i, a := range all {
			all[i] = netip.PrefixFrom(a.Addr(), a.Addr().BitLen())
			taken = taken || single[a.Addr()] || !free(all[i], wide)
		}
		if !taken {
			return all, nil
		}
	}
}

// nth is the address with this number in a network: not the network's own, and of IPv4 not the
// broadcast either.
func nth(net netip.Prefix, n uint32) (netip.Addr, bool) {
	host := net.Addr().BitLen() - net.Bits()
	if host < 32 {
		last := uint64(1)<<host - 1
		if net.Addr().Is4() && host > 1 {
			last--
		}
		if uint64(n) > last {
			return netip.Addr{}, false
		}
	}
	b := net.Addr().AsSlice()
	low := b[len(b)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)|n)
	a, ok := netip.AddrFromSlice(b)
	return a, ok
}
