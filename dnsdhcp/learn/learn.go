// Package learn gives IPv6 addresses the names of their hosts. Hosts make such addresses themselves, several and new
// ones every day (RFC 8981), from nothing that could be guessed (RFC 7217), and tell no server; but whoever talks to
// this machine is in its neighbour table with a hardware address, and the DHCPv4 lease of that one has a name.
//
// Only the pairs of address and hardware address are kept. The names are looked up in the lease table when somebody
// asks, so they cannot differ from it.
package learn

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// Leases is what is asked of the lease table.
type Leases interface {
	Addrs(label string) []netip.Addr
	At(addr netip.Addr) (lease.Lease, bool)
	ByHW(network string, hw lease.HW) []lease.Lease
}

// Defaults of Config.
const (
	// DefaultGrace: a telephone that sleeps is FAILED whenever somebody wants something of it.
	DefaultGrace = 30 * time.Minute
	// DefaultStale is for how long a temporary address is preferred (RFC 8981 section 3.8); the kernel keeps
	// STALE entries of small networks for ever.
	DefaultStale  = 24 * time.Hour
	DefaultPerMAC = 16 // a week of temporary addresses and a stable one, in two prefixes
	DefaultTotal  = 4096
)

// Config is what a Learner is made of. Clock and Leases must be there; 0 stands for the default of the rest.
type Config struct {
	Clock  clock.Clock
	Leases Leases
	Grace  time.Duration // how long an address keeps its name after the neighbour is gone
	Stale  time.Duration // how long without any sign that it is in use
	PerMAC int           // addresses of one hardware address; a new one takes the place of the least recently used
	Total  int           // addresses in all; the same
}

// Link says what a neighbour on a link may have.
type Link struct {
	Networks []string       // of the lease table, whose leases are of hosts on this link
	Prefixes []netip.Prefix // on-link; nothing outside of them is told to anybody
}

// Learner remembers neighbours. It implements zone.Source, with IPv6 addresses only.
type Learner struct {
	c Config

	mu     sync.RWMutex
	links  map[int]Link
	addrs  map[netip.Addr]*entry
	macs   map[string][]*entry
	hosts  map[string]string // names by hardware address
	purged clock.Instant
}

type entry struct {
	addr      netip.Addr
	mac       string // raw
	index     int
	seen      clock.Instant // last sign of life
	reachable bool
	gone      bool
	since     clock.Instant // of gone
}

// New makes a Learner that knows nobody.
func New(c Config) *Learner {
	c.Grace = cmp.Or(c.Grace, DefaultGrace)
	c.Stale = cmp.Or(c.Stale, DefaultStale)
	c.PerMAC = cmp.Or(c.PerMAC, DefaultPerMAC)
	c.Total = cmp.Or(c.Total, DefaultTotal)
	return &Learner{c: c, links: map[int]Link{}, addrs: map[netip.Addr]*entry{}, macs: map[string][]*entry{}}
}

// SetLink says what there may be on the link with this index. What is known already is judged anew.
func (l *Learner) SetLink(index int, k Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links[index] = Link{slices.Clone(k.Networks), slices.Clone(k.Prefixes)}
}

// SetHosts says which names the configuration gives to hardware addresses (raw). Such a host needs no lease to be known.
func (l *Learner) SetHosts(names map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = names
}

// RemoveLink is for a link that is gone or not served any more. Its addresses are told to nobody from now on; they
// stay for the grace, as the same neighbours may turn up on the link's next incarnation.
func (l *Learner) RemoveLink(index int) {
	now := l.c.Clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.links, index)
	for _, e := range l.addrs {
		if e.index == index {
			e.leave(now)
		}
	}
}

// Neighbour takes one event of the neighbour table, or one entry of it when it is read as a whole.
func (l *Learner) Neighbour(n link.Neighbour) {
	addr := n.Addr.WithZone("")
	if !addr.Is6() || addr.Is4In6() || !addr.IsGlobalUnicast() { // not link-local, multicast, loopback, unspecified
		return
	}
	now := l.c.Clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.addrs[addr]
	if n.Gone {
		// A FAILED entry has no hardware address, and one of another link is another matter.
		if e != nil && e.index == n.Index {
			e.leave(now)
		}
		return
	}
	if !unicast(n.MAC) {
		return // INCOMPLETE
	}
	if e != nil && (e.mac != string(n.MAC) || e.index != n.Index) {
		// Moved: the kernel believes the newest owner, so do we.
		l.drop(e)
		e = nil
	}
	if e == nil {
		l.makeRoom(string(n.MAC), now)
		e = &entry{addr: addr, mac: string(n.MAC), index: n.Index, seen: now}
		l.addrs[addr] = e
		l.macs[e.mac] = append(l.macs[e.mac], e)
	}
	// STALE is news only after REACHABLE or after absence; else it is a repetition from reading the whole table.
	if n.Reachable || e.reachable || e.gone {
		e.seen = now
	}
	e.reachable, e.gone = n.Reachable, false
}

