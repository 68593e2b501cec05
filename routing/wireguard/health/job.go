package health

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/watch"
)

// World is the machine.
type World interface {
	// Device is one as it is, nil when there is none.
	Device(ctx context.Context, name string) (*wireguard.Device, error)
}

// Watched are peers by device and public key.
type Watched map[string]map[wireguard.Key]Peer

// Job has a watch tell once when the handshakes of a peer stall. It reads the devices in Run, because
// nothing announces that a handshake did not take place.
type Job struct {
	World World
	// Tell makes the watch look, with what has happened.
	Tell  func(what string)
	Now   func() time.Time // nil: time.Now
	Every time.Duration    // 0: a minute

	mu    sync.Mutex
	peers Watched
	notes map[string]watch.Repair // by device and public key

	seen History // of Run
}

var _ watch.Job = (*Job)(nil)

const defaultEvery = time.Minute

// Name is "handshakes".
func (j *Job) Name() string { return "handshakes" }

// Keep says which peers there are from now on. What was seen of those that stay is kept.
func (j *Job) Keep(w Watched) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.peers = w
}

// Needs nothing of the state; it is asked again when Tell has said that something changed.
func (j *Job) Needs() watch.Needs {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.peers) == 0 {
		return watch.Needs{}
	}
	return watch.Needs{Parts: facts.PartLinks}
}

// Look tells what Run has found.
func (j *Job) Look(*watch.State) []watch.Repair {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []watch.Repair
	for _, r := range j.notes {
		out = append(out, r)
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Key < out[b].Key })
	return out
}

// Run looks at the devices until ctx ends, which is its only error.
func (j *Job) Run(ctx context.Context) error {
	every := j.Every
	if every == 0 {
		every = defaultEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			j.round(ctx)
		}
	}
}

// round looks once. A device that cannot be read now is as it was.
func (j *Job) round(ctx context.Context) {
	j.mu.Lock()
	peers := j.peers
	j.mu.Unlock()
	if j.seen == nil {
		j.seen = History{}
	}
	now := time.Now()
	if j.Now != nil {
		now = j.Now()
	}
	notes := map[string]watch.Repair{}
	for name, list := range peers {
		d, err := j.World.Device(ctx, name)
		if err != nil || d == nil {
			continue
		}
		j.seen.Note(d, now)
		for i := range d.Peers {
			live := &d.Peers[i]
			p, ours := list[live.PublicKey]
			key := live.PublicKey.String()
			if !ours || live.LastHandshake.IsZero() || j.seen[name][key].Stalls == 0 {
				continue
			}
			// The words stay the same as long as it is so, and are told once.
			notes[name+" "+key] = watch.Repair{Key: "peer " + p.Name + " of " + name, Harmless: !p.Calls, // it may just be off
				Why: fmt.Sprintf("peer %s of %s: %s", p.Name, name, p.stall("since "+live.LastHandshake.UTC().Format("2006-01-02 15:04 MST")))}
		}
	}
	for name := range j.seen {
		if peers[name] == nil {
			delete(j.seen, name)
		}
	}
	j.mu.Lock()
	same := len(notes) == len(j.notes)
	for k, r := range notes {
		same = same && j.notes[k].Why == r.Why
	}
	j.notes = notes
	j.mu.Unlock()
	if !same && j.Tell != nil {
		j.Tell("handshakes of tunnels")
	}
}
