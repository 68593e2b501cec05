package agent

import (
	"context"
	"errors"
	"syscall"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// deviceOwner is whose a device is (ip-link(8), alias).
func deviceOwner(ctx context.Context, name string) (owner string, there bool, err error) {
	d, err := wireguard.Read(ctx, "", name)
	if err != nil || d == nil {
		return "", false, err
	}
	return d.Alias, true, nil
}

// liveTunnels are the devices there are, with their peers. Who may not ask gets none of the peers.
func liveTunnels(ctx context.Context) (map[string]*wireguard.Device, error) {
	names, err := wireguard.Names(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make(map[string]*wireguard.Device, len(names))
	for _, n := range names {
		d, err := wireguard.Read(ctx, "", n)
		switch {
		case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
			out[n] = nil
		case err != nil:
			return nil, err
		default:
			out[n] = d
		}
	}
	return out, nil
}
