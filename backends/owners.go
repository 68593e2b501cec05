package backends

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision/facts"
)

// Foreign is the owner of a NIC on which a DHCP client runs that no known manager
// started (by hand, from rc.local, left by an initrd): nobody to ask, nothing is
// written.
const Foreign Manager = "foreign"

// WeightClaimed is between generated and live: the manager runs and says that the
// device is its own, but has brought nothing about on it (no active connection).
const WeightClaimed = 60

// WeightDormant is for configuration of a manager that no boot would start.
const WeightDormant = 5

// Owners decides for every link which manager really owns it. It is pure, and its
// evidence is the trace of the decision: a live daemon beats a generated file, that
// beats a configuration file, and an installed binary proves nothing. Two managers
// with live evidence are rivals. Sources that were not readable weaken the evidence
// and never invent it.
func Owners(f *facts.Facts) []Ownership {
	d := detector{f: f, files: claim.Of(f)}
	out := make([]Ownership, 0, len(f.Links))
	for _, l := range f.Links {
		out = append(out, d.owner(l))
	}
	return out
}

// detector holds what is read once for all links.
type detector struct {
	f     *facts.Facts
	files *claim.Files
}

// trace collects the evidence for one link.
type trace struct {
	evidence []Evidence
	renderer Manager
}

func (t *trace) add(m Manager, weight int, source, format string, args ...any) {
	t.evidence = append(t.evidence, Evidence{Manager: m, Weight: weight, Source: source, Text: fmt.Sprintf(format, args...)})
}

func (d *detector) owner(l facts.Link) Ownership {
	o := Ownership{Link: l.Name, Owner: None, Evidence: []Evidence{}}
	if l.ARPHRD == 772 {
		return o
	}
	t := &trace{}
	ids := d.files.Netplan(l)
	d.networkd(t, l, ids)
	d.nm(t, l, ids)
	d.ifupdown(t, l)
	d.dhcpcd(t, l)
	d.clients(t, l)
	d.sockets(t, l)
	d.netplanFiles(t, l, ids)
	d.installed(t)

	order := []Manager{Netplan, NetworkManager, Networkd, Ifupdown, Dhcpcd, Foreign, None}
	slices.SortStableFunc(t.evidence, func(a, b Evidence) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(slices.Index(order, a.Manager), slices.Index(order, b.Manager)))
	})
	o.Evidence = append(o.Evidence, t.evidence...)
	d.decide(&o, t)
	d.cloudInit(&o, l)
	return o
}

// decide takes the manager with the heaviest evidence; of several with equal weight
// the one with the larger sum.
func (d *detector) decide(o *Ownership, t *trace) {
	best, sum := map[Manager]int{}, map[Manager]int{}
	for _, e := range t.evidence {
		if e.Manager != None {
			best[e.Manager] = max(best[e.Manager], e.Weight)
			sum[e.Manager] += e.Weight
		}
	}
	for _, e := range t.evidence { // in order of weight, so ties fall the same way each time
		m := e.Manager
		if m == None || best[m] <= WeightDormant {
			continue
		}
		if o.Owner == None || best[m] > best[o.Owner] || best[m] == best[o.Owner] && sum[m] > sum[o.Owner] {
			o.Owner = m
		}
	}
	for _, e := range t.evidence {
		if e.Weight >= WeightLive && e.Manager != o.Owner && e.Manager != None && !slices.Contains(o.Rivals, e.Manager) {
			o.Rivals = append(o.Rivals, e.Manager)
		}
	}
	if o.Owner == Netplan {
		o.Renderer = t.renderer
		if o.Renderer == "" {
			o.Renderer = Networkd
		}
	}
}

// netplanNetwork is the netplan id of a generated .network file, if it is one.
func netplanNetwork(file string) (string, bool) {
	if !strings.HasPrefix(file, "/run/systemd/network/10-netplan-") {
		return "", false
	}
	return strings.CutSuffix(strings.TrimPrefix(path.Base(file), "10-netplan-"), ".network")
}

func (d *detector) networkd(t *trace, l facts.Link, ids []claim.Claim) {
	n, known := d.f.Networkd.Links[l.Index]
	state := fmt.Sprintf("/run/systemd/netif/links/%d", l.Index)
	if known && n.Admin == "unmanaged" {
		t.add(None, WeightInstalled, state, "networkd leaves it unmanaged")
	}
	if by := unit.ManagedBy(l); by != "" {
		t.add(None, WeightInstalled, "udev ID_NET_MANAGED_BY", "declared to be managed by %s: networkd keeps off", by)
	}
	if known && n.Network != "" && n.Admin != "unmanaged" {
		weight, how := WeightLive, "networkd runs and has it "+n.Admin
		switch {
		case !d.f.Networkd.Running:
			weight, how = WeightGenerated, "a networkd that no longer runs had it "+n.Admin
		case n.Admin != "configured" && n.Admin != "configuring" && n.Admin != "failed":
			weight, how = WeightClaimed, "networkd runs and has it "+n.Admin
		}
		if id, ok := netplanNetwork(n.Network); ok {
			t.add(Netplan, weight, state, "%s by netplan's id %q (%s)", how, id, n.Network)
			t.renderer = Networkd
			return
		}
		t.add(Networkd, weight, state, "%s by %s", how, n.Network)
		for _, id := range ids {
			if id.Renderer == "networkd" {
				t.add(None, WeightInstalled, id.Source(), "netplan's id %q fits too, but networkd took %s", id.ID, n.Network)
			}
		}
		return
	}
	if known && n.Admin == "unmanaged" {
		return
	}
	if c, ok := d.files.Networkd(l); ok {
		d.networkdFile(t, l, c)
	}
}

