package agent

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/provision-net/provision/routing/wireguard/addressing"
)

// draw chooses addresses that nobody here uses. All tunnels of a site share its /48 (RFC 4193 section 3.1).
func (t *tunnels) draw() ([]string, error) {
	taken := addressing.Taken(t.facts)
	var site netip.Prefix
	subnets := map[netip.Prefix]bool{}
	for _, name := range slices.Sorted(maps.Keys(t.all)) {
		for _, text := range t.all[name].Addresses {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				continue
			}
			taken = append(taken, p.Masked())
			if p.Addr().Is6() && p.Addr().IsPrivate() {
				subnets[netip.PrefixFrom(p.Addr(), 64).Masked()] = true
				if !site.IsValid() {
					site = netip.PrefixFrom(p.Addr(), 48).Masked()
				}
			}
		}
	}
	plan, err := addressing.Draw(rand.Reader, taken)
	if err != nil {
		return nil, err
	}
	for id := uint16(1); site.IsValid() && id != 0; id++ {
		if s := addressing.Subnet(site, id); !subnets[s] {
			plan.V6 = s
			break
		}
	}
	own, err := plan.Host(1)
	var list []string
	for _, p := range own {
		list = append(list, p.String())
	}
	return list, err
}

// routed is a /64 of a public prefix that is routed to this machine for good: one that is delegated may be
// another one tomorrow, and files of peers do not follow.
func (t *tunnels) routed(out *WireguardOutcome) netip.Prefix {
	used := addressing.Taken(t.facts)
	for _, r := range t.facts.Routes {
		if r.Type != "unreachable" && r.Type != "blackhole" || !r.Dst.Addr().Is6() || r.Dst.Bits() > 64 || r.Dst.Bits() < 16 || !public(r.Dst.Addr()) {
			continue
		}
		used := slices.DeleteFunc(slices.Clone(used), func(p netip.Prefix) bool { return p.Bits() <= r.Dst.Bits() })
		p, ok := lastFree(r.Dst, used)
		switch {
		case !ok:
		case r.Proto == 9 || r.Proto == 16: // ra, dhcp (rtnetlink(7))
			out.note("info", out.Interface, "%s is delegated to this machine, so peers could have public addresses of it: --prefix %s, if the provider does not change it", r.Dst, p)
		default:
			return p
		}
	}
	return netip.Prefix{}
}

// lastFree is the last /64 of p that overlaps nothing that is used; the first ones are for LANs.
func lastFree(p netip.Prefix, used []netip.Prefix) (netip.Prefix, bool) {
	b := p.Masked().Addr().As16()
	for n := 0; n < 8; n++ {
		if free := p.Bits() - 8*n; free < 8 {
			b[n] |= 0xff >> max(free, 0)
		}
	}
	for range 1024 {
		s := netip.PrefixFrom(netip.AddrFrom16(b), 64).Masked()
		if !p.Overlaps(s) {
			break
		}
		if !slices.ContainsFunc(used, s.Overlaps) {
			return s, true
		}
		for n := 7; n >= 0; n-- { // one less
			if b[n]--; b[n] != 0xff {
				break
			}
		}
	}
	return netip.Prefix{}, false
}

// publicAddress is this machine's own in a routed prefix.
func publicAddress(p netip.Prefix) (string, error) {
	switch {
	case !p.Addr().Is6() || !public(p.Addr()):
		return "", fmt.Errorf("--prefix %s is no public IPv6 network", p)
	case p.Bits() > 120:
		return "", fmt.Errorf("--prefix %s has no room for peers", p)
	case p.Bits() < 64:
		p = netip.PrefixFrom(p.Addr(), 64).Masked()
	}
	own, err := addressing.Plan{V6: p.Masked()}.Host(1)
	if err != nil {
		return "", err
	}
	return own[0].String(), nil
}

// public reports whether the internet answers to an address.
func public(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10) // RFC 6598
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a) && (a.Is4() || a.As16()[0]>>5 == 1)
}

// freePort is WireGuard's port, or the next one that no tunnel and no other program has.
func (t *tunnels) freePort(offline bool) uint16 {
	used := map[uint16]bool{}
	for _, i := range t.all {
		used[i.ListenPort] = true
	}
	for p := uint16(firstPort); p < firstPort+100; p++ {
		if !used[p] && (offline || udpFree(p)) {
			return p
		}
	}
	return firstPort // who has it is told of when it is wanted
}

func udpFree(port uint16) bool {
	c, err := net.ListenPacket("udp", ":"+strconv.Itoa(int(port)))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// publicEndpoint is the public address of a way out; IPv4, which every phone has, goes before IPv6.
func (t *tunnels) publicEndpoint(out *WireguardOutcome) string {
	var v6, private string
	for _, family := range []int{4, 6} {
		for _, l := range t.facts.Links {
			if len(t.facts.Defaults(l.Index, family)) == 0 {
				continue
			}
			for _, p := range t.facts.Addrs {
				a := p.Prefix.Addr()
				if p.Link != l.Index || p.Scope != "global" || p.Temporary || a.Is4() != (family == 4) {
					continue
				}
				switch {
				case !public(a):
					private = a.String()
				case a.Is4():
					return a.String()
				case v6 == "":
					v6 = a.String()
				}
			}
		}
	}
	if v6 != "" {
		out.note("warning", out.Interface, "peers find this machine at %s, by IPv6 only: a phone in a network without IPv6 does not. --endpoint NAME says a better one, and a port has to be forwarded to here", v6)
		return v6
	}
	why := "it has no way out yet"
	if private != "" {
		why = "its address " + private + " is private, so the router before it has to forward the UDP port"
	}
	out.note("warning", out.Interface, "nothing tells where peers find this machine: %s. Say it with `provision wireguard init %s --endpoint NAME`", why, out.Interface)
	return ""
}
