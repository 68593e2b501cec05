package agent

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/provision-net/provision/cmd/provision/internal/watching"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/overlay/tree"
	"github.com/provision-net/provision/routing/watch"
)

// askLimit is how long a node is waited for.
const askLimit = 1500 * time.Millisecond

// lookAtOverlay reads the kernel's tree and what the watch remembers, and asks the nodes, as far as this
// user may.
func lookAtOverlay(ctx context.Context, c overlay.Config) (tree.Seen, error) {
	s := tree.Seen{Config: c, Asked: os.Geteuid() == 0}
	var err error
	if s.Spanning, err = bridge.ReadSpanning(ctx, c.Switch()); err != nil {
		return s, err
	}
	table, err := netdev.Read(ctx)
	if err != nil {
		return s, err
	}
	for _, d := range table.Devices {
		s.Devices = append(s.Devices, d.Name)
	}
	// What cannot be read is not known.
	_ = json.Unmarshal(watch.Remembered(watching.MemoryPath, watching.BootID(), tree.Name), &s.State)
	if s.Asked {
		s.RTTs, s.Reached = tree.Ask(ctx, watching.Wires{}, c, askLimit)
	}
	return s, nil
}