// networkdFile weighs the .network file that would be taken while networkd itself
// has said nothing.
func (d *detector) networkdFile(t *trace, l facts.Link, c claim.Claim) {
	if by := unit.ManagedBy(l); by != "" {
		return
	}
	if id, ok := netplanNetwork(c.File); ok {
		t.add(Netplan, WeightGenerated, c.Source(), "generated by netplan for its id %q, not taken by networkd yet", id)
		t.renderer = Networkd
		return
	}
	if !d.f.Networkd.Running && !d.f.Networkd.Enabled {
		t.add(Networkd, WeightDormant, c.Source(), "%s fits, but networkd neither runs nor is enabled", c.ID)
		return
	}
	t.add(Networkd, WeightConfig, c.Source(), "%s fits", c.ID)
}

func (d *detector) nm(t *trace, l facts.Link, ids []claim.Claim) {
	dev, known := d.f.NM.Devices[l.Index]
	state := fmt.Sprintf("/run/NetworkManager/devices/%d", l.Index)
	unmanaged := known && dev.Managed == "unmanaged"
	switch {
	case unmanaged:
		t.add(None, WeightInstalled, state, "NetworkManager leaves it unmanaged")
	case known && dev.External:
		t.add(None, WeightInstalled, state, "NetworkManager shows it as connected (externally), which is no ownership")
		return
	case known && dev.Managed == "managed":
		d.nmDevice(t, l, dev, state)
		return
	}
	if l.Udev["NM_UNMANAGED"] == "1" || unmanaged || d.f.NM.Running && known {
		return
	}
	d.nmProfiles(t, l)
}

func (d *detector) nmDevice(t *trace, l facts.Link, dev facts.NMDevice, state string) {
	weight, how := WeightLive, "NetworkManager runs and manages it"
	if !d.f.NM.Running {
		weight, how = WeightGenerated, "a NetworkManager that no longer runs managed it"
	}
	if dev.UUID == "" {
		t.add(NetworkManager, min(weight, WeightClaimed), state, "%s, without an active connection", how)
		return
	}
	i := slices.IndexFunc(d.f.NM.Profiles, func(p facts.NMProfile) bool { return p.UUID == dev.UUID })
	if i >= 0 {
		p := d.f.NM.Profiles[i]
		if claim.NetplanProfile(p) {
			t.add(Netplan, weight, state, "%s by netplan's profile %s", how, p.Path)
			t.renderer = NetworkManager
			return
		}
		t.add(NetworkManager, weight, state, "%s with profile %q (%s)", how, p.ID, p.Path)
		return
	}
	// Profiles are 0600, their names are not secret: an unprivileged look still sees
	// which of them netplan made.
	if id, file, ok := d.netplanProfileName(l); ok {
		t.add(Netplan, weight, state, "%s; its profile is not readable, and netplan made %s for its id %q", how, file, id)
		t.renderer = NetworkManager
		return
	}
	t.add(NetworkManager, weight, state, "%s with profile %s, held in memory or not readable", how, dev.UUID)
}

func (d *detector) netplanProfileName(l facts.Link) (id, file string, ok bool) {
	for _, g := range d.f.Netplan.Generated {
		name, isProfile := strings.CutPrefix(g, "/run/NetworkManager/system-connections/netplan-")
		if !isProfile {
			continue
		}
		name = strings.TrimSuffix(name, ".nmconnection")
		if name == l.Name || slices.ContainsFunc(d.files.Netplan(l), func(c claim.Claim) bool { return c.ID == name }) {
			return name, g, true
		}
	}
	return "", "", false
}

// nmProfiles weighs profiles while NetworkManager has said nothing about the device.
func (d *detector) nmProfiles(t *trace, l facts.Link) {
	for _, p := range d.f.NM.Profiles {
		if !claim.ProfileFits(p, l) {
			continue
		}
		switch {
		case claim.NetplanProfile(p):
			t.add(Netplan, WeightGenerated, p.Path, "generated by netplan, not taken by NetworkManager yet")
			t.renderer = NetworkManager
		case !d.f.NM.Running && !d.f.NM.Enabled:
			t.add(NetworkManager, WeightDormant, p.Path, "profile %q fits, but NetworkManager neither runs nor is enabled", p.ID)
		default:
			t.add(NetworkManager, WeightConfig, p.Path, "profile %q fits", p.ID)
		}
	}
}

