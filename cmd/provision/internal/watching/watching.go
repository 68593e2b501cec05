// Package watching joins the jobs of routing/watch to the running system: events and readings by
// rtnetlink, changes by rtnetlink and /proc/sys, commands, a file that remembers.
package watching

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/martian"
	"github.com/provision-net/provision/provision/host/netevents"
	"github.com/provision-net/provision/provision/host/netset"
	"github.com/provision-net/provision/routing/watch"
)

// System is the running system as an engine sees it: watch.Source, Hand, Runner and Events. It
// belongs to the network namespace of the thread that opened it.
type System struct {
	Commands host.Runner
	Files    Files // of /proc/sys: host.Root
	// Tables, when set, is told of each change of nf_tables that counts.
	Tables func()
	// Foreign counts the tables of others too, because something of ours is in one of them.
	Foreign func() bool

	events   *netevents.Watcher
	reader   *facts.Reader
	set      *netset.Conn
	counters *martian.Counters
	changed  chan struct{}

	mu  sync.Mutex
	fed watch.Event
}

// OpenFiles are Files that hold something open.
type OpenFiles interface {
	Files
	Close() error
}

// Files writes kernel parameters.
type Files interface {
	WriteValue(path, value string) error
}

var (
	_ watch.Source = (*System)(nil)
	_ watch.Hand   = (*System)(nil)
	_ watch.Runner = (*System)(nil)
	_ watch.Events = (*System)(nil)
)

// Open opens the sockets; events are kept from now on.
func Open(commands host.Runner, files Files) (_ *System, err error) {
	s := &System{Commands: commands, Files: files, changed: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.events, err = netevents.Open(0); err != nil {
		return nil, err
	}
	if s.reader, err = facts.OpenReader(); err != nil {
		return nil, err
	}
	if s.set, err = netset.Open(); err != nil {
		return nil, err
	}
	if s.counters, err = martian.OpenCounters(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes what Open opened.
func (s *System) Close() {
	if s.events != nil {
		_ = s.events.Close()
	}
	if s.reader != nil {
		s.reader.Close()
	}
	if s.set != nil {
		s.set.Close()
	}
	if s.counters != nil {
		s.counters.Close()
	}
}

// Follow takes events from the kernel until ctx ends.
func (s *System) Follow(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.events.Changed():
				s.tell()
			}
		}
	}()
	err := s.events.Run(ctx)
	<-done
	return err
}

func (s *System) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Feed adds an event from elsewhere: a table of nf_tables that was changed.
func (s *System) Feed(e watch.Event) {
	s.mu.Lock()
	s.fed = watch.Join(s.fed, e)
	s.mu.Unlock()
	s.tell()
}

// Changed implements watch.Events.
func (s *System) Changed() <-chan struct{} { return s.changed }

// Take implements watch.Events.
func (s *System) Take() watch.Event {
	s.mu.Lock()
	fed := s.fed
	s.fed = watch.Event{}
	s.mu.Unlock()
	return watch.Join(fed, event(s.events.Take()))
}

// Overruns counts the times that events were lost.
func (s *System) Overruns() uint64 { return s.events.Stats().Overrun }

// event says what may have changed. A device that goes down takes the IPv4 routes of all tables
// along without a word, and so does an address that routes prefer: both mean routes as well.
func event(b netevents.Batch) watch.Event {
	e := watch.Event{Count: b.Count, Overrun: b.Overrun}
	for _, k := range []struct {
		kind  netevents.Kind
		parts facts.Parts
	}{
		{netevents.Link, facts.PartLinks | facts.PartAddrs | facts.PartRoutes4 | facts.PartRoutes6},
		{netevents.Addr4, facts.PartAddrs | facts.PartRoutes4},
		{netevents.Addr6, facts.PartAddrs | facts.PartRoutes6},
		{netevents.Route4, facts.PartRoutes4},
		{netevents.Route6, facts.PartRoutes6},
		{netevents.Rule4, facts.PartRules4},
		{netevents.Rule6, facts.PartRules6},
		{netevents.Conf, facts.PartLinks},
	} {
		if b.Kinds&k.kind != 0 {
			e.Parts |= k.parts
		}
	}
	for _, c := range b.Causes {
		cause := watch.Cause{What: c.String(), Table: c.Table, Gone: c.Gone, Who: c.Who()}
		if c.Kind&(netevents.Link|netevents.Addr4|netevents.Addr6) != 0 {
			cause.Index = c.Index
		}
		e.Causes = append(e.Causes, cause)
	}
	return e
}

// Read implements watch.Source.
func (s *System) Read(ctx context.Context, parts facts.Parts) (*facts.Live, error) {
	return s.reader.Read(ctx, parts)
}

// Martians implements watch.Source.
func (s *System) Martians(context.Context) (watch.Martians, error) {
	n, err := s.counters.Read()
	return watch.Martians{ReversePath: n.ReversePath, Source: n.Source, Destination: n.Destination}, err
}

// Proxies implements watch.Source.
func (s *System) Proxies(ctx context.Context) ([]watch.Neighbour, error) {
	list, err := s.set.Proxies(ctx)
	var out []watch.Neighbour
	for _, n := range list {
		out = append(out, watch.Neighbour{Index: n.Index, Addr: n.Addr})
	}
	return out, err
}

// Route implements watch.Hand.
func (s *System) Route(ctx context.Context, r facts.Route) error {
	return s.set.ReplaceRoute(ctx, netset.Route{
		Table: r.Table, Dst: r.Dst, Index: r.Link, Gateway: r.Gateway, Metric: r.Metric, Src: r.Src, Protocol: uint8(r.Proto), OnLink: r.OnLink,
	})
}

// Sysctl implements watch.Hand.
func (s *System) Sysctl(_ context.Context, p watch.Sysctl) error {
	if strings.ContainsAny(p.Link, "/\x00") || p.Link == "." || p.Link == ".." {
		return fmt.Errorf("%q is no device", p.Link)
	}
	return s.Files.WriteValue("/proc/sys/net/"+p.Family+"/conf/"+p.Link+"/"+p.Key, p.Value+"\n")
}

// Proxy implements watch.Hand.
func (s *System) Proxy(ctx context.Context, p watch.Proxy) error {
	return s.set.AddProxy(ctx, netset.Neighbour{Index: p.Index, Addr: p.Addr})
}

// Run implements watch.Runner.
func (s *System) Run(ctx context.Context, argv []string, r watch.Run) ([]byte, error) {
	if s.Commands == nil {
		return nil, errors.New("no command can be run here")
	}
	out, err := s.Commands.Run(ctx, host.Command{Argv: argv, Env: r.Env, Timeout: r.Timeout})
	if err != nil {
		return out.Stdout, err
	}
	if out.Code != 0 {
		return out.Stdout, fmt.Errorf("it ended with code %d: %s", out.Code, strings.TrimSpace(string(out.Stderr)))
	}
	return out.Stdout, nil
}

// Sample implements watch.Runner.
func (s *System) Sample(ctx context.Context, p watch.Sample) ([]watch.Martian, error) {
	found, err := martian.Sample(ctx, p.For, p.Most)
	var out []watch.Martian
	for _, f := range found {
		out = append(out, watch.Martian{Link: f.Link, Src: f.Src, Dst: f.Dst, Packets: f.Packets})
	}
	return out, err
}
