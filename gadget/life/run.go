package life

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/gadget/verdict"
)

// Cable is the USB side. Its methods come back when the step is done, whether or not a host is
// there; one runs at a time.
type Cable interface {
	Reconnect(ctx context.Context) error // soft_connect: disconnect, a moment, connect
	Rebind(ctx context.Context) error    // the gadget off its UDC and on again
	// RebindDriver takes the controller off its driver and puts it on again. This may end worse than it
	// began: where a network function has been on a controller that goes and comes, a later bind may
	// fail with ENOENT, because the kernel leaves a directory behind when it moves the network device
	// away at the unbind (seen with Linux 6.1.192 and dummy_hcd: "kobject_add_internal failed for usb0
	// (error: -2 parent: net)").
	RebindDriver(ctx context.Context) error
}

// Planner changes what is wanted, and applies it.
type Planner interface {
	// Switch applies the gadget with another profile; one that is there already is left alone.
	Switch(ctx context.Context, p verdict.Profile) error
	// Readdress plans the subnets again, with the present facts.
	Readdress(ctx context.Context) error
	// Restore applies what is wanted already.
	Restore(ctx context.Context) error
}

// Meter looks at the links. Its methods are quick.
type Meter interface {
	// Count is the packets of the gadget's devices, as far as they exist.
	Count(ctx context.Context) ([]Count, error)
	// Probe sends something to each host that has a lease, and does not wait for the answer.
	Probe(ctx context.Context) error
}

// Desk keeps the table of hosts, and has the lamp.
type Desk interface {
	Save(ctx context.Context, t verdict.Table) error
	Show(ctx context.Context, s led.State) error
}

// Clock is time. A provision.Clock is one.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// Deps are the hands and senses of a Runner.
type Deps struct {
	// Events come until the Runner ends; a closed channel ends it. Nobody else reads from it.
	Events  <-chan Event
	Cable   Cable
	Planner Planner
	Meter   Meter
	Desk    Desk
	Clock   Clock
	Log     *slog.Logger
}

// Runner runs a Decider.
type Runner struct {
	deps    Deps
	decider *Decider
	done    chan Done

	mu     sync.Mutex
	status Status
}

// NewRunner makes one; nothing happens before Run.
func NewRunner(c Config, t verdict.Table, deps Deps) *Runner {
	r := &Runner{deps: deps, decider: New(c, t, deps.Clock.Now()), done: make(chan Done, 1)}
	r.status = r.decider.Status()
	return r
}

// Status is the present one. Any goroutine may call it.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Run follows the events until ctx or they end. A step that is under way is waited for.
func (r *Runner) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		var wake <-chan time.Time
		if t, ok := r.decider.Next(); ok {
			wake = r.deps.Clock.After(max(t.Sub(r.deps.Clock.Now()), 0))
		}
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-r.deps.Events:
			if !ok {
				return nil
			}
			r.take(ctx, &running, e)
		case done := <-r.done:
			// What was told while the step went on comes first: it is of the time before its end.
			for range len(r.deps.Events) {
				e, ok := <-r.deps.Events
				if !ok {
					return nil
				}
				r.take(ctx, &running, e)
			}
			r.take(ctx, &running, done)
		case <-wake:
			r.take(ctx, &running, nil)
		}
	}
}

// take gives an event to the decider and does what it says. Counts that it asked for are an event
// again.
func (r *Runner) take(ctx context.Context, running *sync.WaitGroup, e Event) {
	for first := true; first || e != nil; first = false {
		actions := r.decider.Take(r.deps.Clock.Now(), e)
		e = nil
		for _, a := range actions {
			if got := r.do(ctx, running, a); got != nil {
				e = got
			}
		}
	}
	s := r.decider.Status()
	r.mu.Lock()
	r.status = s
	r.mu.Unlock()
}

func (r *Runner) do(ctx context.Context, running *sync.WaitGroup, a Action) Event {
	log := r.deps.Log
	var err error
	switch a.Do {
	case Ask:
		var c []Count
		if c, err = r.deps.Meter.Count(ctx); err == nil {
			return Counts{c}
		}
	case Probe:
		err = r.deps.Meter.Probe(ctx)
	case Show:
		err = r.deps.Desk.Show(ctx, a.LED)
	case Save:
		err = r.deps.Desk.Save(ctx, r.decider.Table())
	case Report:
		log.Warn("usb gadget", "report", a.Why)
	default:
		log.Info("usb gadget", "action", string(a.Do), "profile", string(a.Profile), "because", a.Why)
		running.Add(1)
		go func() {
			defer running.Done()
			err := r.step(ctx, a)
			if err != nil && ctx.Err() == nil {
				log.Error("usb gadget", "action", string(a.Do), "error", err)
			}
			r.done <- Done{Do: a.Do, Err: err} // there is room: one step at a time
		}()
		return nil
	}
	if err != nil && ctx.Err() == nil {
		log.Warn("usb gadget", "action", string(a.Do), "error", err)
	}
	return nil
}

func (r *Runner) step(ctx context.Context, a Action) error {
	switch a.Do {
	case Switch:
		return r.deps.Planner.Switch(ctx, a.Profile)
	case Readdress:
		return r.deps.Planner.Readdress(ctx)
	case Restore:
		return r.deps.Planner.Restore(ctx)
	case Reconnect:
		return r.deps.Cable.Reconnect(ctx)
	case Rebind:
		return r.deps.Cable.Rebind(ctx)
	case RebindDriver:
		return r.deps.Cable.RebindDriver(ctx)
	}
	return nil
}
