package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/routing/kept"
)

// GadgetOutcome is what `gadget up` or `gadget down` did.
type GadgetOutcome struct {
	Config  string           `json:"config"`
	Result  provision.Result `json:"result"`
	Devices []gadget.Device  `json:"devices"`
	Links   []GadgetLink     `json:"links"`
	// Served: a server is running.
	Served    bool          `json:"server_running"`
	Took      time.Duration `json:"took_ns"`
	Processes int64         `json:"processes"`
}

// gadgetGoal is what should exist for gadgets alone.
func (a *Agent) gadgetGoal(ctx context.Context) (gadget.Result, error) {
	if a.offline() {
		return gadget.Result{}, fmt.Errorf("%w: gadgets are brought up on the running machine; `provision apply --root` writes the files of an image", ErrConfig)
	}
	f, err := a.facts(ctx, true)
	if err != nil {
		return gadget.Result{}, err
	}
	if err := a.gadgetKernel(ctx, f); err != nil {
		return gadget.Result{}, err
	}
	c, configured := a.gadgetConfig()
	return a.gadgetPlanOf(ctx, f, c, configured)
}

// GadgetPlan says what GadgetUp would do.
func (a *Agent) GadgetPlan(ctx context.Context) (GadgetOutcome, provision.Plan, error) {
	out := GadgetOutcome{Config: a.Source.String()}
	r, err := a.gadgetGoal(ctx)
	if err != nil {
		return out, provision.Plan{}, err
	}
	e, done, err := a.engine()
	if err != nil {
		return out, provision.Plan{}, err
	}
	defer done()
	if e.Scope, err = a.gadgetScope(r.Desired); err != nil {
		return out, provision.Plan{}, err
	}
	out.Devices, out.Links = r.Devices, links(r.Links)
	p, err := e.Plan(ctx, r.Desired)
	if err == nil {
		p.Notes = append(p.Notes, a.wayMissing(ctx, e, r)...)
	}
	return out, p, err
}

// GadgetUp brings up the gadgets of the configuration, or a modern one where none is configured,
// and touches nothing else. What is as it should be is not written, so the host sees nothing.
func (a *Agent) GadgetUp(ctx context.Context) (GadgetOutcome, error) {
	out, r, err := a.gadgetUp(ctx)
	if err != nil || len(r.Intents.Forwards) == 0 {
		return out, err
	}
	e, done, err := a.engine()
	if err != nil {
		return out, err
	}
	defer done()
	out.Result.Notes = append(out.Result.Notes, a.wayMissing(ctx, e, r)...)
	return out, nil
}

// gadgetUp is GadgetUp for who has told of the way out already.
func (a *Agent) gadgetUp(ctx context.Context) (out GadgetOutcome, r gadget.Result, err error) {
	a.load = true
	out, err = a.gadgetApply(ctx, func(ctx context.Context) (gadget.Result, error) {
		r, err = a.gadgetGoal(ctx)
		return r, err
	})
	return out, r, err
}

// wayMissing says that the links of r are to have a way out, and that what it takes is not in place:
// forwarding, address translation and the firewall are of the whole machine, so apply sets them.
func (a *Agent) wayMissing(ctx context.Context, e *provision.Engine, r gadget.Result) []provision.Note {
	var on []string
	for _, w := range r.Intents.Forwards {
		on = append(on, w.Interfaces...)
	}
	if len(on) == 0 {
		return nil
	}
	on = slices.DeleteFunc(on, func(name string) bool { // the other profile's links are not there
		return !slices.ContainsFunc(r.Links, func(l gadget.Link) bool { return l.Name == name })
	})
	note := provision.Note{Level: "warning", Subject: "gadget.router"}
	command := "provision apply"
	if p := a.Source.Path; p != "" && p != DefaultPath && !a.Source.Boot {
		command += " -c " + p
	}
	f, err := a.Facts(ctx)
	if err != nil {
		note.Text = fmt.Sprintf("whether a host on %s has a way out through this machine is not known: %v", strings.Join(on, ", "), err)
		return []provision.Note{note}
	}
	way, err := a.routing(ctx, f, r)
	if err != nil {
		note.Text = fmt.Sprintf("a host on %s has no way out through this machine: %v", strings.Join(on, ", "), err)
		return []provision.Note{note}
	}
	for _, w := range kept.Of(way.Desired.Wants, nft.Kind, sysctl.Kind) {
		if w.Kind == sysctl.Kind && !strings.HasPrefix(w.Name, "global ") {
			continue // of a device that may not be there yet
		}
		if have, err := e.Resources[w.Kind].Get(ctx, w.Name); err == nil && equal(have, w.Attrs) {
			continue
		}
		note.Text = fmt.Sprintf("a host on %s has no way out through this machine yet: `%s` sets up forwarding, address translation and the firewall", strings.Join(on, ", "), command)
		return []provision.Note{note}
	}
	return nil
}

