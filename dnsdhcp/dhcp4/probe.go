package dhcp4

import (
	"context"
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

const (
	// probeTime is how long an address is listened for. Who has it answers within a few milliseconds; a sleeping phone on
	// Wi-Fi takes up to three beacons.
	probeTime = 300 * time.Millisecond
	// probeLast is how long after a DISCOVER a probe may still be begun: the offer must be out within a second.
	probeLast = 650 * time.Millisecond
	// maxProbes is how many addresses of a link are probed at one time. What is beyond is offered without: a client probes
	// as well, before it uses an address (RFC 2131 section 4.4.1).
	maxProbes = 256
	// freeFor is how long an address that nobody answered for needs no new probe.
	freeFor = 10 * time.Second
)

type probeKey struct {
	network string
	key     lease.Key
}

// probe is a DISCOVER that waits for one address to be probed.
type probe struct {
	addr   netip.Addr
	in     Arrival
	raw    []byte
	since  clock.Instant // when the client first asked
	hw     lease.HW
	cancel context.CancelFunc
}

// one decides about one packet and does what comes of it. since is when the client asked.
func (ls *LinkServer) one(r *Rules, env Env, in Arrival, raw []byte, since clock.Instant) {
	o := &ls.out
	in.Late = env.Now.Sub(since) > probeLast || ls.s.Prober == nil
	ls.h.Handle(r, env, in, raw, o)
	if !in.Again && len(ls.probes) > 0 && o.Entry.What != wire.TypeName(wire.Discover) {
		// It has gone on: there is nothing to be offered any more.
		key := probeKey{o.Network, o.Client.Key}
		if p := ls.probes[key]; p != nil {
			delete(ls.probes, key)
			p.cancel()
		}
	}
	if !o.Probe.IsValid() {
		ls.finish()
		return
	}
	key, addr := probeKey{o.Network, o.Client.Key}, o.Probe
	switch p := ls.probes[key]; {
	case ls.free.has(addr, env.Now):
		in.Again, in.Probed = true, addr
	case p != nil && p.addr == addr:
		// Asked again while it waits; the new xid counts.
		p.in, p.raw = in, append(p.raw[:0], raw...)
		ls.finish()
		return
	case len(ls.probes) >= maxProbes && p == nil:
		in.Again, in.Late = true, true
	default:
		if p != nil {
			p.cancel()
		}
		ls.start(key, &probe{addr: addr, in: in, raw: append([]byte(nil), raw...), since: since, hw: o.Client.HW})
		ls.finish()
		return
	}
	ls.h.Handle(r, env, in, raw, o)
	ls.finish()
}

func (ls *LinkServer) start(key probeKey, p *probe) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	p.cancel = cancel
	ls.probes[key] = p
	ls.s.Prober.Probe(ctx, p.in.Link.Index, p.addr, func(inUse bool, by lease.HW) { ls.probed(key, p, inUse, by) })
}

// probed goes on with a DISCOVER whose probe has ended.
func (ls *LinkServer) probed(key probeKey, p *probe, inUse bool, by lease.HW) {
	p.cancel()
	env := ls.s.env()
	r := ls.s.rules.Load()
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed || ls.probes[key] != p {
		return
	}
	delete(ls.probes, key)
	in := p.in
	in.Again, in.Link = true, ls.link.Load()
	if inUse && by != p.hw { // the client itself may use what it once had
		ls.conflict(r, env, key.network, p.addr, by)
	} else {
		ls.free.add(p.addr, env.Now)
		in.Probed = p.addr
	}
	ls.one(r, env, in, p.raw, p.since)
}

// conflict takes an address out of use that somebody has without our knowing.
func (ls *LinkServer) conflict(r *Rules, env Env, network string, addr netip.Addr, by lease.HW) {
	o := &ls.out
	o.reset()
	o.Entry = trace.Entry{
		At: env.Now, Link: ls.link.Load().Name, Proto: "dhcp4", What: "PROBE", HW: by.Addr, Addr: addr.String(), Reason: ReasonConflict,
		Detail: hwString(by.Addr) + " uses it without a lease",
	}
	if rec := ls.s.Table.Quarantine(network, addr, expiry(env.Now, r.quarantine(network)), env.Now); rec != nil && !env.ReadOnly {
		o.Records = append(o.Records, *rec)
	}
	ls.finish()
}

// recent remembers which addresses were found free.
type recent struct{ at map[netip.Addr]clock.Instant }

func (r *recent) has(a netip.Addr, now clock.Instant) bool {
	at, ok := r.at[a]
	return ok && now.Sub(at) < freeFor
}

func (r *recent) add(a netip.Addr, now clock.Instant) {
	if r.at == nil {
		r.at = map[netip.Addr]clock.Instant{}
	}
	if len(r.at) >= 1024 {
		for k, at := range r.at {
			if now.Sub(at) >= freeFor {
				delete(r.at, k)
			}
		}
		if len(r.at) >= 1024 {
			clear(r.at)
		}
	}
	r.at[a] = now
}
