package dhcp4

import (
	"net/netip"
	"strings"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// Leases is the lease table as this package uses it; *lease.Table is one.
type Leases interface {
	Of(network string, k lease.Key) (lease.Lease, bool)
	At(addr netip.Addr) (lease.Lease, bool)
	ByHW(network string, hw lease.HW) []lease.Lease
	ReservationOf(network string, c lease.Client) (lease.Reservation, bool)
	Propose(network string, c lease.Client, wish netip.Addr, until, now clock.Instant) (lease.Proposal, error)
	Bind(network string, c lease.Client, addr netip.Addr, expiry, now clock.Instant) (lease.Lease, *lease.Record, error)
	Release(network string, k lease.Key, addr netip.Addr, now clock.Instant) (*lease.Record, bool)
	Decline(network string, k lease.Key, addr netip.Addr, until, now clock.Instant) (*lease.Record, bool)
	Quarantine(network string, addr netip.Addr, until, now clock.Instant) *lease.Record
	Withdraw(network string, k lease.Key)
}

// live says that somebody uses, or has just been offered, the address.
func live(l *lease.Lease, now clock.Instant) bool {
	return (l.State == lease.Bound || l.State == lease.Offered) && l.Expiry > now
}

// client is who sent the packet, without the key: that depends on the network's policy.
func client(p *wire.Packet) (c lease.Client, byHW lease.Key) {
	if p.HLen > 0 {
		// One string for both.
		k := make([]byte, 0, 2+16)
		k = append(append(k, 'h', p.HType), p.HW()...)
		byHW = lease.Key(k)
		c.HW = lease.HW{Type: p.HType, Addr: string(byHW[2:])}
		if strings.Trim(c.HW.Addr, "\x00") == "" {
			c.HW, byHW = lease.HW{}, "" // nobody's
		}
	}
	// RFC 2132 section 9.14: at least two bytes.
	if id := p.Get(wire.OptClientID); len(id) >= 2 {
		c.Key = lease.Key("i" + string(id))
		c.ClientID = string(c.Key[1:])
	}
	if a := p.Get(wire.OptRelayAgent); a != nil {
		c.Agent = string(a)
	}
	return c, byHW
}

// identify gives the client its key. clone is the lease of the other client if two live under one client identifier:
// cloned machines do, whose identifiers were made of a machine-id that came with the image. known is what the table
// has under the key.
// room is where the leases that it returns are put.
func identify(t Leases, n *network, p *wire.Packet, now clock.Instant, room *[3]lease.Lease) (c lease.Client, known, clone *lease.Lease) {
	c, byHW := client(p)
	byID := c.Key
	used := 0
	of := func(k lease.Key) *lease.Lease {
		if k == "" {
			return nil
		}
		l := &room[used]
		var ok bool
		if *l, ok = t.Of(n.Name, k); ok {
			used++
			return l
		}
		return nil
	}
	use := func(k lease.Key, l *lease.Lease) (lease.Client, *lease.Lease, *lease.Lease) {
		c.Key = k
		return c, l, clone
	}
	if byHW == "" {
		return use(byID, of(byID))
	}
	if n.Identity == ByMAC {
		return use(byHW, of(byHW))
	}
	if byID == "" {
		l := of(byHW)
		if n.Identity == ByClientID || l != nil && live(l, now) {
			return use(byHW, l)
		}
		// It sent an identifier when it got its lease, and does not now: a boot loader after the system.
		if o := newest(t.ByHW(n.Name, c.HW), func(l *lease.Lease) bool { return true }); o != nil {
			return use(o.Key, o)
		}
		return use(byHW, l)
	}
	li := of(byID)
	if li != nil && live(li, now) && li.HW == c.HW {
		return use(byID, li)
	}
	// Under its hardware address: got its lease without an identifier (auto), or is the second of two clones and keeps what
	// it got as such, whatever has become of the first.
	if lh := of(byHW); lh != nil && (lh.ClientID == c.ClientID || lh.ClientID == "" && n.Identity == Auto) {
		if li != nil && live(li, now) {
			clone = li
		}
		return use(byHW, lh)
	}
	if li != nil && live(li, now) && li.HW.Addr != "" {
		clone = li
		return use(byHW, of(byHW))
	}
	return use(byID, li)
}

// newest returns the lease with the latest expiry for which ok holds, those in use first.
func newest(list []lease.Lease, ok func(*lease.Lease) bool) (best *lease.Lease) {
	for i := range list {
		l := &list[i]
		if !ok(l) || l.State == lease.Declined {
			continue
		}
		if best == nil || better(l, best) {
			best = l
		}
	}
	return best
}

func better(a, b *lease.Lease) bool {
	if (a.State == lease.Bound) != (b.State == lease.Bound) {
		return a.State == lease.Bound
	}
	if a.Expiry != b.Expiry {
		return a.Expiry > b.Expiry
	}
	return a.Addr.Less(b.Addr)
}
