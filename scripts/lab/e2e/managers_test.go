//go:build lab && linux

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// setup is a machine whose network is configured in another way than the main matrix.
type setup struct {
	name    string
	root    string
	config  lab.Config
	overlay lab.Overlay
	nics    []lab.NICOpts
	quick   bool   // part of the default run
	refuse  string // apply must refuse, change nothing and say this
	gap     string // plan must announce a gap in these words; streams are not measured then
}

// networkdEnabled: netplan's generator starts networkd, without netplan its own unit does.
var networkdEnabled = lab.Overlay{
	"/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": {Link: "/usr/lib/systemd/system/systemd-networkd.service"},
	"/etc/systemd/system/dbus-org.freedesktop.network1.service":            {Link: "/usr/lib/systemd/system/systemd-networkd.service"},
}

func networkFile(path, name, more string) lab.Overlay {
	return lab.Overlay{path: {Content: "[Match]\nName=" + name + "\n\n[Network]\nDHCP=yes\nIPv6AcceptRA=yes\n" + more}}
}

// vagrantEth1 is what Vagrant's guest for systemd-networkd writes for a public network.
var vagrantEth1 = lab.Overlay{"/etc/systemd/network/50-vagrant-eth1.network": {Content: "[Match]\nName=eth1\n\n[Network]\nDescription=A Vagrant-configured network\nDHCP=ipv4\n"}}

// dhcpcdMaster is dhcpcd as Debian's package of that name starts it; --nodev, because it waits for udev otherwise.
var dhcpcdMaster = lab.Overlay{
	"/etc/network/interfaces": {Content: "auto lo\niface lo inet loopback\n"},
	"/etc/systemd/system/dhcpcd.service": {Content: "[Unit]\nDescription=DHCP Client Daemon\nWants=network.target\nBefore=network.target\n\n" +
		"[Service]\nType=forking\nExecStart=/usr/sbin/dhcpcd -q -b --nodev\nKillMode=control-group\n"},
	"/etc/systemd/system/multi-user.target.wants/dhcpcd.service": {Link: "/etc/systemd/system/dhcpcd.service"},
}

// stateful are networks with DHCPv6 beside router advertisements, of which the NAT router calls itself the better one.
func stateful() []lab.NICOpts {
	nat, bridged := lab.NAT(), lab.Bridged()
	nat.DHCPv6, bridged.DHCPv6, nat.Preference = true, true, "high"
	return []lab.NICOpts{nat, bridged}
}

func setups() []setup {
	own := overlay(networkdEnabled, networkFile("/etc/systemd/network/20-nat.network", "eth0", ""), networkFile("/etc/systemd/network/21-lan.network", "eth1", "\n[DHCPv4]\nRouteMetric=300\n"))
	shared := overlay(networkdEnabled, networkFile("/etc/systemd/network/20-all.network", "eth*", "\n# both NICs\n[Link]\nRequiredForOnline=no\n"))
	all := []setup{
		{name: "networkd alone", root: "trixie-netplan", config: lab.NoConfig, overlay: own, quick: true},
		{name: "networkd alone", root: "bookworm-netplan", config: lab.NoConfig, overlay: own},
		{name: "one networkd file for all", root: "bookworm-netplan", config: lab.NoConfig, overlay: shared},
		{name: "one networkd file for all", root: "trixie-netplan", config: lab.NoConfig, overlay: shared},
		{name: "netplan and a file of Vagrant", root: "trixie-netplan", config: lab.OnlyEth0, overlay: vagrantEth1},
		{name: "netplan and a file of Vagrant", root: "bookworm-netplan", config: lab.OnlyEth0, overlay: vagrantEth1, quick: true},
		{name: "netplan's all-en", root: "trixie-netplan", config: lab.AllEn},
		{name: "netplan's all-en", root: "bookworm-netplan", config: lab.AllEn},
		{name: "one profile on all", root: "trixie-nm", config: lab.AllEn},
		{name: "one profile on all", root: "bookworm-nm", config: lab.AllEn},
		{name: "dhcpcd under ifupdown", root: "trixie-ifupdown-dhcpcd"},
		{name: "dhcpcd under ifupdown", root: "bookworm-ifupdown-dhcpcd"},
		{name: "dhcpcd alone", root: "trixie-ifupdown-dhcpcd", config: lab.NoConfig, overlay: dhcpcdMaster, quick: true},
		{name: "dhcpcd alone", root: "bookworm-ifupdown-dhcpcd", config: lab.NoConfig, overlay: dhcpcdMaster},
		{name: "udhcpc", root: "bookworm-ifupdown-udhcpc", refuse: "udhcpc has no metric", quick: true},
		{name: "udhcpc", root: "trixie-ifupdown-udhcpc", refuse: "udhcpc has no metric"},
	}
	for _, root := range roots {
		if strings.Contains(root, "ifupdown") {
			continue // the kernel's part is the same, and dhclient is not asked for DHCPv6
		}
		c := setup{name: "DHCPv6", root: root, nics: stateful(), quick: root == "trixie-netplan-nm"}
		if root == "bookworm-netplan" {
			c.gap = "those by DHCPv6"
		}
		all = append(all, c)
	}
	return append(all, setup{name: "DHCPv6 with networkd alone", root: "trixie-netplan", config: lab.NoConfig, overlay: own, nics: stateful()})
}

