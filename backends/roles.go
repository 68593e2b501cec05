package backends

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/provision/facts"
)

// RoleVerdict says what a NIC is for, how sure that is (0 to 100) and why.
type RoleVerdict struct {
	Role     facts.Role `json:"role"`
	Score    int        `json:"score"`
	Evidence []string   `json:"evidence"`
}

// Roles decides what each link is for, by link index. A NIC is only called nat when
// it fits a hypervisor's NAT network with a score of at least NATThreshold and there
// is another NIC that could be the uplink: a false nat would demote the real way out.
func Roles(f *facts.Facts, owners []Ownership) map[int]RoleVerdict {
	out := make(map[int]RoleVerdict, len(f.Links))
	for _, l := range f.Links {
		out[l.Index] = role(f, l)
	}
	return out
}

func role(f *facts.Facts, l facts.Link) RoleVerdict {
	if v, ok := kindRole(f, l); ok {
		return v
	}
	nat, best := natMatch(f, l)
	if best >= NATThreshold {
		if others := otherUplinks(f, l); others == 0 {
			return RoleVerdict{facts.RoleBridged, 50, append(nat, "but it is the only NIC, so it is the way out")}
		}
		return RoleVerdict{facts.RoleNAT, best, nat}
	}
	v := reachRole(f, l)
	if best > 0 {
		v.Evidence = append(v.Evidence, fmt.Sprintf("not taken for NAT: %s, which scores %d of the %d it takes", strings.Join(nat, ", "), best, NATThreshold))
	}
	return v
}

// kindRole decides what the kind of device alone says.
func kindRole(f *facts.Facts, l facts.Link) (RoleVerdict, bool) {
	verdict := func(r facts.Role, score int, text string) (RoleVerdict, bool) {
		return RoleVerdict{r, score, []string{text}}, true
	}
	switch {
	case l.ARPHRD == 772:
		return verdict(facts.RoleLoopback, 100, "ARPHRD_LOOPBACK")
	case l.DevType == "gadget" || l.Driver == "g_ether" || strings.Contains(l.DevPath, "/gadget"):
		return verdict(facts.RoleGadget, 100, "a USB gadget function of this machine")
	case gadgetFunction(f, l) != "":
		// Without sysfs, and where the kernel keeps the device while no host is there.
		return verdict(facts.RoleGadget, 100, "it has the address of "+gadgetFunction(f, l))
	case l.DevType == "wlan":
		return verdict(facts.RoleWifi, 100, "DEVTYPE=wlan")
	case l.Kind == "wireguard" || l.Kind == "tun" && l.ARPHRD == 65534 || l.ARPHRD == 512:
		return verdict(facts.RoleVPN, 100, "a tunnel device ("+kindName(l)+")")
	}
	if text := containerName(f, l); text != "" {
		return verdict(facts.RoleContainer, 90, text)
	}
	if !claim.Ethernet(l) {
		return verdict(facts.RoleOther, 50, "a "+kindName(l)+" device")
	}
	return RoleVerdict{}, false
}

// gadgetFunction names the function of a gadget of this machine whose netdev l is.
func gadgetFunction(f *facts.Facts, l facts.Link) string {
	if l.Kind != "" || l.MAC == "" {
		return ""
	}
	for _, g := range f.USB.Gadgets {
		for _, fn := range g.Functions {
			if fn.Dev == l.MAC {
				return fn.Name + " of gadget " + g.Name
			}
		}
	}
	return ""
}

func kindName(l facts.Link) string {
	switch {
	case l.Kind != "":
		return l.Kind
	case l.ARPHRD == 512:
		return "ppp"
	}
	return fmt.Sprintf("ARPHRD %d", l.ARPHRD)
}

// lazily compiles a pattern when it is needed first: most commands, and the server, start without.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// runtimeNames are names that container runtimes, CNI plugins and libvirt give to
// devices of the host.
var runtimeNames = lazily(`^(docker\d+|docker_gwbridge|br-[0-9a-f]{12}|cni\d+|cbr\d+|podman\d+|lxcbr\d+|lxdbr\d+|incusbr\d+|virbr\d+(-nic)?|vnet\d+|` +
	`cali[0-9a-f]+|tunl0|vxlan\.calico|cilium_\w+|lxc[0-9a-f]+|lxc_health|flannel(\.\d+|-\w+)|kube-\w+|nodelocaldns|weave|vethwe-\w+|eni[0-9a-f]{11}|ve-.+|vb-.+|vz-.+|azv[0-9a-f]+|gke[0-9a-f]+)$`)

// ownVeth are names that only the inside of a container gives its end of a veth pair.
// NetworkManager's own rules draw the same line (85-nm-unmanaged.rules).
var ownVeth = lazily(`^(eth\d+|host0|enp?s?\d+\w*)$`)