// owedPath is there while the watch owes a gadget that it could not bring back: nothing is written
// down of that one, so `gadget down` would have nothing else to take away.
const owedPath = "/run/provision/gadget-owed"

func (a *Agent) owe() error {
	name := filepath.Join(a.Root, owedPath)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, nil, 0o600)
}

func (a *Agent) owes() bool {
	_, err := os.Lstat(filepath.Join(a.Root, owedPath))
	return err == nil
}

// settleOwed: no gadget is owed any more. What it was is up, or is not wanted.
func (a *Agent) settleOwed() {
	if err := os.Remove(filepath.Join(a.Root, owedPath)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.Log.Warn("the watch may bring back a gadget that is not wanted", "error", err)
	}
}

// GadgetDown takes away what was brought up.
func (a *Agent) GadgetDown(ctx context.Context) (GadgetOutcome, error) {
	if a.offline() {
		return GadgetOutcome{}, fmt.Errorf("%w: gadgets are taken down on the running machine", ErrConfig)
	}
	a.settleOwed()
	return a.gadgetApply(ctx, func(ctx context.Context) (gadget.Result, error) {
		var r gadget.Result
		e, done, err := a.engine()
		if err != nil {
			return r, err
		}
		defer done()
		r.Desired, err = a.downGoal(ctx, e, a.Facts)
		return r, err
	})
}

// downGoal is what is wanted in the gadget's scope when no gadget is: nothing, but dhcpcd.conf where
// apply wants it for NICs. The engine would give it back as it was before the first of the two came.
func (a *Agent) downGoal(ctx context.Context, e *provision.Engine, look func(context.Context) (*facts.Facts, error)) (d provision.Desired, err error) {
	s, err := a.gadgetState()
	if err != nil || !slices.Contains(s.Refs, file.Ref(gadget.DhcpcdFile)) {
		return d, err
	}
	if e.Scope, err = a.gadgetScope(d); err != nil {
		return d, err
	}
	p, err := e.Plan(ctx, d)
	if err != nil {
		return d, err
	}
	i := slices.IndexFunc(p.Changes, func(c provision.Change) bool { return c.Ref == file.Ref(gadget.DhcpcdFile) })
	if i < 0 || p.Changes[i].Have == nil {
		return d, nil
	}
	c := p.Changes[i]
	f, err := look(ctx)
	if err != nil {
		return d, err
	}
	rest, err := gadget.WithoutGadget(f, c.Have[file.AttrContent])
	if err != nil {
		a.Log.Warn("what NICs want in dhcpcd.conf goes with what the gadget does, until the next apply", "error", err)
		return d, nil
	}
	if c.Want != nil && rest.Wants[0].Attrs[file.AttrContent] == c.Want[file.AttrContent] {
		return d, nil
	}
	return rest, nil
}

func (a *Agent) gadgetApply(ctx context.Context, goal func(context.Context) (gadget.Result, error)) (GadgetOutcome, error) {
	start := time.Now()
	out := GadgetOutcome{Config: a.Source.String(), Devices: []gadget.Device{}, Links: []GadgetLink{}}
	e, done, err := a.engine()
	if err != nil {
		return out, err
	}
	defer done()
	e.Look = lookOnce
	before, err := e.Status(ctx)
	if err != nil {
		return out, err
	}
	var ready func(context.Context) (provision.Desired, provision.ApplyOptions, error)
	ready = func(ctx context.Context) (provision.Desired, provision.ApplyOptions, error) {
		o := provision.ApplyOptions{Replan: ready, Basis: before.Commit}
		r, err := goal(ctx)
		if err == nil {
			e.Scope, err = a.gadgetScope(r.Desired)
		}
		out.Devices, out.Links = r.Devices, links(r.Links)
		return r.Desired, o, err
	}
	d, o, err := ready(ctx)
	if err != nil {
		return out, err
	}
	err = a.withSwitch(ctx, func() error {
		out.Result, err = e.Apply(ctx, d, o)
		return err
	})
	out.Took, out.Processes = time.Since(start), a.spawned()
	if err != nil && errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	out.Served = serving(ctx)
	return out, err
}

// serving reports whether somebody listens where the server does.
func serving(ctx context.Context) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", control.DefaultSocket)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
