package dhcp4

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"slices"
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

// network finds the network that the packet is about, and who we are in it.
func (x *exchange) network(kind uint8) bool {
	p, l := &x.p, x.in.Link
	about := p.CIAddr
	if about.IsUnspecified() {
		if a, ok := p.Addr(wire.OptRequestedIP); ok {
			about = a
		}
	}
	if !p.GIAddr.IsUnspecified() {
		at := p.GIAddr
		if a := p.Sub(wire.SubLinkSelection); len(a) == 4 {
			at = netip.AddrFrom4([4]byte(a))
		} else if a, ok := p.Addr(wire.OptSubnetSelection); ok {
			at, x.selected = a, true
		}
		x.n = x.r.relayed(l.Name, at)
	} else {
		x.n = x.r.direct(l, about)
		// A client behind a relay agent renews without it, straight from its address to ours.
		if !p.CIAddr.IsUnspecified() && x.in.From.Addr() == p.CIAddr && (x.n == nil || !x.n.Prefix.Contains(p.CIAddr)) {
			if n := x.r.relayed(l.Name, p.CIAddr); n != nil {
				x.n = n
			}
		}
	}
	if x.n == nil {
		x.because(ReasonNoNetwork, "")
		return false
	}
	x.self = x.serverID()
	if !x.self.IsValid() {
		x.because(ReasonNoAddress, "")
		return false
	}
	return true
}

func (r *Rules) relayed(name string, at netip.Addr) *network {
	for i := range r.networks {
		if n := &r.networks[i]; n.Relayed && n.Prefix.Contains(at) && (n.Link == "" || n.onLink(name)) {
			return n
		}
	}
	return nil
}

// direct chooses among the networks of a link: the one that the packet's address is of, else the first that the link has
// an address in, else the first.
func (r *Rules) direct(l *link.Link, about netip.Addr) (first *network) {
	usable := false
	for i := range r.networks {
		n := &r.networks[i]
		if n.Relayed || !n.onLink(l.Name) {
			continue
		}
		here := n.ServerID.IsValid() || own(l, n.Prefix).IsValid()
		if here && n.Prefix.Contains(about) {
			return n
		}
		if first == nil || here && !usable {
			first, usable = n, here
		}
	}
	return first
}

// own returns the link's address inside of a network.
func own(l *link.Link, p netip.Prefix) netip.Addr {
	for i := range l.Addrs {
		if a := l.Addrs[i].Prefix.Addr(); !l.Addrs[i].Tentative && p.Contains(a) {
			return a
		}
	}
	return netip.Addr{}
}

func isOwn(l *link.Link, a netip.Addr) bool {
	for i := range l.Addrs {
		if l.Addrs[i].Prefix.Addr() == a {
			return true
		}
	}
	return false
}

// serverID is what clients shall know us by: an address that they reach us at.
func (x *exchange) serverID() netip.Addr {
	// The relay agent wants renewals to go through it (RFC 5107 section 4).
	if a := x.p.Sub(wire.SubServerIDOverride); len(a) == 4 && !x.p.GIAddr.IsUnspecified() {
		return netip.AddrFrom4([4]byte(a))
	}
	if x.n.ServerID.IsValid() {
		return x.n.ServerID
	}
	if !x.n.Relayed {
		return own(x.in.Link, x.n.Prefix)
	}
	if isOwn(x.in.Link, x.in.To) {
		return x.in.To
	}
	for i := range x.in.Link.Addrs {
		if a := x.in.Link.Addrs[i].Prefix.Addr(); a.Is4() && !x.in.Link.Addrs[i].Tentative {
			return a
		}
	}
	return netip.Addr{}
}

// ours says whether a server identifier means us: any address of the link does, as the first one may have changed.
func (x *exchange) ours(id netip.Addr) bool {
	return id == x.self || id == x.n.ServerID || isOwn(x.in.Link, id)
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

// Networks returns the names of the networks that a link may serve, in order; for status.
func (r *Rules) Networks(linkName string) (names []string) {
	for i := range r.networks {
		if n := &r.networks[i]; n.Link != "" && n.onLink(linkName) || n.Relayed && n.Link == "" {
			names = append(names, n.Name)
		}
	}
	return slices.Clip(names)
}
