package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The peers that are behind the routers of every NIC, so they are only reached by a default route.
const (
	OffLink4 = "203.0.113.5"
	OffLink6 = "2001:db8:f::5"
)

// NICOpts is one NIC of the machine and what the provider's side serves on it. The zero value of a field means the default.
type NICOpts struct {
	Name string // "eth0"
	MAC  string // default 08:00:27:00:76:NN, the vendor prefix of VirtualBox, by number of the NIC

	Net4     string // "10.0.2.0/24"; the provider has .2 (or .1 if NoRouter), the machine is leased .15 (or .101)
	NoRouter bool   // leases and advertisements name no router and no DNS server, as on a host-only network
	NoDHCP   bool   // no DHCP server at all

	Lease  time.Duration // default 1 h, at least 2 min
	T1, T2 time.Duration // renewal and rebinding (RFC 2132 section 9.11, 9.12), in whole seconds; default 1/2 and 7/8 of Lease

	NoRA       bool          // no router advertisements
	Net6       string        // default 2001:db8:N::/64, N the number of the NIC; the provider has ::2
	RAMin      time.Duration // between advertisements, default 3 s
	RAMax      time.Duration // default 4 s
	Preference string        // router preference (RFC 4191): low, medium (default), high
	DHCPv6     bool          // stateful DHCPv6, announced by the managed flag; leases ::100 to ::1ff
}

// WorldOpts says which NICs a world has.
type WorldOpts struct {
	// NICs; default is NAT() and Bridged().
	NICs []NICOpts
	// Strict drops packets which the machine sends out of the wrong NIC: what the real networks would do with them. Without it
	// both networks lead to the same peers.
	Strict bool
}

// NAT is the NIC that VirtualBox, and QEMU's user networking, give first.
func NAT() NICOpts {
	return NICOpts{Name: "eth0", Net4: "10.0.2.0/24"}
}

// Bridged is the second NIC, on a network where others are.
func Bridged() NICOpts {
	return NICOpts{Name: "eth1", Net4: "192.168.76.0/24"}
}

// HostOnly is a NIC on a network without a way out.
func HostOnly(name string) NICOpts {
	return NICOpts{Name: name, Net4: "192.168.56.0/24", NoRouter: true, NoRA: true}
}

// World is a running pair of namespaces.
type World struct {
	Machine *NetNS // where the machine's NICs are; a new one after each reboot
	ISP     *NetNS // where their other ends, the servers and the off-link peers are

	t      testing.TB
	dir    string
	strict bool
	nics   []*nic
	procs  []*proc
}

type nic struct {
	NICOpts
	n          int
	net4, net6 netip.Prefix
	peer       string // its other end: "isp0"
	server4    netip.Addr
	server6    netip.Addr
	dhcp, ra   *proc
}

