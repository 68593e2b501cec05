package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/netdev"
)

// Set is what must be there again after an action.
type Set struct {
	Boot   string        `json:"boot"`  // boot id: what another boot had is not put back
	Since  time.Duration `json:"since"` // CLOCK_BOOTTIME of the dump; lifetimes count from it
	Action string        `json:"action"`
	// Foreign is what the disturbed daemon did not make.
	Foreign []Message `json:"foreign"`
	// Leases are the addresses with a lifetime and the routes of DHCP and router
	// advertisements of the links that the action touches. The daemon brings them
	// back itself; only when it cannot (its server is silent) they are sent back.
	Leases []Message `json:"leases,omitempty"`
}

// Snapshot is everything that the kernel has now.
type Snapshot []Message

// Take dumps addresses, routes of all tables and rules of both families.
func Take(ctx context.Context) (Snapshot, error) {
	var s Snapshot
	for _, d := range []struct {
		get, typ uint16
		data     nl.NetlinkRequestData
	}{
		{unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfAddrmsg(unix.AF_UNSPEC)},
		{unix.RTM_GETROUTE, unix.RTM_NEWROUTE, family(unix.AF_INET)},
		{unix.RTM_GETROUTE, unix.RTM_NEWROUTE, family(unix.AF_INET6)},
		{unix.RTM_GETRULE, unix.RTM_NEWRULE, family(unix.AF_INET)},
		{unix.RTM_GETRULE, unix.RTM_NEWRULE, family(unix.AF_INET6)},
	} {
		msgs, err := netdev.Dump(ctx, d.get, d.typ, d.data)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
			continue // a kernel without IPv6 or without policy rules
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the kernel's addresses, routes and rules: %w", err)
		}
		for _, m := range msgs {
			s = append(s, Message{d.typ, m})
		}
	}
	return s, nil
}

func family(f uint8) nl.NetlinkRequestData {
	return &nl.RtMsg{RtMsg: unix.RtMsg{Family: f}}
}

// Split sorts a snapshot into what must be kept whatever the daemon does and the
// leases of the given links. owned says what the daemon itself declares to be its
// own configuration; nil knows nothing.
func (s Snapshot) Split(links []int, owned func(Message) bool) Set {
	set := Set{Boot: bootID(), Since: sinceBoot()}
	for _, m := range s {
		if owned != nil && owned(m) {
			if m.Type != unix.RTM_NEWRULE && onLinks(m, links) {
				set.Leases = append(set.Leases, m)
			}
			continue
		}
		switch m.Type {
		case unix.RTM_NEWADDR:
			a, err := m.Address()
			switch {
			case err != nil || a.Proto != 0: // IFAPROT_KERNEL_*: the kernel made it and makes it again
			case a.Permanent:
				set.Foreign = append(set.Foreign, m)
			case slices.Contains(links, a.Link):
				set.Leases = append(set.Leases, m)
			}
		case unix.RTM_NEWROUTE:
			r, err := m.Route()
			if err != nil || r.Cloned {
				continue
			}
			switch r.Proto {
			case unix.RTPROT_REDIRECT:
			case unix.RTPROT_KERNEL, unix.RTPROT_DHCP, unix.RTPROT_RA:
				// networkd and NetworkManager give addresses IFA_F_NOPREFIXROUTE and
				// make the on-link route themselves, as if it were the kernel's.
				if r.Type == unix.RTN_UNICAST && onLinks(m, links) {
					set.Leases = append(set.Leases, m)
				}
			default:
				set.Foreign = append(set.Foreign, m)
			}
		case unix.RTM_NEWRULE:
			set.Foreign = append(set.Foreign, m)
		}
	}
	return set
}

func onLinks(m Message, links []int) bool {
	if a, err := m.Address(); err == nil {
		return slices.Contains(links, a.Link)
	}
	r, err := m.Route()
	return err == nil && slices.ContainsFunc(r.Hops, func(h Hop) bool { return slices.Contains(links, h.Link) })
}

// Missing returns which of msgs the kernel no longer has. A static route that now
// exists with another metric and did not before was moved by its daemon: it is not
// missing.
func (s Snapshot) Missing(msgs []Message) []Message {
	have := map[string]bool{}
	paths := map[string][]uint32{}
	for _, m := range s {
		have[m.Key()] = true
		if r, err := m.Route(); err == nil {
			paths[r.pathKey()] = append(paths[r.pathKey()], r.Metric)
		}
	}
	before := map[string]bool{}
	for _, m := range msgs {
		before[m.Key()] = true
	}
	var out []Message
	for _, m := range msgs {
		if have[m.Key()] {
			continue
		}
		if r, err := m.Route(); err == nil && r.Proto == unix.RTPROT_STATIC {
			moved := slices.ContainsFunc(paths[r.pathKey()], func(metric uint32) bool {
				other := r
				other.Metric = metric
				return !before[fmt.Sprintf("%s metric %d", other.pathKey(), metric)]
			})
			if moved {
				continue
			}
		}
		out = append(out, m)
	}
	return out
}

// Send puts msgs into the kernel: addresses, then routes, then rules. A gateway can
// depend on an address or on another route, so routes that are refused are tried
// again as long as others succeed. What exists already is no error.
func Send(msgs []Message, since time.Duration) (sent []Message, err error) {
	elapsed := uint32(max(0, sinceBoot()-since) / time.Second)
	for _, typ := range []uint16{unix.RTM_NEWADDR, unix.RTM_NEWROUTE, unix.RTM_NEWRULE} {
		var left []Message
		for _, m := range msgs {
			if m.Type == typ {
				left = append(left, m)
			}
		}
		for len(left) > 0 {
			var refused []Message
			var errs []error
			for _, m := range left {
				data, ok, e := m.replay(elapsed)
				if e == nil && ok {
					e = send(m.Type, data)
				}
				switch {
				case e == nil && ok:
					sent = append(sent, m)
				case e == nil || errors.Is(e, unix.EEXIST):
				default:
					refused = append(refused, m)
					errs = append(errs, fmt.Errorf("cannot put back %v: %w", m, e))
				}
			}
			if len(refused) == len(left) {
				err = errors.Join(err, errors.Join(errs...))
				break
			}
			left = refused
		}
	}
	return sent, err
}

type raw []byte

func (r raw) Len() int          { return len(r) }
func (r raw) Serialize() []byte { return r }

func send(typ uint16, data []byte) error {
	// IPv4 routes of one prefix and metric may stand beside each other, so they are
	// appended; an IPv6 route would become a next hop of what the daemon made
	// meanwhile (ECMP), so there what exists wins.
	flags := unix.NLM_F_CREATE | unix.NLM_F_ACK
	if typ == unix.RTM_NEWROUTE && data[0] == unix.AF_INET {
		flags |= unix.NLM_F_APPEND
	} else {
		flags |= unix.NLM_F_EXCL
	}
	req := nl.NewNetlinkRequest(int(typ), flags)
	req.AddData(raw(data))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
