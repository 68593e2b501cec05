package killswitch

import (
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// Sets whose elements come at run time, each with a timeout. Those that end with 4 have a twin
// that ends with 6.
const (
	SetOpen       = "guard-open"      // names of ways out that are open by choice or trusted
	SetSelf       = "guard-self"      // names of ways out with a window for this machine
	SetWindow     = "guard-window"    // names of ways out with a window for clients
	SetClient4    = "guard-client4"   // those clients
	SetPortalDNS4 = "guard-portal4"   // name servers of the way out, during a window
	SetResolved4  = "guard-resolved4" // address and port of the tunnel's endpoint, resolved at run time
	SetDone       = "guard-done"      // ports of the start that are not needed any more: 53, 123
	SetPorts      = "guard-ports"     // TCP ports of a window, from the configuration
	setDNS4       = "guard-dns4"      // bootstrap-dns
	setNTP4       = "guard-ntp4"      // ntp
)

// setOf is the twin of a set for that family.
//
//go:noinline
func setOf(set4 string, family int) string {
	if family == 6 {
		return strings.TrimSuffix(set4, "4") + "6"
	}
	return set4
}

// lease is how long an opening lasts that this process has to keep renewing, doneLease how long
// the start stays closed without it.
const (
	lease     = 90 * time.Second
	doneLease = 10 * time.Minute
)

func (g *guard) sets() []nft.Set {
	learnt := func(name string, size uint32, timeout time.Duration, key ...string) nft.Set {
		return nft.Set{Name: name, Key: key, Learnt: true, Size: size, Timeout: uint64(timeout.Milliseconds())}
	}
	out := []nft.Set{
		learnt(SetOpen, 64, lease, nft.TypeIfname),
		learnt(SetSelf, 64, lease, nft.TypeIfname),
		learnt(SetWindow, 64, lease, nft.TypeIfname),
		learnt(SetDone, 64, doneLease, nft.TypePort),
		{Name: SetPorts, Key: []string{nft.TypePort}, Elements: ports(g.Config.windowPorts())},
	}
	for _, family := range []int{4, 6} {
		addr := nft.TypeIPv4
		if family == 6 {
			addr = nft.TypeIPv6
		}
		out = append(out,
			learnt(setOf(SetClient4, family), 256, lease, addr),
			learnt(setOf(SetPortalDNS4, family), 64, lease, addr),
			learnt(setOf(SetResolved4, family), 256, time.Hour, addr, nft.TypePort))
		for _, s := range []struct {
			name string
			list []string
		}{{setDNS4, g.Config.BootstrapDNS}, {setNTP4, g.Config.NTP}} {
			if as := addrs(s.list, family); len(as) > 0 {
				out = append(out, nft.Set{Name: setOf(s.name, family), Key: []string{addr}, Elements: elements(as)})
			}
		}
	}
	return out
}

// Resolved says where the guard is told that the tunnel's endpoint is, for as long as the set keeps it (an
// hour).
func Resolved(at netip.AddrPort) (set string, e nft.Element) {
	a := at.Addr().Unmap().WithZone("")
	return setOf(SetResolved4, match.Family(a)), nft.Element{Key: append(append(a.AsSlice(), match.PortKey(at.Port())...), 0, 0)}
}

func elements(as []netip.Addr) []nft.Element {
	var out []nft.Element
	for _, a := range as {
		out = append(out, nft.Element{Key: a.AsSlice()})
	}
	return out
}

func ports(ps []uint16) []nft.Element {
	ps = slices.Clone(ps)
	sort.Slice(ps, func(i, j int) bool { return ps[i] < ps[j] })
	var out []nft.Element
	for _, p := range slices.Compact(ps) {
		out = append(out, nft.Element{Key: match.PortKey(p)})
	}
	return out
}
