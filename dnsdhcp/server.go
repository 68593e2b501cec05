// Package dnsdhcp serves DHCPv4, DNS, router advertisements, stateless DHCPv6 and multicast DNS on links that come and
// go. It knows nothing of plans: it is given a configuration and keeps to it until it ends.
package dnsdhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/dns"
	"github.com/provision-net/provision/dnsdhcp/learn"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/lease/journal"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/socket"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// DefaultStateDir is where leases are kept.
const DefaultStateDir = "/var/lib/provision/serve"

// Options make a Server.
type Options struct {
	Config  Config
	Source  string // where the configuration came from, for people
	Dir     string // for leases; DefaultStateDir
	Socket  string // for control; control.DefaultSocket
	Version string
	Log     *slog.Logger
	Clock   clock.Waker
	// Checked: Config.Problems has found nothing already.
	Checked bool
	// Learner is told of addresses in answers before those who have asked; nil: nobody is.
	Learner dns.Learner
	// InList says whether an address is in the list that a route calls near-list; nil: none is.
	InList func(list string, a netip.Addr) bool
	// Load reads the configuration again, for Reload; nil keeps it.
	Load func() (Config, error)
	// Begun is called once DHCPv4 is answered on the links that are there; nil: nobody has to know.
	Begun func()
	// Notify tells the service manager (sd_notify(3)); nil tells nobody.
	Notify func(state string)
}

// Server is everything that is served.
type Server struct {
	o        Options
	log      *slog.Logger
	clock    clock.Waker
	started  time.Time
	counters *trace.Counters
	trace    *trace.Log
	reload   chan chan error
	ready    chan struct{}

	journal  *journal.Journal
	table    *lease.Table
	links    *link.Watcher
	dhcp     *dhcp4.Server
	dns      *dns.Server
	probers  socket.Probers
	learnt   *learn.Learner
	files    *files
	hostname string // one label
	duid     []byte
	noted    map[string]string // by service, the last thing that was wrong at run time

	// Owned by the loop; mu guards them for whoever asks for the status.
	mu       sync.Mutex
	config   *resolved
	made     madeZone
	stations map[string]*station
	networks map[string]lease.Network // by name, also of links that are not there now
	tables   []lease.Network          // as the table knows them
	past     []lease.Lease            // loaded, ended or in quarantine, of networks that the table does not know yet
}

// New checks the configuration. Nothing is opened yet.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Dir == "" {
		o.Dir = DefaultStateDir
	}
	if o.Socket == "" {
		o.Socket = control.DefaultSocket
	}
	if o.Notify == nil {
		o.Notify = func(string) {}
	}
	r := reader{checked: o.Checked}
	config := r.resolve(o.Config)
	if err := errorOf(r.problems); err != nil {
		return nil, err
	}
	s := &Server{
		o: o, log: o.Log, clock: o.Clock, started: time.Now(), config: config,
		counters: trace.NewCounters(), reload: make(chan chan error), ready: make(chan struct{}),
		stations: map[string]*station{}, noted: map[string]string{}, networks: map[string]lease.Network{},
	}
	s.trace = trace.NewLog(s.counters)
	return s, nil
}

// errorOf joins problems into one error.
func errorOf(problems []Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("serve.%s: %s", p.Path, p.Text))
	}
	return errors.Join(errs...)
}

// Ready is closed once everything that can be served is served.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Reload reads the configuration again. Sockets, leases and announcements that do not change are left alone. A
// configuration that is wrong changes nothing.
func (s *Server) Reload() error {
	done := make(chan error, 1)
	select {
	case s.reload <- done:
		return <-done
	case <-time.After(10 * time.Second):
		return errors.New("the server is busy and has not begun to reload")
	}
}

// Run serves until ctx ends. What is needed to serve at all (the state folder, netlink, the control socket) is an
// error; a link that cannot be served is not, since it may be able to be in a moment.
func (s *Server) Run(ctx context.Context) error {
	if err := s.open(); err != nil {
		return err
	}
	defer s.journal.Close()
	links, err := link.Watch(link.Config{Clock: s.clock, Log: s.log, Neighbours: true})
	if err != nil {
		return err
	}
	defer links.Close()
	s.links = links

	// The listeners and watchers end after the services on the links, whose last words need them.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, inner := errgroup.WithContext(inner)
	changes := links.Subscribe(true)
	defer changes.Close()
	asked, err := s.beginAndListen(inner)
	if err != nil {
		s.stopAll()
		return err
	}
	defer os.Remove(s.o.Socket)
	s.gauges()
	g.Go(func() error { return links.Run(inner) })
	g.Go(func() error { return control.Serve(inner, asked, s.answer) })
	if s.config.metrics.IsValid() {
		g.Go(func() error { return s.serveMetrics(inner) })
	}
	g.Go(func() error { return s.dns.Run(inner) })
	g.Go(func() error { return s.dhcp.Run(inner) })
	g.Go(func() error { s.export(inner); return nil })
	g.Go(func() error {
		defer stop()
		return s.loop(ctx, inner, changes)
	})
	return g.Wait()
}

// beginAndListen serves on the links that are there and opens the control socket.
func (s *Server) beginAndListen(ctx context.Context) (net.Listener, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return control.Listen(s.o.Socket)
}

// open takes the state folder and loads what it holds.
func (s *Server) open() error {
	if err := os.MkdirAll(filepath.Dir(s.o.Dir), 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of the leases: %w", err)
	}
	j, err := journal.Open(journal.Options{Dir: s.o.Dir, Clock: s.clock, Log: s.log, History: s.config.leases.history, Hold: s.ready})
	if err != nil {
		return err
	}
	s.journal = j
	s.table = lease.NewTable(lease.Options{Clock: s.clock, Slack: s.config.leases.slack})
	var live []lease.Lease
	for _, l := range j.Leases() {
		if l.State == lease.Bound {
			live = append(live, l)
		} else {
			s.past = append(s.past, l)
		}
	}
	s.table.Restore(live, s.clock.Now())
	return s.build()
}
