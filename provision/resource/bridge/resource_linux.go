package bridge

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// Resource is the bridges of the calling thread's network namespace. The zero value is ready for
// use.
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
		errs = append(errs, checkName(name))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all, err := read(ctx)
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

// Set implements provision.Resource. It refuses to change or remove what somebody else made.
func (Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if err := checkName(name); err != nil {
		return err
	}
	all, err := read(ctx)
	if err != nil {
		return err
	}
	now, there := all[name]
	if stale(now, there, have, want) {
		return fmt.Errorf("bridge %s: %w", name, provision.ErrStale)
	}
	if want == nil && !there {
		return nil
	}
	if err := judge(name, want); err != nil {
		return err
	}
	if there && !now.ours() && !same(now, want) {
		return fmt.Errorf("the bridge %s is somebody else's: choose another name, or remove it with `ip link del %s`", name, name)
	}
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	if want == nil {
		return explain(c.Do(ctx, unix.RTM_DELLINK, 0, request(now.index)), "remove", name)
	}
	return put(ctx, c, name, now, there, want)
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

func same(now state, want provision.Attrs) bool {
	if want == nil {
		return false
	}
	attrs := now.attrs()
	for k, v := range want {
		if attrs[k] != v {
			return false
		}
	}
	return true
}

// judge refuses what the kernel would take for something else.
func judge(name string, want provision.Attrs) error {
	for k, v := range want {
		switch k {
		case AttrMAC:
			if _, ok := parseMAC(v); !ok {
				return fmt.Errorf("bridge %s: mac %q is no address that a device can have", name, v)
			}
		case AttrSTP, AttrSnooping:
			if v != "0" && v != "1" {
				return fmt.Errorf("bridge %s: %s %q: want 0 or 1", name, k, v)
			}
		case AttrDelay, AttrHello, AttrAge, AttrPriority:
			bits := 32
			if k == AttrPriority {
				bits = 16
			}
			if n, err := strconv.ParseUint(v, 10, bits); err != nil || strconv.FormatUint(n, 10) != v {
				return fmt.Errorf("bridge %s: %s %q is no number that the kernel takes", name, k, v)
			}
		case AttrOwner:
			if v != Owner {
				return fmt.Errorf("bridge %s: it would be somebody else's afterwards", name)
			}
		default:
			return fmt.Errorf("cannot set %s of bridge %s: unknown attribute", k, name)
		}
	}
	return nil
}

// put makes the bridge, or what differs in it.
func put(ctx context.Context, c *rtnl.Conn, name string, now state, there bool, want provision.Attrs) error {
	if there && now.stp != "0" && want[AttrSTP] == "0" {
		// The delay is bounded as long as the tree spans (br_set_forward_delay in net/bridge/br_stp.c).
		first := append(request(now.index), info(state{}, provision.Attrs{AttrSTP: "0"})...)
		if err := c.Do(ctx, unix.RTM_NEWLINK, 0, first); err != nil {
			return explain(err, "change", name)
		}
	}
	body, verb, flags := request(now.index), "change", uint16(0)
	if !there {
		verb, flags = "make", unix.NLM_F_CREATE|unix.NLM_F_EXCL
		body = rtnl.AppendAttr(body, unix.IFLA_IFNAME, append([]byte(name), 0))
	}
	if mac, ok := parseMAC(want[AttrMAC]); ok && want[AttrMAC] != now.mac {
		body = rtnl.AppendAttr(body, unix.IFLA_ADDRESS, mac)
	}
	body = append(body, info(now, want)...)
	if err := c.Do(ctx, unix.RTM_NEWLINK, flags, body); err != nil {
		return explain(err, verb, name)
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

// info is IFLA_LINKINFO with what differs.
func info(now state, want provision.Attrs) []byte {
	var data []byte
	for _, time := range []struct {
		attr, now string
		kind      uint16
	}{{AttrDelay, now.delay, unix.IFLA_BR_FORWARD_DELAY}, {AttrHello, now.hello, unix.IFLA_BR_HELLO_TIME}, {AttrAge, now.age, unix.IFLA_BR_MAX_AGE}} {
		if v, ok := want[time.attr]; ok && v != time.now {
			n, _ := strconv.ParseUint(v, 10, 32) // judged
			data = rtnl.AppendAttr(data, time.kind, rtnl.U32(uint32(n)))
		}
	}
	if v, ok := want[AttrSTP]; ok && v != now.stp {
		data = rtnl.AppendAttr(data, unix.IFLA_BR_STP_STATE, rtnl.U32(flag(v)))
	}
	if v, ok := want[AttrPriority]; ok && v != now.prio {
		n, _ := strconv.ParseUint(v, 10, 16) // judged
		data = rtnl.AppendAttr(data, unix.IFLA_BR_PRIORITY, nl.Uint16Attr(uint16(n)))
	}
	if v, ok := want[AttrSnooping]; ok && v != now.snoop {
		data = rtnl.AppendAttr(data, unix.IFLA_BR_MCAST_SNOOPING, []byte{byte(flag(v))})
	}
	inner := rtnl.AppendAttr(nil, unix.IFLA_INFO_KIND, []byte("bridge\x00"))
	inner = rtnl.AppendAttr(inner, unix.IFLA_INFO_DATA, data)
	return rtnl.AppendAttr(nil, unix.IFLA_LINKINFO, inner)
}

func flag(v string) uint32 {
	if v == "1" {
		return 1
	}
	return 0
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
		return fmt.Errorf("cannot make the bridge %s: another device is called that; choose another name: %w", name, err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("cannot %s the bridge %s: the kernel has no bridges (CONFIG_BRIDGE): %w", verb, name, err)
	case errors.Is(err, unix.ERANGE):
		return fmt.Errorf("cannot %s the bridge %s: the spanning tree takes 2 to 30 s of forward delay, 1 to 10 s of hello time and 6 to 40 s of max age: %w", verb, name, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot %s the bridge %s: run as root: %w", verb, name, err)
	}
	return fmt.Errorf("cannot %s the bridge %s: %w", verb, name, err)
}
