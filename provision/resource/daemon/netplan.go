package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netplangen"
)

// KindNetplanGenerate is the kind of NetplanGenerate.
const KindNetplanGenerate = "netplan-generate"

// NetplanGenerate brings the files under /run that netplan makes from its YAML in line with it, and touches none that is right: the reload
// or restart of the daemon that follows concerns only the NICs that changed. It serves both directions, and a system that starts: there
// the generator of the boot may have run before the YAML was taken back.
func NetplanGenerate() provision.Action { return provision.Action{Kind: KindNetplanGenerate} }

// Netplan carries out NetplanGenerate.
type Netplan struct {
	FS     host.FS
	Runner host.Runner
	Log    *slog.Logger // nil discards
}

var _ provision.Actor = (*Netplan)(nil)

// Do implements provision.Actor.
func (n *Netplan) Do(ctx context.Context, _ provision.Action) error {
	changed, err := netplangen.Sync(ctx, n.FS, n.Runner)
	if n.Log != nil && len(changed) > 0 {
		n.Log.Info("netplan's generated files brought in line", "files", strings.Join(changed, " "))
	}
	if err != nil {
		return fmt.Errorf("cannot bring netplan's generated files in line: %w", err)
	}
	return nil
}
