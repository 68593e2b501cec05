package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/tree"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/resource/dockeruser"
	"github.com/provision-net/provision/provision/resource/firewalld"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/resolver"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/provision/resource/sit"
	"github.com/provision-net/provision/provision/resource/ufw"
	"github.com/provision-net/provision/provision/resource/unit"
	"github.com/provision-net/provision/provision/resource/vxlan"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/kept"
)

// routingResources registers the sorts of state that the wing of the way out plans.
func (a *Agent) routingResources(e *provision.Engine, root *host.Root) {
	e.Resources[nft.Kind] = &nft.Resource{Blobs: a.blobs(root)}
	e.Resources[route.Kind] = route.Resource{}
	e.Resources[rule.Kind] = rule.Resource{}
	a.wireguardResources(e, root)
	e.Resources[sit.Kind] = sit.Resource{}
	e.Resources[vxlan.Kind] = vxlan.Resource{}
	e.Resources[resolver.Kind] = &resolver.Resource{Open: resolver.SystemBus, Index: indexOf, Files: root, Runner: a.runner}
	e.Resources[dockeruser.Kind] = dockeruser.Resource{}
	e.Resources[ufw.Kind] = &ufw.Resource{Files: root, Runner: a.runner}
	e.Resources[firewalld.Kind] = &firewalld.Resource{Open: firewalld.Bus, Files: root}
	e.Actors[unit.Kind] = &unit.Actor{Open: unit.Systemd, Log: a.Log}
}

// indexOf is that of a device, 0 where there is none.
func indexOf(_ context.Context, name string) (int, error) {
	l, err := net.InterfaceByName(name)
	if err != nil {
		return 0, nil // the one error that it has is that there is none
	}
	return l.Index, nil
}

// setsDir is in the state directory.
const setsDir = "sets"

// blobs keeps the elements of large sets beside the snapshots.
func (a *Agent) blobs(root *host.Root) nft.Blobs {
	return nft.Blobs{Files: root, Dir: filepath.Join(a.StateDir, setsDir)}
}

// seen is what other firewalls there are on this machine. Who may not read the rules still
// learns what files and processes tell.
func (a *Agent) seen(ctx context.Context, f *facts.Facts) (foreign.Seen, error) {
	s := foreign.Gather(tree.Live())
	for _, l := range f.Links {
		s.Devices = append(s.Devices, foreign.Device{Name: l.Name, Index: l.Index, Kind: l.Kind, Ports: len(l.Ports)})
	}
	tables, err := nft.DumpAll(ctx)
	switch {
	case errors.Is(err, nft.ErrUnsupported), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
	case err != nil:
		return s, fmt.Errorf("cannot read the firewalls of others: %w", err)
	}
	s.Tables = tables
	return s, nil
}

// tables reads all tables of nf_tables.
func (a *Agent) tables(ctx context.Context) ([]nft.Table, error) {
	if a.offline() {
		return nil, nil
	}
	return nft.DumpAll(ctx)
}

// live reads the own table.
func (a *Agent) live(ctx context.Context) (*nft.Table, error) {
	return nft.Dump(ctx, nft.OwnFamily, nft.OwnTable)
}

// saveSets keeps the elements of large sets before a plan that wants them is carried out: what is
// planned, remembered and gone back to knows them by their digest only.
func (a *Agent) saveSets(t *nft.Table) error {
	if t == nil || a.offline() {
		return nil
	}
	root, err := host.OpenRoot(a.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := os.MkdirAll(a.stateDir(), 0o700); err != nil {
		return fmt.Errorf("cannot keep large sets: %w", err)
	}
	if err := a.blobs(root).Save(*t); err != nil {
		return fmt.Errorf("cannot keep large sets: %w", err)
	}
	return nil
}

// sweepSets forgets large sets that nothing on disk knows any more.
func (a *Agent) sweepSets(ctx context.Context, e *provision.Engine) error {
	if _, err := os.Stat(filepath.Join(a.stateDir(), setsDir)); a.offline() || err != nil {
		return nil // there are none
	}
	root, err := host.OpenRoot(a.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	lock, err := e.Store.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	files, err := filepath.Glob(filepath.Join(a.stateDir(), "engine", "*"))
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, f := range append(files, filepath.Join(a.Root, kept.Path)) {
		data, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot tell which large sets are needed: %w", err)
		}
		nft.DigestsIn(data, needed)
	}
	if _, err := a.blobs(root).Sweep(func(d string) bool { return needed[d] }, time.Now().Add(-time.Minute)); err != nil {
		return fmt.Errorf("cannot remove large sets that nobody needs: %w", err)
	}
	return nil
}
