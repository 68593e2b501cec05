package names

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/provision-net/provision/provision/facts"
	resource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard"
)

// World is the machine.
type World interface {
	// Device is one as it is, nil when there is none.
	Device(ctx context.Context, name string) (*resource.Device, error)
	// Lookup asks for the addresses of a host, with packets that have the mark: beside all tunnels. The
	// best come first.
	Lookup(ctx context.Context, host string, mark uint32) ([]netip.Addr, error)
	// Point says where a peer is.
	Point(ctx context.Context, n wireguard.Named, at netip.AddrPort) error
	// Allow has a kill switch let packets to the peer out, for an hour.
	Allow(ctx context.Context, n wireguard.Named, at netip.AddrPort) error
}

// Job lets a watch keep endpoints; what takes its time is in Run.
type Job struct {
	Named []wireguard.Named
	World World
	// Tell makes the watch look, with what has happened.
	Tell  func(what string)
	Now   func() time.Time // nil: time.Now
	Stale time.Duration    // 0: Stale
	Every time.Duration    // how often peers are looked at; 0: 30 s

	mu       sync.Mutex
	ways     uint64 // what leads out, and which devices there are
	families []int
	moved    bool
	notes    map[string]string // what is wrong, by what it is about
	wake     chan struct{}

	seen map[wireguard.Named]*Seen // of Run
}

var _ watch.Job = (*Job)(nil)

const (
	defaultEvery = 30 * time.Second
	lookupLimit  = 15 * time.Second
	allowEvery   = 20 * time.Minute
	tableMain    = 254
)

// Name is "endpoints".
func (j *Job) Name() string { return "endpoints" }

// Needs what leads out.
func (j *Job) Needs() watch.Needs {
	if len(j.Named) == 0 {
		return watch.Needs{}
	}
	return watch.Needs{Parts: facts.PartLinks | facts.PartAddrs | facts.PartRoutes4 | facts.PartRoutes6}
}