func containerName(f *facts.Facts, l facts.Link) string {
	if l.Kind == "veth" {
		inside := f.Machine.Container != "" && l.Parent == 0 && !runtimeNames().MatchString(l.Name)
		if l.Master == 0 && (inside || ownVeth().MatchString(l.Name)) {
			return ""
		}
		return "one end of a veth pair"
	}
	virtual := l.Kind != "" || l.DevPath == ""
	switch {
	case virtual && runtimeNames().MatchString(l.Name):
		return "named as container runtimes, CNI plugins and libvirt name their devices"
	case l.Kind == "bridge" && len(l.Ports) > 0 && onlyVethPorts(f, l):
		return "a bridge with nothing but veth and tap ports"
	case f.Machine.CNI != "" && (l.Kind == "vxlan" || l.Kind == "ipip" || l.Kind == "geneve"):
		return "an overlay device, and a CNI plugin is in charge (" + f.Machine.CNI + ")"
	}
	return ""
}

func onlyVethPorts(f *facts.Facts, l facts.Link) bool {
	for _, i := range l.Ports {
		if p, ok := f.LinkByIndex(i); ok && p.Kind != "veth" && p.Kind != "tun" {
			return false
		}
	}
	return true
}

// reachRole decides by what the NIC reaches: a default route of either family makes
// it bridged, an address without one host-only, nothing at all is taken for bridged
// until something is known.
func reachRole(f *facts.Facts, l facts.Link) RoleVerdict {
	for _, family := range []int{4, 6} {
		if d := f.Defaults(l.Index, family); len(d) > 0 {
			return RoleVerdict{facts.RoleBridged, 80, []string{fmt.Sprintf("an IPv%d default route by %s", family, via(d[0], l.Index))}}
		}
	}
	for _, a := range f.Addrs {
		if a.Link != l.Index || a.Scope != "global" || !a.Prefix.Addr().Is4() {
			continue
		}
		if hostOnly.Contains(a.Prefix.Addr()) {
			return RoleVerdict{facts.RoleHostOnly, 90, []string{"an address of VirtualBox's host-only networks, " + a.Prefix.String() + ", and no default route"}}
		}
		// dhclient adds a second metric-less default route in vain (EEXIST): a lease
		// without a default route says nothing while another NIC holds one at metric 0.
		if a.Dynamic || clientOn(f, l) {
			if other := defaultZero(f, l); other != "" {
				return RoleVerdict{facts.RoleBridged, 40, []string{"a lease without a default route, but that of " + other + " without a metric would have kept a second one out"}}
			}
		}
		return RoleVerdict{facts.RoleHostOnly, 60, []string{"the address " + a.Prefix.String() + " and no default route"}}
	}
	return RoleVerdict{facts.RoleBridged, 10, []string{"no address and no default route: taken for an uplink until more is known"}}
}

func clientOn(f *facts.Facts, l facts.Link) bool {
	for _, c := range f.Clients {
		if c.Link == l.Name {
			return true
		}
	}
	return false
}

func defaultZero(f *facts.Facts, l facts.Link) string {
	for _, o := range f.Links {
		for _, r := range f.Defaults(o.Index, 4) {
			if o.Index != l.Index && r.Metric == 0 {
				return o.Name
			}
		}
	}
	return ""
}

// via is the gateway of a route through one link, multipath ones included.
func via(r facts.Route, link int) string {
	for _, h := range r.Hops {
		if h.Link == link {
			return h.Gateway.String()
		}
	}
	if !r.Gateway.IsValid() {
		return "the link itself"
	}
	return r.Gateway.String()
}

// carriesLAN reports whether a virtual device of this kind is usually made of NICs. A
// dummy, an ifb or the fallback device of a tunnel driver (sit0, gre0) is no way out
// until it has a default route.
func carriesLAN(l facts.Link) bool {
	return l.Kind == "" || slices.Contains([]string{"bond", "bridge", "team", "vlan", "macvlan", "ipvlan", "openvswitch"}, l.Kind)
}

// otherUplinks counts the other NICs that could be the way out.
func otherUplinks(f *facts.Facts, l facts.Link) int {
	n := 0
	for _, o := range f.Links {
		if o.Index == l.Index || o.Master != 0 {
			continue
		}
		v, ok := kindRole(f, o)
		switch {
		case !ok, v.Role == facts.RoleWifi:
		case v.Role == facts.RoleOther && (carriesLAN(o) || len(f.Defaults(o.Index, 4))+len(f.Defaults(o.Index, 6)) > 0):
		default:
			continue
		}
		n++
	}
	return n
}
