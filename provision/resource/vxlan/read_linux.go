package vxlan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
)

// Attributes of a device (linux/if_link.h).
const (
	vxlanID     = 1
	vxlanGroup  = 2
	vxlanLink   = 3
	vxlanLocal  = 4
	vxlanLearn  = 7
	vxlanPort   = 15
	vxlanGroup6 = 16
	vxlanLocal6 = 17
)

// state is one device as rtnetlink(7) has it.
type state struct {
	index  int
	name   string
	kind   string
	alias  string
	mac    string
	up     bool
	mtu    uint32
	master uint32
	vni    uint32
	link   int
	dev    string // name of link
	remote netip.Addr
	local  netip.Addr
	port   uint16
	sum    string // tx-checksum
}

func (s state) attrs() provision.Attrs {
	return provision.Attrs{AttrVNI: strconv.FormatUint(uint64(s.vni), 10), AttrRemote: word(s.remote), AttrLocal: word(s.local),
		AttrPort: strconv.Itoa(int(s.port)), AttrDev: s.dev, AttrMAC: s.mac, AttrTxSum: s.sum, AttrOwner: s.alias}
}

func word(a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() {
		return ""
	}
	return a.String()
}

// ours reports whether this program made it. One that is unmarked and down is what a crash between
// its making and its marking leaves: the kernel takes no alias with the request that makes a device
// (rtnl_create_link in net/core/rtnetlink.c).
func (s state) ours() bool { return s.alias == Owner || s.alias == "" && !s.up }

// read is those of names that are devices of the kind in the calling thread's network namespace, and
// the numbers of all devices.
func read(ctx context.Context, names []string) (map[string]state, map[string]int, error) {
	msgs, err := netdev.Dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list vxlan devices: %w", err)
	}
	all, index, called := map[string]state{}, map[string]int{}, map[int]string{}
	for _, m := range msgs {
		s, err := decode(m)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot list vxlan devices: %w", err)
		}
		index[s.name], called[s.index] = s.index, s.name
		if s.kind == Kind {
			all[s.name] = s
		}
	}
	out := make(map[string]state, len(names))
	for _, name := range names {
		s, ok := all[name]
		if !ok {
			continue
		}
		s.dev = called[s.link]
		if s.link != 0 && s.dev == "" {
			s.dev = fmt.Sprintf("#%d", s.link) // it has gone
		}
		if s.sum, err = checksum(name); errors.Is(err, unix.ENODEV) {
			continue // it has just gone
		} else if err != nil {
			return nil, nil, fmt.Errorf("cannot read tx-checksum of %s: %w", name, err)
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
		switch kind := a.Kind &^ unix.NLA_F_NESTED; {
		case kind == unix.IFLA_IFNAME:
			s.name = text(a.Data)
		case kind == unix.IFLA_IFALIAS:
			s.alias = text(a.Data)
		case kind == unix.IFLA_ADDRESS:
			s.mac = net.HardwareAddr(a.Data).String()
		case kind == unix.IFLA_MTU && len(a.Data) == 4:
			s.mtu = nl.NativeEndian().Uint32(a.Data)
		case kind == unix.IFLA_MASTER && len(a.Data) == 4:
			s.master = nl.NativeEndian().Uint32(a.Data)
		case kind == unix.IFLA_LINKINFO:
			info, err := netdev.ParseAttrs(a.Data)
			if err != nil {
				return s, err
			}
			for _, n := range info {
				switch n.Kind &^ unix.NLA_F_NESTED {
				case unix.IFLA_INFO_KIND:
					s.kind = text(n.Data)
				case unix.IFLA_INFO_DATA:
					data = n.Data
				}
			}
		}
	}
	if s.kind != Kind {
		return s, nil
	}
	return s, s.inner(data)
}

// inner reads IFLA_INFO_DATA.
func (s *state) inner(data []byte) error {
	attrs, err := netdev.ParseAttrs(data)
	if err != nil {
		return err
	}
	for _, n := range attrs {
		switch b := n.Data; {
		case n.Kind == vxlanID && len(b) == 4:
			s.vni = nl.NativeEndian().Uint32(b)
		case n.Kind == vxlanLink && len(b) == 4:
			s.link = int(nl.NativeEndian().Uint32(b))
		case n.Kind == vxlanPort && len(b) == 2:
			s.port = uint16(b[0])<<8 | uint16(b[1])
		case (n.Kind == vxlanGroup || n.Kind == vxlanGroup6) && (len(b) == 4 || len(b) == 16):
			s.remote, _ = netip.AddrFromSlice(b)
		case (n.Kind == vxlanLocal || n.Kind == vxlanLocal6) && (len(b) == 4 || len(b) == 16):
			s.local, _ = netip.AddrFromSlice(b)
		}
	}
	return nil
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }
