package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/guard"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/wallclock"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/wpaconf"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/wireguard"
)

// DefaultStateDir holds the engine's snapshots and ledger (folder engine) and the
// metrics that were allotted once.
const DefaultStateDir = "/var/lib/provision"

// clockPath is where the time is kept for machines without a clock chip.
const clockPath = wallclock.Path

// ErrMissing marks an error whose cause is a missing manager or kernel feature
// (exit status 69).
var ErrMissing = errors.New("missing on this machine")

// ErrConflict marks an error whose cause is another program that owns what is needed (exit status 4).
var ErrConflict = errors.New("two owners")

// Options make an Agent.
type Options struct {
	Root     string // "/" or a mounted image
	Config   Config
	Source   Source
	StateDir string
	Log      *slog.Logger
	// Early: this machine boots, and no network manager has started yet. Only files are planned and written, as in an image.
	Early bool
	// Units are installed where the configuration needs them.
	Units       routing.Units
	GadgetUnits gadget.Units
	// ServeUnit is the text of provision-serve.service, for the links of gadgets; empty where it cannot be installed.
	ServeUnit string
	// WireguardUnit is the text of provision-wireguard@.service, for kernels without WireGuard; empty where it cannot be installed.
	WireguardUnit string
}

// Agent is the union of the wings on one machine.
type Agent struct {
	Options
	backends []backends.Backend
	runner   host.Runner
	spawned  func() int64
	links    []facts.Link // as last read
	// load: what the kernel lacks for a gadget may be loaded, because something is about to be changed.
	load bool
	// again is what gadgets are planned from: what was applied last, and not the file, which may have been edited since.
	again *GadgetState
	// switched are the profiles that profile auto has come to, by the gadget's name.
	switched map[string]string
	// pending is what a command is about to add to the folder of WireGuard; nil: what is there.
	pending *wireguard.Added
	// asked are the tunnels, as last planned, whose peers ask this machine for names.
	asked []string
	// gather and equip are a machine of a test's own, in place of this one: its facts, and what an engine changes.
	gather func(context.Context) (*facts.Facts, error)
	equip  func(*provision.Engine)
}

// New returns an Agent; nothing is read or touched yet.
func New(o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{Options: o, backends: managers()}
	a.runner, a.spawned = newRunner()
	return a, nil
}

// offline reports whether the agent writes files and nothing else: it works on a mounted image, or before the network comes up.
func (a *Agent) offline() bool { return a.image() || a.Early }

// image reports whether the agent works on a mounted image.
func (a *Agent) image() bool { return a.Root != "/" && a.Root != "" }

// stateDir is inside the image when there is one.
func (a *Agent) stateDir() string {
	if a.offline() {
		return filepath.Join(a.Root, a.StateDir)
	}
	return a.StateDir
}

// Facts reads the host.
func (a *Agent) Facts(ctx context.Context) (*facts.Facts, error) { return a.facts(ctx, false) }

// facts is Facts; bare leaves out what facts.Gatherer does then.
func (a *Agent) facts(ctx context.Context, bare bool) (*facts.Facts, error) {
	gather := a.gather
	if gather == nil {
		g := facts.Gatherer{Root: a.Root, Bare: bare}
		gather = g.Gather
	}
	f, err := gather(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read what this machine is: %w", err)
	}
	if a.offline() {
		f.Links = append(f.Links, named(a.Config.Network, f.Links)...)
	}
	if a.Config.Gadget.Wanted() {
		if err := a.gadgetKernel(ctx, f); err != nil {
			return nil, err
		}
	}
	a.links = f.Links
	return f, nil
}

// Device returns the name of the device that a selector means, as the facts last told;
// empty when they did not.
func (a *Agent) Device(selector string) string {
	for _, l := range a.links {
		if l.Selector() == selector {
			return l.Name
		}
	}
	return ""
}

// Goal is what should exist, and all that was thought on the way.
type Goal struct {
	Facts   *facts.Facts
	Desired provision.Desired
	Report  backends.Report
	Routing routing.Result
	Gadget  gadget.Result
}

// Goal gathers facts and asks the planners.
func (a *Agent) Goal(ctx context.Context) (Goal, error) {
	f, err := a.Facts(ctx)
	if err != nil {
		return Goal{}, err
	}
	return a.goal(ctx, f)
}

