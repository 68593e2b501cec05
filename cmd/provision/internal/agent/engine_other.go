//go:build !linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/provision-net/provision/gadget/doctor"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/watch"
)

func newRunner() (host.Runner, func() int64) { return nil, func() int64 { return 0 } }

func (a *Agent) engine() (e *provision.Engine, done func(), err error) {
	return nil, nil, fmt.Errorf("%w: the network of %s is not ours to manage; this works on Linux", ErrMissing, runtime.GOOS)
}

func (a *Agent) alive(context.Context, provision.Plan) error { return nil }

func (a *Agent) gadgetKernel(context.Context, *facts.Facts) error { return nil }

// GadgetStatus works on Linux.
func (a *Agent) GadgetStatus(context.Context, string) (GadgetStatus, error) {
	return GadgetStatus{}, errGadget()
}

// GadgetDoctor works on Linux.
func (a *Agent) GadgetDoctor(context.Context, string) (doctor.Report, error) {
	return doctor.Report{}, errGadget()
}

// GadgetWatch works on Linux.
func (a *Agent) GadgetWatch(context.Context, GadgetWatchOptions) error { return errGadget() }

func errGadget() error { return fmt.Errorf("%w: USB gadgets are made on Linux only", ErrMissing) }

func (a *Agent) check(context.Context, Goal) error { return nil }

func (a *Agent) restoreForeign(context.Context) error { return nil }

func (a *Agent) arm(context.Context, time.Duration) error {
	return fmt.Errorf("%w: --confirm works on Linux", ErrMissing)
}

func (a *Agent) seen(context.Context, *facts.Facts) (foreign.Seen, error) {
	return foreign.Seen{}, nil
}

func (a *Agent) live(context.Context) (*nft.Table, error) { return nil, nft.ErrUnsupported }

// Watch works on Linux.
func (a *Agent) Watch(context.Context, WatchOptions) (watch.Status, error) {
	return watch.Status{}, fmt.Errorf("%w: the network can be watched on Linux only", ErrMissing)
}

func (a *Agent) settle(context.Context, kept.State, kept.State) error { return nil }

func (a *Agent) settleLocked(context.Context, *provision.Engine, kept.State, killswitch.State, killswitch.Ask, filled) (killswitch.State, error) {
	return killswitch.State{}, nil
}

func (a *Agent) restoreClock() error { return nil }

func (a *Agent) tables(context.Context) ([]nft.Table, error) { return nil, nft.ErrUnsupported }

// ErrWatched: another process watches already.
var ErrWatched = errors.New("another watch is running")

func (a *Agent) saveSets(*nft.Table) error { return nil }

func (a *Agent) sweepSets(context.Context, *provision.Engine) error { return nil }

func (a *Agent) unwatch(context.Context) error { return nil }

type filled map[string]time.Duration

// lookOnce is for what only Linux has.
func lookOnce(ctx context.Context) context.Context { return ctx }
