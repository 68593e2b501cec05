package dhcp4

import (
	"errors"
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// discover answers DISCOVER (RFC 2131 section 4.3.1).
func (x *exchange) discover() {
	n, now := x.n, x.env.Now
	if n.IPv6Only > 0 && x.p.Requests(wire.OptV6Only) {
		// RFC 8925 section 3.3: no address is set aside for a client that will not use it.
		x.because(ReasonV6Only, "")
		x.reply(wire.Offer, netip.IPv4Unspecified(), n.IPv6Only)
		return
	}
	if x.env.ReadOnly && (x.known == nil || x.known.State != lease.Bound) {
		x.because(ReasonReadOnly, "")
		return
	}
	wish, _ := x.p.Addr(wire.OptRequestedIP)
	if !n.Prefix.Contains(wish) {
		wish = netip.Addr{}
	}
	holds := x.known != nil && x.known.State == lease.Bound && x.known.Expiry > now
	until := now.Add(n.Offer)
	if !holds {
		var ok bool
		if until, ok = x.h.offers.hold(now, x.c.Key, n.Offer); !ok {
			x.because(ReasonOffersFull, "")
			return
		}
	}
	prop, err := x.propose(wish, until)
	if err != nil {
		x.h.offers.drop(x.c.Key)
		x.refused(err)
		return
	}
	addr := prop.Lease.Addr
	x.name = prop.Lease.Hostname
	x.entryAddr(addr)
	if prop.Probe && n.Probe && !n.Relayed && x.in.Probed != addr && !x.in.Late {
		x.out.Probe = addr
		x.because(ReasonProbing, "")
		return
	}
	if n.RapidCommit && x.p.Has(wire.OptRapidCommit) {
		d, err := x.bind(addr)
		if err != nil {
			x.refused(err)
			return
		}
		x.because(ReasonRapid, "")
		x.b.Reset()
		x.b.Put(wire.OptRapidCommit, nil)
		x.replyMore(wire.Ack, addr, d)
		return
	}
	d, ok := x.promise(addr)
	if !ok {
		x.because(ReasonReadOnly, "")
		return
	}
	switch {
	case x.env.ReadOnly:
		x.because(ReasonShortened, "")
	case prop.Lease.Reserved:
		x.because(ReasonReserved, "")
	case x.known != nil && x.known.Addr == addr && x.known.State != lease.Offered:
		x.because(ReasonOfferedKnown, "")
	default:
		x.because(ReasonOffered, "")
	}
	x.reply(wire.Offer, addr, d)
}

// propose asks the table, and asks again if that gives what is ours: addresses of the link come and go.
func (x *exchange) propose(wish netip.Addr, until clock.Instant) (p lease.Proposal, err error) {
	for range 4 {
		p, err = x.h.leases.Propose(x.n.Name, x.c, wish, until, x.env.Now)
		if err != nil || !isOwn(x.in.Link, p.Lease.Addr) {
			return p, err
		}
		x.keep(x.h.leases.Quarantine(x.n.Name, p.Lease.Addr, expiry(x.env.Now, x.n.Quarantine), x.env.Now))
		err = lease.ErrExhausted
	}
	return p, err
}

// refused notes why a table's error leads to silence.
func (x *exchange) refused(err error) {
	switch {
	case errors.Is(err, errReadOnly):
		x.because(ReasonReadOnly, "")
	case errors.Is(err, lease.ErrExhausted):
		x.because(ReasonExhausted, "")
	case errors.Is(err, lease.ErrReservedInUse):
		x.because(ReasonReservedInUse, "")
	case errors.Is(err, lease.ErrNoNetwork):
		x.because(ReasonNoNetwork, "the lease table does not have it")
	default:
		x.because(ReasonTableError, err.Error())
	}
}

// decline answers nothing (RFC 2131 section 4.3.3). Only who was given the address can say that somebody else uses it,
// or anybody could empty the pools.
func (x *exchange) decline() {
	addr, ok := x.p.Addr(wire.OptRequestedIP)
	if !ok {
		x.because(ReasonNoRequestAddr, "")
		return
	}
	x.entryAddr(addr)
	if id, ok := x.p.Addr(wire.OptServerID); !ok || !x.ours(id) {
		x.because(ReasonOther, "")
		return
	}
	rec, ok := x.h.leases.Decline(x.n.Name, x.c.Key, addr, expiry(x.env.Now, x.n.Quarantine), x.env.Now)
	if !ok {
		x.because(ReasonNotHolder, "")
		return
	}
	x.h.offers.drop(x.c.Key)
	x.keep(rec)
	x.because(ReasonDeclined, "")
}

// release answers nothing (section 4.3.4). The address stays this client's as long as nobody needs it.
func (x *exchange) release() {
	addr := x.p.CIAddr
	if addr.IsUnspecified() {
		x.because(ReasonNoRequestAddr, "")
		return
	}
	x.entryAddr(addr)
	if id, ok := x.p.Addr(wire.OptServerID); ok && !x.ours(id) {
		x.because(ReasonOther, "")
		return
	}
	// It is sent from the address itself (section 4.4.6), or through a relay agent.
	if from := x.in.From.Addr(); x.p.GIAddr.IsUnspecified() && from.IsValid() && !from.IsUnspecified() && from != addr {
		x.because(ReasonNotHolder, "it came from "+from.String())
		return
	}
	rec, ok := x.h.leases.Release(x.n.Name, x.c.Key, addr, x.env.Now)
	if !ok {
		x.because(ReasonNotHolder, "")
		return
	}
	x.keep(rec)
	x.because(ReasonReleased, "")
}

// inform answers a client that has its address from elsewhere (section 4.3.5).
func (x *exchange) inform() {
	addr := x.p.CIAddr
	if addr.IsUnspecified() {
		// Some old Windows leaves it out, but sends from it.
		if addr = x.in.From.Addr(); !x.p.GIAddr.IsUnspecified() || !addr.Is4() || addr.IsUnspecified() {
			x.because(ReasonNoRequestAddr, "")
			return
		}
	}
	x.entryAddr(addr)
	if !x.n.Prefix.Contains(addr) {
		x.because(ReasonInformOutside, "")
		return
	}
	x.because(ReasonInformed, "")
	x.name = "" // only a lease gives a name
	if x.known != nil && live(x.known, x.env.Now) {
		x.name = x.known.Hostname
	}
	x.p.CIAddr = addr
	x.reply(wire.Ack, netip.Addr{}, 0)
}

// bootp answers a BOOTP client by reservation only: it would keep any other address for ever (RFC 1534 section 2).
func (x *exchange) bootp() {
	r, ok := x.h.leases.ReservationOf(x.n.Name, x.c)
	if !ok || !r.Addr.IsValid() {
		x.because(ReasonNoReservation, "")
		return
	}
	x.entryAddr(r.Addr)
	if l, ok := x.h.leases.At(r.Addr); ok && live(&l, x.env.Now) && l.Key != x.c.Key {
		x.because(ReasonReservedInUse, "")
		return
	}
	x.because(ReasonBOOTP, "")
	x.reply(0, r.Addr, 0)
}
