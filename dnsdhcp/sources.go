package dnsdhcp

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/lease/journal"
	"github.com/provision-net/provision/dnsdhcp/mdns"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// hostNames are the machines of the configuration, as the local zone asks for them: whether they have a lease or not.
type hostNames struct {
	addrs map[string][]netip.Addr
	names map[netip.Addr]string
}

func newHostNames(hosts []host) hostNames {
	n := hostNames{map[string][]netip.Addr{}, map[netip.Addr]string{}}
	for _, h := range hosts {
		if h.name == "" || len(h.addrs) == 0 {
			continue
		}
		n.addrs[h.name] = h.addrs
		for _, a := range h.addrs {
			n.names[a] = h.name
		}
	}
	return n
}

func (n hostNames) Addrs(label string) []netip.Addr { return n.addrs[label] }

func (n hostNames) Name(addr netip.Addr) (string, bool) {
	label, ok := n.names[addr]
	return label, ok
}

// leaseNames is the lease table as the local zone asks it: no answer outlives the lease that it is from.
type leaseNames struct{ *lease.Table }

func (t leaseNames) Remaining(addr netip.Addr, now clock.Instant) (time.Duration, bool) {
	l, ok := t.At(addr)
	if !ok || l.State != lease.Bound || l.Expiry <= now {
		return 0, false
	}
	if l.Expiry == lease.Forever {
		return infinite, true
	}
	return l.Expiry.Sub(now), true
}

// quietly keeps what others ask each other by multicast out of the histories: it is counted and nothing more.
type quietly struct{ *trace.Log }

func (q quietly) Record(e trace.Entry) {
	if e.Reason == mdns.ReasonNotOurs {
		q.Counters.Count(e)
		return
	}
	q.Log.Record(e)
}

// behind saves without waiting: the first offer need not wait for the disk to learn who we are. What is not saved is
// another identity after the next start, which clients of stateless DHCPv6 do not notice.
type behind struct {
	*journal.Journal
	log *slog.Logger
}

func (b behind) Save(key string, value []byte) error {
	go func() {
		if err := b.Journal.Save(key, value); err != nil {
			b.log.Warn("cannot keep a value for the next start", "key", key, "error", err)
		}
	}()
	return nil
}
