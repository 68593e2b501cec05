package wireguard

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// makeLink makes a device of the kernel's.
func makeLink(ctx context.Context, name string) error {
	body := rtnl.AppendAttr(request(0), unix.IFLA_IFNAME, append([]byte(name), 0))
	info := rtnl.AppendAttr(nil, unix.IFLA_INFO_KIND, []byte("wireguard"))
	body = rtnl.AppendAttr(body, unix.IFLA_LINKINFO|unix.NLA_F_NESTED, info)
	return do(ctx, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
}

// removeLink removes a device of the kernel's, by its number or, without one, by its name.
func removeLink(ctx context.Context, index int, name string) error {
	body := request(index)
	if index == 0 {
		body = rtnl.AppendAttr(body, unix.IFLA_IFNAME, append([]byte(name), 0))
	}
	err := do(ctx, unix.RTM_DELLINK, 0, body)
	switch {
	case err == nil, index == 0 && errors.Is(err, unix.ENODEV):
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", name, provision.ErrStale)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot remove the WireGuard device %s: run as root: %w", name, err)
	}
	return fmt.Errorf("cannot remove the WireGuard device %s: %w", name, err)
}

// mark makes the device ours.
func mark(ctx context.Context, d *Device) error {
	if d.Alias == Owner {
		return nil
	}
	body := rtnl.AppendAttr(request(d.Index), unix.IFLA_IFALIAS, []byte(Owner))
	if err := do(ctx, unix.RTM_NEWLINK, 0, body); err != nil {
		return fmt.Errorf("cannot mark the WireGuard device %s: %w", d.Name, err)
	}
	d.Alias = Owner
	return nil
}

func request(index int) []byte {
	h := nl.NewIfInfomsg(unix.AF_UNSPEC)
	h.Index = int32(index)
	return h.Serialize()
}

func do(ctx context.Context, kind, flags uint16, body []byte) error {
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(ctx, kind, flags, body)
}