// NewWorld makes the namespaces, NICs and servers. They are gone when the test ends.
func NewWorld(t testing.TB, o WorldOpts) *World {
	t.Helper()
	w := &World{t: t, dir: t.TempDir(), strict: o.Strict}
	t.Cleanup(w.Close)
	var err error
	if w.ISP, err = newNetNS(unix.CLONE_NEWPID); err != nil {
		t.Fatalf("lab: %v", err)
	}
	if w.Machine, err = newNetNS(0); err != nil {
		t.Fatalf("lab: %v", err)
	}
	w.isp("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
		"net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
	w.isp("ip", "addr", "add", OffLink4+"/32", "dev", "lo")
	w.isp("ip", "addr", "add", OffLink6+"/128", "dev", "lo", "nodad")
	if o.NICs == nil {
		o.NICs = []NICOpts{NAT(), Bridged()}
	}
	for _, n := range o.NICs {
		w.AddNIC(n)
	}
	return w
}

// Close ends everything; t.Cleanup calls it.
func (w *World) Close() {
	for _, n := range w.nics {
		n.kill(&n.dhcp)
		n.kill(&n.ra)
	}
	for _, p := range w.procs {
		p.stop(syscall.SIGKILL)
	}
	for _, ns := range []*NetNS{w.Machine, w.ISP} {
		if ns != nil {
			ns.h.close()
		}
	}
	w.Machine, w.ISP, w.nics, w.procs = nil, nil, nil, nil
}

// isp runs a command on the provider's side; the test cannot go on if it fails.
func (w *World) isp(argv ...string) string {
	w.t.Helper()
	out, err := w.ISP.Exec(argv...)
	if err != nil {
		w.t.Fatalf("lab: %v", err)
	}
	return out
}

// AddNIC plugs a NIC in, also while the machine runs, and starts its servers.
func (w *World) AddNIC(o NICOpts) {
	w.t.Helper()
	i := len(w.nics)
	n := &nic{NICOpts: o, n: i, peer: fmt.Sprintf("isp%d", i)}
	if err := n.defaults(); err != nil {
		w.t.Fatalf("lab: %s: %v", o.Name, err)
	}
	w.nics = append(w.nics, n)
	// The router's own address 52:54:00:12:35:02 is VirtualBox's.
	w.isp("ip", "link", "add", n.peer, "address", fmt.Sprintf("52:54:00:12:35:%02x", i+2), "type", "veth",
		"peer", "name", n.Name, "address", n.MAC, "netns", fmt.Sprint(w.Machine.PID()))
	w.isp("ip", "addr", "add", fmt.Sprintf("%s/%d", n.server4, n.net4.Bits()), "dev", n.peer)
	if !n.NoRouter {
		w.isp("ip", "addr", "add", fmt.Sprintf("%s/%d", n.server4.Next(), n.net4.Bits()), "dev", n.peer) // its DNS address
	}
	if !n.NoRA || n.DHCPv6 {
		w.isp("ip", "addr", "add", fmt.Sprintf("%s/%d", n.server6, n.net6.Bits()), "dev", n.peer, "nodad")
	}
	w.isp("ip", "link", "set", n.peer, "up")
	if w.strict {
		w.guard()
	}
	if !n.NoDHCP {
		w.StartDHCP(n.Name)
	}
	if !n.NoRA {
		w.StartRA(n.Name)
	}
}

// RemoveNIC pulls a NIC out: it vanishes from the machine.
func (w *World) RemoveNIC(name string) {
	w.t.Helper()
	n := w.nic(name)
	n.kill(&n.dhcp)
	n.kill(&n.ra)
	w.isp("ip", "link", "del", n.peer)
	n.Name = "" // its number stays taken
}

// SetCarrier pulls the NIC's cable (false) or puts it back (true).
func (w *World) SetCarrier(name string, on bool) {
	w.t.Helper()
	n, to := w.nic(name), "down"
	if on {
		to = "up"
	}
	w.isp("ip", "link", "set", n.peer, to)
	if on && !n.NoRA {
		w.isp("ip", "addr", "replace", fmt.Sprintf("%s/%d", n.server6, n.net6.Bits()), "dev", n.peer, "nodad")
	}
}

// Dir is the world's own directory on the host, for logs and the like; it is removed with the test.
func (w *World) Dir() string { return w.dir }

// NIC returns the NIC's options with all defaults filled in.
func (w *World) NIC(name string) NICOpts {
	w.t.Helper()
	return w.nic(name).NICOpts
}

// plugged lists the NICs that are there.
func (w *World) plugged() []NICOpts {
	var all []NICOpts
	for _, n := range w.nics {
		if n.Name != "" {
			all = append(all, n.NICOpts)
		}
	}
	return all
}

func (w *World) nic(name string) *nic {
	w.t.Helper()
	for _, n := range w.nics {
		if n.Name == name && name != "" {
			return n
		}
	}
	w.t.Fatalf("lab: the world has no NIC %q", name)
	return nil
}

// guard loads the rules of WorldOpts.Strict for all NICs.
func (w *World) guard() {
	w.t.Helper()
	var b strings.Builder
	b.WriteString("table inet guard\ndelete table inet guard\ntable inet guard {\nchain in {\ntype filter hook prerouting priority -300\n")
	for _, n := range w.nics {
		if n.Name == "" {
			continue
		}
		fmt.Fprintf(&b, "iifname != %q ip saddr %s counter drop\n", n.peer, n.net4)
		if !n.NoRA || n.DHCPv6 {
			fmt.Fprintf(&b, "iifname != %q ip6 saddr %s counter drop\n", n.peer, n.net6)
		}
	}
	b.WriteString("}\n}\n")
	file := filepath.Join(w.dir, "guard.nft")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		w.t.Fatalf("lab: %v", err)
	}
	w.isp("nft", "-f", file)
}

func (n *nic) defaults() error {
	var err error
	if n.net4, err = netip.ParsePrefix(n.Net4); err != nil {
		return err
	}
	if n.Net6 == "" {
		n.Net6 = fmt.Sprintf("2001:db8:%x::/64", n.n)
	}
	if n.net6, err = netip.ParsePrefix(n.Net6); err != nil {
		return err
	}
	if n.MAC == "" {
		n.MAC = fmt.Sprintf("08:00:27:00:76:%02x", n.n+0x10)
	}
	n.server4 = n.net4.Masked().Addr().Next()
	if !n.NoRouter {
		n.server4 = n.server4.Next()
	}
	n.server6 = n.net6.Masked().Addr().Next().Next()
	if n.Lease == 0 {
		n.Lease = time.Hour
	}
	if n.RAMin == 0 {
		n.RAMin = 3 * time.Second
	}
	if n.RAMax == 0 {
		n.RAMax = max(4*time.Second, n.RAMin)
	}
	if n.Preference == "" {
		n.Preference = "medium"
	}
	return nil
}

// rebootLinks gives the machine a fresh network namespace with the same NICs, as a reset does: no address, no route, no
// virtual device and no sysctl of the old one is left.
func (w *World) rebootLinks() error {
	fresh, err := newNetNS(0)
	if err != nil {
		return err
	}
	for _, n := range w.nics {
		if n.Name == "" {
			continue
		}
		if err := w.moveNIC(n, fresh); err != nil {
			fresh.h.close()
			return err
		}
	}
	old := w.Machine
	w.Machine = fresh
	old.h.close()
	return nil
}

// moveNIC moves the machine's end of a NIC to another namespace, with the name and address it was made with.
func (w *World) moveNIC(n *nic, to *NetNS) error {
	var peer, here []struct {
		Index int    `json:"link_index"`
		Name  string `json:"ifname"`
		Own   int    `json:"ifindex"`
	}
	if err := ipJSON(w.ISP, &peer, "link", "show", "dev", n.peer); err != nil {
		return err
	}
	if err := ipJSON(w.Machine, &here, "link"); err != nil {
		return err
	}
	for _, l := range here {
		if l.Own != peer[0].Index {
			continue
		}
		if _, err := w.Machine.Exec("ip", "link", "set", l.Name, "down", "netns", fmt.Sprint(to.PID())); err != nil {
			return err
		}
		_, err := to.Exec("ip", "link", "set", l.Name, "name", n.Name, "address", n.MAC)
		return err
	}
	return fmt.Errorf("the machine has lost its NIC %s", n.Name)
}
