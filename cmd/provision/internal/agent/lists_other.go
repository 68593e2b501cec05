//go:build !linux

package agent

import (
	"context"
	"fmt"

	"github.com/provision-net/provision/routing/lists"
)

func (a *Agent) refreshLists(context.Context, lists.Config, []string, bool) (ListOutcome, error) {
	return ListOutcome{}, fmt.Errorf("%w: lists are kept on Linux only", ErrMissing)
}

func (a *Agent) firstLists(context.Context) error { return nil }
