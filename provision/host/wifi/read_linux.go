package wifi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/netdev"
)

// Read returns the stations of the calling thread's network namespace with the networks that they
// are in. A kernel without nl80211 has none.
func Read(ctx context.Context) ([]Network, error) {
	family, err := familyID("nl80211")
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot ask for Wi-Fi: %w", err)
	}
	answers, err := ask(ctx, family, cmdGetInterface, unix.NLM_F_DUMP)
	if err != nil {
		return nil, fmt.Errorf("cannot list Wi-Fi interfaces: %w", err)
	}
	var out []Network
	for _, b := range answers {
		s, err := decodeInterface(b)
		if err != nil {
			return nil, fmt.Errorf("cannot understand a Wi-Fi interface: %w", err)
		}
		if !s.station || s.index == 0 {
			continue
		}
		cells, err := scan(ctx, family, s.index)
		if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENETDOWN) {
			cells, err = nil, nil // it has gone, or is down
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the Wi-Fi of %s: %w", s.name, err)
		}
		out = append(out, join(s, cells))
	}
	return out, nil
}

// scan reads the kernel's scan results of an interface; it starts no scan.
func scan(ctx context.Context, family uint16, index int) ([]cell, error) {
	answers, err := ask(ctx, family, cmdGetScan, unix.NLM_F_DUMP, nl.NewRtAttr(attrIfindex, nl.Uint32Attr(uint32(index))))
	if err != nil {
		return nil, err
	}
	var out []cell
	for _, b := range answers {
		c, err := decodeScan(b)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// ask sends one generic netlink command and returns the attributes of the answers. A dump that was
// interrupted by a change is asked for again.
func ask(ctx context.Context, family uint16, command uint8, flags int, attrs ...*nl.RtAttr) ([][]byte, error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		req := nl.NewNetlinkRequest(int(family), flags)
		req.AddData(&nl.Genlmsg{Command: command, Version: 1})
		for _, a := range attrs {
			req.AddData(a)
		}
		msgs, err := req.Execute(unix.NETLINK_GENERIC, 0)
		if errors.Is(err, nl.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out := make([][]byte, 0, len(msgs))
		for _, m := range msgs {
			if len(m) < nl.SizeofGenlmsg {
				return nil, errors.New("an answer has no header")
			}
			out = append(out, m[nl.SizeofGenlmsg:])
		}
		return out, nil
	}
}

// familyID asks the controller for a family's number (linux/genetlink.h); ENOENT: there is none.
func familyID(name string) (uint16, error) {
	answers, err := ask(context.Background(), unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, 0, nl.NewRtAttr(unix.CTRL_ATTR_FAMILY_NAME, nl.ZeroTerminated(name)))
	if err != nil {
		return 0, err
	}
	for _, b := range answers {
		attrs, err := netdev.ParseAttrs(b)
		if err != nil {
			return 0, err
		}
		for _, a := range attrs {
			if a.Kind == unix.CTRL_ATTR_FAMILY_ID && len(a.Data) == 2 {
				return binary.NativeEndian.Uint16(a.Data), nil
			}
		}
	}
	return 0, fmt.Errorf("the kernel does not say the number of %s", name)
}
