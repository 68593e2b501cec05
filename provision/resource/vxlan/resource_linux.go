package vxlan

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// Resource is the devices of the calling thread's network namespace. The zero value is ready for use.
type Resource struct{}

var (
	_ provision.Resource = Resource{}
	_ provision.Lister   = Resource{}
	_ provision.Author   = Resource{}
)

// Wrote implements provision.Author.
func (Resource) Wrote(have provision.Attrs) bool { return have[AttrOwner] == Owner }

// Get implements provision.Resource.
func (r Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	all, err := r.List(ctx, []string{name})
	return all[name], err
}

// List implements provision.Lister.
func (Resource) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	var errs []error
	for _, name := range names {
		errs = append(errs, CheckName(name))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all, _, err := read(ctx, names)
	if err != nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(all))
	for name, s := range all {
		out[name] = s.attrs()
	}
	return out, nil
}

// Set implements provision.Resource. It refuses to change or remove what somebody else made. A wire by
// a device that is not there is provision.ErrPending.
func (Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if err := CheckName(name); err != nil {
		return err
	}
	all, index, err := read(ctx, []string{name})
	if err != nil {
		return err
	}
	now, there := all[name]
	if there != (have != nil) || there && differs(now.attrs(), have, want) {
		return fmt.Errorf("vxlan %s: %w", name, provision.ErrStale)
	}
	if want == nil && !there {
		return nil
	}
	if err := judge(name, want); err != nil {
		return err
	}
	same := there && want != nil && !differs(now.attrs(), want, want)
	if there && !now.ours() && !same {
		return fmt.Errorf("the vxlan device %s is somebody else's: choose another name, or remove it with `ip link del %s`", name, name)
	}
	if same {
		return nil
	}
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	if want == nil {
		return explain(c.Do(ctx, unix.RTM_DELLINK, 0, request(now.index)), "remove", name)
	}
	return put(ctx, c, now, there, name, want, index)
}

func differs(now, then, keys provision.Attrs) bool {
	for k := range keys {
		if now[k] != then[k] {
			return true
		}
	}
	return false
}

// put makes the device, makes it anew, or changes what can be changed.
func put(ctx context.Context, c *rtnl.Conn, now state, there bool, name string, want provision.Attrs, index map[string]int) error {
	full := now.with(want)
	full.name = name
	if !full.remote.IsValid() || full.vni == 0 || full.port == 0 {
		return fmt.Errorf("vxlan %s: vni, port and remote have to be given", name)
	}
	if full.local.IsValid() && full.local.Is4() != full.remote.Is4() {
		return fmt.Errorf("vxlan %s: local %s and remote %s are not of one family", name, full.local, full.remote)
	}
	if full.link = index[full.dev]; full.dev != "" && full.link == 0 {
		return fmt.Errorf("vxlan %s: there is no device %s yet: %w", name, full.dev, provision.ErrPending)
	}
	// The kernel changes neither VNI, port nor family (vxlan_nl2conf), and what it does change it judges
	// by the family it had.
	anew := !there || full.vni != now.vni || full.port != now.port || full.remote != now.remote || full.local != now.local || full.link != now.link
	// From here on it is all or nothing: half a wire would have to be told from somebody else's.
	ctx = context.WithoutCancel(ctx)
	switch {
	case anew && there:
		if err := explain(c.Do(ctx, unix.RTM_DELLINK, 0, request(now.index)), "replace", name); err != nil {
			return err
		}
		fallthrough
	case anew:
		err := c.Do(ctx, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, compose(full))
		if err != nil && there {
			was := now
			if back := c.Do(ctx, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, compose(was)); back == nil {
				_ = finish(ctx, c, was, state{}, now.alias)
			}
		}
		if err != nil {
			return explain(err, "make", name)
		}
		now = state{}
	case full.mac != now.mac:
		mac, _ := parseMAC(full.mac)
		if err := explain(c.Do(ctx, unix.RTM_NEWLINK, 0, rtnl.AppendAttr(request(now.index), unix.IFLA_ADDRESS, mac)), "change", name); err != nil {
			return err
		}
	}
	return finish(ctx, c, full, now, Owner)
}

// finish sets what no request that makes a device can have.
func finish(ctx context.Context, c *rtnl.Conn, full, now state, alias string) error {
	if full.sum != "" && full.sum != now.sum {
		if err := setChecksum(full.name, full.sum); err != nil {
			return explain(err, "set tx-checksum of", full.name)
		}
	}
	if now.alias == alias {
		return nil
	}
	mark := rtnl.AppendAttr(request(0), unix.IFLA_IFNAME, append([]byte(full.name), 0))
	return explain(c.Do(ctx, unix.RTM_NEWLINK, 0, rtnl.AppendAttr(mark, unix.IFLA_IFALIAS, []byte(alias))), "mark", full.name)
}

func explain(err error, verb, name string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", name, provision.ErrStale)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("cannot %s the vxlan device %s: there is another device of that name, or another one with the same VNI on the same port: give each wire its own VNI: %w", verb, name, err)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("cannot %s the vxlan device %s: another program has its UDP port: %w", verb, name, err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("cannot %s the vxlan device %s: the kernel has no such devices (module vxlan, CONFIG_VXLAN): %w", verb, name, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot %s the vxlan device %s: run as root: %w", verb, name, err)
	}
	return fmt.Errorf("cannot %s the vxlan device %s: %w", verb, name, err)
}
