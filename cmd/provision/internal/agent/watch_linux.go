package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/provision-net/provision/cmd/provision/internal/watching"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/dockeruser"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/delegation"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/tunnel/update"
	"github.com/provision-net/provision/routing/uplink"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard/health"
)

// Watch keeps what was committed and does the configured jobs, until ctx ends or, with Once,
// until nothing is left to do.
func (a *Agent) Watch(ctx context.Context, o WatchOptions) (watch.Status, error) {
	cfg, err := a.watchConfig(a.Config.Routing.Watch, o.Preset)
	if err != nil {
		return watch.Status{}, err
	}
	e, done, err := a.engine()
	if err != nil {
		return watch.Status{}, err
	}
	defer done()
	parameters, err := watching.Parameters()
	if err != nil {
		return watch.Status{}, fmt.Errorf("cannot reach the kernel's parameters: %w", err)
	}
	defer parameters.Close()
	sys, err := watching.Open(a.runner, parameters)
	if err != nil {
		return watch.Status{}, fmt.Errorf("cannot watch the network: %w", err)
	}
	defer sys.Close()
	var mark uint32 // checks of uplinks must not take the tunnel
	if state, err := a.kept(); err == nil && state.Switch != nil {
		mark = state.Switch.Input.Mark
	}
	ups := watching.NewUplinks(sys, mark, a.Log)
	told := &watching.Told{Sender: teller{mark: mark}, Feed: sys.Feed}
	given := &watching.Delegation{Link: watching.Links{}, Feed: sys.Feed}
	k := &keeper{agent: a, engine: e, config: cfg, ups: ups, given: given, told: told}
	k.measured = &watching.Overlay{Feed: sys.Feed}
	k.named = &watching.Names{Feed: sys.Feed, World: endpoints{agent: a, guards: k.guards, tables: &nft.Resource{}}}
	k.peers, k.tunnels = watching.Peers(endpoints{}, sys.Feed), a.Config.Routing
	eng := &watch.Engine{
		Source: sys, Hand: sys, Runner: sys, Resources: e.Resources, Memory: watching.MemoryPath,
		Lock: k.lock, Managers: watching.Managers, Overruns: sys.Overruns, Log: a.Log, Boot: watching.BootID(),
	}
	k.jobs = eng.SetJobs
	k.uplinks(a.Config.Routing.Uplinks)
	k.updates(a.Config.Routing.Updates())
	k.delegation(a.Config.Routing.Delegation)
	k.overlay(a.Config.Routing.Overlay)
	if err := k.load(); err != nil {
		return watch.Status{}, err
	}
	if k.idle() {
		if watchLeft() {
			// What an earlier configuration had loosened, or addressed, is put back first.
			if err := k.settle(ctx, eng); err != nil {
				return watch.Status{}, err
			}
		}
		return watch.Status{}, fmt.Errorf("%w: %w", ErrConfig, ErrIdle)
	}
	if o.Once {
		return eng.Once(ctx)
	}
	// Before anything is done: whoever sees what it does may ask it.
	var l net.Listener
	if o.Socket != "" {
		f, err := takeWatch(ctx, o)
		if err != nil {
			return watch.Status{}, err
		}
		defer f.Close()
		if l, err = control.Listen(o.Socket); err != nil {
			return watch.Status{}, err
		}
		defer os.Remove(o.Socket)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sys.Follow(ctx) })
	g.Go(func() error { return eng.Run(ctx, sys) })
	g.Go(func() error { return ups.Run(ctx) })
	if k.keeps() {
		g.Go(func() error { return a.keepLists(ctx) })
	}
	g.Go(func() error { return told.Run(ctx) })
	g.Go(func() error { return k.named.Run(ctx) })
	g.Go(func() error { _ = k.peers.Run(ctx); return nil }) // it ends with ctx only
	g.Go(func() error { return given.Run(ctx) })
	g.Go(func() error { return k.measured.Run(ctx) })
	sw := &switcher{agent: a, engine: e, poked: make(chan struct{}, 1)}
	if k.keeps() {
		if tables, ok := e.Resources[nft.Kind].(*nft.Resource); ok {
			sys.Tables, sys.Foreign = sw.poke, k.foreign
			g.Go(func() error { return sys.FollowTables(ctx, tables) })
		}
		g.Go(func() error { return sw.run(ctx) })
		if !k.empty() { // a machine that others set up has its own clock
			g.Go(func() error { return a.keepClock(ctx) })
		}
	}
	if l != nil {
		asked := make(chan struct{}, 1)
		g.Go(func() error {
			select {
			case <-ctx.Done():
				return nil
			case <-asked:
				return errYielded
			}
		})
		g.Go(func() error {
			return control.Serve(ctx, l, watched(eng.Status, sw, func() error { return k.take(o.Read) }, yielder(o, asked)))
		})
	}
	g.Go(func() error { return k.reload(ctx, o.Reload) })
	g.Go(func() error { return alive(ctx, o.Notify) })
	err = g.Wait()
	return eng.Status(), err
}

// watchLeft reports whether a watch of this boot has changed what has to be put back without it.
func watchLeft() bool {
	boot := watching.BootID()
	return watch.Loosened(watching.MemoryPath, boot) || delegation.Left(watch.Remembered(watching.MemoryPath, boot, (*delegation.Job)(nil).Name()))
}

// settle puts back what an earlier watch has left. A prefix is given back when its addresses are gone,
// which the look after their removal finds, and the one after that writes it down.
func (k *keeper) settle(ctx context.Context, eng *watch.Engine) error {
	for n := range 3 {
		if n == 2 {
			k.given.Settle(ctx)
		}
		if _, err := eng.Once(ctx); err != nil {
			return err
		}
	}
	return nil
}

// unwatch puts back the filters that a watch had loosened. One that runs puts them back itself, and
// is told to take over the configuration, which may not want them loose any more.
func (a *Agent) unwatch(ctx context.Context) error {
	if a.offline() || !watchLeft() {
		return nil
	}
	f, err := watchLock(WatchSocket)
	if errors.Is(err, ErrWatched) {
		if err := (control.Client{Socket: WatchSocket}).Post(ctx, control.PathReload, nil, nil); err != nil {
			return fmt.Errorf("the running watch keeps loose what it has loosened until it is told to read its configuration (SIGHUP): %w", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	no := false
	bare := *a
	bare.Config = Config{Version: 1, Routing: routing.Config{Watch: watch.Config{Keep: &no}}}
	if _, err := bare.Watch(ctx, WatchOptions{}); !errors.Is(err, ErrIdle) {
		return fmt.Errorf("what the watch had loosened is not put back: %w", err)
	}
	return nil
}

// watched answers questions about a running watch.
func watched(status func() watch.Status, sw *switcher, again func() error, yield func() bool) func(context.Context, control.Call) (any, error) {
	return func(ctx context.Context, c control.Call) (any, error) {
		if out, ok, err := sw.answer(ctx, c); ok {
			return out, err
		}
		switch c.Path {
		case control.PathStatus:
			return status(), nil
		case control.PathMetrics:
			var text strings.Builder
			err := status().WriteMetrics(&text)
			return text.String(), err
		case control.PathReload:
			return struct{}{}, again()
		case control.PathYield:
			if yield() {
				return struct{}{}, nil
			}
			return nil, control.Refusal{Err: errors.New("this watch is there for nothing else")}
		}
		return nil, control.Refusal{Err: fmt.Errorf("nothing is known of %q", c.Path)}
	}
}

// alive tells the service manager that the watch is ready, and feeds its watchdog.
func alive(ctx context.Context, notify func(string)) error {
	if notify == nil {
		return nil
	}
	notify("READY=1")
	defer notify("STOPPING=1")
	every := 10 * time.Second
	if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		every = time.Duration(usec) * time.Microsecond / 3
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			notify("WATCHDOG=1")
		}
	}
}

// keeper gives the watch its jobs, and again when something else was committed meanwhile.
type keeper struct {
	agent  *Agent
	engine *provision.Engine
	jobs   func(...watch.Job)
	ups    *watching.Uplinks
	told   *watching.Told
	given  *watching.Delegation
	named  *watching.Names
	peers  *health.Job
	// measured has what the wires of an overlay cost.
	measured *watching.Overlay

	mu       sync.Mutex
	config   watch.Config
	tunnels  routing.Config // the configuration's file
	text     []byte         // of the kept state, as it was read last
	wants    []provision.Want
	ways     int
	ends     int // tunnels whose servers are told
	prefixes bool
	uplink   watch.Job
	update   watch.Job
	prefix   watch.Job
	lent     delegation.Config // what prefix is made from, while something is committed
	bare     bool              // nothing is
	wires    watch.Job         // nil: there is no overlay
	guarded  string            // the tunnel of a kill switch
}

// uplinks has these ways out checked. The job is there with none too: it takes away the routes
// that an earlier configuration has left.
func (k *keeper) uplinks(c uplink.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ways, k.uplink = len(c), k.ups.Job(c)
}

// delegation has networks addressed out of what the provider delegates.
func (k *keeper) delegation(c delegation.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.prefixes, k.lent, k.prefix = c.Enabled(), c, nil // load makes the job
}

// overlay has the spanning tree looked after.
func (k *keeper) overlay(c overlay.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	j := k.measured.Job(c) // also with none: the one before ends
	if k.wires = nil; len(c.Neighbours()) > 0 {
		k.wires = j
	}
}

// updates has these servers told.
func (k *keeper) updates(list []update.Tunnel) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ends, k.update = len(list), k.told.Job(list)
}

func (k *keeper) keeps() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.config.Keeps()
}

// foreign reports whether something of ours is in the tables of others.
func (k *keeper) foreign() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.wants, func(w provision.Want) bool { return w.Kind == dockeruser.Kind })
}

// guards reports whether a kill switch holds what leaves beside this device.
func (k *keeper) guards(device string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.guarded == device
}

// empty reports whether nothing was committed.
func (k *keeper) empty() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.wants) == 0
}

func (k *keeper) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.prefixes && k.wires == nil && len(k.wants)+k.ways+k.ends+len(k.config.Jobs()) == 0
}

// load reads what was committed and hands out the jobs.
func (k *keeper) load() error {
	text, err := k.agent.committed()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.text, k.wants = text, nil
	if bare := text == nil; k.prefix == nil || bare != k.bare {
		c := k.lent
		if bare {
			// Reverted, or never applied: there is no firewall before the networks, whatever the file says.
			c = delegation.Config{}
		}
		k.bare, k.prefix = bare, k.given.Job(c)
	}
	jobs := append(k.config.Jobs(), k.uplink, k.update, k.prefix)
	if k.wires != nil {
		jobs = append(jobs, k.wires)
	}
	if len(k.config.RPFilter.Loose) == 0 {
		jobs = append(jobs, &watch.RPFilter{}) // it puts back what an earlier configuration had loosened
	}
	if text == nil {
		k.named.Job(nil) // nobody is asked for any more
		k.peers.Keep(nil)
	}
	if text != nil && k.config.Keeps() {
		state, err := kept.Parse(text)
		if err != nil {
			return err
		}
		k.wants, k.guarded = state.Wants, ""
		if state.Switch != nil {
			k.guarded = state.Switch.Input.Config.Tunnel
		}
		jobs = withProxies(jobs, state.Proxies)
		k.peers.Keep(k.agent.watchedPeers(k.tunnels))
		jobs = append(jobs, k.named.Job(state.Endpoints), k.peers, &watch.Keep{Wants: k.wants, Class: classes(k.engine)})
	}
	k.jobs(jobs...)
	return nil
}

// withProxies adds what tunnels are answered for to the job of the configuration, if it has one: jobs have
// names of their own.
func withProxies(jobs []watch.Job, list []watch.ProxyLink) []watch.Job {
	if len(list) == 0 {
		return jobs
	}
	for i, j := range jobs {
		if p, ok := j.(*watch.ProxyJob); ok {
			jobs[i] = &watch.ProxyJob{Links: slices.Concat(p.Links, list)}
			return jobs
		}
	}
	return append(jobs, &watch.ProxyJob{Links: list})
}

// refresh reads again what was committed, if it is not what is kept.
func (k *keeper) refresh() error {
	text, err := k.agent.committed()
	k.mu.Lock()
	same := bytes.Equal(text, k.text)
	k.mu.Unlock()
	if err != nil || same {
		return err
	}
	return k.load()
}

// lock is taken around each repair. Under it nobody applies; what was committed meanwhile is
// found here, before anything is put back that is not wanted any more. On a machine where
// nothing was ever committed there is nobody to keep out.
func (k *keeper) lock(ctx context.Context) (func(), error) {
	k.mu.Lock()
	known := k.text
	k.mu.Unlock()
	if _, err := os.Lstat(filepath.Join(k.agent.stateDir(), "engine")); errors.Is(err, fs.ErrNotExist) && known == nil {
		return func() {}, nil
	}
	l, err := k.engine.Store.Lock(ctx)
	if err != nil {
		return nil, err
	}
	text, err := k.agent.committed()
	if err == nil && !bytes.Equal(text, known) {
		if err = k.load(); err == nil {
			err = watch.ErrOutdated
		}
	}
	if err != nil {
		l.Unlock()
		return nil, err
	}
	return l.Unlock, nil
}

// reload takes the configuration over again when it is asked to.
func (k *keeper) reload(ctx context.Context, asked <-chan func() (routing.Config, error)) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			// What was committed since is mostly found when something differs from it; not where
			// there was nothing to keep before.
			if err := k.refresh(); err != nil {
				k.agent.Log.Error("what was committed is not known", "error", err)
			}
		case read := <-asked:
			if err := k.take(read); err != nil {
				k.agent.Log.Error("the configuration was not taken over", "error", err)
			}
		}
	}
}

// take takes the configuration over as it is now.
func (k *keeper) take(read func() (routing.Config, error)) error {
	if read == nil {
		return errors.New("this watch does not read its configuration again")
	}
	c, err := read()
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.config, k.tunnels = c.Watch.Complete(), c
	k.mu.Unlock()
	k.uplinks(c.Uplinks)
	k.updates(c.Updates())
	k.delegation(c.Delegation)
	k.overlay(c.Overlay)
	if err := k.load(); err != nil {
		return err
	}
	k.agent.Log.Info("the configuration was read again")
	return nil
}
