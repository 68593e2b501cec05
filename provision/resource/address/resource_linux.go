package address

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// Resource is the addresses of the calling thread's network namespace. The zero value is ready for
// use.
type Resource struct{}

var (
	_ provision.Resource = Resource{}
	_ provision.Lister   = Resource{}
	_ provision.Author   = Resource{}
)

// Wrote implements provision.Author.
func (Resource) Wrote(have provision.Attrs) bool { return have[AttrProto] == decimal(Protocol) }

// Get implements provision.Resource.
func (Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	w, err := look(ctx, name)
	if err != nil {
		return nil, err
	}
	return w.get(name)
}

// List implements provision.Lister.
func (Resource) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	w, err := look(ctx, names...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(names))
	var errs []error
	for _, name := range names {
		a, err := w.get(name)
		errs = append(errs, err)
		if a != nil {
			out[name] = a
		}
	}
	return out, errors.Join(errs...)
}

// Set implements provision.Resource. Only this one address is made, changed or removed; an address
// of a device that is not there is provision.ErrPending.
func (Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	w, err := look(ctx, name)
	if err != nil {
		return err
	}
	dev, addr, there, err := w.find(name)
	if err != nil {
		return err
	}
	now := w.live(dev, addr, there)
	if stale(now, have, want) {
		return fmt.Errorf("address %s: %w", name, provision.ErrStale)
	}
	if want == nil {
		if now == nil {
			return nil
		}
		return w.remove(ctx, dev, *now)
	}
	if !there {
		return fmt.Errorf("address %s: there is no such device yet: %w", name, provision.ErrPending)
	}
	next := entry{index: dev.Index, addr: addr, proto: Protocol}
	if now != nil {
		next = *now
	}
	if err := next.take(name, want); err != nil {
		return err
	}
	if now != nil && now.same(next) {
		return nil
	}
	return w.put(ctx, dev, now, next)
}

func stale(now *entry, have, want provision.Attrs) bool {
	if (now == nil) != (have == nil) {
		return true
	}
	if now == nil {
		return false
	}
	attrs := now.attrs()
	for k := range want {
		if attrs[k] != have[k] {
			return true
		}
	}
	return false
}

// world is one look at devices and addresses.
type world struct {
	devices *netdev.Table
	entries []entry
}

func look(ctx context.Context, names ...string) (*world, error) {
	w := &world{}
	var families [2]bool
	for _, name := range names {
		_, a, err := Parse(name)
		if err != nil {
			return nil, err
		}
		families[boolIndex(a.Addr().Is6())] = true
	}
	var err error
	if w.devices, err = netdev.Read(ctx); err != nil {
		return nil, err
	}
	for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if !families[i] {
			continue
		}
		msgs, err := netdev.Dump(ctx, unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfAddrmsg(family))
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return nil, fmt.Errorf("cannot list addresses: %w", err)
		}
		for _, m := range msgs {
			e, err := decode(m)
			if err != nil {
				return nil, fmt.Errorf("cannot list addresses: %w", err)
			}
			// A kernel without the family answers with the addresses of the others.
			if e.addr.IsValid() && e.addr.Addr().Is6() == (i == 1) {
				w.entries = append(w.entries, e)
			}
		}
	}
	return w, nil
}

func boolIndex(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *world) find(name string) (dev netdev.Device, addr netip.Prefix, there bool, err error) {
	selector, addr, err := Parse(name)
	if err != nil {
		return dev, addr, false, err
	}
	if dev, there, err = w.devices.Find(selector); err != nil {
		err = fmt.Errorf("address %s: %w", name, err)
	}
	return dev, addr, there, err
}

func (w *world) live(dev netdev.Device, addr netip.Prefix, there bool) *entry {
	for i, e := range w.entries {
		if there && e.index == dev.Index && e.addr == addr && e.flags&unix.IFA_F_PERMANENT != 0 {
			return &w.entries[i]
		}
	}
	return nil
}

func (w *world) get(name string) (provision.Attrs, error) {
	dev, addr, there, err := w.find(name)
	if err != nil {
		return nil, err
	}
	if e := w.live(dev, addr, there); e != nil {
		return e.attrs(), nil
	}
	return nil, nil
}

// put makes next of now, which may be nothing.
func (w *world) put(ctx context.Context, dev netdev.Device, now *entry, next entry) error {
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	// IPv4 takes flags over only when the address is made (inet_rtm_newaddr in net/ipv4/devinet.c), and
	// IPv6 never goes back to the metric of its own (inet6_addr_modify in net/ipv6/addrconf.c).
	if now != nil && (next.addr.Addr().Is4() && now.flags != next.flags || next.metric == 0 && now.metric != 0) {
		if err := w.remove(ctx, dev, *now); err != nil {
			return err
		}
	}
	err = c.Do(ctx, unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, next.encode())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", dev.Name, provision.ErrStale)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot give %s to %s: run as root: %w", next.addr, dev.Name, err)
	case errors.Is(err, unix.EACCES) && next.addr.Addr().Is6():
		return fmt.Errorf("cannot give %s to %s: IPv6 is switched off there; set net.ipv6.conf.%s.disable_ipv6 to 0: %w", next.addr, dev.Name, dev.Name, err)
	}
	return fmt.Errorf("cannot give %s to %s: %w", next.addr, dev.Name, err)
}

// remove takes one address away. The kernel drops the others of the same IPv4 network with the
// first of them, unless promote_secondaries is set (__inet_del_ifa in net/ipv4/devinet.c): they are
// given back.
func (w *world) remove(ctx context.Context, dev netdev.Device, e entry) error {
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Do(ctx, unix.RTM_DELADDR, 0, e.encode())
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s of %s has just gone: %w", e.addr, dev.Name, provision.ErrStale)
	case err != nil:
		return fmt.Errorf("cannot take %s from %s: %w", e.addr, dev.Name, err)
	}
	var errs []error
	for _, o := range w.entries {
		if !e.addr.Addr().Is4() || o.index != e.index || o.addr == e.addr || o.flags&unix.IFA_F_SECONDARY == 0 || o.addr.Masked() != e.addr.Masked() {
			continue
		}
		if err := c.Do(ctx, unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, o.raw); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("cannot give %s back to %s, which the kernel took away with %s: %w", o.addr, dev.Name, e.addr, err))
		}
	}
	return errors.Join(errs...)
}
