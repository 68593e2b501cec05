package bridge

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// Ports is which device is a port of which other one, in the calling thread's network namespace.
// The zero value is ready for use.
type Ports struct{}

var (
	_ provision.Resource = Ports{}
	_ provision.Lister   = Ports{}
)

// Property implements provision.Property.
func (Ports) Property() bool { return true }

// Get implements provision.Resource.
func (p Ports) Get(ctx context.Context, name string) (provision.Attrs, error) {
	all, err := p.List(ctx, []string{name})
	return all[name], err
}

// List implements provision.Lister.
func (Ports) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	table, err := netdev.Read(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(names))
	var errs []error
	for _, name := range names {
		d, ok, err := table.Find(name)
		errs = append(errs, err)
		if ok {
			out[name] = provision.Attrs{AttrBridge: master(table, d)}
		}
	}
	return out, errors.Join(errs...)
}

func master(table *netdev.Table, d netdev.Device) string {
	for _, m := range table.Devices {
		if d.Master != 0 && m.Index == d.Master {
			return m.Name
		}
	}
	return ""
}

// Set implements provision.Resource. Devices are not made or removed here: one that is wanted and
// does not exist, or the other way round, is provision.ErrPending, as is a bridge that is not there.
func (Ports) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	table, err := netdev.Read(ctx)
	if err != nil {
		return err
	}
	d, ok, err := table.Find(name)
	switch {
	case err != nil:
		return err
	case ok != (have != nil), ok && want != nil && have[AttrBridge] != master(table, d):
		return fmt.Errorf("bridge-port %s: %w", name, provision.ErrStale)
	case want == nil && !ok:
		return nil
	case want == nil:
		return fmt.Errorf("%s goes away with its driver or the daemon that made it: %w", d.Name, provision.ErrPending)
	case !ok:
		return fmt.Errorf("no device %s yet: %w", name, provision.ErrPending)
	}
	for k := range want {
		if k != AttrBridge {
			return fmt.Errorf("cannot set %s of %s: unknown attribute", k, d.Name)
		}
	}
	to := want[AttrBridge]
	if to == have[AttrBridge] {
		return nil
	}
	index := 0
	if to != "" {
		if err := checkName(to); err != nil {
			return err
		}
		for _, m := range table.Devices {
			if m.Name == to {
				index = m.Index
			}
		}
		if index == 0 {
			return fmt.Errorf("%s cannot be a port of %s yet, which is not there: %w", d.Name, to, provision.ErrPending)
		}
	}
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Do(ctx, unix.RTM_NEWLINK, 0, rtnl.AppendAttr(request(d.Index), unix.IFLA_MASTER, rtnl.U32(uint32(index))))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", d.Name, provision.ErrStale)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot make %s a port of %s: run as root: %w", d.Name, to, err)
	case to == "":
		return fmt.Errorf("cannot take %s out of %s: %w", d.Name, have[AttrBridge], err)
	}
	return fmt.Errorf("cannot make %s a port of %s: %w", d.Name, to, err)
}
