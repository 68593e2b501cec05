package wireguard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

// EndpointFiles is what EndpointsResource needs of the file system.
type EndpointFiles interface {
	Load(path string, limit int64) (host.File, host.Version, error)
	Write(path string, f host.File, v host.Version) error
	Remove(path string, v host.Version) error
}

// EndpointsResource is EndpointsKind of the devices of the calling thread's network namespace.
type EndpointsResource struct {
	Files EndpointFiles
	// Folder has a file for each device; empty for Endpoints.
	Folder string
	// Sockets is where userspace devices listen, empty for the directory of that name.
	Sockets string
}

var _ provision.Resource = EndpointsResource{}

// maxEndpoints bounds a file: tens of thousands of peers.
const maxEndpoints = 8 << 20

func (r EndpointsResource) load(ctx context.Context, name string) (file string, text *string, v host.Version, err error) {
	if err := ctx.Err(); err != nil {
		return "", nil, v, err
	}
	if err := checkName(name); err != nil {
		return "", nil, v, err
	}
	file = path.Join(r.Folder, "wireguard-endpoints-"+name)
	if r.Folder == "" {
		file = path.Join(Endpoints, "wireguard-endpoints-"+name)
	}
	f, v, err := r.Files.Load(file, maxEndpoints)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return file, nil, host.Version{}, nil
	case err != nil:
		return file, nil, v, err
	}
	s := strings.TrimSuffix(string(f.Data), "\n")
	return file, &s, v, nil
}

// Get implements provision.Resource.
func (r EndpointsResource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	_, text, _, err := r.load(ctx, name)
	if err != nil || text == nil {
		return nil, err
	}
	return provision.Attrs{AttrEndpoints: *text}, nil
}

// Set implements provision.Resource. Peers are told first: what is told twice does no harm, and what is
// written down as told has been.
func (r EndpointsResource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	file, text, v, err := r.load(ctx, name)
	if err != nil {
		return err
	}
	if (text == nil) != (have == nil) || text != nil && *text != have[AttrEndpoints] {
		return fmt.Errorf("%s %s: %w", EndpointsKind, name, provision.ErrStale)
	}
	if want == nil {
		if text == nil {
			return nil
		}
		return r.Files.Remove(file, v)
	}
	for k := range want {
		if k != AttrEndpoints {
			return fmt.Errorf("cannot set %s of %s %s: unknown attribute", k, EndpointsKind, name)
		}
	}
	now, err := configured(want[AttrEndpoints])
	if err != nil {
		return fmt.Errorf("%s %s: %w", EndpointsKind, name, err)
	}
	var before map[string]Configured
	if text != nil {
		before, _ = configured(*text) // what nobody can read is as if it were not there
	}
	if err := r.tell(ctx, name, before, now); err != nil {
		return err
	}
	return r.Files.Write(file, host.File{Data: []byte(want[AttrEndpoints] + "\n"), Mode: 0o600, UID: -1, GID: -1}, v)
}

func (r EndpointsResource) tell(ctx context.Context, name string, before, now map[string]Configured) error {
	d, err := Read(ctx, r.Sockets, name)
	if err != nil || d == nil {
		return err
	}
	for _, c := range moved(before, now, d) {
		if err := SetEndpoint(ctx, r.Sockets, name, c.PublicKey, c.Address.String()); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("%s: peer %s cannot be told to be at %s: %w", name, c.PublicKey, c.Address, err)
		}
	}
	return nil
}
