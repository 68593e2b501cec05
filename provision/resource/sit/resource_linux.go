package sit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// Resource is the tunnels of the calling thread's network namespace. The zero value is ready for
// use. Where the kernel has no such tunnels its module is loaded by the kernel itself (rtnl_newlink
// in net/core/rtnetlink.c asks for rtnl-link-sit).
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
	all, _, err := read(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(names))
	for _, name := range names {
		if s, ok := all[name]; ok {
			out[name] = s.attrs()
		}
	}
	return out, nil
}

// Set implements provision.Resource. It refuses to change or remove what somebody else made. A tunnel
// by a device that is not there is provision.ErrPending.
func (Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if err := CheckName(name); err != nil {
		return err
	}
	all, index, err := read(ctx)
	if err != nil {
		return err
	}
	now, there := all[name]
	if stale(now, there, have, want) {
		return fmt.Errorf("tunnel %s: %w", name, provision.ErrStale)
	}
	if want == nil && !there {
		return nil
	}
	asked, err := parse(name, want)
	if err != nil {
		return err
	}
	same := there && want != nil && !differs(now, want)
	if there && !now.ours() && !same {
		return fmt.Errorf("the tunnel %s is somebody else's: choose another name, or remove it with `ip link del %s`", name, name)
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
	body, err := compose(asked, now, there, want, index)
	if err != nil {
		return err
	}
	verb, flags := "change", uint16(0)
	if !there {
		verb, flags = "make", unix.NLM_F_CREATE|unix.NLM_F_EXCL
	}
	if body != nil {
		if err := c.Do(ctx, unix.RTM_NEWLINK, flags, body); err != nil {
			return explain(err, verb, name)
		}
	}
	if now.alias == Owner {
		return nil
	}
	mark := request(now.index)
	if !there { // its number is not known yet
		mark = rtnl.AppendAttr(mark, unix.IFLA_IFNAME, append([]byte(name), 0))
	}
	return explain(c.Do(context.WithoutCancel(ctx), unix.RTM_NEWLINK, 0, rtnl.AppendAttr(mark, unix.IFLA_IFALIAS, []byte(Owner))), "mark", name)
}

func stale(now state, there bool, have, want provision.Attrs) bool {
	if there != (have != nil) {
		return true
	}
	if !there {
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

func differs(now state, want provision.Attrs) bool {
	attrs := now.attrs()
	for k, v := range want {
		if attrs[k] != v {
			return true
		}
	}
	return false
}

// compose is the request that makes the tunnel or changes it; nil when there is nothing to change.
// A change has to tell everything: what it leaves out is not kept (ipip6_changelink in
// net/ipv6/sit.c).
func compose(asked Spec, now state, there bool, want provision.Attrs, index map[string]int) ([]byte, error) {
	full := now
	for k := range want {
		switch k {
		case AttrRemote:
			full.remote = asked.Remote
		case AttrLocal:
			full.local = asked.Local
		case AttrTTL:
			full.ttl = asked.TTL
		case AttrMark:
			full.mark = asked.Mark
		case AttrPMTUDisc:
			full.pmtudisc = want[k] == "1"
		case AttrDev:
			full.dev, full.link = asked.Dev, index[asked.Dev]
			if asked.Dev != "" && full.link == 0 {
				return nil, fmt.Errorf("tunnel %s: there is no device %s yet: %w", asked.Name, asked.Dev, provision.ErrPending)
			}
		}
	}
	if there && full == now {
		return nil, nil
	}
	if !full.remote.IsValid() {
		return nil, fmt.Errorf("tunnel %s: no remote end is given", asked.Name)
	}
	four := func(a netip.Addr) []byte {
		if !a.IsValid() {
			return make([]byte, 4)
		}
		b := a.As4()
		return b[:]
	}
	var data []byte
	data = rtnl.AppendAttr(data, iptunLink, rtnl.U32(uint32(full.link)))
	data = rtnl.AppendAttr(data, iptunLocal, four(full.local))
	data = rtnl.AppendAttr(data, iptunRemote, four(full.remote))
	data = rtnl.AppendAttr(data, iptunTTL, []byte{full.ttl})
	data = rtnl.AppendAttr(data, iptunProto, []byte{unix.IPPROTO_IPV6})
	data = rtnl.AppendAttr(data, iptunFlags, []byte{0, 0})
	pmtudisc := byte(0)
	if full.pmtudisc {
		pmtudisc = 1
	}
	data = rtnl.AppendAttr(data, iptunPMTUDisc, []byte{pmtudisc})
	if full.mark != 0 || now.mark != 0 { // kernels before 4.12 do not know it
		data = rtnl.AppendAttr(data, iptunFwmark, rtnl.U32(full.mark))
	}
	body := request(now.index)
	if !there {
		body = rtnl.AppendAttr(body, unix.IFLA_IFNAME, append([]byte(asked.Name), 0))
	}
	info := rtnl.AppendAttr(nil, unix.IFLA_INFO_KIND, []byte("sit\x00"))
	info = rtnl.AppendAttr(info, unix.IFLA_INFO_DATA, data)
	return rtnl.AppendAttr(body, unix.IFLA_LINKINFO, info), nil
}

// request is a struct ifinfomsg.
func request(index int) []byte {
	h := nl.NewIfInfomsg(unix.AF_UNSPEC)
	h.Index = int32(index)
	return h.Serialize()
}

func explain(err error, verb, name string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", name, provision.ErrStale)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("cannot %s the tunnel %s: there is another device of that name, or another tunnel to the same end: %w", verb, name, err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("cannot %s the tunnel %s: the kernel has no IPv6-in-IPv4 tunnels (module sit, CONFIG_IPV6_SIT): %w", verb, name, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot %s the tunnel %s: run as root: %w", verb, name, err)
	}
	return fmt.Errorf("cannot %s the tunnel %s: %w", verb, name, err)
}