// Look notices when the ways out have changed, and tells what Run has found wrong.
func (j *Job) Look(s *watch.State) []watch.Repair {
	ways, families := j.waysOut(s)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.init()
	if ways != j.ways {
		j.ways, j.families, j.moved = ways, families, true
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
	keys := make([]string, 0, len(j.notes))
	for k := range j.notes {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out []watch.Repair
	for _, k := range keys {
		out = append(out, watch.Repair{Key: k, Why: j.notes[k]})
	}
	return out
}

func (j *Job) init() {
	if j.wake == nil {
		j.wake = make(chan struct{}, 1)
	}
}

// waysOut is a number that changes with the default routes, the addresses of their devices and the
// tunnels' devices, and the families that have a default route beside the tunnels.
func (j *Job) waysOut(s *watch.State) (uint64, []int) {
	h := fnv.New64a()
	var families []int
	out := map[int]bool{}
	for _, l := range s.Links {
		tunnel := slices.ContainsFunc(j.Named, func(n wireguard.Named) bool { return n.Device == l.Name })
		if tunnel {
			fmt.Fprintln(h, "tunnel", l.Name, l.Index)
		}
		out[l.Index] = !tunnel && l.Up && l.Carrier
	}
	for _, r := range s.Routes {
		links := []int{r.Link}
		for _, hop := range r.Hops {
			links = append(links, hop.Link)
		}
		if !r.Default() || r.Table != tableMain || r.Type != "unicast" || !slices.ContainsFunc(links, func(i int) bool { return out[i] }) {
			continue
		}
		fmt.Fprintln(h, "default", r.Dst, r.Gateway, links)
		if f := familyOf(r.Dst.Addr()); !slices.Contains(families, f) {
			families = append(families, f)
		}
		for _, a := range s.Addrs {
			if slices.Contains(links, a.Link) && a.Scope == "global" && familyOf(a.Prefix.Addr()) == familyOf(r.Dst.Addr()) {
				fmt.Fprintln(h, a.Prefix)
			}
		}
	}
	return h.Sum64(), families
}

// Run looks at the peers until ctx ends, which is its only error.
func (j *Job) Run(ctx context.Context) error {
	j.mu.Lock()
	j.init()
	j.mu.Unlock()
	if len(j.Named) == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	every := j.Every
	if every == 0 {
		every = defaultEvery
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-j.wake:
		case <-timer.C:
		}
		again := j.round(ctx)
		wait := every
		if !again.IsZero() {
			wait = min(wait, max(again.Sub(j.now()), time.Second))
		}
		timer.Reset(wait)
	}
}

func (j *Job) now() time.Time {
	if j.Now != nil {
		return j.Now()
	}
	return time.Now()
}

// round looks once at all peers, and says when one has to be asked for next.
func (j *Job) round(ctx context.Context) (again time.Time) {
	j.mu.Lock()
	families, moved := j.families, j.moved
	j.moved = false
	j.mu.Unlock()
	if j.seen == nil {
		j.seen = map[wireguard.Named]*Seen{}
	}
	notes := map[string]string{}
	devices := map[string]*resource.Device{}
	for _, n := range j.Named {
		d, read := devices[n.Device]
		if !read {
			var err error
			if d, err = j.World.Device(ctx, n.Device); err != nil {
				notes[n.Device] = fmt.Sprintf("the peers of %s cannot be read: %v", n.Device, err)
			}
			devices[n.Device] = d
		}
		if d == nil {
			continue
		}
		p := d.Peer(n.PublicKey)
		if p == nil {
			continue
		}
		s := j.seen[n]
		if s == nil {
			s = &Seen{Sent: p.Sent, Received: p.Received}
			j.seen[n] = s
		}
		if moved {
			s.Tries, s.Next = 0, time.Time{}
		}
		// Where it is called now comes first: a question may take its time, and packets wait for a kill switch meanwhile.
		if why := j.allow(ctx, n, s, p.Endpoint); why != "" {
			notes[n.Device+" "+n.Peer+" guard"] = why
		}
		if why := j.peer(ctx, n, s, *p, d.Fwmark, families); why != "" {
			notes[n.Device+" "+n.Peer] = why
		}
		if !s.Next.IsZero() && (again.IsZero() || s.Next.Before(again)) {
			again = s.Next
		}
	}
	j.tell(notes)
	return again
}

// peer does what one needs. What it returns is for people.
func (j *Job) peer(ctx context.Context, n wireguard.Named, s *Seen, p resource.Peer, mark uint32, families []int) string {
	stale := j.Stale
	if stale == 0 {
		stale = Stale
	}
	need := Look(j.now(), stale, s, p, families)
	if !need.Ask {
		return ""
	}
	limited, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	list, err := j.World.Lookup(limited, n.Host, mark)
	s.Asked(j.now(), err == nil, need.Calling)
	if ctx.Err() != nil {
		return ""
	}
	if err != nil {
		return fmt.Sprintf("%s, where peer %s of %s is, has no address now: %v", n.Host, n.Peer, n.Device, err)
	}
	at, ok := Choose(p.Endpoint, list, n.Port, families, need.Calling)
	if !ok {
		return ""
	}
	if why := j.allow(ctx, n, s, at); why != "" {
		return why
	}
	if err := j.World.Point(ctx, n, at); err != nil {
		return fmt.Sprintf("peer %s of %s cannot be told to be at %s: %v", n.Peer, n.Device, at, err)
	}
	return ""
}

// allow renews the way out to where a peer is, which is where it was heard last.
func (j *Job) allow(ctx context.Context, n wireguard.Named, s *Seen, at netip.AddrPort) string {
	now := j.now()
	if !at.IsValid() || at == s.allowed && now.Sub(s.allowedAt) < allowEvery {
		return ""
	}
	if err := j.World.Allow(ctx, n, at); err != nil {
		return fmt.Sprintf("the kill switch cannot be told that peer %s of %s is at %s: %v", n.Peer, n.Device, at, err)
	}
	s.allowed, s.allowedAt = at, now
	return ""
}

// tell has the watch look when what is wrong has changed.
func (j *Job) tell(notes map[string]string) {
	j.mu.Lock()
	same := len(notes) == len(j.notes)
	for k, v := range notes {
		same = same && j.notes[k] == v
	}
	j.notes = notes
	j.mu.Unlock()
	if !same && j.Tell != nil {
		j.Tell("endpoints of tunnels")
	}
}
