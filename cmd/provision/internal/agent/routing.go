package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing"
)

// routing asks the wing of the way out, in a second pass: what the others need is known by now.
func (a *Agent) routing(ctx context.Context, f *facts.Facts) (routing.Result, error) {
	in := routing.Input{Facts: f, Intents: served(a.Config.Serve), Units: a.Units}
	if len(a.Config.Routing.Adapters) > 0 && !a.offline() {
		seen, err := a.seen(ctx, f)
		if err != nil {
			return routing.Result{}, err
		}
		in.Seen = seen
	}
	return routing.Plan(in, a.Config.Routing)
}

// cuts refuses a plan that puts up a firewall through which an SSH session would not come back.
func (g Goal) cuts(p provision.Plan) error {
	if !slices.ContainsFunc(p.Changes, func(c provision.Change) bool { return c.Ref.Kind == nft.Kind }) {
		return nil
	}
	var errs []error
	for _, c := range g.Routing.Cuts {
		errs = append(errs, fmt.Errorf("refused, nothing was changed: %s (--force applies it all the same)", c.Why))
	}
	return errors.Join(errs...)
}
