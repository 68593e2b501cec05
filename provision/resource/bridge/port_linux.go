package bridge

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink/nl"
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
	var ports map[int]port
	for _, name := range names {
		d, ok, err := table.Find(name)
		errs = append(errs, err)
		if !ok {
			continue
		}
		if d.Master != 0 && ports == nil {
			if ports, err = readPorts(ctx); err != nil {
				return nil, err
			}
		}
		out[name] = attrs(table, d, ports[d.Index])
	}
	return out, errors.Join(errs...)
}

func attrs(table *netdev.Table, d netdev.Device, p port) provision.Attrs {
	return provision.Attrs{AttrBridge: master(table, d), AttrCost: p.cost, AttrPriority: p.prio}
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
	if err != nil {
		return err
	}
	var now port
	if ok && d.Master != 0 {
		all, err := readPorts(ctx)
		if err != nil {
			return err
		}
		now = all[d.Index]
	}
	switch {
	case ok != (have != nil), ok && changed(attrs(table, d, now), have, want):
		return fmt.Errorf("bridge-port %s: %w", name, provision.ErrStale)
	case want == nil && !ok:
		return nil
	case want == nil:
		return fmt.Errorf("%s goes away with its driver or the daemon that made it: %w", d.Name, provision.ErrPending)
	case !ok:
		return fmt.Errorf("no device %s yet: %w", name, provision.ErrPending)
	}
	if err := judgePort(d.Name, want); err != nil {
		return err
	}
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	if to, ok := want[AttrBridge]; ok && to != have[AttrBridge] {
		if err := enslave(ctx, c, table, d, have[AttrBridge], to); err != nil {
			return err
		}
		now = port{} // a new port has the kernel's own values
	}
	return tune(ctx, c, d, now, want)
}

func changed(now, have, want provision.Attrs) bool {
	for k := range want {
		if now[k] != have[k] {
			return true
		}
	}
	return false
}

func judgePort(name string, want provision.Attrs) error {
	for k, v := range want {
		low, high := 0, 63
		switch k {
		case AttrBridge:
			continue
		case AttrCost:
			low, high = 1, 65535
		case AttrPriority:
		default:
			return fmt.Errorf("cannot set %s of %s: unknown attribute", k, name)
		}
		if n, err := strconv.Atoi(v); v != "" && (err != nil || n < low || n > high || strconv.Itoa(n) != v) {
			return fmt.Errorf("cannot set %s of the port %s to %q: want %d to %d", k, name, v, low, high)
		}
	}
	return nil
}

// tune sets what a port has beside its bridge. The kernel reads it before it looks at the bridge that
// the same request asks for (rtnl_changelink in net/core/rtnetlink.c), so it is one of its own.
func tune(ctx context.Context, c *rtnl.Conn, d netdev.Device, now port, want provision.Attrs) error {
	var data []byte
	if v := want[AttrCost]; v != "" && v != now.cost {
		n, _ := strconv.ParseUint(v, 10, 32) // judged
		data = rtnl.AppendAttr(data, unix.IFLA_BRPORT_COST, rtnl.U32(uint32(n)))
	}
	if v := want[AttrPriority]; v != "" && v != now.prio {
		n, _ := strconv.ParseUint(v, 10, 16) // judged
		data = rtnl.AppendAttr(data, unix.IFLA_BRPORT_PRIORITY, nl.Uint16Attr(uint16(n)))
	}
	if data == nil {
		return nil
	}
	inner := rtnl.AppendAttr(nil, unix.IFLA_INFO_SLAVE_KIND, []byte("bridge\x00"))
	inner = rtnl.AppendAttr(inner, unix.IFLA_INFO_SLAVE_DATA, data)
	err := c.Do(ctx, unix.RTM_NEWLINK, 0, rtnl.AppendAttr(request(d.Index), unix.IFLA_LINKINFO, inner))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", d.Name, provision.ErrStale)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot set the cost of the port %s: run as root: %w", d.Name, err)
	}
	return fmt.Errorf("cannot set the cost or priority of %s, which has to be a port of a bridge: %w", d.Name, err)
}

// enslave makes d a port of the device that is called to, or of none.
func enslave(ctx context.Context, c *rtnl.Conn, table *netdev.Table, d netdev.Device, from, to string) error {
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
	err := c.Do(ctx, unix.RTM_NEWLINK, 0, rtnl.AppendAttr(request(d.Index), unix.IFLA_MASTER, rtnl.U32(uint32(index))))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", d.Name, provision.ErrStale)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot make %s a port of %s: run as root: %w", d.Name, to, err)
	case to == "":
		return fmt.Errorf("cannot take %s out of %s: %w", d.Name, from, err)
	}
	return fmt.Errorf("cannot make %s a port of %s: %w", d.Name, to, err)
}
