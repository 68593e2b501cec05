package tree

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/watch"
)

// World is the machine. Several goroutines call it.
type World interface {
	// Echo is how long a node takes to answer, asked by a device; it comes back as soon as ctx ends.
	Echo(ctx context.Context, device string, to netip.Addr) (time.Duration, error)
	// Spanning is how a bridge stands, nil when there is none.
	Spanning(ctx context.Context, name string) (*bridge.Spanning, error)
}

// Job lets a watch keep what wires cost; what takes its time is in Run. The way that is measured is the
// tunnel's: that is where the wire's packets go, and a wire that is blocked carries nothing else.
type Job struct {
	Config overlay.Config
	World  World
	// Tell makes the watch look, with what has happened; any goroutine calls it. Nil: nobody is told.
	Tell  func(what string)
	Now   func() time.Time // nil: time.Now
	Every time.Duration    // how often; 0: 10 s

	once    sync.Once
	near    []overlay.Neighbour
	mu      sync.Mutex
	state   State
	changed bool // state, since Remember
}

var (
	_ watch.Job        = (*Job)(nil)
	_ watch.Rememberer = (*Job)(nil)
)

const (
	// Name is that of the job.
	Name = "overlay"

	defaultEvery = 10 * time.Second
	echoLimit    = 3 * time.Second
	readLimit    = 5 * time.Second
)

// Name implements watch.Job.
func (j *Job) Name() string { return Name }

func (j *Job) neighbours() []overlay.Neighbour {
	j.once.Do(func() { j.near = j.Config.Neighbours() })
	return j.near
}

// Needs the ports whose costs are measured.
func (j *Job) Needs() watch.Needs {
	var n watch.Needs
	for _, near := range j.neighbours() {
		if near.Measured {
			n.Parts, n.Every = facts.PartLinks, time.Minute // nobody tells of a cost that was changed
			n.Refs = append(n.Refs, bridge.PortRef("name:"+near.Wire))
		}
	}
	return n
}

// Look has each measured wire cost what it is to.
func (j *Job) Look(s *watch.State) []watch.Repair {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []watch.Repair
	for _, n := range j.neighbours() {
		ref := bridge.PortRef("name:" + n.Wire)
		have := s.Have[ref]
		cost := strconv.Itoa(int(j.state.cost(n)))
		if !n.Measured || have == nil || have[bridge.AttrBridge] != j.Config.Switch() || have[bridge.AttrCost] == cost {
			continue
		}
		why := "nothing is known of it yet"
		if w := j.state.Wires[n.Wire]; w.Known {
			why = fmt.Sprintf("answers take %s", round(w.Smoothed))
		}
		// Each cost is a thing by itself, so that only one that somebody changes back counts as one that does
		// not last.
		out = append(out, watch.Repair{Key: ref.String() + " cost " + cost,
			Why: fmt.Sprintf("the wire to %s costs %s, and not %s: %s", n.Node, cost, have[bridge.AttrCost], why),
			Set: &watch.Fix{Want: provision.Want{Ref: ref, Attrs: provision.Attrs{bridge.AttrCost: cost}}, Have: have}})
	}
	return out
}

// round is a time with as many digits as anybody wants.
func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(100 * time.Microsecond)
}

// Run measures until ctx ends, which is its only error.
func (j *Job) Run(ctx context.Context) error {
	if len(j.neighbours()) == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(j.every())
	defer tick.Stop()
	for {
		j.round(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (j *Job) every() time.Duration {
	if j.Every != 0 {
		return j.Every
	}
	return defaultEvery
}

// round asks each node once, all at the same time, and looks at the tree.
func (j *Job) round(ctx context.Context) {
	rtts := ask(ctx, j.World, j.Config.Device(), min(echoLimit, j.every()), slices.DeleteFunc(slices.Clone(j.neighbours()), func(n overlay.Neighbour) bool { return !n.Measured }))
	reading, cancel := context.WithTimeout(ctx, readLimit)
	spanning, _ := j.World.Spanning(reading, j.Config.Switch()) // it is looked at again soon
	cancel()
	if ctx.Err() != nil {
		return // cut off: that says nothing
	}
	now := time.Now()
	if j.Now != nil {
		now = j.Now()
	}
	j.mu.Lock()
	next, cost := j.state.measured(j.neighbours(), rtts, now)
	next, turned := next.seen(spanning, now)
	j.state, j.changed = next, j.changed || cost || turned || len(rtts) > 0
	j.mu.Unlock()
	if j.Tell == nil {
		return
	}
	if cost {
		j.Tell("what wires cost has changed")
	} else if turned {
		j.Tell("the spanning tree has changed")
	}
}

// ask is how long the nodes that answer take, by wire.
func ask(ctx context.Context, w World, device string, limit time.Duration, near []overlay.Neighbour) map[string]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[string]time.Duration{}
	for _, n := range near {
		wg.Go(func() {
			if rtt, err := w.Echo(ctx, device, n.Far); err == nil {
				mu.Lock()
				out[n.Wire] = rtt
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out
}

// Remember implements watch.Rememberer.
func (j *Job) Remember() (any, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	changed := j.changed
	j.changed = false
	return j.state.clone(), changed
}

// Recall implements watch.Rememberer.
func (j *Job) Recall(text json.RawMessage) error {
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state = s.clone()
	return nil
}
