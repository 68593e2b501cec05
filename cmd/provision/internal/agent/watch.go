package agent

import (
	"errors"
	"fmt"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/routing/watch"
)

// WatchSocket is where a running watch answers.
const WatchSocket = "/run/provision/watch.sock"

// WatchOptions adjust Watch.
type WatchOptions struct {
	Preset string
	Once   bool
	// Socket is where questions are answered; empty for nowhere.
	Socket string
	// Notify tells the service manager (sd_notify(3)).
	Notify func(state string)
	// Reload gives the configuration again when it is called for; nil: never.
	Reload <-chan func() (watch.Config, error)
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