// The main job where the network is configured in another way: the bridged NIC wins, or there is an honest refusal.
func TestManagers(t *testing.T) {
	for _, c := range setups() {
		if !c.quick && !full {
			continue
		}
		t.Run(c.name+"/"+c.root, func(t *testing.T) {
			t.Parallel()
			w, m := boot(t, c.root, lab.WorldOpts{NICs: c.nics}, lab.BootOpts{Config: c.config, Overlay: c.overlay})
			m.AwaitAddrs(t, 40*time.Second, "eth0", "eth1")
			if c.nics != nil {
				awaitLease6(t, m)
			}
			etc := m.TreeDigest(t, "/etc").Without(volatile...)
			before := defaults(m, 4) + " | " + defaults(m, 6)
			if planned, _, _ := provision(t, m, "plan"); !strings.Contains(planned, c.gap) {
				t.Errorf("plan does not announce a gap of %q:\n%s", c.gap, planned)
			}
			s := lab.Streams(t, w, lab.StreamOpts{})
			s.Mark("apply")
			out, msg, code := provision(t, m, "apply")
			if c.refuse != "" {
				refused(t, m, c, etc, before, out+msg, code)
				s.Require(t, maxStall)
				return
			}
			if code != 0 {
				t.Fatalf("apply: status %d\n%s%s", code, out, msg)
			}
			t.Logf("before: %s; apply says\n%s", before, out+msg)
			for _, family := range []int{4, 6} {
				awaitWinner(t, m, family, "eth1 metric 10")
				awaitMetric(t, m, family, "eth0", 1000)
			}
			if c.gap == "" {
				s.Require(t, maxStall)
			}
			s.Stop()
			settled(t, m)
			must(t, m, 0, "verify")

			m.Reboot(t)
			m.AwaitAddrs(t, 40*time.Second, "eth0", "eth1")
			for _, family := range []int{4, 6} {
				awaitMetric(t, m, family, "eth0", 1000)
				awaitWinner(t, m, family, "eth1 metric 10")
			}
			must(t, m, 0, "plan", "--exit-code")
			if c.nics != nil {
				awaitLease6(t, m)
			}
			must(t, m, 0, "revert")
			sameEtc(t, m, etc, "revert")
			m.AwaitAddrs(t, 20*time.Second, "eth0", "eth1")
		})
	}
}

// refused checks that an apply that refused has changed nothing.
func refused(t *testing.T, m *lab.Machine, c setup, etc lab.Tree, before, said string, code int) {
	t.Helper()
	if code == 0 || !strings.Contains(said, c.refuse) {
		t.Errorf("apply: status %d, and it does not say %q:\n%s", code, c.refuse, said)
	}
	sameEtc(t, m, etc, "a refused apply")
	if now := defaults(m, 4) + " | " + defaults(m, 6); now != before {
		t.Errorf("a refused apply changed the default routes from %s to %s", before, now)
	}
	t.Logf("apply says: %s", said)
}

// awaitLease6 waits until both NICs have an address that only the DHCPv6 server gives.
func awaitLease6(t *testing.T, m *lab.Machine) {
	t.Helper()
	lab.Await(t, 20*time.Second, func() error {
		for _, nic := range []string{"eth0", "eth1"} {
			leased := false
			for _, a := range m.Addrs(nic) {
				leased = leased || a.Family == 6 && a.Bits == 128 && !a.Tentative
			}
			if !leased {
				return errNoLease6(nic)
			}
		}
		return nil
	})
}

type errNoLease6 string

func (e errNoLease6) Error() string { return string(e) + " has no address by DHCPv6" }
