package dns

import (
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/cache"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// Handler decides what is answered. Serve does so without waiting for anybody; Resolve sees to the rest.
type Handler struct {
	forward  *forward.Forwarder
	recorder trace.Recorder
	state    atomic.Pointer[settings]
	outcomes outcomeCounters
	log      queryLog
	learner  Learner      // nil: nobody has to know first
	logger   *slog.Logger // for what the learner says; nil without one

	mu    sync.Mutex
	views map[string]uint16 // of groups of upstreams, for good: the cache's keys have them
}

// settings is a Config made ready.
type settings struct {
	Config
	links   map[string]*ServedLink
	cache   *cache.Cache
	limiter *limiter
}

// ServedLink is a Link made ready. It is looked up once for many questions; one of an older configuration does no harm.
type ServedLink struct {
	Link
	view uint16
	zone zone.View
}

// Peer is who asks.
type Peer struct {
	Addr netip.AddrPort // without zone and not IPv4-mapped
	TCP  bool
	Link *ServedLink // nil: a link that is not served
}

// Scratch is what Serve needs from one question to the next: one for each goroutine.
type Scratch struct {
	q    wire.Query
	view zone.View
}

// NewHandler makes a handler for a valid configuration. The forwarder is configured by it. A nil recorder forgets.
func NewHandler(c Config, f *forward.Forwarder, r trace.Recorder) *Handler {
	if r == nil {
		r = forget{}
	}
	h := &Handler{forward: f, recorder: r, views: map[string]uint16{}}
	h.Configure(c)
	return h
}

type forget struct{}

func (forget) Record(trace.Entry) {}

// Configure swaps the configuration, which must be valid. The cache is kept unless what it holds might be another
// answer now: its own settings, any upstream, a route or the rebind protection have changed. What has become a local
// name is taken out of it.
func (h *Handler) Configure(c Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.state.Load()
	s := &settings{Config: c, links: map[string]*ServedLink{}}
	for _, l := range c.Links {
		view, ok := h.views[l.Group]
		if !ok {
			view = uint16(len(h.views))
			h.views[l.Group] = view
		}
		s.links[l.Name] = &ServedLink{Link: l, view: view, zone: zone.View{Own: l.Own, Outside: l.Outside, Machine: c.Machine, Domain: l.Domain, Filter: l.Filter}}
	}
	if old != nil && old.Cache == c.Cache && reflect.DeepEqual(old.Forward.Groups, c.Forward.Groups) &&
		reflect.DeepEqual(old.Routes, c.Routes) && reflect.DeepEqual(old.Rebind, c.Rebind) {
		s.cache = old.cache
	} else {
		s.cache = cache.New(c.Cache)
	}
	if old != nil && old.Rate == c.Rate {
		s.limiter = old.limiter
	} else {
		s.limiter = newLimiter(c.Rate)
	}
	h.forward.Configure(c.Forward)
	h.state.Store(s)
	if old != nil && s.cache == old.cache {
		s.dropLocal()
	}
}

// LocalChanged is for when local data has changed in itself, as a hosts file that was read again: what has become a
// local name is taken out of the cache. Names of leases need not be announced: they are never looked for in the cache.
func (h *Handler) LocalChanged() { h.state.Load().dropLocal() }

// LinkChanged is for when addresses or routes of this machine have changed: failures are forgotten and dead upstreams
// tried again at once.
func (h *Handler) LinkChanged() {
	h.state.Load().cache.ForgetFailures()
	h.forward.LinkChanged()
}

func (s *settings) dropLocal() {
	if s.Local == nil {
		return
	}
	s.cache.Drop(func(name []byte, qtype, class uint16) bool {
		q := zone.Question{Name: wire.Text(name), Type: qtype, Class: class}
		for _, l := range s.links {
			v := l.zone
			v.Filter = nil
			if _, ours := s.Local.Lookup(q, &v); ours {
				return true
			}
		}
		return false
	})
}

// Link finds a served link by the name of its interface; nil if it is not served.
func (h *Handler) Link(name string) *ServedLink { return h.state.Load().links[name] }

func (l *ServedLink) near(a netip.Addr) bool {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return true
	}
	for i := range l.Prefixes {
		if l.Prefixes[i].Contains(a) {
			return true
		}
	}
	return false
}

