package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Prober asks a host through a device. Its error says for people why there was no answer; it
// comes back as soon as ctx ends. Several goroutines call it.
type Prober interface {
	Probe(ctx context.Context, device string, c Check) error
}

// Flows ends the connections that are translated to an address, so that they begin anew by
// another way.
type Flows interface {
	// Forget logs how it went.
	Forget(ctx context.Context, addrs []netip.Addr) error
}

// Run makes the checks, each uplink at its interval, until ctx ends.
func (j *Job) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, r := range j.Rules {
		wg.Go(func() { j.follow(ctx, r) })
	}
	flows := j.pending()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil
		case addrs := <-flows:
			_ = j.Flows.Forget(ctx, addrs) // it says so itself; the routes are right in any case
		}
	}
}

// pending is the way to Flows.
func (j *Job) pending() chan []netip.Addr {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.flows == nil {
		j.flows = make(chan []netip.Addr, 1)
	}
	return j.flows
}

// end hands addresses over; false: later. The caller has the lock.
func (j *Job) end(addrs []netip.Addr) bool {
	if j.Flows == nil {
		return true
	}
	if j.flows == nil {
		j.flows = make(chan []netip.Addr, 1)
	}
	select {
	case j.flows <- addrs:
		return true
	default:
		return false
	}
}

func (j *Job) follow(ctx context.Context, r Rules) {
	tick := time.NewTicker(r.Interval)
	defer tick.Stop()
	for {
		j.report(ctx, r, round(ctx, j.Prober, r))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round asks everything at once, and is over for a family with its first answer. What it
// returns are the families that were asked, with the reasons of those that did not answer.
func round(ctx context.Context, p Prober, r Rules) map[int]error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	type answer struct {
		Check
		err error
	}
	asked := map[int]context.Context{}
	over := map[int]context.CancelFunc{}
	for _, c := range r.Checks {
		if asked[c.Family()] == nil {
			asked[c.Family()], over[c.Family()] = context.WithCancel(ctx)
		}
	}
	answers := make(chan answer)
	for _, c := range r.Checks {
		go func() { answers <- answer{c, p.Probe(asked[c.Family()], r.Interface, c)} }()
	}
	out := map[int]error{}
	good := map[int]bool{}
	for range r.Checks {
		a := <-answers
		f := a.Family()
		switch {
		case a.err == nil:
			good[f] = true
			over[f]()
		case !good[f] && out[f] == nil:
			out[f] = fmt.Errorf("%s: %w", a.Check, a.err)
		}
	}
	for f, cancel := range over {
		cancel()
		if good[f] {
			out[f] = nil
		} else if out[f] == nil {
			out[f] = errors.New("no answer")
		}
	}
	return out
}

// report takes a round into account, and tells the watch when a verdict has changed.
func (j *Job) report(ctx context.Context, r Rules, asked map[int]error) {
	if ctx.Err() != nil {
		return // cut off: that says nothing
	}
	for _, pair := range [][2]int{{4, 6}, {6, 4}} {
		err, ok := asked[pair[1]]
		if _, own := asked[pair[0]]; !own && ok {
			asked[pair[0]] = err
		}
	}
	var news []string
	j.mu.Lock()
	now := j.now()
	j.state = j.state.clone()
	if j.errs == nil {
		j.errs = map[Key]string{}
	}
	for _, family := range []int{4, 6} {
		err, ok := asked[family]
		if !ok {
			continue
		}
		key := Key{r.Interface, family}
		before := j.state.Health[key].Down
		j.state.judge(j.Rules, []Round{{key, err == nil}}, now)
		delete(j.errs, key)
		if err != nil {
			j.errs[key] = err.Error()
		}
		switch after := j.state.Health[key].Down; {
		case after && !before:
			news = append(news, fmt.Sprintf("uplink %s IPv%d does not answer", r.Interface, family))
		case before && !after:
			news = append(news, fmt.Sprintf("uplink %s IPv%d answers again", r.Interface, family))
		}
	}
	j.changed = j.changed || len(news) > 0
	j.mu.Unlock()
	for _, what := range news {
		j.tell(what)
	}
}

func (j *Job) tell(what string) {
	if j.Tell != nil {
		j.Tell(what)
	}
}
