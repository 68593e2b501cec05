package bed

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// Link is the server's interface on the segment.
const Link = "usb0"

// Segment is one Ethernet: a bridge in the namespace Wire with a port for the server (the namespace Server, interface Link) and
// one for each station. The bridge itself has no address, so nothing but its ports speaks.
type Segment struct {
	Wire, Server *lab.NetNS

	t     testing.TB
	bed   string // the bridge's name
	ports int
}

// ServerPort is the bridge's end of the server's link: all that the server hears and says on it passes there.
const ServerPort = "to-server"

// NewSegment makes a segment with no station. It is gone when the test ends.
func NewSegment(t testing.TB) *Segment {
	t.Helper()
	s := &Segment{t: t, Wire: lab.NewNS(t), Server: lab.NewNS(t), bed: "br0"}
	s.mustIn(s.Wire, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
	s.build()
	return s
}

// OnWorld makes a segment of which the other end of a machine's NIC is a port, so that a whole machine is a station.
// The NIC must have neither DHCP nor router advertisements of its own (lab.NICOpts).
func OnWorld(t testing.TB, w *lab.World, peer string) *Segment {
	t.Helper()
	s := &Segment{t: t, Wire: w.ISP, Server: lab.NewNS(t), bed: "br-" + peer}
	s.mustIn(s.Wire, "sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
	s.build()
	s.mustIn(s.Wire, "ip addr flush dev "+peer, "ip link set "+peer+" master "+s.bed)
	return s
}

func (s *Segment) build() {
	s.t.Helper()
	s.mustIn(s.Wire, "ip link add "+s.bed+" type bridge mcast_snooping 0 forward_delay 0", "ip link set "+s.bed+" up")
	s.PlugServer()
}

// PlugServer makes the server's link, with the same address each time: what a gadget does when the cable comes back.
func (s *Segment) PlugServer() {
	s.t.Helper()
	s.mustIn(s.Wire,
		fmt.Sprintf("ip link add %s type veth peer name %s address 02:55:00:00:00:01 netns %d", ServerPort, Link, s.Server.PID()),
		"ip link set "+ServerPort+" master "+s.bed+" up")
	s.mustIn(s.Server, "sysctl -qw net.ipv6.conf."+Link+".accept_dad=0 net.ipv6.conf."+Link+".accept_ra=0", "ip link set "+Link+" up")
}

// UnplugServer deletes the server's link.
func (s *Segment) UnplugServer() {
	s.t.Helper()
	s.mustIn(s.Wire, "ip link del "+ServerPort)
}

// Address gives the server's link these addresses and no other.
func (s *Segment) Address(addrs ...netip.Prefix) {
	s.t.Helper()
	s.mustIn(s.Server, "ip -4 addr flush dev "+Link, "ip -6 addr flush dev "+Link+" scope global")
	for _, a := range addrs {
		if a.Addr().Is4() {
			s.mustIn(s.Server, fmt.Sprintf("ip addr add %s brd + dev %s", a, Link))
		} else {
			s.mustIn(s.Server, fmt.Sprintf("ip addr add %s dev %s nodad", a, Link))
		}
	}
}

// Plug gives a new namespace the interface name on the segment.
func (s *Segment) Plug(name string) *lab.NetNS {
	s.t.Helper()
	ns := lab.NewNS(s.t)
	s.PlugInto(ns, name)
	return ns
}

// PlugInto gives a namespace the interface name on the segment. It is up, and has its final hardware address.
func (s *Segment) PlugInto(ns *lab.NetNS, name string) {
	s.t.Helper()
	s.ports++
	port := fmt.Sprintf("port%d", s.ports)
	s.mustIn(s.Wire,
		fmt.Sprintf("ip link add %s type veth peer name %s address 02:55:00:00:01:%02x netns %d", port, name, s.ports, ns.PID()),
		"ip link set "+port+" master "+s.bed+" up")
	s.mustIn(ns, "ip link set "+name+" up")
}

// Cable pulls the cable of a port (false) or puts it back (true) and returns when the segment forwards what comes from there.
func (s *Segment) Cable(port string, in bool) {
	s.t.Helper()
	if !in {
		s.mustIn(s.Wire, "ip link set "+port+" down")
		return
	}
	s.mustIn(s.Wire, "ip link set "+port+" up")
	lab.Await(s.t, 5*time.Second, func() error {
		// linux/if_bridge.h: BR_STATE_FORWARDING is 3
		if state, err := s.Wire.Exec("cat", "/sys/class/net/"+port+"/brport/state"); err != nil || strings.TrimSpace(state) != "3" {
			return fmt.Errorf("port %s is in state %q, %v", port, state, err)
		}
		return nil
	})
}

// DropUnicast makes the wire lose DHCP requests that are sent to the server alone, and deliver what is broadcast: the state in
// which a client has to rebind (RFC 2131 section 4.4.5).
func (s *Segment) DropUnicast(on bool) {
	s.t.Helper()
	rule := "add table bridge deaf; delete table bridge deaf;"
	if on {
		rule += " table bridge deaf { chain c { type filter hook forward priority 0; ether type ip ether daddr != ff:ff:ff:ff:ff:ff udp dport 67 drop; }; }"
	}
	if _, err := s.Wire.Exec("nft", rule); err != nil {
		s.t.Fatal(err)
	}
}

// Occupy puts a station on the segment that has the address already and answers for it.
func (s *Segment) Occupy(a netip.Addr) {
	s.t.Helper()
	squatter := s.Plug("eth0")
	s.mustIn(squatter, fmt.Sprintf("ip addr add %s/32 dev eth0", a))
}

// mustIn runs commands in a namespace, words split at blanks.
func (s *Segment) mustIn(ns *lab.NetNS, commands ...string) {
	s.t.Helper()
	for _, c := range commands {
		if _, err := ns.Exec(strings.Fields(c)...); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Mount gives a namespace an empty file system of its own at a path of the host: what is written there is seen nowhere else and
// ends with the namespace.
func Mount(t testing.TB, ns *lab.NetNS, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := ns.Exec("mount", "-t", "tmpfs", "tmpfs", p); err != nil {
			t.Fatal(err)
		}
	}
}