// Serve answers a query if that takes no waiting. The reply is appended to out; it is empty if nothing is to be sent
// now. A miss is to be given to Resolve: it is what remains to be done, be it that there is no reply yet or that the
// answer wants to be renewed. query must not change until then.
func (h *Handler) Serve(w *Scratch, query []byte, from Peer, now clock.Instant, out []byte) (reply []byte, miss *Miss) {
	s := h.state.Load()
	q := &w.q
	// Strangers are told nothing at all: their source address may be forged, and then the reply would be the attack.
	switch {
	case from.Link == nil:
		return h.drop(from, now, ReasonNoLink, out)
	case !from.Link.near(from.Addr.Addr()):
		return h.drop(from, now, ReasonOffLink, out)
	case from.Addr.Port() == 0:
		return h.drop(from, now, ReasonPort, out)
	case !s.limiter.allow(from.Addr.Addr(), now):
		if !from.TCP || q.Parse(query) != wire.OK {
			return h.drop(from, now, ReasonRate, out)
		}
		return h.refuse(s, q, from, now, out, wire.Refused, wire.EDEProhibited, ReasonRate)
	}
	if fault := q.Parse(query); fault != wire.OK {
		return h.fault(s, q, fault, from, now, out)
	}
	// The cache before the zone, which takes longer: what is local is not in it. That is certain except for bare labels,
	// reverse names, where leases and learnt addresses come and go, and types that this link does not get.
	cacheable := q.Flags&wire.RD != 0 && q.Class == wire.ClassIN && (len(from.Link.Filter) == 0 || !slices.Contains(from.Link.Filter, q.Type))
	first := cacheable && !volatile(q.Name)
	var hit cache.Hit
	if first {
		start := len(out)
		out, hit = s.cache.Get(q.Key(from.Link.view), now, out)
		if hit.State != cache.Miss {
			return h.hit(s, q, from, now, out, start, hit)
		}
	}
	if h.forward.IsProbe(q.Name) {
		return h.drop(from, now, ReasonLoopProbe, out)
	}
	if s.Local != nil {
		w.view = from.Link.zone
		w.view.Now = now
		name := wire.Text(q.Name)
		if a, ours := s.Local.Lookup(zone.Question{Name: name, Type: q.Type, Class: q.Class}, &w.view); ours {
			return h.local(s, q, name, &a, from, now, out)
		}
	}
	switch {
	case q.Class != wire.ClassIN:
		return h.refuse(s, q, from, now, out, wire.Refused, wire.EDENotSupported, ReasonClass)
	case q.Type == 0 || q.Type == wire.TypeOPT || q.Type >= wire.TypeTKEY && q.Type <= wire.TypeANY:
		return h.refuse(s, q, from, now, out, wire.Refused, wire.EDENotSupported, ReasonType)
	case q.Flags&wire.RD == 0:
		return h.refuse(s, q, from, now, out, wire.Refused, wire.EDENotAuth, ReasonNoRecurse)
	case !cacheable:
		return h.nodata(s, q, from, now, out)
	}
	if !first {
		start := len(out)
		out, hit = s.cache.Get(q.Key(from.Link.view), now, out)
		if hit.State != cache.Miss {
			return h.hit(s, q, from, now, out, start, hit)
		}
	}
	h.outcomes[Asked].Add(1)
	return out, h.newMiss(s, q, from, hit.HasStale)
}

// volatile names may become local at any moment.
func volatile(name []byte) bool {
	if len(name) < 2 || int(name[0])+2 >= len(name) {
		return true // the root, or a single label
	}
	const arpa = "\x04arpa\x00"
	return len(name) >= len(arpa) && string(name[len(name)-len(arpa):]) == arpa
}

// hit makes a reply of what the cache has put into out.
func (h *Handler) hit(s *settings, q *wire.Query, from Peer, now clock.Instant, out []byte, start int, hit cache.Hit) ([]byte, *Miss) {
	ede, outcome := wire.NoEDE, Cached
	switch hit.State {
	case cache.Failed:
		h.outcomes[FailedBy].Add(1)
		h.log.add(q, from, now, FailedBy, wire.ServFail)
		h.record(q, from, now, wire.RcodeName(wire.ServFail), ReasonFailed)
		out = q.AppendHeader(out, wire.RA|wire.ServFail)
		return q.AppendOPT(out, start, s.UDPSize, wire.ServFail, wire.EDECachedError), nil
	case cache.Stale:
		outcome = Stale
		ede = staleEDE(out[start:])
		if h.learn(s, q.Name, nil, out[start:]) != nil {
			out = q.AppendHeader(out[:start], wire.RA|wire.ServFail)
			return q.AppendOPT(out, start, s.UDPSize, wire.ServFail, wire.EDEOther), nil
		}
	}
	h.outcomes[outcome].Add(1)
	if h.log.on.Load() {
		h.log.add(q, from, now, outcome, int(wire.Flags(out[start:])&wire.RcodeMask))
	}
	out = finish(s, q, from, out, start, ede)
	if hit.Refresh {
		return out, h.newMiss(s, q, from, false).prefetching()
	}
	return out, nil
}

