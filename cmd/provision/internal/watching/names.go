package watching

import (
	"context"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/names"
)

// Names gives the job of endpoints by name what it needs of the running system, and runs it.
type Names struct {
	World names.World
	Feed  func(watch.Event)
	jobs  latest[*names.Job]
}

// Job makes the job for these; Run asks for them, and no longer for those of the one before.
func (n *Names) Job(list []wireguard.Named) *names.Job {
	j := &names.Job{Named: list, World: n.World, Tell: func(what string) {
		n.Feed(watch.Event{Parts: facts.PartLinks, Count: 1, Causes: []watch.Cause{{What: what}}})
	}}
	n.jobs.put(j)
	return j
}

// Run asks until ctx ends.
func (n *Names) Run(ctx context.Context) error {
	n.jobs.follow(ctx, func(ctx context.Context, j *names.Job) { _ = j.Run(ctx) }) // it ends with ctx only
	return nil
}
