package routemetric

import (
	"context"
	"errors"
	"fmt"

	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// dump returns the default routes of one family (unix.AF_INET, unix.AF_INET6) in
// the order in which the kernel prefers them.
func dump(ctx context.Context, family uint8) ([]route, error) {
	header := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family}}
	msgs, err := netdev.Dump(ctx, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, header)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without IPv6
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list routes: %w", err)
	}
	var out []route
	bare := false
	for _, m := range msgs {
		r, ok, err := decode(m)
		if err != nil {
			return nil, fmt.Errorf("cannot list routes: %w", err)
		}
		if ok && r.family == family {
			out = append(out, r)
			bare = bare || len(r.hops) == 0
		}
	}
	if !bare {
		return out, nil
	}
	// With net.ipv4.nexthop_compat_mode=0 a route names its nexthop object only.
	objects, err := nexthops(ctx)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if len(out[i].hops) == 0 {
			out[i].hops = objects[out[i].nexthop]
		}
	}
	return out, nil
}

// nexthops returns the hops of all nexthop objects, groups resolved.
func nexthops(ctx context.Context) (map[uint32][]hop, error) {
	msgs, err := netdev.Dump(ctx, unix.RTM_GETNEXTHOP, unix.RTM_NEWNEXTHOP, rawHeader(make([]byte, unix.SizeofNhmsg)))
	if err != nil {
		return nil, fmt.Errorf("cannot list nexthop objects: %w", err)
	}
	out := map[uint32][]hop{}
	groups := map[uint32][]byte{}
	for _, m := range msgs {
		id, h, group, err := decodeNexthop(m)
		if err != nil {
			return nil, fmt.Errorf("cannot list nexthop objects: %w", err)
		}
		if group != nil {
			groups[id] = group
		} else if h.link != 0 {
			out[id] = []hop{h}
		}
	}
	for id, members := range groups {
		for ; len(members) >= 8; members = members[8:] { // struct nexthop_grp: id, weight-1, reserved
			for _, h := range out[native.Uint32(members)] {
				h.weight = members[4]
				out[id] = append(out[id], h)
			}
		}
	}
	return out, nil
}

func decodeNexthop(msg []byte) (id uint32, h hop, group []byte, err error) {
	if len(msg) < unix.SizeofNhmsg {
		return 0, h, nil, errMessage
	}
	list, err := netdev.ParseAttrs(msg[unix.SizeofNhmsg:])
	if err != nil {
		return 0, h, nil, errMessage
	}
	for _, a := range list {
		switch kind := a.Kind &^ unix.NLA_F_NESTED; kind {
		case unix.NHA_ID, unix.NHA_OIF:
			if len(a.Data) != 4 {
				return 0, h, nil, errMessage
			}
			if kind == unix.NHA_ID {
				id = native.Uint32(a.Data)
			} else {
				h.link = int(native.Uint32(a.Data))
			}
		case unix.NHA_GROUP:
			group = append([]byte{}, a.Data...)
		case unix.NHA_GATEWAY:
			h.attrs = append(h.attrs, attr{unix.RTA_GATEWAY, append([]byte{}, a.Data...)})
		case unix.NHA_ENCAP:
			h.attrs = append(h.attrs, attr{unix.RTA_ENCAP | a.Kind&unix.NLA_F_NESTED, append([]byte{}, a.Data...)})
		case unix.NHA_ENCAP_TYPE:
			h.attrs = append(h.attrs, attr{unix.RTA_ENCAP_TYPE, append([]byte{}, a.Data...)})
		}
	}
	return id, h, group, nil
}

type rawHeader []byte

func (h rawHeader) Len() int          { return len(h) }
func (h rawHeader) Serialize() []byte { return h }

// insert adds a route behind those with the same metric, so that it takes nothing
// from them. It reports whether the kernel did not have it before.
func insert(r route) (added bool, err error) {
	err = request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, r.add())
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	return err == nil, err
}

// remove deletes one route; one that is gone already is no error.
func remove(r route) error {
	err := request(unix.RTM_DELROUTE, 0, r.del())
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func request(kind uint16, flags int, body []byte) error {
	req := nl.NewNetlinkRequest(int(kind), flags|unix.NLM_F_ACK)
	req.AddRawData(body)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