func unicast(mac []byte) bool {
	return len(mac) == 6 && mac[0]&1 == 0 && string(mac) != "\x00\x00\x00\x00\x00\x00"
}

func (e *entry) leave(now clock.Instant) {
	if !e.gone {
		e.gone, e.since, e.reachable = true, now, false
	}
}

// dead: nobody needs to know of it any more.
func (l *Learner) dead(e *entry, now clock.Instant) bool {
	if e.gone {
		return now.Sub(e.since) >= l.c.Grace
	}
	return !e.reachable && now.Sub(e.seen) >= l.c.Stale
}

// makeRoom for one more address of mac.
func (l *Learner) makeRoom(mac string, now clock.Instant) {
	if now.Sub(l.purged) >= l.c.Grace/4 || len(l.addrs) >= l.c.Total {
		l.purged = now
		for _, e := range l.addrs {
			if l.dead(e, now) {
				l.drop(e)
			}
		}
	}
	if of := l.macs[mac]; len(of) >= l.c.PerMAC {
		l.drop(slices.MinFunc(of, older))
	}
	if len(l.addrs) >= l.c.Total {
		var oldest *entry
		for _, e := range l.addrs {
			if oldest == nil || older(e, oldest) < 0 {
				oldest = e
			}
		}
		l.drop(oldest)
	}
}

// older orders by how little an address would be missed.
func older(a, b *entry) int {
	if a.gone != b.gone {
		if a.gone {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.seen, b.seen), a.addr.Compare(b.addr))
}

func (l *Learner) drop(e *entry) {
	delete(l.addrs, e.addr)
	of := slices.DeleteFunc(l.macs[e.mac], func(o *entry) bool { return o == e })
	if len(of) == 0 {
		delete(l.macs, e.mac)
		return
	}
	l.macs[e.mac] = of
}

// told: whether others may know of the address now, as one of a host with leases in this network (any, if empty).
func (l *Learner) told(e *entry, network string, now clock.Instant) (Link, bool) {
	k, ok := l.links[e.index]
	if !ok || l.dead(e, now) || network != "" && !slices.Contains(k.Networks, network) {
		return Link{}, false
	}
	return k, slices.ContainsFunc(k.Prefixes, func(p netip.Prefix) bool { return p.Contains(e.addr) })
}

// Addrs returns the IPv6 addresses of the host that has this name in the lease table, the last used ones first.
func (l *Learner) Addrs(label string) []netip.Addr {
	var found []entry
	now := l.c.Clock.Now()
	add := func(mac, network string) {
		for _, e := range l.macs[mac] {
			if _, ok := l.told(e, network, now); ok && !slices.ContainsFunc(found, func(o entry) bool { return o.addr == e.addr }) {
				found = append(found, *e)
			}
		}
	}
	l.mu.RLock()
	for mac, name := range l.hosts {
		if name == label {
			add(mac, "")
		}
	}
	l.mu.RUnlock()
	for _, v4 := range l.c.Leases.Addrs(label) {
		held, ok := l.c.Leases.At(v4)
		if !ok {
			continue
		}
		l.mu.RLock()
		add(held.HW.Addr, held.Network)
		l.mu.RUnlock()
	}
	sort.Slice(found, func(i, j int) bool { return older(&found[j], &found[i]) < 0 })
	var out []netip.Addr
	for _, e := range found {
		out = append(out, e.addr)
	}
	return out
}

// Name returns the name of the host that has this address.
func (l *Learner) Name(addr netip.Addr) (string, bool) {
	now := l.c.Clock.Now()
	l.mu.RLock()
	e := l.addrs[addr]
	if e == nil {
		l.mu.RUnlock()
		return "", false
	}
	k, ok := l.told(e, "", now)
	mac, name := e.mac, l.hosts[e.mac]
	l.mu.RUnlock()
	if !ok || name != "" {
		return name, ok
	}
	for _, network := range k.Networks {
		for _, held := range l.c.Leases.ByHW(network, lease.HW{Type: 1, Addr: mac}) {
			if held.State == lease.Bound && held.Expiry > now && held.Hostname != "" {
				return held.Hostname, true
			}
		}
	}
	return "", false
}

// Address is one thing that a Learner knows, for people.
type Address struct {
	Addr  netip.Addr
	MAC   string // raw
	Index int    // of the link
	Seen  clock.Instant
	Gone  bool
}

// All returns everything, sorted by address.
func (l *Learner) All() []Address {
	now := l.c.Clock.Now()
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]Address, 0, len(l.addrs))
	for _, e := range l.addrs {
		if !l.dead(e, now) {
			out = append(out, Address{e.addr, e.mac, e.index, e.seen, e.gone})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Addr.Compare(out[j].Addr) < 0 })
	return out
}
