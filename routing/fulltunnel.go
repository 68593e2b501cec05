package routing

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/routing/firewall"
	"github.com/provision-net/provision/routing/policy"
)

// srcValidMark has the reverse path filter of IPv4 look with a packet's mark, so that an answer to what
// leaves beside a tunnel is not taken for one that should come by it. The kernel takes the greater
// value of "all" and of the device (include/linux/inetdevice.h), and a machine that roams gets devices
// that nobody knows yet.
const srcValidMark = "net.ipv4.conf.all.src_valid_mark"

// tableMain is the kernel's table of what has no other.
const tableMain = 254

// tunnel is the lane of a device, with the families that it carries.
func (c Config) tunnel(n policy.Numbers, device string) policy.Tunnel {
	t := n.Tunnel(device)
	t.Families = c.WireGuard.Families(device)
	if _, ok := c.Tunnels[device]; ok {
		t.Families = []int{6} // a device of protocol 41 takes no IPv4
	}
	return t
}

// full are the routes and rules of the tunnels by which everything leaves, but for that of a kill
// switch, which has its own.
func (c Config) full(n policy.Numbers) ([]provision.Want, error) {
	var out []provision.Want
	for _, device := range c.WireGuard.Full() {
		t := c.tunnel(n, device)
		if mark := c.WireGuard[device].FwMark; mark != 0 && mark&t.Mask != t.Mark {
			return nil, fmt.Errorf("routing.wireguard.%s.fwmark: 0x%x has not the mark 0x%x of 0x%x of packets that no tunnel takes, so the tunnel would take its own: leave fwmark out", device, mark, t.Mark, t.Mask)
		}
		if len(out) == 0 {
			out = append(out, sysctl.Global(srcValidMark, "1", "answers to what leaves beside "+device+" come in"))
		}
		if device != c.KillSwitch.Tunnel {
			out = append(out, t.Wants()...)
		}
	}
	return out, nil
}

// captured are the SSH sessions whose answers a full tunnel would take: whoever manages this machine
// from afar by another way loses it. Sessions that came while the tunnel stood are none.
func (c Config) captured(f *facts.Facts, n policy.Numbers) []firewall.Cut {
	var out []firewall.Cut
	for _, device := range c.WireGuard.Full() {
		t := c.tunnel(n, device)
		if device == c.KillSwitch.Tunnel || slices.ContainsFunc(f.Rules, func(r facts.Rule) bool { return r.Proto == facts.ProtoOurs && r.Priority == t.Priority+1 }) {
			continue
		}
		for _, s := range asked(f.SSH) {
			if c.stays(f, s) {
				continue
			}
			out = append(out, firewall.Cut{Session: s, Why: fmt.Sprintf("the answers to the SSH session from %s would leave by %s: have them leave where it came in, with policy: {per-nic-replies: true, reply-primary: true} under routing", s.Remote.Addr(), device)})
		}
	}
	return out
}

// asked are the sessions that count: the one that the command runs in, or else all.
func asked(list []facts.Session) []facts.Session {
	var mine []facts.Session
	for _, s := range list {
		if s.Mine {
			mine = append(mine, s)
		}
	}
	if len(mine) > 0 {
		return mine
	}
	return list
}

// stays reports whether the answers of a session go where they went: to this machine, into a network
// that has a route of its own, or by a NIC's table.
func (c Config) stays(f *facts.Facts, s facts.Session) bool {
	remote, local := s.Remote.Addr().Unmap().WithZone(""), s.Local.Addr().Unmap().WithZone("")
	if remote.IsLoopback() || remote.IsLinkLocalUnicast() || c.Policy.PerNICReplies && c.Policy.ReplyPrimary {
		return true
	}
	return slices.ContainsFunc(f.Routes, func(r facts.Route) bool {
		return (r.Table == tableMain || r.Table == 0) && r.Type == "unicast" && r.Dst.Bits() > 0 && r.Dst.Contains(remote)
	}) || slices.ContainsFunc(f.Addrs, func(a facts.Address) bool {
		l, ok := f.LinkByIndex(a.Link)
		return ok && a.Prefix.Addr() == local && slices.Contains(c.WireGuard.Full(), l.Name)
	})
}
