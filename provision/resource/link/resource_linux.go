package link

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Resource is the administrative state of the network devices of the calling
// thread's network namespace. The zero value is ready for use.
type Resource struct{}

var (
	_ provision.Resource = Resource{}
	_ provision.Lister   = Resource{}
)

// Get implements provision.Resource.
func (Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	table, err := netdev.Read(ctx)
	if err != nil {
		return nil, err
	}
	return get(table, name)
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
		a, err := get(table, name)
		errs = append(errs, err)
		if a != nil {
			out[name] = a
		}
	}
	return out, errors.Join(errs...)
}

func get(table *netdev.Table, name string) (provision.Attrs, error) {
	d, ok, err := table.Find(name)
	if err != nil || !ok {
		return nil, err
	}
	return provision.Attrs{AttrUp: strconv.FormatBool(d.Up)}, nil
}

// Set implements provision.Resource. Devices are not made or removed here: a
// device that is wanted and does not exist, or the other way round, is
// provision.ErrPending.
func (Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	table, err := netdev.Read(ctx)
	if err != nil {
		return err
	}
	d, ok, err := table.Find(name)
	if err != nil {
		return err
	}
	now, err := get(table, name)
	if err != nil {
		return err
	}
	if (now == nil) != (have == nil) || now[AttrUp] != have[AttrUp] {
		return fmt.Errorf("link %s: %w", name, provision.ErrStale)
	}
	switch {
	case want == nil && !ok:
		return nil
	case want == nil:
		return fmt.Errorf("%s goes away with its driver or the daemon that made it: %w", d.Name, provision.ErrPending)
	case !ok:
		return fmt.Errorf("no device %s yet: %w", name, provision.ErrNowhere)
	}
	for k := range want {
		if k != AttrUp {
			return fmt.Errorf("cannot set %s of %s: unknown attribute", k, d.Name)
		}
	}
	up, err := strconv.ParseBool(want[AttrUp])
	if err != nil || strconv.FormatBool(up) != want[AttrUp] {
		return fmt.Errorf("cannot set up of %s to %q: want true or false", d.Name, want[AttrUp])
	}
	if up == d.Up {
		return nil
	}
	return setUp(d, up)
}

func setUp(d netdev.Device, up bool) error {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(d.Index)
	header.Change = unix.IFF_UP // nothing but this flag
	verb := "down"
	if up {
		header.Flags, verb = unix.IFF_UP, "up"
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	req.AddData(header)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ERFKILL):
		return fmt.Errorf("cannot bring %s %s: its radio is switched off; rfkill unblock it: %w", d.Name, verb, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot bring %s %s: run as root: %w", d.Name, verb, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", d.Name, provision.ErrStale)
	}
	return fmt.Errorf("cannot bring %s %s: %w", d.Name, verb, err)
}
