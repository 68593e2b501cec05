package dhcp4

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// Env is what a decision depends on besides packet and table.
type Env struct {
	Now clock.Instant
	// ReadOnly: stable storage cannot be written. Who holds a lease keeps it as long as storage knows of it; nobody gets a
	// new promise.
	ReadOnly bool
}

// Arrival is how a packet came in.
type Arrival struct {
	Link *link.Link
	From netip.AddrPort
	To   netip.Addr
	// Again: the packet was looked at before, and is now handled anew because a probe has ended. The flood limit has
	// counted it already.
	Again bool
	// Probed is the address that was probed and found free; invalid if none was.
	Probed netip.Addr
	// Late: there is no time left for probes.
	Late bool
}

// Outcome is what is to be done. It is used again for the next packet.
type Outcome struct {
	Reply   []byte // the message to send; empty for none
	Dest    Dest
	Records []lease.Record // to be written
	Wait    bool           // Reply must not leave before Records are durable
	// Probe is an address that must be probed before anything is promised: there is no Reply yet. When nobody uses it,
	// the packet is to be handled again with Arrival.Probed set.
	Probe   netip.Addr
	Network string       // the network it was about; empty if there was none
	Client  lease.Client // who sent it; as far as known
	Entry   trace.Entry
	Events  []trace.Entry // further things to be told, such as clones
	// Dropped are options that there was no room for.
	Dropped []uint8
}

func (o *Outcome) reset() {
	*o = Outcome{Reply: o.Reply[:0], Records: o.Records[:0], Events: o.Events[:0], Dropped: o.Dropped[:0]}
}

// Handler decides for one link. It is not safe for concurrent use.
type Handler struct {
	leases Leases
	limit  limiter
	offers offers
	x      exchange
	clones map[lease.Key]clock.Instant // when last told
}

// NewHandler returns a handler that allots from t.
func NewHandler(t Leases) *Handler {
	return &Handler{leases: t, limit: limiter{seed: maphash.MakeSeed()}}
}

// exchange is one packet with all that was found out about it.
type exchange struct {
	h     *Handler
	r     *Rules
	env   Env
	in    Arrival
	p     wire.Packet
	b     wire.Builder
	n     *network
	c     lease.Client
	known *lease.Lease // what the table has under the client's key
	room  [3]lease.Lease
	name  string     // what the client is called: what it wishes, or what the table made of that
	host  *Host      // configuration of this client
	self  netip.Addr // server identifier
	out   *Outcome
	tmp   []byte
	// router and routes are options 3 and 121 as configured; nil if they are not.
	router, routes *option.Option
	// selected is the value of option 118 that the network was chosen by; it is sent back (RFC 3011 section 2).
	selected bool
}

// Handle decides about one packet. Nothing of raw is kept; out is overwritten, its buffers are used again.
func (h *Handler) Handle(r *Rules, env Env, in Arrival, raw []byte, out *Outcome) {
	out.reset()
	x := &h.x
	x.h, x.r, x.env, x.in, x.out = h, r, env, in, out
	x.n, x.c, x.known, x.host, x.self, x.selected, x.name = nil, lease.Client{}, nil, nil, netip.Addr{}, false, ""
	out.Entry = trace.Entry{At: env.Now, Link: in.Link.Name, Proto: "dhcp4"}
	if err := x.p.Decode(raw); err != nil {
		out.Entry.What = "DHCP"
		out.Entry.HW = string(x.p.HW())
		x.because(ReasonMalformed, err.Error())
		return
	}
	x.handle()
	out.Client = x.c
	if x.n != nil {
		out.Network = x.n.Name
	}
}

// because notes why.
func (x *exchange) because(reason, detail string) {
	x.out.Entry.Reason, x.out.Entry.Detail = reason, detail
}

func (x *exchange) handle() {
	p := &x.p
	kind := p.Type()
	x.out.Entry.What = wire.TypeName(kind)
	x.out.Entry.HW = string(p.HW())
	if p.Op != wire.BootRequest {
		x.because(ReasonNotRequest, "")
		return
	}
	if p.Hops > 16 {
		x.because(ReasonHops, "")
		return
	}
	switch kind {
	case 0, wire.Discover, wire.Request, wire.Decline, wire.Release, wire.Inform:
	default:
		x.because(ReasonUnknownType, "")
		return
	}
	if !x.network(kind) {
		return
	}
	var clone *lease.Lease
	x.c, x.known, clone = identify(x.h.leases, x.n, p, x.env.Now, &x.room)
	if x.c.Key == "" {
		x.because(ReasonNoIdentity, "")
		return
	}
	if x.host = x.r.host(&x.c); x.host != nil && x.host.Ignore {
		x.because(ReasonIgnored, "")
		return
	}
	if !x.in.Again {
		known := x.known != nil && live(x.known, x.env.Now)
		if reason, ok := x.h.limit.allow(x.env.Now, &x.c, known, x.n.Flood); !ok {
			x.because(reason, "")
			return
		}
	}
	if clone != nil {
		x.cloned(clone)
	}
	x.hostname()
	switch kind {
	case 0:
		x.bootp()
	case wire.Discover:
		x.discover()
	case wire.Request:
		x.request()
	case wire.Decline:
		x.decline()
	case wire.Release:
		x.release()
	case wire.Inform:
		x.inform()
	}
}

// cloned tells of two clients with one identifier, not more than once an hour for each: it goes on until somebody
// mends it.
func (x *exchange) cloned(other *lease.Lease) {
	h := x.h
	if last, ok := h.clones[x.c.Key]; ok && x.env.Now.Sub(last) < time.Hour {
		return
	}
	if h.clones == nil || len(h.clones) >= 256 {
		h.clones = map[lease.Key]clock.Instant{}
	}
	h.clones[x.c.Key] = x.env.Now
	x.out.Events = append(x.out.Events, trace.Entry{
		At: x.env.Now, Link: x.in.Link.Name, Proto: "dhcp4", What: "CLONE", HW: x.c.HW.Addr, Name: other.Hostname, Addr: other.Addr.String(),
		Reason: ReasonClone,
		Detail: hwString(x.c.HW.Addr) + " and " + hwString(other.HW.Addr) + " send the same client identifier " +
			idString(x.c.ClientID) + ": machines cloned with their machine-id",
	})
}

func hwString(raw string) string { return idString(raw) }

func idString(raw string) string {
	var s strings.Builder
	for i := 0; i < len(raw); i++ {
		if i > 0 {
			s.WriteByte(':')
		}
		s.WriteByte("0123456789abcdef"[raw[i]>>4])
		s.WriteByte("0123456789abcdef"[raw[i]&15])
	}
	return s.String()
}
