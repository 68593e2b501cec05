package watching

import (
	"context"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/tunnel/update"
	"github.com/provision-net/provision/routing/watch"
)

// Told gives the job of tunnels' endpoints what it needs of the running system, and runs it.
type Told struct {
	Sender update.Sender
	Feed   func(watch.Event)
	jobs   latest[*update.Job]
}

// Job makes the job of a configuration; Run tells the servers of it, and no longer those of the one
// before.
func (u *Told) Job(list []update.Tunnel) *update.Job {
	j := &update.Job{Tunnels: list, Sender: u.Sender, Tell: func(what string) {
		u.Feed(watch.Event{Parts: facts.PartAddrs, Count: 1, Causes: []watch.Cause{{What: what}}})
	}}
	u.jobs.put(j)
	return j
}

// Run tells servers until ctx ends.
func (u *Told) Run(ctx context.Context) error {
	u.jobs.follow(ctx, func(ctx context.Context, j *update.Job) { _ = j.Run(ctx) }) // it ends with ctx only
	return nil
}
