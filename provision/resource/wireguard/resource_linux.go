package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
)

// Resource is the devices of the calling thread's network namespace.
type Resource struct {
	// Userspace makes devices where the kernel has no WireGuard; nil: then there are none.
	Userspace Userspace
	// Sockets is where they listen, empty for the directory of that name.
	Sockets string
	// NoKernel asks the kernel for none (tests, measurements).
	NoKernel bool
}

var (
	_ provision.Resource   = Resource{}
	_ provision.Lister     = Resource{}
	_ provision.Author     = Resource{}
	_ provision.Classifier = Resource{}
)

// ErrUnsupported means that the kernel has no WireGuard and nothing else can be the device.
var ErrUnsupported = errors.New("the kernel has no WireGuard")

// Wrote implements provision.Author.
func (Resource) Wrote(have provision.Attrs) bool { return have[AttrOwner] == Owner }

// Class implements provision.Classifier.
func (Resource) Class(attr string) provision.Class {
	if attr == AttrPrivateKey {
		return provision.Secret
	}
	return provision.Exact
}

// Get implements provision.Resource.
func (r Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	all, err := r.List(ctx, []string{name})
	return all[name], err
}

// List implements provision.Lister.
func (r Resource) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	l, err := look(ctx, r.Sockets)
	if err != nil {
		return nil, err
	}
	defer l.close()
	out := make(map[string]provision.Attrs, len(names))
	var errs []error
	for _, name := range names {
		if err := checkName(name); err != nil {
			errs = append(errs, err)
			continue
		}
		d, _, err := l.find(ctx, name)
		errs = append(errs, err)
		if d != nil {
			out[name] = d.attrs()
		}
	}
	return out, errors.Join(errs...)
}

// Set implements provision.Resource. It refuses to change or remove what somebody else made.
func (r Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if err := checkName(name); err != nil {
		return err
	}
	l, err := look(ctx, r.Sockets)
	if err != nil {
		return err
	}
	defer l.close()
	d, other, err := l.find(ctx, name)
	if err != nil {
		return err
	}
	if stale(d, have, want) {
		return fmt.Errorf("wireguard %s: %w", name, provision.ErrStale)
	}
	c, err := deviceChange(name, d, want)
	switch {
	case err != nil:
		return err
	case want == nil && d == nil:
		return nil
	case other != "":
		return fmt.Errorf("cannot make the WireGuard device %s: there is a %s of that name; choose another name", name, other)
	case d != nil && !d.ours() && (want == nil || !c.empty() || d.Alias != want[AttrOwner]):
		return fmt.Errorf("the WireGuard device %s is somebody else's: choose another name, or take it away first (`wg-quick down %s`, or `ip link del %s`)", name, name, name)
	case want == nil && d.Userspace && r.Userspace == nil:
		return fmt.Errorf("cannot remove %s: it is a process that nobody here can end: %w", name, ErrUnsupported)
	case want == nil && d.Userspace:
		return r.Userspace.Stop(ctx, name)
	case want == nil:
		return removeLink(ctx, d.Index, name)
	}
	if err := c.portFree(name); err != nil {
		return err
	}
	if d != nil {
		return r.update(ctx, l, d, c)
	}
	return r.make(ctx, name, c)
}

func stale(d *Device, have, want provision.Attrs) bool {
	if (d == nil) != (have == nil) {
		return true
	}
	if d == nil {
		return false
	}
	now := d.attrs()
	for k := range want {
		if now[k] != have[k] {
			return true
		}
	}
	return false
}

// portFree refuses a port that somebody else has: a device that is down takes it, and then cannot
// come up, or does so without a port.
func (c change) portFree(name string) error {
	if c.listenPort == nil || *c.listenPort == 0 {
		return nil
	}
	s, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(*c.listenPort)})
	if err != nil {
		return explain(err, name)
	}
	return s.Close()
}

func (r Resource) update(ctx context.Context, l *links, d *Device, c change) error {
	before := change{}
	if c.privateKey != nil {
		before.privateKey = &d.PrivateKey
	}
	if c.listenPort != nil {
		before.listenPort = &d.ListenPort
	}
	if c.fwmark != nil {
		before.fwmark = &d.Fwmark
	}
	if err := l.conn.tell(ctx, l.sockets, d, c); err != nil {
		return errors.Join(err, l.conn.tell(context.WithoutCancel(ctx), l.sockets, d, before))
	}
	return mark(ctx, d)
}

// make makes the device and removes it again when it cannot be set up.
func (r Resource) make(ctx context.Context, name string, c change) (err error) {
	user, err := r.create(ctx, name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.unmake(context.WithoutCancel(ctx), name, user))
		}
	}()
	l, err := look(ctx, r.Sockets)
	if err != nil {
		return err
	}
	defer l.close()
	d, _, err := l.find(ctx, name)
	switch {
	case err != nil:
		return err
	case d == nil:
		return fmt.Errorf("the WireGuard device %s was made and is not there", name)
	}
	// Marked first: a device with a key and without a mark would be somebody else's after a crash.
	if err := mark(ctx, d); err != nil {
		return err
	}
	return l.conn.tell(ctx, l.sockets, d, c)
}

// create makes an empty device, in the kernel where it can be.
func (r Resource) create(ctx context.Context, name string) (user bool, err error) {
	err = error(unix.EOPNOTSUPP)
	if !r.NoKernel {
		err = makeLink(ctx, name)
	}
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, unix.EPERM):
		return false, fmt.Errorf("cannot make the WireGuard device %s: run as root: %w", name, err)
	case errors.Is(err, unix.EEXIST):
		return false, fmt.Errorf("wireguard %s: %w", name, provision.ErrStale)
	case !errors.Is(err, unix.EOPNOTSUPP):
		return false, fmt.Errorf("cannot make the WireGuard device %s: %w", name, err)
	case r.Userspace == nil:
		return false, fmt.Errorf("cannot make the WireGuard device %s: %w", name, ErrUnsupported)
	}
	return true, r.Userspace.Start(ctx, name)
}

func (r Resource) unmake(ctx context.Context, name string, user bool) error {
	if user {
		return r.Userspace.Stop(ctx, name)
	}
	return removeLink(ctx, 0, name)
}
