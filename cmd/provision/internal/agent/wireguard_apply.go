package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/guard"
	"github.com/provision-net/provision/provision/resource/nft"
	keys "github.com/provision-net/provision/provision/resource/wireguard"
)

// WireguardOptions adjust whatever changes tunnels.
type WireguardOptions struct {
	// Interface is which one is meant; empty where there is only one.
	Interface string
	DryRun    bool
	Force     bool // though an SSH session would be lost
}

// WireguardOutcome is what became of an interface or of a peer.
type WireguardOutcome struct {
	Interface string `json:"interface"`
	Peer      string `json:"peer,omitempty"`
	// File is where it is kept.
	File       string   `json:"file,omitempty"`
	PublicKey  string   `json:"public_key,omitempty"`
	Addresses  []string `json:"addresses,omitempty"`
	ListenPort uint16   `json:"listen_port,omitempty"`
	// Endpoint is where peers find this machine.
	Endpoint string `json:"endpoint,omitempty"`
	// Management: peers may manage this machine. Of interfaces only.
	Management *bool  `json:"management,omitempty"`
	Zone       string `json:"zone,omitempty"`
	// Config is the file for the peer's side. It has the peer's private key where KeyShown is true: it
	// is shown now, and not kept unless KeyKept is true as well.
	Config   string `json:"config,omitempty"`
	KeyShown bool   `json:"key_shown,omitempty"`
	KeyKept  bool   `json:"key_kept,omitempty"`
	// Compact is Config for a QR code.
	Compact string `json:"-"`
	// Again are peers that need a new file.
	Again  []string         `json:"peers_to_tell,omitempty"`
	DryRun bool             `json:"dry_run,omitempty"`
	Plan   provision.Plan   `json:"plan"`
	Result provision.Result `json:"result"`
	Notes  []provision.Note `json:"notes,omitempty"`
	Took   time.Duration    `json:"took_ns"`
}