func (a *Agent) goal(ctx context.Context, f *facts.Facts) (Goal, error) {
	mem, err := a.memory()
	if err != nil {
		return Goal{Facts: f}, err
	}
	d, report, err := backends.Plan(f, a.Config.Network, mem, a.backends)
	g := Goal{Facts: f, Desired: d, Report: report}
	notes := a.cloneNotes(f.Machine.MachineID)
	g.Desired.Notes, g.Report.Notes = append(g.Desired.Notes, notes...), append(g.Report.Notes, notes...)
	if err == nil {
		g.Gadget, err = a.gadgetPlan(ctx, shared(f, g.Desired), a.Config.Gadget)
		g.Desired.Append(g.Gadget.Desired)
		g.Desired = joined(g.Desired)
	}
	if err == nil {
		g.Routing, err = a.routing(ctx, f, g.Gadget)
		g.Desired.Append(g.Routing.Desired)
		g.Desired.Append(a.announced(f, g.Routing, g.Desired))
	}
	if err == nil {
		var d provision.Desired
		d, _, err = a.wifi(f)
		addWifi(&g.Desired, d)
	}
	if a.offline() {
		g.Desired = a.filesOnly(g.Desired)
	}
	return g, err
}

// memory reads which metrics were allotted before. An ordinary user cannot read
// it and sees what a first run would allot.
func (a *Agent) memory() (backends.Memory, error) {
	path := filepath.Join(a.Root, backends.MemoryPath)
	text, err := readBounded(path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return backends.Memory{}, nil
	}
	if err != nil {
		return backends.Memory{}, fmt.Errorf("cannot read the allotted metrics: %w", err)
	}
	mem, err := backends.ParseMemory(text)
	if err != nil {
		return mem, fmt.Errorf("cannot use the allotted metrics in %s: %w; remove the file to allot them anew", path, err)
	}
	return mem, nil
}

// filesOnly is what can hold on a mounted image: files, and nothing that a kernel
// or a daemon would have to do. At a boot there also is what netplan makes of them, where netplan's
// own generator has run before cloud-init wrote its files.
func (a *Agent) filesOnly(d provision.Desired) provision.Desired {
	out := provision.Desired{Notes: d.Notes}
	for _, w := range d.Wants {
		if w.Kind == file.Kind || w.Kind == file.SecretKind || w.Kind == wpaconf.Kind {
			w.Via = nil
			out.Wants = append(out.Wants, w)
		}
	}
	for _, t := range d.Triggers {
		if a.Early && t.Do.Kind == daemon.KindNetplanGenerate {
			out.Triggers = append(out.Triggers, t)
		}
	}
	return out
}

// Detection is what detect prints.
type Detection struct {
	Config string `json:"config"`
	backends.Report
}

// Detect says what the machine is and what apply would change. A conflict or a
// planner's refusal is part of the report, not an error.
func (a *Agent) Detect(ctx context.Context) (Detection, error) {
	f, err := a.Facts(ctx)
	if err != nil {
		return Detection{}, err
	}
	g, err := a.goal(ctx, f)
	if err != nil && g.Report.Schema == 0 {
		return Detection{}, err
	}
	return Detection{a.Source.String(), g.Report}, nil
}

// Preview is a plan for people and programs.
type Preview struct {
	Config    string            `json:"config"`
	Plan      provision.Plan    `json:"plan"`
	Winners   []backends.Winner `json:"winners"`
	After     []backends.Winner `json:"winners_after"`
	AfterBoot []backends.Winner `json:"winners_after_boot"`
	Routes    []facts.Route     `json:"defaults"`
	Predicted []facts.Route     `json:"defaults_after"`
	SSH       guard.Forecast    `json:"ssh"`
	names     map[int]string
}

// LinkName returns the name of the link with that index.
func (p Preview) LinkName(index int) string { return p.names[index] }

// Plan says what apply would do, what the routing table would be and what that
// does to the SSH sessions.
func (a *Agent) Plan(ctx context.Context) (Preview, error) {
	g, err := a.Goal(ctx)
	if err != nil {
		return Preview{}, err
	}
	e, done, err := a.engine()
	if err != nil {
		return Preview{}, err
	}
	defer done()
	plan, err := e.Plan(ctx, g.Desired)
	if err != nil {
		return Preview{}, err
	}
	if !plan.Empty() && g.Facts.Machine.Root {
		if err := a.check(ctx, g); err != nil {
			return Preview{}, err
		}
	}
	after := g.after()
	p := Preview{Config: a.Source.String(), Plan: plan, Winners: g.Report.Winners, After: g.Report.After, AfterBoot: g.Report.AfterBoot,
		Routes: defaults(g.Facts), Predicted: defaults(after), SSH: guard.Predict(g.Facts, after), names: map[int]string{}}
	for _, l := range g.Facts.Links {
		p.names[l.Index] = l.Name
	}
	return p, nil
}

