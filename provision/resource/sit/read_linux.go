package sit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
)

// Attributes of a tunnel (linux/if_tunnel.h).
const (
	iptunLink     = 1
	iptunLocal    = 2
	iptunRemote   = 3
	iptunTTL      = 4
	iptunFlags    = 8
	iptunProto    = 9
	iptunPMTUDisc = 10
	iptunFwmark   = 20
)

// state is one tunnel as rtnetlink(7) has it.
type state struct {
	index    int
	name     string
	kind     string
	alias    string
	up       bool
	link     int
	dev      string // name of link
	remote   netip.Addr
	local    netip.Addr
	ttl      uint8
	mark     uint32
	pmtudisc bool
}

func (s state) attrs() provision.Attrs {
	a := provision.Attrs{AttrRemote: text(s.remote), AttrLocal: text(s.local), AttrTTL: decimal(uint32(s.ttl)), AttrDev: s.dev, AttrMark: hex(s.mark), AttrPMTUDisc: "0", AttrOwner: s.alias}
	if s.pmtudisc {
		a[AttrPMTUDisc] = "1"
	}
	return a
}

func text(a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() {
		return ""
	}
	return a.String()
}

// ours reports whether this program made it. One that is unmarked and down is what a crash between
// its making and its marking leaves: the kernel takes no alias with the request that makes a device
// (rtnl_create_link in net/core/rtnetlink.c).
func (s state) ours() bool { return s.alias == Owner || s.alias == "" && !s.up }

// read dumps the tunnels of the calling thread's network namespace, and the numbers of all devices.
func read(ctx context.Context) (map[string]state, map[string]int, error) {
	msgs, err := netdev.Dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list tunnels: %w", err)
	}
	out, index := map[string]state{}, map[string]int{}
	names := map[int]string{}
	for _, m := range msgs {
		s, err := decode(m)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot list tunnels: %w", err)
		}
		index[s.name], names[s.index] = s.index, s.name
		if s.kind == "sit" {
			out[s.name] = s
		}
	}
	for name, s := range out {
		s.dev = names[s.link]
		if s.link != 0 && s.dev == "" {
			s.dev = fmt.Sprintf("#%d", s.link) // it has gone
		}
		out[name] = s
	}
	return out, index, nil
}

// decode reads a struct ifinfomsg with its attributes.
func decode(msg []byte) (s state, err error) {
	if len(msg) < unix.SizeofIfInfomsg {
		return s, errors.New("short answer of the kernel")
	}
	h := nl.DeserializeIfInfomsg(msg)
	attrs, err := netdev.ParseAttrs(msg[unix.SizeofIfInfomsg:])
	if err != nil {
		return s, err
	}
	s.index, s.up = int(h.Index), h.Flags&unix.IFF_UP != 0
	var data []byte
	for _, a := range attrs {
		switch a.Kind &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			s.name = word(a.Data)
		case unix.IFLA_IFALIAS:
			s.alias = word(a.Data)
		case unix.IFLA_LINKINFO:
			info, err := netdev.ParseAttrs(a.Data)
			if err != nil {
				return s, err
			}
			for _, n := range info {
				switch n.Kind &^ unix.NLA_F_NESTED {
				case unix.IFLA_INFO_KIND:
					s.kind = word(n.Data)
				case unix.IFLA_INFO_DATA:
					data = n.Data
				}
			}
		}
	}
	if s.kind != "sit" {
		return s, nil
	}
	inner, err := netdev.ParseAttrs(data)
	if err != nil {
		return s, err
	}
	for _, n := range inner {
		switch b := n.Data; {
		case n.Kind == iptunLocal && len(b) == 4:
			s.local = netip.AddrFrom4([4]byte(b))
		case n.Kind == iptunRemote && len(b) == 4:
			s.remote = netip.AddrFrom4([4]byte(b))
		case n.Kind == iptunLink && len(b) == 4:
			s.link = int(nl.NativeEndian().Uint32(b))
		case n.Kind == iptunFwmark && len(b) == 4:
			s.mark = nl.NativeEndian().Uint32(b)
		case n.Kind == iptunTTL && len(b) == 1:
			s.ttl = b[0]
		case n.Kind == iptunPMTUDisc && len(b) == 1:
			s.pmtudisc = b[0] != 0
		}
	}
	return s, nil
}

func word(b []byte) string { return strings.TrimRight(string(b), "\x00") }
