package agent

import (
	"context"

	"github.com/provision-net/provision/provision/resource/resolver"
)

// resolvedLink is what systemd-resolved keeps for a device; nothing where neither is there.
func resolvedLink(ctx context.Context, device string) (resolver.Link, error) {
	index, _ := indexOf(ctx, device)
	bus, err := resolver.SystemBus(ctx)
	if err != nil || bus == nil || index == 0 {
		return resolver.Link{}, err
	}
	defer bus.Close()
	return bus.Link(ctx, index)
}
