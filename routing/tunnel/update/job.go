package update

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/watch"
)

// Tunnel is one whose server is told.
type Tunnel struct {
	Name      string
	Interface string // that outer packets leave by; empty: as the routes say
	Config    Config
}

// Sender tells servers.
type Sender interface {
	// Stamp stands for the key file as it is now, and changes when it does.
	Stamp(c Config) string
	// Send tells one server, by the device of the way.
	Send(ctx context.Context, t Tunnel, w Way) Answer
}

// Job lets a watch see how addresses change; servers are told beside it, in Run.
type Job struct {
	Tunnels []Tunnel
	Sender  Sender
	// Tell makes the watch look, with what has happened; any goroutine calls it. Nil: nobody is told.
	Tell func(what string)
	Now  func() time.Time // nil: time.Now

	mu      sync.Mutex
	seen    map[string]seen
	states  map[string]State
	changed bool
	wake    chan struct{}
}

type seen struct {
	way   Way
	since time.Time
}

var (
	_ watch.Job        = (*Job)(nil)
	_ watch.Rememberer = (*Job)(nil)
)

// Name is "tunnel endpoints".
func (j *Job) Name() string { return "tunnel endpoints" }

// Needs devices, their addresses and IPv4 routes, if anybody is to be told.
func (j *Job) Needs() watch.Needs {
	if len(j.Tunnels) == 0 {
		return watch.Needs{}
	}
	return watch.Needs{Parts: facts.PartLinks | facts.PartAddrs | facts.PartRoutes4}
}

// Look notes by which way each tunnel leaves, and tells of servers that do not take it.
func (j *Job) Look(s *watch.State) []watch.Repair {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.init()
	var out []watch.Repair
	woken := false
	for _, t := range j.Tunnels {
		w := Uplink(s.Links, s.Addrs, s.Routes, t.Interface)
		if was, known := j.seen[t.Name]; !known || was.way != w {
			j.seen[t.Name], woken = seen{w, s.Now}, true
		}
		if st := j.states[t.Name]; st.Text != "" && st.Kind != Good && st.Kind != Same {
			why := fmt.Sprintf("tunnel %s: %s", t.Name, st.Text)
			if st.Kind == Refused {
				why += "; it is asked again when the configuration or the key has changed"
			}
			out = append(out, watch.Repair{Key: t.Name + " " + string(st.Kind), Why: why})
		}
	}
	if woken {
		j.poke()
	}
	return out
}

func (j *Job) init() {
	if j.seen == nil {
		j.seen = map[string]seen{}
	}
	if j.states == nil {
		j.states = map[string]State{}
	}
	if j.wake == nil {
		j.wake = make(chan struct{}, 1)
	}
}

func (j *Job) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// keyEvery is how often key files are looked at for what was refused with them.
const keyEvery = time.Minute

// Run tells servers when it is time, until ctx ends.
func (j *Job) Run(ctx context.Context) error {
	j.mu.Lock()
	j.init()
	j.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-j.wake:
		case <-timer.C:
		}
		next := j.now().Add(keyEvery)
		for _, t := range j.Tunnels {
			at := j.turn(ctx, t)
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		timer.Reset(max(0, next.Sub(j.now())))
	}
}

// turn tells one server, if it is time, and says when it will be.
func (j *Job) turn(ctx context.Context, t Tunnel) time.Time {
	key := t.Config.url() + " " + t.Config.ID + " " + t.Config.User + " " + t.Config.KeyFile + " " + t.Config.MyIP + " " + j.Sender.Stamp(t.Config)
	j.mu.Lock()
	st, s := j.states[t.Name], j.seen[t.Name]
	j.mu.Unlock()
	at := st.Due(t.Config, key, s.way, s.since)
	if at.IsZero() || at.After(j.now()) {
		return at
	}
	a := j.Sender.Send(ctx, t, s.way)
	if ctx.Err() != nil {
		return time.Time{}
	}
	st = st.After(t.Config, key, s.way, a, j.now())
	j.mu.Lock()
	j.states[t.Name], j.changed = st, true
	s = j.seen[t.Name]
	j.mu.Unlock()
	if j.Tell != nil {
		j.Tell(fmt.Sprintf("the server of tunnel %s was told (%s)", t.Name, a.Kind))
	}
	return st.Due(t.Config, key, s.way, s.since)
}

func (j *Job) now() time.Time {
	if j.Now != nil {
		return j.Now()
	}
	return time.Now()
}

// States are what is known, by tunnel.
func (j *Job) States() map[string]State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.states)
}

// Remember implements watch.Rememberer.
func (j *Job) Remember() (any, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	changed := j.changed
	j.changed = false
	return maps.Clone(j.states), changed
}

// Recall implements watch.Rememberer.
func (j *Job) Recall(text json.RawMessage) error {
	var s map[string]State
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.init()
	for name, st := range s {
		if slices.ContainsFunc(j.Tunnels, func(t Tunnel) bool { return t.Name == name }) {
			j.states[name] = st
		}
	}
	j.poke()
	return nil
}
