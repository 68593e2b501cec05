package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/watch"
)

// WatchSocket is where a running watch answers.
const WatchSocket = "/run/provision/watch.sock"

// ErrIdle: a watch would have nothing to do.
var ErrIdle = errors.New("nothing was committed that has to be kept, and nothing is configured under routing.watch; `--preset eks` needs no configuration")

// errYielded: another watch has asked for this one's place.
var errYielded = errors.New("another watch takes over")

// WatchBeside watches in a process that runs for another reason, as long as no other one does and
// there is something to do: one that is there for nothing else gets its place. It never ends that process.
func (a *Agent) WatchBeside(ctx context.Context, o WatchOptions) {
	o.Yields = true
	for {
		now := *a
		if o.Read != nil {
			// Whoever watched until now may have been told of another configuration since this process began.
			if c, err := o.Read(); err == nil { // one that is wrong is told of by whoever applies it
				now.Config.Routing = c
			}
		}
		_, err := now.Watch(ctx, o)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, ErrIdle) && !errors.Is(err, ErrWatched) && !errors.Is(err, errYielded) {
			a.Log.Error("the network is not watched", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(besidePause):
		}
	}
}

// besidePause is how soon somebody else's watch is taken over when it has ended.
const besidePause = 30 * time.Second

// WatchOptions adjust Watch.
type WatchOptions struct {
	Preset string
	Once   bool
	// Socket is where questions are answered; empty for nowhere.
	Socket string
	// Yields says that this watch gives way to one that asks at the socket.
	Yields bool
	// Notify tells the service manager (sd_notify(3)).
	Notify func(state string)
	// Reload gives the configuration again when it is called for; nil: never.
	Reload <-chan func() (routing.Config, error)
	// Read gives the configuration again when somebody asks at the socket; nil: nobody can.
	Read func() (routing.Config, error)
}

// watchConfig is the configuration's slice, and the preset that was asked for beside it.
func (a *Agent) watchConfig(c watch.Config, preset string) (watch.Config, error) {
	if preset != "" {
		if _, ok := watch.Preset(preset); !ok {
			return c, fmt.Errorf("%w: there is no preset %q", ErrConfig, preset)
		}
		c.Preset = preset
	}
	var errs []error
	for _, p := range c.Problems() {
		errs = append(errs, fmt.Errorf("%w: routing.watch.%s: %s", ErrConfig, p.Path, p.Text))
	}
	return c.Complete(), errors.Join(errs...)
}

// classes says how an attribute is compared, by the resources themselves.
func classes(e *provision.Engine) func(kind, attr string) provision.Class {
	return func(kind, attr string) provision.Class {
		if c, ok := e.Resources[kind].(provision.Classifier); ok {
			return c.Class(attr)
		}
		return provision.Exact
	}
}