// after is the machine as it is predicted to be.
func (g Goal) after() *facts.Facts {
	after := *g.Facts
	_, after.Routes, _ = backends.Predict(g.Facts, nil, g.Desired)
	return &after
}

func defaults(f *facts.Facts) []facts.Route {
	out := []facts.Route{}
	for _, r := range f.Routes {
		if r.Default() && r.Table == 254 {
			out = append(out, r)
		}
	}
	return out
}

// Outcome is what an apply did.
type Outcome struct {
	Config string           `json:"config"`
	Result provision.Result `json:"result"`
	Took   time.Duration    `json:"took_ns"`
	// Processes is how many processes were started: the managers' own commands.
	Processes int64         `json:"processes"`
	Confirm   time.Duration `json:"confirm_within_ns,omitempty"`
}

// ApplyOptions adjust Apply.
type ApplyOptions struct {
	Confirm time.Duration
	Settle  time.Duration
	Force   bool // apply though the prediction says that an SSH session would be lost
}

// Apply makes the machine what it should be, or leaves it as it was.
func (a *Agent) Apply(ctx context.Context, o ApplyOptions) (Outcome, error) {
	start := time.Now()
	a.load = true
	out := Outcome{Config: a.Source.String(), Confirm: o.Confirm}
	e, done, err := a.engine()
	if err != nil {
		return out, err
	}
	defer done()
	before, err := e.Status(ctx)
	if err != nil {
		return out, err
	}
	if err := a.firstLists(ctx); err != nil && !o.Force {
		return out, err
	}
	var watch *guard.Watch
	defer func() { watch.Close() }()
	var ready func(context.Context) (provision.Desired, provision.ApplyOptions, error)
	ready = func(ctx context.Context) (provision.Desired, provision.ApplyOptions, error) {
		opts := provision.ApplyOptions{Settle: o.Settle, Confirm: o.Confirm, Replan: ready, Basis: before.Commit}
		if o.Confirm > 0 {
			opts.Arm = a.arm
		}
		g, err := a.Goal(ctx)
		if err != nil {
			return g.Desired, opts, err
		}
		if reason := g.Report.PlanOnly; reason != "" && !a.offline() {
			return g.Desired, opts, fmt.Errorf("%w: %s; `provision plan` works here, apply does not", ErrMissing, reason)
		}
		if tables, ok := e.Resources[nft.Kind].(interface{ Know(*nft.Made) }); ok {
			tables.Know(g.Routing.Made)
		}
		// The dear steps (the manager's own checker, the route simulation, the watch
		// over the sessions) are for a plan that has something to do.
		plan, err := e.Plan(ctx, g.Desired)
		if err != nil || plan.Empty() {
			return g.Desired, opts, err
		}
		if err := a.check(ctx, g); err != nil {
			return g.Desired, opts, err
		}
		if err := a.alive(ctx, plan); err != nil {
			return g.Desired, opts, err
		}
		if lost := guard.Predict(g.Facts, g.after()).Lost(); lost != "" && !o.Force {
			return g.Desired, opts, fmt.Errorf("refused, nothing was changed: %s (--force applies it all the same)", lost)
		}
		if err := g.cuts(plan); err != nil && !o.Force {
			return g.Desired, opts, err
		}
		if err := a.saveSets(g.Routing.Table); err != nil {
			return g.Desired, opts, err
		}
		if a.offline() {
			return g.Desired, opts, nil
		}
		watch.Close() // that of an earlier goal
		if watch, err = guard.New(guard.Options{Sessions: guard.Sessions(g.Facts), Log: a.Log}); err != nil {
			return g.Desired, opts, fmt.Errorf("cannot watch over the SSH sessions: %w", err)
		}
		opts.Guard, opts.GuardFor = watch.Check, watch.Span()
		return g.Desired, opts, nil
	}
	d, opts, err := ready(ctx)
	if err != nil {
		return out, err
	}
	err = a.withSwitch(ctx, func() error {
		var err error
		out.Result, err = e.Apply(ctx, d, opts)
		return errors.Join(err, a.sweepSets(ctx, e))
	})
	switch {
	case err != nil:
	case a.image():
		err = a.bake()
	case !a.Early:
		a.belong(ctx, e)
		a.settleOwed()
		err = a.hatch()
	}
	if err == nil && len(a.Config.Routing.Watch.Complete().RPFilter.Loose) == 0 {
		out.Result.Notes = append(out.Result.Notes, a.unwatched(ctx)...)
	}
	out.Took, out.Processes = time.Since(start), a.spawned()
	return out, err
}

