package link

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
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

// Property implements provision.Property.
func (Resource) Property() bool { return true }

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
	return provision.Attrs{AttrUp: strconv.FormatBool(d.Up), AttrMTU: strconv.Itoa(d.MTU)}, nil
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
	if stale(now, have, want) {
		return fmt.Errorf("link %s: %w", name, provision.ErrStale)
	}
	switch {
	case want == nil && !ok:
		return nil
	case want == nil:
		return fmt.Errorf("%s goes away with its driver or the daemon that made it: %w", d.Name, provision.ErrPending)
	case !ok:
		return fmt.Errorf("no device %s yet: %w", name, provision.ErrPending)
	}
	up, mtu := d.Up, d.MTU
	for k, v := range want {
		switch k {
		case AttrUp:
			if up, err = strconv.ParseBool(v); err != nil || strconv.FormatBool(up) != v {
				return fmt.Errorf("cannot set up of %s to %q: want true or false", d.Name, v)
			}
		case AttrMTU:
			// 68 is what every host must take (RFC 791 section 3.2); the driver knows its own bounds.
			if mtu, err = strconv.Atoi(v); err != nil || mtu < 68 || strconv.Itoa(mtu) != v {
				return fmt.Errorf("cannot set mtu of %s to %q: want a number of bytes, 68 or more", d.Name, v)
			}
		default:
			return fmt.Errorf("cannot set %s of %s: unknown attribute", k, d.Name)
		}
	}
	if up == d.Up && mtu == d.MTU {
		return nil
	}
	return change(ctx, d, up, mtu)
}

// stale reports whether now is no longer have, as far as want is about it.
func stale(now, have, want provision.Attrs) bool {
	if (now == nil) != (have == nil) {
		return true
	}
	if want == nil {
		return now[AttrUp] != have[AttrUp]
	}
	for k := range want {
		if now[k] != have[k] {
			return true
		}
	}
	return false
}

// change is one request: the kernel sets the size before the flag (do_setlink in
// net/core/rtnetlink.c).
func change(ctx context.Context, d netdev.Device, up bool, mtu int) error {
	h := nl.NewIfInfomsg(unix.AF_UNSPEC)
	h.Index = int32(d.Index)
	what := ""
	if up != d.Up {
		h.Change = unix.IFF_UP // nothing but this flag
		what = "bring " + d.Name + " down"
		if up {
			h.Flags, what = unix.IFF_UP, "bring "+d.Name+" up"
		}
	}
	body := h.Serialize()
	if mtu != d.MTU {
		body = rtnl.AppendAttr(body, unix.IFLA_MTU, rtnl.U32(uint32(mtu)))
		if what != "" {
			what += " and "
		}
		what += fmt.Sprintf("give %s an mtu of %d", d.Name, mtu)
	}
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Do(ctx, unix.RTM_NEWLINK, 0, body)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ERFKILL):
		return fmt.Errorf("cannot %s: its radio is switched off; rfkill unblock it: %w", what, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot %s: run as root: %w", what, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", d.Name, provision.ErrStale)
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}
