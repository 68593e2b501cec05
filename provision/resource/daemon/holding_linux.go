package daemon

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/resource/daemon/foreign"
)

// holding is what a daemon keeps on a link, per family (0 is IPv4, 1 is IPv6): an
// address of global scope and a default route of the main table.
type holding struct{ address, route [2]bool }

func inventory(snap foreign.Snapshot, others []foreign.Message, links []link) map[link]holding {
	skip := map[string]bool{}
	for _, m := range others {
		skip[m.Key()] = true
	}
	byIndex := map[int]link{}
	for _, l := range links {
		byIndex[l.index] = l
	}
	out := map[link]holding{}
	for _, m := range snap {
		if skip[m.Key()] {
			continue
		}
		if a, err := m.Address(); err == nil {
			l, ok := byIndex[a.Link]
			if ok && a.Scope == unix.RT_SCOPE_UNIVERSE && !a.Tentative {
				h := out[l]
				h.address[family(a.Prefix.Addr().Is6())] = true
				out[l] = h
			}
			continue
		}
		r, err := m.Route()
		if err != nil || r.Table != unix.RT_TABLE_MAIN || r.Dst.Bits() != 0 || r.Type != unix.RTN_UNICAST {
			continue
		}
		for _, hop := range r.Hops {
			if l, ok := byIndex[hop.Link]; ok {
				h := out[l]
				h.route[family(r.Family == unix.AF_INET6)] = true
				out[l] = h
			}
		}
	}
	return out
}

func family(six bool) int {
	if six {
		return 1
	}
	return 0
}

// without names what h has and now has not.
func (h holding) without(now holding, name string) []string {
	var out []string
	for i, f := range []string{"IPv4", "IPv6"} {
		who := [...]string{"does a DHCP server answer?", "does a router answer?"}[i]
		if h.address[i] && !now.address[i] {
			out = append(out, fmt.Sprintf("%s lost its %s address (%s)", name, f, who))
		}
		if h.route[i] && !now.route[i] {
			out = append(out, fmt.Sprintf("%s lost its %s default route (%s)", name, f, who))
		}
	}
	return out
}

// unreplaced drops what a daemon has replaced: an address where the link has one of
// that family again (others' do not count), a default route where there is one again,
// and other routes unless their link's address goes back with them.
func unreplaced(snap foreign.Snapshot, others, leases []foreign.Message) []foreign.Message {
	type end struct{ link, family int }
	back := map[end]bool{}
	var out []foreign.Message
	for _, m := range leases {
		a, err := m.Address()
		if err != nil {
			continue
		}
		l, f := link{index: a.Link}, family(a.Prefix.Addr().Is6())
		if !inventory(snap, others, []link{l})[l].address[f] {
			out = append(out, m)
			back[end{a.Link, f}] = true
		}
	}
	for _, m := range leases {
		r, err := m.Route()
		if err != nil {
			continue
		}
		f := family(r.Family == unix.AF_INET6)
		goes := false
		for _, hop := range r.Hops {
			l := link{index: hop.Link}
			isDefault := r.Dst.Bits() == 0
			if back[end{hop.Link, f}] || isDefault && !inventory(snap, others, []link{l})[l].route[f] {
				goes = true
			}
		}
		if goes {
			out = append(out, m)
		}
	}
	return out
}

// leased reports whether a link has an IPv4 lease: an address with a lifetime, or a
// route from DHCP (networkd with KeepConfiguration= makes the address permanent).
func leased(snap foreign.Snapshot, index int) bool {
	for _, m := range snap {
		if a, err := m.Address(); err == nil && a.Link == index && a.Prefix.Addr().Is4() && !a.Permanent {
			return true
		}
		if r, err := m.Route(); err == nil && r.Family == unix.AF_INET && r.Proto == unix.RTPROT_DHCP {
			for _, h := range r.Hops {
				if h.Link == index {
					return true
				}
			}
		}
	}
	return false
}

// exists reports whether the devices of m are there.
func exists(m foreign.Message) bool {
	var need []int
	if a, err := m.Address(); err == nil {
		need = []int{a.Link}
	} else if r, err := m.Route(); err == nil {
		for _, h := range r.Hops {
			need = append(need, h.Link)
		}
	}
	for _, i := range need {
		ifi, err := net.InterfaceByIndex(i)
		if err != nil || ifi.Flags&net.FlagUp == 0 {
			return false
		}
	}
	return true
}