// Verify says whether the machine is as desired, effectively and not only in its
// files.
func (a *Agent) Verify(ctx context.Context) (provision.Verification, error) {
	g, err := a.Goal(ctx)
	if err != nil {
		return provision.Verification{}, err
	}
	e, done, err := a.engine()
	if err != nil {
		return provision.Verification{}, err
	}
	defer done()
	return e.Verify(ctx, g.Desired)
}

// Rollback goes back to the state before the last apply.
func (a *Agent) Rollback(ctx context.Context) (provision.Result, error) {
	e, done, err := a.engine()
	if err != nil {
		return provision.Result{}, err
	}
	defer done()
	var r provision.Result
	err = a.withSwitch(ctx, func() error {
		r, err = e.Rollback(ctx)
		return err
	})
	return r, err
}

// Confirm keeps what an apply with a confirmation did.
func (a *Agent) Confirm(ctx context.Context) error {
	e, done, err := a.engine()
	if err != nil {
		return err
	}
	defer done()
	return e.Confirm(ctx)
}

// Revert goes back to before provision ever came. Files of its own that it knows
// nothing of any more, because its state was lost, are named and left.
func (a *Agent) Revert(ctx context.Context, force bool) (provision.Result, error) {
	e, done, err := a.engine()
	if err != nil {
		return provision.Result{}, err
	}
	defer done()
	var r provision.Result
	err = a.withSwitch(ctx, func() error {
		r, err = e.Revert(ctx, force)
		return err
	})
	if err != nil {
		return r, err
	}
	if err := a.hatch(); err != nil {
		return r, err
	}
	r.Notes = append(r.Notes, a.unwatched(ctx)...)
	if !a.offline() {
		a.settleOwed()
	}
	if len(r.Foreign) == 0 && !a.offline() {
		// The saved clock is no state of the network's, and nobody saves it any more; nor is whose state it was.
		for _, path := range [...]string{clockPath, filepath.Join(a.stateDir(), machineFile)} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return r, fmt.Errorf("reverted, but %s is left: %w", path, err)
			}
		}
	}
	f, err := a.Facts(ctx)
	if err != nil {
		return r, fmt.Errorf("reverted, but it cannot be told whether anything is left: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Files)) {
		ref := file.Ref(name)
		if !f.Files[name].Ours() || slices.Contains(r.Foreign, ref) {
			continue
		}
		r.Foreign = append(r.Foreign, ref)
		r.Notes = append(r.Notes, provision.Note{Level: "warning", Subject: name,
			Text: "written by provision, but its state does not know the file (was " + a.StateDir + " removed?): remove it by hand, or apply and revert again"})
	}
	return r, nil
}

// unwatched puts back what the watch had changed on its own account: that is in no ledger.
func (a *Agent) unwatched(ctx context.Context) []provision.Note {
	if err := a.unwatch(ctx); err != nil {
		return []provision.Note{{Level: "warning", Subject: "watch", Text: err.Error()}}
	}
	return nil
}

// Recover finishes what an interrupted command left. With wait it first lets that
// time pass and then stays until no confirmation is open: it is the keeper of
// `apply --confirm`.
func (a *Agent) Recover(ctx context.Context, wait time.Duration) (provision.Result, error) {
	e, done, err := a.engine()
	if err != nil {
		return provision.Result{}, err
	}
	defer done()
	for {
		if wait > 0 {
			if err := sleepBoottime(ctx, wait); err != nil {
				return provision.Result{}, err
			}
		}
		var r provision.Result
		err := a.withSwitch(ctx, func() error {
			r, err = e.Recover(ctx)
			return err
		})
		err = errors.Join(err, a.restoreForeign(ctx))
		if wait == 0 {
			return r, err
		}
		var locked *provision.LockedError
		if errors.As(err, &locked) {
			wait = time.Second
			continue
		}
		s, e2 := e.Status(ctx)
		if err != nil || e2 != nil || s.Pending == 0 {
			return r, errors.Join(err, e2)
		}
		wait = max(s.Pending, 100*time.Millisecond)
	}
}
