package watching

import (
	"context"
	"net/netip"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/probe"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/overlay/tree"
	"github.com/provision-net/provision/routing/watch"
)

// Wires implements tree.World in this network namespace.
type Wires struct{}

// Echo implements tree.World. The time has in it what making a socket takes, some ten microseconds.
func (Wires) Echo(ctx context.Context, device string, to netip.Addr) (time.Duration, error) {
	begin := time.Now()
	err := probe.Echo(ctx, probe.Through{Device: device}, to)
	return time.Since(begin), err
}

// Spanning implements tree.World.
func (Wires) Spanning(ctx context.Context, name string) (*bridge.Spanning, error) {
	return bridge.ReadSpanning(ctx, name)
}

// Overlay gives the job of an overlay what it needs of the running system, and runs it.
type Overlay struct {
	Feed  func(watch.Event)
	Every time.Duration // for tests; 0: the job's own
	jobs  latest[*tree.Job]
}

// Job makes the job of a configuration; Run measures for it, and no longer for the one before.
func (o *Overlay) Job(c overlay.Config) *tree.Job {
	j := &tree.Job{Config: c, World: Wires{}, Every: o.Every, Tell: func(what string) {
		o.Feed(watch.Event{Parts: facts.PartLinks, Count: 1, Causes: []watch.Cause{{What: what}}})
	}}
	o.jobs.put(j)
	return j
}

// Run measures until ctx ends.
func (o *Overlay) Run(ctx context.Context) error {
	o.jobs.follow(ctx, func(ctx context.Context, j *tree.Job) { _ = j.Run(ctx) }) // it ends with ctx only
	return nil
}
