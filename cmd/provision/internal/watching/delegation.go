package watching

import (
	"context"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/delegation"
	"github.com/provision-net/provision/routing/watch"
)

// Delegation gives the job of delegated prefixes what it needs of the running system, and runs its
// client.
type Delegation struct {
	Link delegation.Link
	Feed func(watch.Event)
	jobs latest[*delegation.Job]
	last *delegation.Job
}

// Job makes the job of a configuration; Run asks for it, and no longer for the one before. One
// without a configuration takes away the addresses that an earlier one has left.
func (d *Delegation) Job(c delegation.Config) *delegation.Job {
	j := &delegation.Job{Config: c, Link: d.Link, Tell: func(what string) {
		d.Feed(watch.Event{Parts: facts.PartAddrs, Count: 1, Causes: []watch.Cause{{What: what}}})
	}}
	d.last = j
	d.jobs.put(j)
	return j
}

// Settle gives back what the last job has to, for whoever does not Run.
func (d *Delegation) Settle(ctx context.Context) { d.last.Settle(ctx) }

// Run asks for prefixes until ctx ends.
func (d *Delegation) Run(ctx context.Context) error {
	d.jobs.follow(ctx, func(ctx context.Context, j *delegation.Job) { _ = j.Run(ctx) }) // it ends with ctx only
	return nil
}
