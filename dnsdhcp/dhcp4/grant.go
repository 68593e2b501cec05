package dhcp4

import (
	"errors"
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// time returns how long a lease shall last: as the client asks, between the limits.
func (x *exchange) time() time.Duration {
	if x.host != nil && x.host.LeaseTime > 0 {
		return x.host.LeaseTime
	}
	v, ok := x.p.U32(wire.OptLeaseTime)
	switch {
	case !ok || v == 0:
		return x.n.Lease
	case v == 1<<32-1:
		return x.n.Max
	}
	return max(x.n.Min, min(x.n.Max, time.Duration(v)*time.Second))
}

func expiry(now clock.Instant, d time.Duration) clock.Instant {
	if d == Infinite {
		return lease.Forever
	}
	return now.Add(d)
}

const (
	// What is told while nothing can be written: not less than a client can renew in, and at most so much more than what
	// is durable as the journal waits after an expiry before it believes in it.
	readOnlyLease = 2 * time.Minute
	journalGrace  = 5 * time.Minute
)

// promise says how long the client may have addr, false for not at all: see Env.ReadOnly.
func (x *exchange) promise(addr netip.Addr) (d time.Duration, ok bool) {
	d = x.time()
	if !x.env.ReadOnly {
		return d, true
	}
	l := x.known
	if l == nil || l.State != lease.Bound || l.Addr != addr {
		return 0, false
	}
	if l.Durable == lease.Forever {
		return d, true
	}
	left := l.Durable.Sub(x.env.Now)
	if left >= readOnlyLease {
		return min(d, left), true
	}
	return readOnlyLease, left+journalGrace >= readOnlyLease
}

// keep puts a record to those that must be durable.
func (x *exchange) keep(r *lease.Record) {
	if r != nil && !x.env.ReadOnly {
		x.out.Records = append(x.out.Records, *r)
	}
}

// bind acknowledges addr to the client. The error is the table's; known is what the table had before.
func (x *exchange) bind(addr netip.Addr) (d time.Duration, err error) {
	d, ok := x.promise(addr)
	if !ok {
		return 0, errReadOnly
	}
	if isOwn(x.in.Link, addr) {
		return 0, lease.ErrTaken
	}
	l, rec, err := x.h.leases.Bind(x.n.Name, x.c, addr, expiry(x.env.Now, d), x.env.Now)
	if err != nil {
		return 0, err
	}
	x.name = l.Hostname
	x.h.offers.drop(x.c.Key)
	x.keep(rec)
	x.out.Wait = rec != nil && l.Expiry > l.Durable && !x.env.ReadOnly
	return d, nil
}

var errReadOnly = errors.New("stable storage cannot be written")

func (x *exchange) entryAddr(a netip.Addr) {
	if a.IsValid() && !a.IsUnspecified() {
		x.out.Entry.Addr = a.String()
	}
}
