//go:build !linux

package agent

import (
	"context"
	"fmt"

	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/overlay/tree"
)

func lookAtOverlay(context.Context, overlay.Config) (tree.Seen, error) {
	return tree.Seen{}, fmt.Errorf("%w: a node of an overlay runs Linux", ErrMissing)
}
