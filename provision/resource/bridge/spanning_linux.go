package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sort"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/netdev"
)

// ReadSpanning reads how a bridge of the calling thread's network namespace stands in its spanning tree; nil
// when there is no such bridge. Anybody may.
func ReadSpanning(ctx context.Context, name string) (*Spanning, error) {
	msgs, err := netdev.Dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("cannot read the spanning tree: %w", err)
	}
	var out *Spanning
	index := 0
	ports := map[int][]SpanningPort{} // by the bridge's index
	for _, m := range msgs {
		d, err := decodeSpanning(m)
		if err != nil {
			return nil, fmt.Errorf("cannot read the spanning tree: %w", err)
		}
		if d.tree != nil && d.port.Name == name {
			out, index = d.tree, d.index
		}
		if d.master != 0 {
			ports[d.master] = append(ports[d.master], d.port)
		}
	}
	if out != nil {
		out.Ports = ports[index]
		sort.Slice(out.Ports, func(i, j int) bool { return out.Ports[i].Name < out.Ports[j].Name })
	}
	return out, nil
}

// spanned is a device: a bridge has tree, a port of one master.
type spanned struct {
	index, master int
	port          SpanningPort // its name also where it is none
	tree          *Spanning
}

func decodeSpanning(msg []byte) (d spanned, err error) {
	if len(msg) < unix.SizeofIfInfomsg {
		return d, errors.New("short answer of the kernel")
	}
	d.index = int(nl.DeserializeIfInfomsg(msg).Index)
	attrs, err := netdev.ParseAttrs(msg[unix.SizeofIfInfomsg:])
	if err != nil {
		return d, err
	}
	master := 0
	var info []netdev.Attr
	for _, a := range attrs {
		switch a.Kind &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			d.port.Name = text(a.Data)
		case unix.IFLA_MASTER:
			master = int(number(a.Data))
		case unix.IFLA_LINKINFO:
			if info, err = netdev.ParseAttrs(a.Data); err != nil {
				return d, err
			}
		}
	}
	of := map[uint16][]byte{}
	for _, n := range info {
		of[n.Kind&^unix.NLA_F_NESTED] = n.Data
	}
	if text(of[unix.IFLA_INFO_SLAVE_KIND]) == "bridge" {
		d.master = master
		if err := d.port.decode(of[unix.IFLA_INFO_SLAVE_DATA]); err != nil {
			return d, err
		}
	}
	if text(of[unix.IFLA_INFO_KIND]) == "bridge" {
		d.tree = &Spanning{}
		err = d.tree.decode(of[unix.IFLA_INFO_DATA])
	}
	return d, err
}

func (s *Spanning) decode(data []byte) error {
	attrs, err := netdev.ParseAttrs(data)
	if err != nil {
		return err
	}
	for _, a := range attrs {
		switch a.Kind {
		case unix.IFLA_BR_BRIDGE_ID:
			s.Own = id(a.Data)
		case unix.IFLA_BR_ROOT_ID:
			s.Root = id(a.Data)
		case unix.IFLA_BR_ROOT_PATH_COST:
			s.RootCost = uint32(number(a.Data))
		case unix.IFLA_BR_ROOT_PORT:
			s.RootPort = uint16(number(a.Data))
		}
	}
	return nil
}

func (p *SpanningPort) decode(data []byte) error {
	attrs, err := netdev.ParseAttrs(data)
	if err != nil {
		return err
	}
	// BR_STATE_DISABLED and the others in linux/if_bridge.h
	states := []string{Disabled, Listening, Learning, Forwarding, Blocking}
	for _, a := range attrs {
		switch a.Kind {
		case unix.IFLA_BRPORT_STATE:
			if n := number(a.Data); n < uint64(len(states)) {
				p.State = states[n]
			}
		case unix.IFLA_BRPORT_COST:
			p.Cost = uint32(number(a.Data))
		case unix.IFLA_BRPORT_NO:
			p.No = uint16(number(a.Data))
		case unix.IFLA_BRPORT_BRIDGE_ID:
			p.Designated = id(a.Data)
		case unix.IFLA_BRPORT_DESIGNATED_COST:
			p.DesignatedCost = uint32(number(a.Data))
		}
	}
	return nil
}

// id reads a struct ifla_bridge_id of linux/if_link.h: two bytes of priority, the higher first, and a MAC.
func id(b []byte) ID {
	if len(b) < 8 {
		return ID{}
	}
	return ID{binary.BigEndian.Uint16(b), net.HardwareAddr(b[2:8]).String()}
}
