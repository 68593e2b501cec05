package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/policy"
)

// routing asks the wing of the way out, in a second pass: what the others need is known by now.
func (a *Agent) routing(ctx context.Context, f *facts.Facts, usb gadget.Result) (routing.Result, error) {
	config, err := a.routingConfig()
	if err != nil {
		return routing.Result{}, err
	}
	serve := a.Config.Serve
	serve.Links = append(slices.Clone(serve.Links), serveRules(serve, links(usb.Links))...)
	serve.Links = append(serve.Links, prefixRules(serve, config.Served())...)
	a.asked = resolving(config.WireGuard)
	serve.Links = append(serve.Links, tunnelRules(serve, a.asked)...)
	in := routing.Input{Facts: f, Intents: served(serve, len(a.Config.Serve.Links)), Units: a.Units, Names: a.tableNames(),
		WireGuard: a.wireguardInput(config.WireGuard)}
	in.Intents.Append(usb.Intents)
	text, err := readBounded(filepath.Join(a.Root, policy.MemoryPath), 1<<20)
	if err == nil {
		in.Memory, err = policy.ParseMemory(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return routing.Result{}, fmt.Errorf("cannot use the allotted numbers in %s: %w; remove the file to allot them anew", policy.MemoryPath, err)
	}
	in.WireGuard.Resolved, in.NameServers = a.resolved(ctx, f, config.WireGuard, in.Memory.Mask)
	if len(config.Adapters) > 0 && !a.offline() {
		seen, err := a.seen(ctx, f)
		if err != nil {
			return routing.Result{}, err
		}
		in.Seen = seen
	}
	var torn []error
	in.Lists, torn = a.copies(config.Lists)
	r, err := routing.Plan(in, config)
	for _, err := range torn {
		r.Desired.Notes = append(r.Desired.Notes, provision.Note{Level: "warning", Subject: "routing.lists", Text: err.Error()})
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return r, err
}

// wayOut is routing for whoever asks for nothing else.
func (a *Agent) wayOut(ctx context.Context, f *facts.Facts) (routing.Result, error) {
	usb, err := a.gadgetPlan(ctx, f, a.Config.Gadget)
	if err != nil {
		return routing.Result{}, err
	}
	return a.routing(ctx, f, usb)
}

// tableNames are the routing tables that have names (ip-route(8)); who names one uses it.
func (a *Agent) tableNames() map[uint32]string {
	out := map[uint32]string{}
	files := []string{"/usr/share/iproute2/rt_tables", "/usr/lib/iproute2/rt_tables", "/etc/iproute2/rt_tables"}
	for _, dir := range []string{"/usr/share/iproute2/rt_tables.d", "/etc/iproute2/rt_tables.d"} {
		found, _ := filepath.Glob(filepath.Join(a.Root, dir, "*.conf")) // the pattern is right
		for _, path := range found {
			files = append(files, filepath.Join(dir, filepath.Base(path)))
		}
	}
	for _, path := range files {
		if text, err := readBounded(filepath.Join(a.Root, path), 1<<20); err == nil {
			policy.ParseTables(string(text), out)
		}
	}
	return out
}

// cuts refuses a plan that puts up a firewall through which an SSH session would not come back.
func (g Goal) cuts(p provision.Plan) error {
	if !slices.ContainsFunc(p.Changes, func(c provision.Change) bool { return c.Ref.Kind == nft.Kind }) {
		return nil
	}
	var errs []error
	for _, c := range g.Routing.Cuts {
		errs = append(errs, fmt.Errorf("refused, nothing was changed: %s (--force applies it all the same)", c.Why))
	}
	return errors.Join(errs...)
}
