package linkname

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// Resource is the names of the network devices of the calling thread's network namespace. The zero
// value is ready for use.
type Resource struct{}

var (
	_ provision.Resource = Resource{}
	_ provision.Lister   = Resource{}
)

// Property implements provision.Property.
func (Resource) Property() bool { return true }

// Get implements provision.Resource.
func (r Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	all, err := r.List(ctx, []string{name})
	return all[name], err
}

// List implements provision.Lister.
func (Resource) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	table, err := netdev.Read(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(names))
	var errs []error
	for _, name := range names {
		d, ok, err := find(table, name)
		errs = append(errs, err)
		if ok {
			out[name] = provision.Attrs{AttrName: d.Name}
		}
	}
	return out, errors.Join(errs...)
}

func find(table *netdev.Table, name string) (netdev.Device, bool, error) {
	d, ok, err := table.Find(name)
	if ok && name == "name:"+d.Name {
		return d, false, fmt.Errorf("link-name %s: a device cannot be selected by the name that it would lose: use its MAC or an alternative name", name)
	}
	return d, ok, err
}

// Set implements provision.Resource. Devices are not made or removed here: a device that is wanted
// and does not exist, or the other way round, is provision.ErrPending.
func (Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	table, err := netdev.Read(ctx)
	if err != nil {
		return err
	}
	d, ok, err := find(table, name)
	switch {
	case err != nil:
		return err
	case ok != (have != nil), ok && want != nil && have[AttrName] != d.Name:
		return fmt.Errorf("link-name %s: %w", name, provision.ErrStale)
	case want == nil && !ok:
		return nil
	case want == nil:
		return fmt.Errorf("%s goes away with its driver or the daemon that made it: %w", d.Name, provision.ErrPending)
	case !ok:
		return fmt.Errorf("no device %s yet: %w", name, provision.ErrPending)
	}
	for k := range want {
		if k != AttrName {
			return fmt.Errorf("cannot set %s of %s: unknown attribute", k, d.Name)
		}
	}
	to := want[AttrName]
	if err := check(to); err != nil || to == d.Name {
		return err
	}
	for _, o := range table.Devices {
		if o.Index != d.Index && (o.Name == to || slices.Contains(o.Alt, to)) {
			return fmt.Errorf("cannot call %s %s: the name is taken by another device%s; choose another one", d.Name, to, told(o, to))
		}
	}
	return rename(ctx, d, to)
}

// told describes who has a name.
func told(d netdev.Device, name string) string {
	var s string
	if d.MAC != "" {
		s = " with the MAC " + d.MAC
	}
	if d.Name != name {
		s += ", " + d.Name + ", as one of its alternative names"
	}
	return s
}

// rename tries it as the device is: Linux renames what is up since 6.2. Before, the device is down
// for the moment; its IPv6 addresses go with that, and whoever wants them sets them again.
func rename(ctx context.Context, d netdev.Device, to string) error {
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	name := rtnl.AppendAttr(nil, unix.IFLA_IFNAME, append([]byte(to), 0))
	err = c.Do(ctx, unix.RTM_NEWLINK, 0, append(request(d.Index, 0, 0), name...))
	if errors.Is(err, unix.EBUSY) && d.Up {
		if err = c.Do(ctx, unix.RTM_NEWLINK, 0, request(d.Index, unix.IFF_UP, 0)); err == nil {
			err = c.Do(context.WithoutCancel(ctx), unix.RTM_NEWLINK, 0, append(request(d.Index, 0, 0), name...))
		}
		// A gadget's device that is detached cannot be brought up; whoever binds it does that.
		if up := c.Do(context.WithoutCancel(ctx), unix.RTM_NEWLINK, 0, request(d.Index, unix.IFF_UP, unix.IFF_UP)); up != nil && !errors.Is(up, unix.ENODEV) {
			err = errors.Join(err, up)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", d.Name, provision.ErrStale)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("cannot call %s %s: the name is taken by another device; choose another one: %w", d.Name, to, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot call %s %s: run as root: %w", d.Name, to, err)
	}
	return fmt.Errorf("cannot call %s %s: %w", d.Name, to, err)
}

// request is a struct ifinfomsg.
func request(index int, change, flags uint32) []byte {
	h := nl.NewIfInfomsg(unix.AF_UNSPEC)
	h.Index, h.Change, h.Flags = int32(index), change, flags
	return h.Serialize()
}