func staleEDE(msg []byte) int {
	if wire.Flags(msg)&wire.RcodeMask == wire.NXDomain {
		return wire.EDEStaleNX
	}
	return wire.EDEStale
}

// finish turns a kept answer into a reply to q: its ID, its question as it spells it, its flags, its size.
func finish(s *settings, q *wire.Query, from Peer, out []byte, start int, ede int) []byte {
	msg := out[start:]
	kept := wire.Flags(msg)
	flags := wire.QR | wire.RA | q.Flags&(wire.RD|wire.CD) | kept&(wire.RcodeMask|wire.AA|wire.TC)
	if kept&wire.AD != 0 && (q.Flags&wire.AD != 0 || q.DO) { // RFC 6840 section 5.8
		flags |= wire.AD
	}
	wire.PutU16(msg, q.ID)
	wire.PutU16(msg[2:], flags)
	copy(msg[wire.HeaderLen:], q.Question)
	return seal(s, q, from, out, start, int(flags&wire.RcodeMask), ede)
}

// seal cuts a reply to the size that may be sent and ends it with OPT.
func seal(s *settings, q *wire.Query, from Peer, out []byte, start int, rcode, ede int) []byte {
	limit := 0xffff
	if !from.TCP {
		limit = q.Limit(s.UDPSize)
	}
	if room := limit - q.OPTRoom(ede); len(out)-start > room {
		if wire.HeaderLen+len(q.Question) > room {
			ede = wire.NoEDE
			room = limit - q.OPTRoom(ede)
		}
		out = out[:start+len(wire.Truncate(out[start:], room))]
	}
	return q.AppendOPT(out, start, s.UDPSize, rcode, ede)
}

// fault answers what is no good query. What has no readable question gets a header only.
func (h *Handler) fault(s *settings, q *wire.Query, f wire.Fault, from Peer, now clock.Instant, out []byte) ([]byte, *Miss) {
	switch f {
	case wire.Short:
		return h.drop(from, now, ReasonShort, out)
	case wire.Response:
		return h.drop(from, now, ReasonResponse, out)
	case wire.Version:
		q.EDNS = true
		return h.refuse(s, q, from, now, out, wire.BadVers, wire.NoEDE, ReasonVersion)
	}
	rcode, reason := wire.FormErr, ReasonMalformed
	switch f {
	case wire.Opcode:
		rcode, reason = wire.NotImp, ReasonOpcode
	case wire.Count1:
		reason = ReasonCounts
	case wire.Signed:
		reason = ReasonSigned
	}
	q.EDNS, q.Question = false, nil
	return h.refuse(s, q, from, now, out, rcode, wire.NoEDE, reason)
}

// refuse answers with an error and writes down why.
func (h *Handler) refuse(s *settings, q *wire.Query, from Peer, now clock.Instant, out []byte, rcode, ede int, reason string) ([]byte, *Miss) {
	h.outcomes[Refused].Add(1)
	h.record(q, from, now, wire.RcodeName(rcode), reason)
	if q.Question != nil {
		h.log.add(q, from, now, Refused, rcode)
	}
	start := len(out)
	flags := wire.RA | uint16(rcode)&wire.RcodeMask
	if rcode == wire.NotImp || rcode == wire.FormErr {
		flags &^= wire.RA
	}
	out = q.AppendHeader(out, flags)
	return q.AppendOPT(out, start, s.UDPSize, rcode, ede), nil
}

// nodata is for a type that is filtered though there is no zone to say so.
func (h *Handler) nodata(s *settings, q *wire.Query, from Peer, now clock.Instant, out []byte) ([]byte, *Miss) {
	h.outcomes[Locally].Add(1)
	h.log.add(q, from, now, Locally, wire.NoError)
	h.record(q, from, now, wire.RcodeName(wire.NoError), zone.ReasonFilter)
	start := len(out)
	out = q.AppendHeader(out, wire.RA)
	return q.AppendOPT(out, start, s.UDPSize, wire.NoError, wire.EDEFiltered), nil
}

func (h *Handler) drop(from Peer, now clock.Instant, reason string, out []byte) ([]byte, *Miss) {
	h.outcomes[Dropped].Add(1)
	h.record(nil, from, now, "", reason)
	return out, nil
}

func (h *Handler) record(q *wire.Query, from Peer, now clock.Instant, reply, reason string) {
	e := trace.Entry{At: now, Proto: "dns", What: "query", Addr: from.Addr.Addr().String(), Reply: reply, Reason: reason}
	if from.Link != nil {
		e.Link = from.Link.Name
	}
	if q != nil && q.Question != nil {
		e.What, e.Name = wire.TypeName(q.Type), wire.Text(q.Name)
	}
	h.recorder.Record(e)
}
