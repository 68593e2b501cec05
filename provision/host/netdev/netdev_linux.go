package netdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attempts bounds how often a dump is repeated that a change interrupted.
const attempts = 8

// Read dumps the devices of the calling thread's network namespace. Nobody may change the table: see Share.
func Read(ctx context.Context) (*Table, error) {
	s, _ := ctx.Value(sharing{}).(*shared)
	if s == nil {
		return read(ctx)
	}
	s.once.Do(func() { s.table, s.err = read(ctx) })
	return s.table, s.err
}

// Share returns a context in which the devices are read once and the answers to equal dumps are the same. Who has it
// changes no device, and uses it on one thread.
func Share(ctx context.Context) context.Context {
	return context.WithValue(ctx, sharing{}, &shared{dumps: map[string][][]byte{}})
}

type sharing struct{}

type shared struct {
	once  sync.Once
	table *Table
	err   error
	dumps map[string][][]byte // by request
}

func read(ctx context.Context) (*Table, error) {
	msgs, err := Dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("cannot list network devices: %w", err)
	}
	t := &Table{Devices: make([]Device, 0, len(msgs))}
	for _, m := range msgs {
		d, err := decode(m)
		if err != nil {
			return nil, fmt.Errorf("cannot list network devices: %w", err)
		}
		if d.PermMAC == "" && d.Kind == "" && d.Type == Ethernet {
			d.PermMAC = permanentMAC(d.Name)
		}
		t.Devices = append(t.Devices, d)
	}
	return t, nil
}

// Dump asks rtnetlink for everything of one sort and repeats what a change meanwhile
// made inconsistent (NLM_F_DUMP_INTR).
func Dump(ctx context.Context, request, answer uint16, header nl.NetlinkRequestData) ([][]byte, error) {
	s, _ := ctx.Value(sharing{}).(*shared)
	var key string
	if s != nil {
		key = string(append(header.Serialize(), byte(request), byte(request>>8)))
		if msgs, ok := s.dumps[key]; ok {
			return msgs, nil
		}
	}
	var msgs [][]byte
	for range attempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		req := nl.NewNetlinkRequest(int(request), unix.NLM_F_DUMP)
		req.AddData(header)
		var err error
		msgs, err = req.Execute(unix.NETLINK_ROUTE, answer)
		if err == nil {
			if s != nil {
				s.dumps[key] = msgs
			}
			return msgs, nil
		}
		if !errors.Is(err, nl.ErrDumpInterrupted) {
			return nil, err
		}
	}
	return nil, errors.New("it keeps changing while it is read")
}

func decode(msg []byte) (Device, error) {
	if len(msg) < unix.SizeofIfInfomsg {
		return Device{}, errors.New("short answer of the kernel")
	}
	header := nl.DeserializeIfInfomsg(msg)
	attrs, err := ParseAttrs(msg[unix.SizeofIfInfomsg:])
	if err != nil {
		return Device{}, err
	}
	d := Device{Index: int(header.Index), Type: header.Type, Up: header.Flags&unix.IFF_UP != 0}
	for _, a := range attrs {
		switch a.Kind &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			d.Name = text(a.Data)
		case unix.IFLA_IFALIAS:
			d.Alias = text(a.Data)
		case unix.IFLA_ADDRESS:
			d.MAC = net.HardwareAddr(a.Data).String()
		case unix.IFLA_PERM_ADDRESS:
			d.PermMAC = net.HardwareAddr(a.Data).String()
		case unix.IFLA_MASTER:
			if len(a.Data) >= 4 {
				d.Master = int(nl.NativeEndian().Uint32(a.Data))
			}
		case unix.IFLA_MTU:
			if len(a.Data) >= 4 {
				d.MTU = int(nl.NativeEndian().Uint32(a.Data))
			}
		case unix.IFLA_LINKINFO:
			for _, n := range nested(a) {
				if n.Kind == unix.IFLA_INFO_KIND {
					d.Kind = text(n.Data)
				}
			}
		case unix.IFLA_PROP_LIST:
			for _, n := range nested(a) {
				if n.Kind == unix.IFLA_ALT_IFNAME {
					d.Alt = append(d.Alt, text(n.Data))
				}
			}
		}
	}
	return d, nil
}

func nested(a Attr) []Attr {
	list, err := ParseAttrs(a.Data)
	if err != nil {
		return nil
	}
	return list
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }
