package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/gadget/doctor"
	"github.com/provision-net/provision/gadget/life"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/udc"
)

// readyAfter is how long the service manager waits at most for the first bringing up: while another
// command holds the lock, which may be waiting for this very process to start, it is told before.
const readyAfter = 2 * time.Second

// GadgetWatch brings the gadgets up and follows them until ctx ends.
func (a *Agent) GadgetWatch(ctx context.Context, o GadgetWatchOptions) error {
	if o.Socket != "" {
		f, err := watchLock(o.Socket)
		if errors.Is(err, ErrWatched) {
			err = fmt.Errorf("%w (it holds %s.lock)", ErrGadgetWatched, o.Socket)
		}
		if err != nil {
			return err
		}
		defer f.Close()
	}
	w := &gadgetWatch{agent: a, root: a.Root, log: a.Log, changed: make(chan struct{}, 1), past: map[string][]doctor.Seen{}}
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	g.Go(func() error {
		select {
		case <-ready:
		case <-time.After(readyAfter):
		case <-ctx.Done():
			return nil
		}
		return alive(ctx, o.Notify)
	})
	if o.Socket != "" {
		l, err := control.Listen(o.Socket)
		if err != nil {
			return err
		}
		g.Go(func() error { return control.Serve(ctx, l, w.answer) })
	}
	g.Go(func() error { return w.files(ctx) })
	g.Go(func() error {
		err := w.begin(ctx)
		close(ready)
		if err != nil {
			return err
		}
		return w.run(ctx, o.Reload)
	})
	return g.Wait()
}

// gadgetWatch follows what is up, whoever brought it up.
type gadgetWatch struct {
	changed chan struct{} // what is written down has changed
	root    string
	log     *slog.Logger

	mu    sync.Mutex // of the agent: one step at a time
	agent *Agent
	lost  *GadgetState // what we took down and could not bring back yet

	show    sync.Mutex
	runners map[string]*life.Runner
	past    map[string][]doctor.Seen
}

// begin is up for the start. While another command is at work, which may have started this process and take long after that,
// it waits: to end and be started again would be a failure of the unit for nothing.
func (w *gadgetWatch) begin(ctx context.Context) error {
	for {
		_, err := w.up(ctx)
		var busy *provision.LockedError
		if !errors.As(err, &busy) || ctx.Err() != nil {
			return err
		}
		w.log.Info("usb gadget: waiting", "for", err)
	}
}

func (w *gadgetWatch) up(ctx context.Context) (GadgetOutcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, _, err := w.agent.gadgetUp(ctx)
	for _, c := range out.Result.Effects {
		w.log.Debug("usb gadget", "change", string(c.Op), "ref", c.Ref.String())
	}
	return out, err
}

// step is up with what was applied last, for a change that is the watch's own. The lock is held.
func (w *gadgetWatch) step(ctx context.Context) error {
	s, err := w.agent.gadgetState()
	if err != nil {
		return err
	}
	return w.back(ctx, s)
}

// back brings up again what s says.
func (w *gadgetWatch) back(ctx context.Context, s GadgetState) error {
	if len(s.Devices) == 0 {
		return nil // taken down, and it stays down
	}
	w.agent.again = &s
	defer func() { w.agent.again = nil }()
	_, _, err := w.agent.gadgetUp(ctx)
	w.lost = nil
	if now, e := w.agent.gadgetState(); err != nil && e == nil && len(now.Devices) == 0 {
		w.lost = &s
		err = errors.Join(err, w.agent.owe())
	}
	return err
}

// feasible reports what would keep s from being brought up, as far as that can be planned.
func (w *gadgetWatch) feasible(ctx context.Context, s GadgetState) error {
	w.agent.again = &s
	defer func() { w.agent.again = nil }()
	_, err := w.agent.gadgetGoal(ctx)
	return err
}

func (w *gadgetWatch) answer(_ context.Context, c control.Call) (any, error) {
	w.show.Lock()
	defer w.show.Unlock()
	switch c.Path {
	case control.PathStatus:
		out := map[string]life.Status{}
		for name, r := range w.runners {
			out[name] = r.Status()
		}
		return out, nil
	case pathHistory:
		out := map[string][]doctor.Seen{}
		for name, list := range w.past {
			out[name] = slices.Clone(list)
		}
		return out, nil
	}
	return nil, control.Refusal{Err: fmt.Errorf("nothing is known of %q", c.Path)}
}

// mostPast is how many states of a controller are remembered.
const mostPast = 64

func (w *gadgetWatch) remember(e udc.Event) {
	w.show.Lock()
	defer w.show.Unlock()
	list := w.past[e.UDC]
	if n := len(list); n > 0 && list[n-1].State == e.Value {
		return
	}
	list = append(list, doctor.Seen{At: e.At, State: e.Value})
	w.past[e.UDC] = list[max(0, len(list)-mostPast):]
}

// run follows the gadgets that are written down, and begins anew when those are others, or the
// configuration is read again.
func (w *gadgetWatch) run(ctx context.Context, asked <-chan func() (*Agent, error)) error {
	for {
		select {
		case <-w.changed:
		default:
		}
		s, err := readGadget(w.root)
		if err != nil {
			return err
		}
		round, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- w.follow(round, s) }()
		for again := false; !again; {
			select {
			case <-ctx.Done():
				stop()
				return <-ended
			case err := <-ended:
				stop()
				return err
			case <-w.changed:
				w.mu.Lock() // a step of ours takes it away and brings it back
				now, err := readGadget(w.root)
				if err == nil && len(now.Devices) > 0 {
					w.lost = nil // somebody has brought up what is meant now
				}
				again = err == nil && w.lost == nil && !sameGadgets(s, now)
				w.mu.Unlock()
			case read := <-asked:
				again = w.reload(ctx, read)
			}
		}
		stop()
		if err := <-ended; err != nil {
			return err
		}
	}
}

// reload takes the configuration over as it is now; one that is wrong, or that cannot be brought up,
// changes nothing.
func (w *gadgetWatch) reload(ctx context.Context, read func() (*Agent, error)) bool {
	next, err := read()
	if err == nil {
		w.mu.Lock()
		next.switched = w.agent.switched
		last := w.agent
		w.agent = next
		w.mu.Unlock()
		if _, err = w.up(ctx); err != nil {
			w.mu.Lock()
			w.agent = last
			w.mu.Unlock()
		}
	}
	if err != nil {
		w.log.Error("the configuration was not taken over", "error", err)
		return false
	}
	w.log.Info("the configuration was read again")
	return true
}

// sameGadgets reports whether the same is to be followed. What a switch of ours changes is followed
// by the runner that did it, so profiles and functions may differ.
func sameGadgets(a, b GadgetState) bool {
	if len(a.Devices) != len(b.Devices) {
		return false
	}
	for i, d := range a.Devices {
		o := b.Devices[i]
		if d.Name != o.Name || d.UDC != o.UDC || d.Asked != o.Asked || d.May != o.May || d.LED != o.LED || d.Asked != "auto" && d.Profile != o.Profile {
			return false
		}
	}
	return true
}

// files tells when what is written down changes.
func (w *gadgetWatch) files(ctx context.Context) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("cannot follow %s: %w", GadgetPath, err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer f.Close()
	dir := filepath.Join(w.root, filepath.Dir(GadgetPath))
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_DELETE|unix.IN_MOVED_FROM); err != nil {
		return fmt.Errorf("cannot follow %s: %w", dir, err)
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 4096)
	for {
		if _, err := f.Read(buf); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("cannot follow %s any more: %w", dir, err)
		}
		// Whoever writes the file writes it by a rename; other files of the directory cost a look.
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}
