package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/lists/span"
)

// Sets take elements at run time: nft.Resource.
type Sets interface {
	Learn(ctx context.Context, family, table, set string, elems []nft.Element) error
}

// Learner puts addresses of listed names into the sets of their lists, before whoever has asked for them
// gets the answer (dns.Learner). It goes by the configuration that Follow was given last.
type Learner struct {
	Sets Sets

	mu    sync.Mutex // one change of the sets at a time: others would have to try again
	state atomic.Pointer[learnState]
}

type learnState struct {
	list   map[string]string        // by domain, with a final dot
	linger map[string]time.Duration // by list
	sets   map[string]span.Set      // for near answers
}

// longestLearnt is the most that an element lives: the most that a resolver keeps an answer (RFC 8767 section 4).
const longestLearnt = 7 * 24 * time.Hour

// Follow takes over a configuration. Only lists that a rule names have sets.
func (l *Learner) Follow(c routing.Config, sets map[string]span.Set) {
	s := &learnState{list: map[string]string{}, linger: map[string]time.Duration{}, sets: sets}
	for _, r := range c.Smart {
		for _, n := range r.Lists {
			for _, d := range c.Lists[n].Domains {
				d = lists.Domain(d) + "."
				s.list[d] = n
			}
			s.linger[n] = c.Lists[n].Lingers()
		}
	}
	l.state.Store(s)
}

// of is the list of a name, by its longest suffix; empty: none.
func (l *Learner) of(name string) string {
	s := l.state.Load()
	if s == nil || len(s.list) == 0 {
		return ""
	}
	for {
		if list, ok := s.list[name]; ok {
			return list
		}
		_, rest, ok := strings.Cut(name, ".")
		if !ok || rest == "" {
			return ""
		}
		name = rest
	}
}

// Wants implements dns.Learner.
func (l *Learner) Wants(name string) bool { return l.of(name) != "" }

// Learn implements dns.Learner. Where the sets are not there, the rules are not in force yet, and there is
// nothing to be told; any other failure holds the answer back.
func (l *Learner) Learn(ctx context.Context, name string, addrs []netip.Addr, ttl time.Duration) error {
	list := l.of(name)
	if list == "" {
		return nil
	}
	// Clients keep answers longer than they may, and connections begin late.
	live := min(ttl+l.state.Load().linger[list], longestLearnt).Truncate(time.Second) + time.Second
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, family := range []int{4, 6} {
		var elems []nft.Element
		for _, a := range addrs {
			if a.Is4() == (family == 4) && capturable(a) {
				elems = append(elems, nft.Element{Key: a.AsSlice(), Timeout: uint64(live / time.Millisecond)})
			}
		}
		if len(elems) == 0 {
			continue
		}
		err := l.Sets.Learn(ctx, nft.OwnFamily, nft.OwnTable, lists.NamesSet(list, family), elems)
		if err != nil && !errors.Is(err, nft.ErrNoSet) {
			return err
		}
	}
	return nil
}

// capturable reports whether a list may have an address: an answer must not lead the LAN astray.
func capturable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

// InList says whether an address is in a list, for near answers.
func (l *Learner) InList(list string, a netip.Addr) bool {
	s := l.state.Load()
	return s != nil && s.sets[list].Has(a)
}

// ListSets are the lists' addresses as they are on this machine now, for Learner.Follow: read only where a
// route of the server has name servers near it.
func ListSets(root string, c Config) map[string]span.Set {
	near := slices.ContainsFunc(c.Serve.DNS.Routes, func(r dnsdhcp.DNSRoute) bool { return r.NearList != "" })
	if !near {
		return nil
	}
	a := Agent{Options: Options{Root: root, Config: c}}
	copies, _ := a.copies(c.Routing.Lists) // what cannot be read is told by those who fetch it
	return c.Routing.Lists.Sets(copies)
}

// listRoutes are the server's routes for domains of lists with name servers of their own. Domains that the
// configuration has a route for keep that.
func listRoutes(c Config) []dnsdhcp.DNSRoute {
	taken := map[string]bool{}
	for _, r := range c.Serve.DNS.Routes {
		for _, d := range r.Domains {
			taken[lists.Domain(d)] = true
		}
	}
	var out []dnsdhcp.DNSRoute
	for _, n := range c.Routing.Lists.Names() {
		l := c.Routing.Lists[n]
		if len(l.Upstreams) == 0 {
			continue
		}
		r := dnsdhcp.DNSRoute{Upstreams: l.Upstreams}
		for _, d := range l.Domains {
			if d = lists.Domain(d); !taken[d] {
				taken[d] = true
				r.Domains = append(r.Domains, d)
			}
		}
		if len(r.Domains) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// nearProblems finds near-list that names no list.
func nearProblems(c Config) error {
	var errs []error
	for i, r := range c.Serve.DNS.Routes {
		if _, ok := c.Routing.Lists[r.NearList]; r.NearList != "" && !ok {
			errs = append(errs, fmt.Errorf("%w: serve.dns.routes[%d].near-list: there is no list %q under routing.lists", ErrConfig, i, r.NearList))
		}
	}
	return errors.Join(errs...)
}