func (d *detector) ifupdown(t *trace, l facts.Link) {
	stanzas := d.files.Ifupdown(l)
	manual := len(stanzas) > 0
	for _, s := range stanzas {
		manual = manual && s.Method == "manual"
	}
	logical, up := d.f.Ifupdown.State[l.Name]
	if up && !manual {
		t.add(Ifupdown, WeightLive, "/run/network/ifstate", "ifup has it up as %s", logical)
	}
	for _, s := range stanzas {
		switch {
		case s.Method == "manual":
			t.add(Ifupdown, WeightDormant, s.Source(), "%s: ifup leaves addresses to others", s.Text)
		case !up && !d.f.Ifupdown.Installed:
			t.add(Ifupdown, WeightDormant, s.Source(), "%s, but ifupdown is not installed", s.Text)
		default:
			t.add(Ifupdown, WeightConfig, s.Source(), "%s", s.Text)
		}
	}
}

func (d *detector) dhcpcd(t *trace, l facts.Link) {
	dh := d.f.Dhcpcd
	if !dh.Running && !dh.Enabled || !claim.Ethernet(l) && !claim.Wlan(l) || l.Master != 0 {
		return
	}
	c, takes := d.files.Dhcpcd(l)
	if !takes {
		t.add(None, WeightInstalled, c.Source(), "dhcpcd leaves it alone: %s", c.Text)
		return
	}
	if !dh.Running || !dh.Master {
		if dh.Enabled && !dh.Running {
			t.add(Dhcpcd, WeightConfig, c.Source(), "dhcpcd is enabled for all NICs: %s", c.Text)
		}
		return
	}
	if sign := d.dhcpcdSign(l); sign != "" {
		t.add(Dhcpcd, WeightLive, fmt.Sprintf("process %d", dh.PID), "dhcpcd runs in master mode, and %s", sign)
		return
	}
	t.add(Dhcpcd, WeightClaimed, fmt.Sprintf("process %d", dh.PID), "dhcpcd runs in master mode, but nothing of it is seen here")
}

// dhcpcdSign looks for what a master dhcpcd leaves on a NIC: its default metric
// (1000 plus the interface index since 9.4, 200 plus it before, 2000 and 100 more on
// Wi-Fi), the metric its file asks for, or a helper process named after the NIC.
func (d *detector) dhcpcdSign(l facts.Link) string {
	_, up := d.f.Ifupdown.State[l.Name]
	for _, c := range d.f.Clients {
		if c.Name != "dhcpcd" || c.Link != l.Name {
			continue
		}
		if up { // ifup's own dhcpcd leaves the same marks
			return ""
		}
		return fmt.Sprintf("process %d serves this NIC", c.PID)
	}
	i := uint32(l.Index)
	for _, family := range []int{4, 6} {
		for _, r := range d.f.Defaults(l.Index, family) {
			for _, m := range []uint32{1000 + i, 3000 + i, 200 + i, 300 + i} {
				if r.Metric == m {
					return fmt.Sprintf("a default route has its metric %d", m)
				}
			}
		}
	}
	// With a metric of its own in dhcpcd.conf only the address tells, and only where
	// nobody else could have made it.
	if n, ok := d.f.Networkd.Links[l.Index]; ok && n.Network != "" && n.Admin != "unmanaged" {
		return ""
	}
	if n, ok := d.f.NM.Devices[l.Index]; ok && n.Managed == "managed" && !n.External {
		return ""
	}
	if up {
		return ""
	}
	for _, a := range d.f.Addrs {
		if a.Link == l.Index && a.Prefix.Addr().Is4() && a.Scope == "global" {
			return "nobody else could have given it " + a.Prefix.String()
		}
	}
	return ""
}

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

// netplanFiles weighs the YAML: it is what the next boot would generate, which
// matters where no daemon has spoken for the NIC.
func (d *detector) netplanFiles(t *trace, l facts.Link, ids []claim.Claim) {
	for i, id := range ids {
		weight, more := WeightConfig, ""
		if !d.f.Netplan.Installed {
			weight, more = WeightDormant, ", but netplan is not installed"
		} else if i > 0 {
			more = fmt.Sprintf(", behind %q", ids[0].ID)
		}
		t.add(Netplan, weight, id.Source(), "%s%s", id.Text, more)
		if t.renderer == "" && weight >= WeightConfig {
			t.renderer = Networkd
			if id.Renderer == "NetworkManager" {
				t.renderer = NetworkManager
			}
		}
	}
}

func (d *detector) installed(t *trace) {
	for _, m := range []struct {
		name Manager
		yes  bool
	}{
		{Netplan, d.f.Netplan.Installed}, {NetworkManager, d.f.NM.Installed}, {Networkd, d.f.Networkd.Installed},
		{Ifupdown, d.f.Ifupdown.Installed}, {Dhcpcd, d.f.Dhcpcd.Installed},
	} {
		if m.yes {
			t.add(m.name, WeightInstalled, "", "installed, which proves nothing")
		}
	}
}
