package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
)

// state is one bridge as rtnetlink(7) has it.
type state struct {
	index int
	name  string
	mac   string
	alias string
	up    bool
	kind  string // of the device
	stp   string
	delay string
	hello string
	age   string
	prio  string
	snoop string
	ports int
	port  port // as a port of a bridge
}

// port is what a port of a bridge has; empty for other devices.
type port struct{ cost, prio string }

func (s state) attrs() provision.Attrs {
	return provision.Attrs{AttrMAC: s.mac, AttrSTP: s.stp, AttrDelay: s.delay, AttrHello: s.hello, AttrAge: s.age, AttrPriority: s.prio, AttrSnooping: s.snoop, AttrOwner: s.alias}
}

// ours reports whether this program made it. One that is unmarked, down and empty is what a crash
// between its making and its marking leaves: the kernel takes no alias with the request that makes
// a device (rtnl_create_link in net/core/rtnetlink.c).
func (s state) ours() bool { return s.alias == Owner || s.alias == "" && !s.up && s.ports == 0 }

// read dumps the bridges of the calling thread's network namespace, and how many ports each has.
func read(ctx context.Context) (map[string]state, error) {
	msgs, err := netdev.Dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("cannot list bridges: %w", err)
	}
	out := map[string]state{}
	ports := map[int]int{}
	for _, m := range msgs {
		s, master, err := decode(m)
		if err != nil {
			return nil, fmt.Errorf("cannot list bridges: %w", err)
		}
		if master != 0 {
			ports[master]++
		}
		if s.kind == "bridge" {
			out[s.name] = s
		}
	}
	for name, s := range out {
		s.ports = ports[s.index]
		out[name] = s
	}
	return out, nil
}

// decode reads a struct ifinfomsg with its attributes.
func decode(msg []byte) (s state, master int, err error) {
	if len(msg) < unix.SizeofIfInfomsg {
		return s, 0, errors.New("short answer of the kernel")
	}
	h := nl.DeserializeIfInfomsg(msg)
	attrs, err := netdev.ParseAttrs(msg[unix.SizeofIfInfomsg:])
	if err != nil {
		return s, 0, err
	}
	s.index, s.up = int(h.Index), h.Flags&unix.IFF_UP != 0
	var data, portData []byte
	var slave string
	for _, a := range attrs {
		switch a.Kind &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			s.name = text(a.Data)
		case unix.IFLA_IFALIAS:
			s.alias = text(a.Data)
		case unix.IFLA_ADDRESS:
			s.mac = net.HardwareAddr(a.Data).String()
		case unix.IFLA_MASTER:
			master = int(number(a.Data))
		case unix.IFLA_LINKINFO:
			info, err := netdev.ParseAttrs(a.Data)
			if err != nil {
				return s, 0, err
			}
			for _, n := range info {
				switch n.Kind &^ unix.NLA_F_NESTED {
				case unix.IFLA_INFO_KIND:
					s.kind = text(n.Data)
				case unix.IFLA_INFO_DATA:
					data = n.Data
				case unix.IFLA_INFO_SLAVE_KIND:
					slave = text(n.Data)
				case unix.IFLA_INFO_SLAVE_DATA:
					portData = n.Data
				}
			}
		}
	}
	if slave == "bridge" {
		if s.port, err = decodePort(portData); err != nil {
			return s, 0, err
		}
	}
	if s.kind != "bridge" {
		return s, master, nil
	}
	inner, err := netdev.ParseAttrs(data)
	if err != nil {
		return s, 0, err
	}
	for _, n := range inner {
		v := strconv.FormatUint(number(n.Data), 10)
		switch n.Kind {
		case unix.IFLA_BR_STP_STATE:
			s.stp = v
		case unix.IFLA_BR_FORWARD_DELAY:
			s.delay = v
		case unix.IFLA_BR_HELLO_TIME:
			s.hello = v
		case unix.IFLA_BR_MAX_AGE:
			s.age = v
		case unix.IFLA_BR_PRIORITY:
			s.prio = v
		case unix.IFLA_BR_MCAST_SNOOPING:
			s.snoop = v
		}
	}
	return s, master, nil
}

// decodePort reads what stands in IFLA_INFO_SLAVE_DATA of a port.
func decodePort(data []byte) (p port, err error) {
	attrs, err := netdev.ParseAttrs(data)
	if err != nil {
		return p, err
	}
	for _, a := range attrs {
		v := strconv.FormatUint(number(a.Data), 10)
		switch a.Kind {
		case unix.IFLA_BRPORT_COST:
			p.cost = v
		case unix.IFLA_BRPORT_PRIORITY:
			p.prio = v
		}
	}
	return p, nil
}

// readPorts dumps what ports of bridges have, by the index of the device.
func readPorts(ctx context.Context) (map[int]port, error) {
	msgs, err := netdev.Dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("cannot list ports of bridges: %w", err)
	}
	out := map[int]port{}
	for _, m := range msgs {
		s, _, err := decode(m)
		if err != nil {
			return nil, fmt.Errorf("cannot list ports of bridges: %w", err)
		}
		out[s.index] = s.port
	}
	return out, nil
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// number is an unsigned integer of the kernel's, by its size.
func number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(nl.NativeEndian().Uint16(b))
	case 4:
		return uint64(nl.NativeEndian().Uint32(b))
	}
	return 0
}
