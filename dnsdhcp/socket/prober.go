package socket

import (
	"context"
	"net/netip"
	"sync"

	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// Probers is the dhcp4.Prober of all links that have an ARP.
type Probers struct {
	mu    sync.RWMutex
	links map[int]*ARP
}

// Put adds the prober of a link.
func (p *Probers) Put(index int, a *ARP) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links == nil {
		p.links = map[int]*ARP{}
	}
	p.links[index] = a
}

// Remove forgets the prober of a link, which it does not close.
func (p *Probers) Remove(index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, index)
}

// Probe is that of dhcp4.Prober. On a link without ARP nobody uses any address.
func (p *Probers) Probe(ctx context.Context, ifindex int, addr netip.Addr, done func(inUse bool, by lease.HW)) {
	p.mu.RLock()
	a := p.links[ifindex]
	p.mu.RUnlock()
	if a == nil {
		go done(false, lease.HW{})
		return
	}
	a.Probe(ctx, ifindex, addr, done)
}

var (
	_ dhcp4.Prober = (*Probers)(nil)
	_ dhcp4.Prober = (*ARP)(nil)
)
