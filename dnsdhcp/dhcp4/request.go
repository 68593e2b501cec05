package dhcp4

import (
	"errors"
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// request answers REQUEST, which is four messages in one; they are told apart by what is filled in (RFC 2131 section
// 4.3.2 and table 4).
func (x *exchange) request() {
	asked, hasAsked := x.p.Addr(wire.OptRequestedIP)
	hasAsked = hasAsked && !asked.IsUnspecified()
	id, selecting := x.p.Addr(wire.OptServerID)
	ci := x.p.CIAddr
	if x.n.IPv6Only > 0 && x.p.Requests(wire.OptV6Only) && (x.known == nil || x.known.State != lease.Bound) && !(selecting && !x.ours(id)) {
		// It gets no new address; what is left of one is acknowledged, with option 108 (RFC 8925 section 3.3).
		x.nak(ReasonV6Only)
		return
	}
	switch {
	case selecting:
		if !hasAsked {
			// Some clients fill in ciaddr here.
			asked = ci
		}
		if asked.IsUnspecified() || !asked.IsValid() {
			x.because(ReasonNoRequestAddr, "")
			return
		}
		x.entryAddr(asked)
		if !x.ours(id) {
			// It took another's offer (section 4.3.2). A lease that it has here it keeps: it may come back.
			x.h.leases.Withdraw(x.n.Name, x.c.Key)
			x.h.offers.drop(x.c.Key)
			x.because(ReasonOther, "")
			return
		}
		x.selecting(asked)
	case !ci.IsUnspecified():
		x.entryAddr(ci)
		// Renewing is sent to us alone, rebinding to everybody; a relay agent forwards rebinding only.
		reason := ReasonRenewed
		if !x.p.GIAddr.IsUnspecified() || !isOwn(x.in.Link, x.in.To) {
			reason = ReasonRebound
		}
		x.remembered(ci, reason)
	case hasAsked:
		x.entryAddr(asked)
		x.remembered(asked, ReasonRebooted)
	default:
		x.because(ReasonNoRequestAddr, "")
	}
}

// selecting is the answer to an offer of ours. We may have forgotten it, offers are in memory only; if the address is
// still free, nothing speaks against it.
func (x *exchange) selecting(addr netip.Addr) {
	if !x.n.Prefix.Contains(addr) {
		x.nak(ReasonWrongNet)
		return
	}
	d, err := x.bind(addr)
	if err != nil {
		x.nakFor(err)
		return
	}
	reason := ReasonBound
	if r, ok := x.h.leases.ReservationOf(x.n.Name, x.c); ok && r.Addr == addr {
		reason = ReasonReserved
	}
	x.ack(addr, d, reason)
}

// remembered is a client that says which address it has: it has restarted, renews or rebinds.
func (x *exchange) remembered(addr netip.Addr, reason string) {
	if !x.n.Prefix.Contains(addr) {
		// Who has just been plugged in and remembers another place is told so, authoritative or not (RFC 2131 section
		// 4.3.2). Who renews may do so with another server that has its own network on the same wire.
		if reason != ReasonRebooted && !x.n.Authoritative {
			x.because(ReasonNoOffer, "")
			return
		}
		x.nak(ReasonWrongNet)
		return
	}
	known := x.known != nil && x.known.State != lease.Offered && x.known.State != lease.Declined
	switch {
	case known && x.known.Addr != addr:
		x.nak(ReasonOtherAddr)
		return
	case !known && !x.n.Authoritative:
		x.because(ReasonNoOffer, "")
		return
	}
	d, err := x.bind(addr)
	switch {
	case err == nil:
	case !known && errors.Is(err, lease.ErrOutside):
		x.nak(ReasonUnknownLease)
		return
	default:
		x.nakFor(err)
		return
	}
	if !known {
		reason = ReasonRebuilt
	}
	x.ack(addr, d, reason)
}

func (x *exchange) nakFor(err error) {
	switch {
	case errors.Is(err, lease.ErrTaken), errors.Is(err, lease.ErrReservedInUse):
		x.nak(ReasonTaken)
	case errors.Is(err, lease.ErrOutside):
		x.nak(ReasonOutside)
	case errors.Is(err, lease.ErrReserved):
		x.nak(ReasonNotReserved)
	case errors.Is(err, lease.ErrExhausted):
		x.nak(ReasonTaken)
	default:
		x.refused(err)
	}
}
