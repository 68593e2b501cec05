package watching

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/conntrack"
	"github.com/provision-net/provision/provision/host/probe"
	"github.com/provision-net/provision/routing/uplink"
	"github.com/provision-net/provision/routing/watch"
)

// Uplinks gives the job of the uplinks what it needs of the running system, and runs its checks.
type Uplinks struct {
	feed   func(watch.Event)
	prober uplink.Prober
	flows  uplink.Flows
	next   chan *uplink.Job
}

// NewUplinks is for one watch. The mark is that of packets which do not take the tunnel.
func NewUplinks(s *System, mark uint32, log *slog.Logger) *Uplinks {
	return &Uplinks{feed: s.Feed, prober: Prober{mark}, flows: flows{log}, next: make(chan *uplink.Job, 1)}
}

// Job makes the job of a configuration; Run checks for it, and no longer for the one before. One
// without uplinks takes away the routes that an earlier one has left.
func (u *Uplinks) Job(c uplink.Config) *uplink.Job {
	j := &uplink.Job{Rules: c.Rules(), Prober: u.prober, Flows: u.flows, Tell: u.tell}
	select {
	case <-u.next: // not taken yet: this is newer
	default:
	}
	u.next <- j
	return j
}

// tell makes the watch look at the routes.
func (u *Uplinks) tell(what string) {
	u.feed(watch.Event{Parts: facts.PartRoutes4 | facts.PartRoutes6, Count: 1, Causes: []watch.Cause{{What: what}}})
}

// Run makes the checks until ctx ends.
func (u *Uplinks) Run(ctx context.Context) error {
	stop := func() {}
	for {
		select {
		case <-ctx.Done():
			stop()
			return nil
		case job := <-u.next:
			stop()
			checks, cancel := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = job.Run(checks) // it ends with checks only
			}()
			stop = func() { cancel(); <-done }
		}
	}
}

// Prober asks through devices of this network namespace.
type Prober struct {
	// Mark is that of packets which do not take the tunnel, where all others do; 0: none.
	Mark uint32
}

// Probe implements uplink.Prober.
func (p Prober) Probe(ctx context.Context, device string, c uplink.Check) error {
	by := probe.Through{Device: device, Mark: p.Mark}
	switch c.Kind {
	case uplink.Ping:
		return probe.Echo(ctx, by, c.To.Addr())
	case uplink.TCP:
		return probe.TCP(ctx, by, c.To)
	case uplink.DNS:
		return probe.DNS(ctx, by, c.To)
	}
	return fmt.Errorf("%q is no check", c.Kind)
}

type flows struct{ log *slog.Logger }

// Forget implements uplink.Flows.
func (f flows) Forget(ctx context.Context, addrs []netip.Addr) error {
	n, err := conntrack.Forget(ctx, addrs)
	if err != nil {
		f.log.Warn("flows of the uplink that was left could not be ended", "addresses", addrs, "err", err)
		return err
	}
	f.log.Info("flows of the uplink that was left were ended", "addresses", addrs, "flows", n)
	return nil
}
