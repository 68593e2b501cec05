package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/provision-net/provision/cmd/provision/internal/hearing"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/gadget/life"
	"github.com/provision-net/provision/gadget/verdict"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netevents"
	"github.com/provision-net/provision/provision/host/udc"
)

// follow runs a life for each gadget until ctx ends.
func (w *gadgetWatch) follow(ctx context.Context, s GadgetState) error {
	root, err := host.OpenRoot("/")
	if err != nil {
		return err
	}
	defer root.Close()
	lives := map[string]*following{}
	w.mu.Lock()
	table := w.agent.hosts()
	w.mu.Unlock()
	for _, d := range s.Devices {
		one := &following{watch: w, device: d, root: root, events: make(chan life.Event, 64), heard: map[string]context.CancelFunc{}}
		one.desk = newDesk(root, d, one)
		defer one.desk.close(w.log)
		one.runner = life.NewRunner(one.config(len(s.Devices)), table, life.Deps{
			Events: one.events, Cable: one, Planner: one, Meter: one, Desk: one.desk, Clock: provision.SystemClock(), Log: w.log})
		lives[d.Name] = one
	}
	w.show.Lock()
	w.runners = map[string]*life.Runner{}
	for name, one := range lives {
		w.runners[name] = one.runner
	}
	w.show.Unlock()
	watcher, err := udc.Open("/sys")
	if err != nil {
		return err
	}
	events, err := netevents.Open(0)
	if err != nil {
		watcher.Close()
		return fmt.Errorf("cannot watch the network: %w", err)
	}
	defer events.Close()
	g, ctx := errgroup.WithContext(ctx)
	watcher.Emit = func(e udc.Event) {
		if e.Kind == udc.State {
			w.remember(e)
		}
		for _, one := range lives {
			one.tell(ctx, e)
		}
	}
	g.Go(func() error { return watcher.Run(ctx) })
	g.Go(func() error {
		if err := events.Run(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	for _, one := range lives {
		g.Go(func() error { return one.runner.Run(ctx) })
	}
	g.Go(func() error {
		defer func() {
			for _, one := range lives {
				one.deaf()
			}
		}()
		for {
			for _, one := range lives {
				one.look(ctx)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-events.Changed():
				_ = events.Take()
			}
		}
	})
	return g.Wait()
}

// following is one gadget that is followed: what it senses, and its hands.
type following struct {
	watch  *gadgetWatch
	device gadget.Device
	root   *host.Root
	events chan life.Event
	runner *life.Runner
	desk   *desk

	carrier map[string]bool
	ways    life.Ways
	clash   []life.Overlap
	heard   map[string]context.CancelFunc // by the link that is listened on
}

func (f *following) config(gadgets int) life.Config {
	c := life.Config{Profile: verdict.Profile(f.device.Profile), Auto: f.device.Asked == gadget.Auto, Classic: f.device.May, NoSoft: udc.NoSoft(f.device.UDC)}
	for _, fn := range f.device.Functions {
		c.NCM = c.NCM || fn.Type == "ncm"
	}
	// dwc3 leaks memory by it (jetkvm/kvm issue 1641), and it takes every gadget down for a moment.
	c.Driver = gadgets == 1 && strings.HasSuffix(f.device.UDC, ".usb")
	return c
}

// send gives the runner an event; it takes them all, so this waits for moments only.
func (f *following) send(ctx context.Context, e life.Event) {
	select {
	case f.events <- e:
	case <-ctx.Done():
	}
}

// tell translates what a controller does.
func (f *following) tell(ctx context.Context, e udc.Event) {
	switch {
	case e.Kind == udc.Logged:
		f.send(ctx, life.Logged{Line: e.Value})
	case e.UDC != f.device.UDC:
	case e.Kind == udc.State:
		f.send(ctx, life.UDC{State: life.State(e.Value)})
	case e.Kind == udc.Removed:
		f.send(ctx, life.UDC{State: life.Absent})
	}
}

// links are those of the gadget as they are written down now: a switch of the profile changes them.
func (f *following) links() []GadgetLink {
	s, err := readGadget(f.watch.root)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(s.Links, func(l GadgetLink) bool { return l.Gadget != f.device.Name })
}

// devices are the network devices of links: of a bridge its ports.
func devices(list []GadgetLink) []string {
	var out []string
	for _, l := range list {
		if l.Bridge {
			out = append(out, l.Ports...)
		} else {
			out = append(out, l.Name)
		}
	}
	return out
}

// look tells what has changed about the network.
func (f *following) look(ctx context.Context) {
	list := f.links()
	names := devices(list)
	now := map[string]bool{}
	counters, err := udc.Counters(names...)
	if err != nil {
		f.watch.log.Warn("usb gadget", "error", err)
		return
	}
	for _, c := range counters {
		now[c.Link] = c.Carrier
	}
	for _, n := range names {
		if _, ok := now[n]; !ok {
			now[n] = false
		}
	}
	for n := range f.carrier {
		if _, ok := now[n]; !ok {
			now[n] = false
		}
	}
	for n, up := range now {
		if was, known := f.carrier[n]; !known || was != up {
			f.send(ctx, life.Carrier{Link: n, Up: up})
		}
	}
	f.carrier = now
	f.listen(ctx, now)
	ways, clash := around(list)
	if ways != f.ways {
		f.ways = ways
		f.send(ctx, ways)
	}
	if !slices.Equal(clash, f.clash) {
		f.clash = clash
		f.send(ctx, life.Overlaps{List: clash})
	}
}

// listen hears what comes on links that have carrier, and on no others.
func (f *following) listen(ctx context.Context, carrier map[string]bool) {
	for n, stop := range f.heard {
		if !carrier[n] {
			stop()
			delete(f.heard, n)
			f.lease(ctx, n, false)
		}
	}
	for n, up := range carrier {
		if _, already := f.heard[n]; !up || already {
			continue
		}
		ear, stop := context.WithCancel(ctx)
		f.heard[n] = stop
		go func() {
			err := hearing.Listen(ear, n, func(h hearing.Heard) { f.hear(ear, n, h) })
			if err != nil && ear.Err() == nil {
				f.watch.log.Debug("usb gadget", "link", n, "error", err)
			}
		}()
	}
}

func (f *following) deaf() {
	for _, stop := range f.heard {
		stop()
	}
}

func (f *following) hear(ctx context.Context, link string, h hearing.Heard) {
	switch {
	case h.Leased.IsValid():
		f.desk.met(link, h.Leased)
		f.lease(ctx, link, true)
	case h.Released:
		f.lease(ctx, link, false)
	}
	if h.Spoke {
		f.send(ctx, life.Heard{Link: link, Seen: h.Seen})
	}
}

func (f *following) lease(ctx context.Context, link string, up bool) {
	any, changed := f.desk.leased(link, up)
	if changed {
		f.send(ctx, life.Leased{Up: any})
	}
}

// Reconnect implements life.Cable.
func (f *following) Reconnect(ctx context.Context) error {
	return f.control().Reconnect(ctx)
}

func (f *following) control() udc.Control { return udc.Control{Files: f.root, UDC: f.device.UDC} }

// Rebind implements life.Cable. Nobody applies meanwhile.
func (f *following) Rebind(ctx context.Context) error {
	return f.locked(ctx, func() error {
		file := gadgetFile(f.device.Name, "UDC")
		if err := f.root.WriteValue(file, "\n"); err != nil && !gone(err) {
			return fmt.Errorf("cannot take %s off %s: %w", f.device.Name, f.device.UDC, err)
		}
		if err := f.root.WriteValue(file, f.device.UDC); err != nil {
			return fmt.Errorf("cannot bind %s to %s again: %w", f.device.Name, f.device.UDC, err)
		}
		return nil
	})
}

func (f *following) locked(ctx context.Context, do func() error) error {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	e, done, err := f.watch.agent.engine()
	if err != nil {
		return err
	}
	defer done()
	lock, err := e.Store.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	return do()
}

// RebindDriver implements life.Cable: with the gadget out of the way, which comes back whatever
// happens.
func (f *following) RebindDriver(ctx context.Context) error {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	s, err := f.watch.agent.gadgetState()
	if err == nil {
		_, err = f.watch.agent.GadgetDown(ctx)
	}
	if err == nil {
		err = f.control().RebindDriver(ctx)
	}
	return errors.Join(err, f.watch.back(context.WithoutCancel(ctx), s))
}

// Switch implements life.Planner.
func (f *following) Switch(ctx context.Context, p verdict.Profile) error {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	a := f.watch.agent
	last, had := a.switched[f.device.Name]
	if a.switched == nil {
		a.switched = map[string]string{}
	}
	a.switched[f.device.Name] = string(p)
	err := f.watch.step(ctx)
	if err != nil {
		delete(a.switched, f.device.Name)
		if had {
			a.switched[f.device.Name] = last
		}
	}
	return err
}

// Readdress implements life.Planner.
func (f *following) Readdress(ctx context.Context) error {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	return f.watch.step(ctx)
}

// Restore implements life.Planner. What was taken down meanwhile stays down. The functions are made
// anew: a network device that outlived its controller cannot be bound to another one (see
// life.Cable).
func (f *following) Restore(ctx context.Context) error {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	a := f.watch.agent
	s, err := a.gadgetState()
	switch lost := f.watch.lost; {
	case err != nil:
		return err
	case len(s.Devices) == 0 && lost != nil && a.owes():
		return f.watch.back(ctx, *lost)
	case len(s.Devices) == 0:
		return nil
	}
	if err := f.watch.feasible(ctx, s); err != nil {
		return err // a gadget that waits for its controller is better than none
	}
	_, err = a.GadgetDown(ctx)
	return errors.Join(err, f.watch.back(context.WithoutCancel(ctx), s))
}

// Count implements life.Meter.
func (f *following) Count(context.Context) ([]life.Count, error) {
	list, err := udc.Counters(devices(f.links())...)
	var out []life.Count
	for _, c := range list {
		out = append(out, life.Count{Link: c.Link, RX: c.RX, TX: c.TX})
	}
	return out, err
}

// Probe implements life.Meter.
func (f *following) Probe(ctx context.Context) error { return f.desk.probe(ctx) }