func (o *WireguardOutcome) note(level, subject, format string, args ...any) {
	o.Notes = append(o.Notes, provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// changing reads the tunnels, lets f change them, and brings the machine there: this, and whatever else
// of routing is not as it should be. Nothing is changed with DryRun. Where anything fails, the files
// and the machine are as they were.
func (a *Agent) changing(ctx context.Context, o WireguardOptions, out *WireguardOutcome, f func(*tunnels) error) error {
	start := time.Now()
	defer func() { out.Took = time.Since(start) }()
	out.DryRun = o.DryRun
	if !o.DryRun {
		unlock, err := lockFile(ctx, filepath.Join(a.stateDir(), "wireguard.lock"))
		if err != nil {
			return fmt.Errorf("cannot keep others from changing tunnels at the same time: %w", err)
		}
		defer unlock()
	}
	t := &tunnels{file: a.Config.Routing.WireGuard, keys: map[string]bool{}}
	// A thousand files are read while the kernel is asked for facts, which it tells this thread alone.
	read := make(chan error, 1)
	go func() {
		var err error
		t.added, err = a.wireguardAdded()
		read <- err
	}()
	seen, unseen := a.Facts(ctx)
	err := <-read
	if err == nil {
		t.all, err = mergeWireguard(t.file, t.added)
	}
	if err == nil {
		t.facts, err = seen, unseen
	}
	if err != nil {
		return err
	}
	before, old := t.copy(), map[provision.Ref]bool{}
	if err := f(t); err != nil {
		return err
	}
	if t.whole {
		a.pending = &before
		was, err := a.tunnelGoal(ctx, t.facts)
		if err != nil {
			return err
		}
		for _, w := range was.Desired.Wants {
			old[w.Ref] = true
		}
	}
	a.pending = &t.added
	defer func() { a.pending = nil }()
	// What cannot be is refused before a file is written.
	g, err := a.tunnelGoal(ctx, t.facts)
	if err != nil {
		return err
	}
	t.flows, t.notes = g.Routing.Flows, g.Routing.WireGuard.Desired.Notes
	if o.DryRun {
		out.Plan, err = a.planTunnels(ctx, t, g, old)
		return err
	}
	return a.exchangeAll(t.edits, func() error {
		r, err := a.applyTunnels(ctx, t, g, old, o)
		out.Result = r
		return err
	})
}

// tunnelGoal is what should exist of routing, and of the server where peers ask it.
func (a *Agent) tunnelGoal(ctx context.Context, f *facts.Facts) (Goal, error) {
	r, err := a.wayOut(ctx, f)
	g := Goal{Facts: f, Routing: r, Desired: r.Desired}
	if err != nil {
		return g, err
	}
	g.Desired.Append(a.announced(f, r, g.Desired))
	if a.offline() {
		g.Desired = a.filesOnly(g.Desired)
	}
	return g, nil
}

// others reports whether a reference is a peer that does not change: a thousand of them need not be
// looked at for one that comes.
func (t *tunnels) others(r provision.Ref) bool {
	if t.keys == nil || r.Kind != keys.PeerKind {
		return false
	}
	device, key, _ := strings.Cut(r.Name, " ")
	return device != t.device || !t.keys[key]
}

// concerned is d without the peers that do not change.
func (t *tunnels) concerned(d provision.Desired) provision.Desired {
	wants := make([]provision.Want, 0, len(d.Wants))
	for _, w := range d.Wants {
		if !t.others(w.Ref) {
			wants = append(wants, w)
		}
	}
	d.Wants = wants
	return d
}

// scope is what may be touched: what is wanted, what was wanted while an interface that goes was
// there, and all that is of the device, but for peers that do not change.
func (t *tunnels) scope(d provision.Desired, old map[provision.Ref]bool) func(provision.Ref) bool {
	refs := maps.Clone(old)
	for _, w := range d.Wants {
		refs[w.Ref] = true
	}
	device := t.device
	return func(r provision.Ref) bool {
		return !t.others(r) && (refs[r] || slices.ContainsFunc(strings.Fields(r.Name), func(word string) bool { return word == device || word == "name:"+device }))
	}
}

func (a *Agent) planTunnels(ctx context.Context, t *tunnels, g Goal, old map[provision.Ref]bool) (provision.Plan, error) {
	e, done, err := a.engine()
	if err != nil {
		return provision.Plan{}, err
	}
	defer done()
	e.Look = lookOnce
	g.Desired = t.concerned(g.Desired)
	e.Scope = t.scope(g.Desired, old)
	return e.Plan(ctx, g.Desired)
}

func (a *Agent) applyTunnels(ctx context.Context, t *tunnels, g Goal, old map[provision.Ref]bool, o WireguardOptions) (provision.Result, error) {
	e, done, err := a.engine()
	if err != nil {
		return provision.Result{}, err
	}
	defer done()
	e.Look = lookOnce
	before, err := e.Status(ctx)
	if err != nil {
		return provision.Result{}, err
	}
	var watch *guard.Watch
	defer func() { watch.Close() }()
	fresh := true
	var ready func(context.Context) (provision.Desired, provision.ApplyOptions, error)
	ready = func(ctx context.Context) (provision.Desired, provision.ApplyOptions, error) {
		opts := provision.ApplyOptions{Replan: ready, Basis: before.Commit}
		if !fresh { // it is asked for again because the machine has changed
			f, err := a.Facts(ctx)
			if err == nil {
				g, err = a.tunnelGoal(ctx, f)
			}
			if err != nil {
				return g.Desired, opts, err
			}
		}
		fresh = false
		g.Desired = t.concerned(g.Desired)
		e.Scope = t.scope(g.Desired, old)
		if tables, ok := e.Resources[nft.Kind].(interface{ Know(*nft.Made) }); ok {
			tables.Know(g.Routing.Made)
		}
		plan, err := e.Plan(ctx, g.Desired)
		if err != nil || plan.Empty() || a.offline() {
			return g.Desired, opts, err
		}
		if err := a.alive(ctx, plan); err != nil {
			return g.Desired, opts, err
		}
		if err := g.cuts(plan); err != nil && !o.Force {
			return g.Desired, opts, err
		}
		if err := a.saveSets(g.Routing.Table); err != nil {
			return g.Desired, opts, err
		}
		if !dangerous(plan) {
			return g.Desired, opts, nil
		}
		watch.Close()
		if watch, err = guard.New(guard.Options{Sessions: guard.Sessions(g.Facts), Log: a.Log}); err != nil {
			return g.Desired, opts, fmt.Errorf("cannot watch over the SSH sessions: %w", err)
		}
		opts.Guard, opts.GuardFor = watch.Check, watch.Span()
		return g.Desired, opts, nil
	}
	d, opts, err := ready(ctx)
	if err != nil {
		return provision.Result{}, err
	}
	var r provision.Result
	err = a.withSwitch(ctx, func() error {
		var err error
		r, err = e.Apply(ctx, d, opts)
		return errors.Join(err, a.sweepSets(ctx, e))
	})
	return r, err
}

// dangerous: a firewall, a way or a rule of routing may cost an SSH session; a peer cannot.
func dangerous(p provision.Plan) bool {
	return slices.ContainsFunc(p.Changes, func(c provision.Change) bool {
		switch c.Ref.Kind {
		case nft.Kind, "rule", "sysctl":
			return true
		case "route":
			return c.Op != provision.Create || !strings.Contains(c.Ref.Name, " dev ")
		}
		return false
	})
}
