package backends

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// clients attributes DHCP client processes: to the manager that started them, or to
// nobody that can be asked.
func (d *detector) clients(t *trace, l facts.Link) {
	for _, c := range d.f.Clients {
		if c.Link != l.Name {
			continue
		}
		source := fmt.Sprintf("process %d", c.PID)
		_, up := d.f.Ifupdown.State[l.Name]
		switch {
		case nmClient(c):
			t.add(NetworkManager, WeightLive, source, "%s was started by NetworkManager", c.Name)
		case up:
			t.add(Ifupdown, WeightLive, source, "%s runs on it, started by ifup", c.Name)
		case c.Name == "dhcpcd" && d.f.Dhcpcd.Running && d.f.Dhcpcd.Master:
			// Already counted as the sign of the master.
		case ifupClient(c, l.Name):
			t.add(Ifupdown, WeightLive, source, "%s runs with the lease and pid files that ifup gives it, though ifstate does not list the NIC", c.Name)
		case c.Name == "dhcpcd" && len(d.files.Ifupdown(l)) == 0:
			t.add(Dhcpcd, WeightLive, source, "dhcpcd runs for this NIC alone")
		default:
			t.add(Foreign, WeightLive, source, "%s runs on it, started by no known manager", c.Name)
		}
	}
}

// sockets finds DHCP clients that are not known by the look of their process: whoever
// holds port 68 or 546 on the NIC configures it.
func (d *detector) sockets(t *trace, l facts.Link) {
	// As in /proc/PID/comm, which ends after 15 bytes; provision is our own probe.
	known := []string{"systemd-network", "NetworkManager", "nm-dhcp-helper", "dhclient", "dhcpcd", "udhcpc", "udhcpc6", "provision"}
	for _, s := range d.f.DHCPSockets {
		if s.Link == l.Index && s.Name != "" && !slices.Contains(known, s.Name) {
			t.add(Foreign, WeightLive, fmt.Sprintf("process %d", s.PID), "%s holds the DHCP client port %d on it", s.Name, s.Local.Port())
		}
	}
}

// nmClient recognises a client of NetworkManager's dhcp=dhclient or dhcp=dhcpcd plugin.
func nmClient(c facts.DHCPClient) bool {
	return slices.ContainsFunc(c.Args, func(a string) bool {
		return strings.Contains(a, "nm-dhcp-helper") || strings.Contains(a, "/NetworkManager/")
	})
}

// ifupClient recognises Debian ifupdown's way to call dhclient and udhcpc.
func ifupClient(c facts.DHCPClient, name string) bool {
	pid := []string{"/run/dhclient." + name + ".pid", "/run/dhclient6." + name + ".pid", "/run/udhcpc." + name + ".pid",
		"/run/dhclient-" + name + ".pid"}
	return slices.ContainsFunc(c.Args, func(a string) bool { return slices.Contains(pid, a) })
}
