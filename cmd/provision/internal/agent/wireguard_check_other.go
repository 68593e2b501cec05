//go:build !linux

package agent

import (
	"context"

	"github.com/provision-net/provision/provision/resource/resolver"
)

func resolvedLink(context.Context, string) (resolver.Link, error) { return resolver.Link{}, nil }
