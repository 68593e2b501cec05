package dnsdhcp

import (
	"cmp"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// wall is when an instant of this boot was or will be, by the wall clock as it is now.
func wall(r clock.Reading, at clock.Instant) time.Time { return r.Wall.Add(at.Sub(r.Boot)) }

func showTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// showHW writes a hardware address as people do; one that is not Ethernet's has its type in front.
func showHW(hw lease.HW) string {
	text := net.HardwareAddr(hw.Addr).String()
	if hw.Type != 1 && text != "" {
		return hex.EncodeToString([]byte{hw.Type}) + "-" + text
	}
	return text
}

// showBytes is 01:02:03.
func showBytes(s string) string { return net.HardwareAddr(s).String() }

var stateNames = map[lease.State]string{
	lease.Offered: "offered", lease.Bound: "bound", lease.Released: "released", lease.Expired: "expired", lease.Declined: "declined",
}

// stateAt is the state of a lease at an instant: one that has run out is expired although nobody has touched it yet.
func stateAt(l lease.Lease, now clock.Instant) lease.State {
	if l.State == lease.Bound && l.Expiry <= now {
		return lease.Expired
	}
	return l.State
}

func leaseView(l lease.Lease, r clock.Reading) control.Lease {
	v := control.Lease{
		Address: l.Addr.String(), MAC: showHW(l.HW), ClientID: showBytes(l.ClientID), Name: l.Hostname,
		Network: l.Network, State: stateNames[stateAt(l, r.Boot)], Reserved: l.Reserved,
	}
	if l.State != lease.Declined {
		v.Since = showTime(wall(r, l.Since))
	}
	v.Expires = "infinite"
	if l.Expiry != lease.Forever {
		v.Expires = showTime(wall(r, l.Expiry))
	}
	return v
}

// leaseViews shows the leases that keep says yes to, by address.
func leaseViews(all []lease.Lease, r clock.Reading, keep func(lease.Lease) bool) []control.Lease {
	all = slices.Clone(all)
	sort.Slice(all, func(i, j int) bool {
		a, b := &all[i], &all[j]
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Network, b.Network)) < 0
	})
	out := []control.Lease{}
	for _, l := range all {
		if keep(l) {
			out = append(out, leaseView(l, r))
		}
	}
	return out
}

func eventViews(entries []trace.Entry, r clock.Reading) []control.Event {
	out := []control.Event{}
	for _, e := range entries {
		out = append(out, control.Event{
			Time: showTime(wall(r, e.At)), Link: e.Link, Proto: e.Proto, What: e.What, MAC: showBytes(e.HW), Name: e.Name,
			Address: e.Addr, Reply: e.Reply, Reason: e.Reason, Detail: e.Detail,
		})
	}
	return out
}

// query is what a person asks for: an address, a hardware address, or a name.
type query struct {
	addr netip.Addr
	hw   string
	name string
}

func readQuery(text string) query {
	if a, err := netip.ParseAddr(text); err == nil {
		return query{addr: a.Unmap()}
	}
	if m, err := net.ParseMAC(text); err == nil {
		return query{hw: string(m)}
	}
	return query{name: strings.ToLower(strings.TrimSuffix(text, "."))}
}

// lease reports whether a lease is meant; names may be written with the domain.
func (q query) lease(l lease.Lease, domain string) bool {
	switch {
	case q.addr.IsValid():
		return l.Addr == q.addr
	case q.hw != "":
		return l.HW.Addr == q.hw
	}
	return l.Hostname != "" && (q.name == l.Hostname || q.name == l.Hostname+"."+domain)
}

// entry reports whether an event is meant.
func (q query) entry(e trace.Entry, domain string) bool {
	switch {
	case q.addr.IsValid():
		return e.Addr == q.addr.String()
	case q.hw != "":
		return e.HW == q.hw
	}
	name := strings.ToLower(strings.TrimSuffix(e.Name, "."))
	return name != "" && (name == q.name || name+"."+domain == q.name || name == q.name+"."+domain)
}
