package names

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/wireguard"
)

// Servers are those that can be asked beside the tunnels: what managers learnt on the links that have a
// default route, then what resolv.conf(5) names, without this machine itself, whose own questions could
// go into a tunnel, and without those that tunnels bring.
func Servers(f *facts.Facts, tunnels []string) []netip.AddrPort {
	var out, foreign []netip.AddrPort
	read := func(text string, into []netip.AddrPort) []netip.AddrPort {
		a, err := netip.ParseAddr(text)
		if err != nil || a.IsLoopback() || a.IsUnspecified() {
			return into
		}
		if s := netip.AddrPortFrom(a.Unmap(), 53); !slices.Contains(into, s) {
			return append(into, s)
		}
		return into
	}
	var names []string
	for name := range f.DNS.ByLink {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, way := range []bool{true, false} {
		for _, name := range names {
			if slices.Contains(tunnels, name) {
				for _, s := range f.DNS.ByLink[name] {
					foreign = read(s, foreign)
				}
				continue
			}
			l, ok := f.LinkByName(name)
			if leads := ok && len(f.Defaults(l.Index, 4))+len(f.Defaults(l.Index, 6)) > 0; leads == way {
				for _, s := range f.DNS.ByLink[name] {
					out = read(s, out)
				}
			}
		}
	}
	for _, s := range f.DNS.Servers {
		out = read(s, out)
	}
	return slices.DeleteFunc(out, func(s netip.AddrPort) bool { return slices.Contains(foreign, s) })
}

// Lost are the servers that a tunnel's own in resolv.conf(5) make unknown, because nobody but that file
// knows them: those of now, or, once the file has the tunnels', those that were remembered.
func Lost(f *facts.Facts, c wireguard.Config, remembered []netip.AddrPort) []netip.AddrPort {
	switch f.DNS.Owner {
	case "systemd-resolved", "resolvconf", "openresolv", "NetworkManager":
		return nil // they know them by link
	}
	var tunnels []string
	var theirs []string
	for name, i := range c {
		tunnels, theirs = append(tunnels, name), append(theirs, i.DNS...)
	}
	if len(theirs) == 0 || len(c.Hosts()) == 0 {
		return nil
	}
	now := slices.DeleteFunc(Servers(f, tunnels), func(s netip.AddrPort) bool { return slices.Contains(theirs, s.Addr().String()) })
	if len(now) == 0 {
		return remembered
	}
	return now
}
