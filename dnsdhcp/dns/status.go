package dns

import (
	miekg "github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/dns/cache"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// Status is a look at the resolver.
type Status struct {
	Outcomes    map[string]uint64 // by the words of Outcome
	Cache       cache.Stats
	Forward     forward.Status
	Connections int // of clients over TCP
	Logging     bool
}

// Status may be called at any time.
func (s *Server) Status() Status {
	s.tcp.mu.Lock()
	conns := s.tcp.total
	s.tcp.mu.Unlock()
	st := Status{Outcomes: s.Outcomes(), Cache: s.state.Load().cache.Stats(), Forward: s.forward.Status(), Connections: conns, Logging: s.Handler.log.on.Load()}
	return st
}

// Outcomes counts questions since the start.
func (h *Handler) Outcomes() map[string]uint64 {
	m := make(map[string]uint64, outcomes)
	for o := range outcomes {
		m[o.String()] = h.outcomes[o].Load()
	}
	return m
}

// LogQueries turns the query log on or off. Turned off, it forgets.
func (h *Handler) LogQueries(on bool) { h.log.set(on, h.state.Load().Log) }

// Queries is the query log, oldest first; empty if it is off.
func (h *Handler) Queries() []Logged { return h.log.read() }

// Flush forgets everything that upstreams have said.
func (h *Handler) Flush() { h.state.Load().cache.Flush() }

// FlushName forgets a name in presentation form, and everything below it. It returns how many answers that were;
// false for what is no name.
func (h *Handler) FlushName(name string) (int, bool) {
	var b [wire.MaxName + 1]byte
	n, err := miekg.PackDomainName(miekg.CanonicalName(name), b[:], 0, nil, false)
	if err != nil {
		return 0, false
	}
	return h.state.Load().cache.FlushName(b[:n], true), true
}
