package dnsdhcp

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// patience is how long the start may wait for links that are there before it calls itself ready all the same: others
// wait for us.
const patience = 5 * time.Second

// before is how long everything else waits at the start for DHCPv4, without which a client has no use for the rest.
const before = 50 * time.Millisecond

// begin serves on the links that are there: DHCPv4 first, then everything.
func (s *Server) begin(ctx context.Context) error {
	s.apply(ctx, s.links.Snapshot())
	s.awaitDHCP4(ctx)
	if s.o.Begun != nil {
		s.o.Begun()
	}
	if err := s.buildRest(); err != nil {
		return err
	}
	s.apply(ctx, s.links.Snapshot())
	return nil
}

// awaitDHCP4 returns when DHCPv4 is answered on all links that are there, or soon.
func (s *Server) awaitDHCP4(ctx context.Context) {
	limit := time.After(before)
	for _, st := range s.stations {
		if t := st.tasks[dhcp4Task]; t != nil {
			select {
			case <-t.tried:
			case <-limit:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// loop follows links and reloads until ctx ends; inner is the life of what the services stand on.
func (s *Server) loop(ctx, inner context.Context, sub *link.Subscription) error {
	go s.becomeReady(ctx)

	// The watchdog is fed from here, so that it notices when this loop hangs.
	watchdog := make(<-chan time.Time)
	if every := watchdogInterval(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		watchdog = t.C
	}
	files := time.NewTicker(fileInterval)
	defer files.Stop()
	for {
		select {
		case <-ctx.Done():
			s.o.Notify("STOPPING=1")
			s.stopAll()
			return nil
		case <-inner.Done():
			s.stopAll()
			return nil
		case <-sub.C():
			u := sub.Next()
			for _, n := range u.Neighbours {
				s.learnt.Neighbour(n)
			}
			for _, c := range u.Links {
				if c.Kind == link.Removed {
					s.lost(inner, c.Link)
				}
			}
			if len(u.Links) > 0 || u.Routing {
				s.apply(inner, s.links.Snapshot())
				s.dns.LinkChanged()
			}
		case done := <-s.reload:
			s.o.Notify(reloading(s.clock.Now()))
			err := s.configure()
			if err == nil {
				s.apply(inner, s.links.Snapshot())
			}
			s.o.Notify("READY=1")
			done <- err
		case <-files.C:
			switch local, upstreams := s.files.check(); {
			case upstreams:
				s.apply(inner, s.links.Snapshot())
			case local:
				s.dns.LocalChanged()
			}
		case <-watchdog:
			s.o.Notify("WATCHDOG=1")
		}
	}
}

// reloading is what the service manager wants to hear (sd_notify(3): with the monotonic time, which does not run
// while the machine is suspended; the boot clock is what it compares since it only orders messages).
func reloading(now clock.Instant) string {
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", time.Duration(now).Microseconds())
}

// watchdogInterval is half of what the service manager allows (sd_watchdog_enabled(3)); 0 if it does not watch us.
func watchdogInterval() time.Duration {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}

// becomeReady waits until each thing that is to be served has been tried once.
func (s *Server) becomeReady(ctx context.Context) {
	limit := time.After(patience)
	s.mu.Lock()
	var tried []<-chan struct{}
	for _, st := range s.stations {
		for _, t := range st.tasks {
			tried = append(tried, t.tried)
		}
		if st.advertiser != nil {
			tried = append(tried, st.advertiser.Ready())
		}
	}
	s.mu.Unlock()
	for _, c := range tried {
		select {
		case <-c:
		case <-limit:
		case <-ctx.Done():
			return
		}
	}
	close(s.ready)
	s.o.Notify("READY=1\nSTATUS=" + s.summary())
}

// summary is one line for `systemctl status`.
func (s *Server) summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, st := range s.stations {
		if st.link.Index != 0 {
			n++
		}
	}
	return fmt.Sprintf("serving %d links", n)
}

// configure reads the configuration again.
func (s *Server) configure() error {
	if s.o.Load == nil {
		return nil
	}
	c, err := s.o.Load()
	if err != nil {
		return err
	}
	var r reader
	config := r.resolve(c)
	if err := errorOf(r.problems); err != nil {
		return err
	}
	if old := s.config.metrics; config.metrics != old {
		s.log.Warn("the address of the metrics changes only with a restart", "now", old, "wanted", config.metrics)
	}
	s.mu.Lock()
	s.config, s.o.Config = config, c
	s.mu.Unlock()
	s.files.configure(config.dns)
	return nil
}

// apply makes what is served fit the links and the configuration. It is called for every change, so what has not
// changed must not be touched.
func (s *Server) apply(ctx context.Context, links []link.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	present := map[string]link.Link{}
	for _, l := range links {
		if s.config.ruleFor(l.Name, l.MAC) != nil {
			present[l.Name] = l
		}
	}
	for name, st := range s.stations {
		if s.config.ruleFor(name, nil) == nil {
			st.end()
			s.learnt.RemoveLink(st.link.Index)
			delete(s.stations, name)
		}
	}
	for name := range present {
		if s.stations[name] == nil {
			s.stations[name] = s.newStation(name)
		}
	}
	for name, st := range s.stations {
		l := present[name]
		if st.link.Index != 0 && st.link.Index != l.Index {
			s.leave(ctx, st) // it has another name now
		}
		l.Name = name
		st.rule, st.link = s.config.ruleFor(name, l.MAC), l
	}
	s.forgetAway()
	plans := map[string]served{}
	for name, st := range s.stations {
		plans[name] = s.config.plan(st.rule, st.link, s.hostname)
	}
	s.share(plans)
	for _, name := range slices.Sorted(maps.Keys(s.stations)) {
		s.tend(ctx, s.stations[name], plans[name])
	}
}

// maxAway is how many links that fit a pattern are remembered while they are away: a lab host gives each new machine's
// interface another name, and none of the old ones comes back.
const maxAway = 64

// forgetAway forgets the links that have been away for longest. Their leases stay until they end.
func (s *Server) forgetAway() {
	var away []*station
	for _, st := range s.stations {
		if st.link.Index == 0 && st.rule.pattern != st.name { // what is named is waited for
			away = append(away, st)
		}
	}
	sort.Slice(away, func(i, j int) bool {
		a, b := away[i], away[j]
		return cmp.Or(cmp.Compare(a.left, b.left), cmp.Compare(a.name, b.name)) < 0
	})
	for _, st := range away[:max(0, len(away)-maxAway)] {
		st.end()
		delete(s.stations, st.name)
		delete(s.networks, st.name)
		s.dropNetworkGauges(st.name)
	}
}

// lost ends what was served on an incarnation of a link that is no more. Another one may be there already, with the
// same name and even the same index; its sockets are others.
func (s *Server) lost(ctx context.Context, l link.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.stations[l.Name]; st != nil && st.link.Index == l.Index {
		s.leave(ctx, st)
	}
}

func (s *Server) leave(ctx context.Context, st *station) {
	st.have(ctx, nil)
	s.learnt.RemoveLink(st.link.Index)
	st.link, st.left = link.Link{Name: st.name}, s.clock.Now()
	if st.advertiser != nil {
		st.advertiser.Update(st.link)
	}
	if st.information != nil {
		st.information.Update(st.link)
	}
}

// stopAll ends every service, side by side: farewells take a while.
func (s *Server) stopAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wg sync.WaitGroup
	for _, st := range s.stations {
		wg.Go(st.end)
	}
	wg.Wait()
}
