package agent

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/provision-net/provision/backends/netplan"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/netplangen"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/leaseroute"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/routemetric"
	"github.com/provision-net/provision/provision/resource/solicit"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// newRunner returns what runs the managers' own commands, and the count of
// processes it has started.
func newRunner() (host.Runner, func() int64) {
	e := &host.Exec{}
	return e, e.Spawned
}

// engine opens the state and registers every sort of state and action. On a
// mounted image only files are registered: nothing there can reach the kernel or a
// daemon of the machine that provision runs on. The engine may be used until done is called, which
// gives back the descriptor of the root: servers and watches make many engines while they run.
func (a *Agent) engine() (e *provision.Engine, done func(), err error) {
	root, err := host.OpenRoot(a.Root)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the root %s: %w", a.Root, err)
	}
	store, err := provision.Open(filepath.Join(a.stateDir(), "engine"))
	if err != nil {
		root.Close()
		return nil, nil, err
	}
	e = &provision.Engine{
		Resources: map[string]provision.Resource{
			file.Kind:       &file.Resource{FS: root, Mark: facts.Marker + "\n"},
			file.SecretKind: &file.Resource{FS: root, Secret: true, Mark: facts.Marker + "\n"},
		},
		Actors: map[string]provision.Actor{},
		Store:  store,
		Log:    a.Log,
	}
	a.wifiResources(e, root)
	if !a.offline() {
		e.Resources[link.Kind] = link.Resource{}
		e.Resources[sysctl.Kind] = &sysctl.Resource{Files: root, Devices: netdev.Read}
		e.Resources[routemetric.Kind] = routemetric.Resource{}
		e.Resources[routemetric.DaemonKind] = routemetric.Resource{Daemon: true}
		a.routingResources(e, root)
		a.gadgetResources(e, root)
		actor := a.actor()
		for _, kind := range daemon.Kinds() {
			e.Actors[kind] = actor
		}
		e.Actors[leaseroute.Kind] = &leaseroute.Actor{Runner: a.runner, Log: a.Log}
		e.Actors[solicit.Kind] = solicit.Actor{Log: a.Log}
	}
	if !a.image() {
		e.Actors[daemon.KindNetplanGenerate] = &daemon.Netplan{FS: root, Runner: a.runner, Log: a.Log}
	}
	if a.equip != nil {
		a.equip(e)
	}
	instrument(e)
	return e, func() { root.Close() }, nil
}

func (a *Agent) actor() *daemon.Actor {
	return &daemon.Actor{Runner: a.runner, Log: a.Log, State: a.stateDir()}
}

// restoreForeign puts back what an action that was cut off had saved of other
// people's routes, rules and addresses.
func (a *Agent) restoreForeign(ctx context.Context) error {
	if a.offline() {
		return nil
	}
	return a.actor().Restore(ctx)
}

// check lets the managers' own checkers judge the planned files before anything
// is written.
func (a *Agent) check(ctx context.Context, g Goal) error {
	generate := func(ctx context.Context, yaml map[string]string) (map[string]string, error) {
		made, err := netplangen.Generate(ctx, a.runner, yaml)
		texts := make(map[string]string, len(made))
		for name, f := range made {
			texts[name] = string(f.Data)
		}
		return texts, err
	}
	err := netplan.Check(ctx, generate, g.Facts, g.Desired)
	switch {
	case !errors.Is(err, exec.ErrNotFound):
		return err
	case a.offline():
		a.Log.Warn("netplan is not installed on this machine, so it has not checked the files for the image")
		return nil
	}
	return fmt.Errorf("%w: netplan must check the planned files, and it cannot be run: %w", ErrMissing, err)
}

// alive asks the daemons that the plan's triggers are for whether they answer.
func (a *Agent) alive(ctx context.Context, p provision.Plan) error {
	if a.offline() {
		return nil
	}
	var actions []provision.Action
	for _, t := range p.Triggers {
		actions = append(actions, t.Do)
	}
	if err := a.actor().Alive(ctx, actions); err != nil {
		return fmt.Errorf("refused, nothing was changed: %w", err)
	}
	return nil
}
