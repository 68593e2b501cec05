//go:build !linux

package agent

import (
	"context"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

func deviceOwner(context.Context, string) (owner string, there bool, err error) {
	return "", false, nil
}

func liveTunnels(context.Context) (map[string]*wireguard.Device, error) { return nil, nil }
