package facts

import (
	"path"
	"strconv"
	"strings"
)

// external notes that a profile is NetworkManager's own record of what others
// configured.
func (r *gathering) external(uuid string) {
	if r.externals == nil {
		r.externals = map[string]bool{}
	}
	r.externals[uuid] = true
}

// managerState reads what the daemons say about each link. It runs after the
// configuration was collected and the links are known.
func (r *gathering) managerState() {
	if !r.offline {
		r.networkdState()
		r.nmState()
	}
	r.ifupdownState()
}

func (r *gathering) networkdState() {
	for _, n := range r.list("/run/systemd/netif/links") {
		index, err := strconv.Atoi(n)
		if err != nil || index <= 0 {
			continue
		}
		text, ok := r.text("/run/systemd/netif/links/"+n, maxState)
		if !ok {
			continue
		}
		l := parseNetworkdLink(text)
		if r.f.Networkd.Links == nil {
			r.f.Networkd.Links = map[int]NetworkdLink{}
		}
		r.f.Networkd.Links[index] = l
		// The file in use explains the link even if it is systemd's own.
		if strings.HasPrefix(l.Network, "/") {
			r.collect(path.Clean(l.Network))
		}
		for _, d := range l.Dropins {
			if strings.HasPrefix(d, "/") {
				r.collect(path.Clean(d))
			}
		}
	}
}

func (r *gathering) nmState() {
	for _, n := range r.list("/run/NetworkManager/devices") {
		index, err := strconv.Atoi(n)
		if err != nil || index <= 0 {
			continue
		}
		text, ok := r.text("/run/NetworkManager/devices/"+n, maxState)
		if !ok {
			continue
		}
		d := parseNMDevice(text)
		d.External = d.UUID != "" && r.externals[d.UUID]
		if r.f.NM.Devices == nil {
			r.f.NM.Devices = map[int]NMDevice{}
		}
		r.f.NM.Devices[index] = d
	}
}

// ifupdownState reads ifstate of ifupdown and ifupdown-ng ("eth0=eth0", one each
// line) and of ifupdown2 (a JSON list is not read: it has no state file by default).
func (r *gathering) ifupdownState() {
	u := &r.f.Ifupdown
	for _, p := range []string{"/run/network/ifstate", "/run/ifstate"} {
		text, ok := r.text(p, maxState)
		if !ok {
			continue
		}
		if m := parseIfstate(text); len(m) > 0 {
			u.State = m
			break
		}
	}
}

// parseIfstate reads "PHYSICAL=LOGICAL" lines; ifupdown-ng adds counters and
// options after a blank.
func parseIfstate(text string) map[string]string {
	m := map[string]string{}
	n := 0
	for line := range strings.Lines(text) {
		if n++; n > maxLines {
			break
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		phys, logical, ok := strings.Cut(f[0], "=")
		if !ok {
			logical = phys
		}
		if phys != "" {
			m[clean(phys)] = clean(logical)
		}
	}
	return m
}

// daemons says which managers are installed, enabled and running, and which
// version the installed files are of.
func (r *gathering) daemons(ps processes, un units, pk packages) {
	f := r.f
	f.Machine.WaitOnline = un.waitOnline()

	nd := &f.Networkd.Daemon
	nd.Installed = r.firstOf("/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd") != ""
	nd.Enabled = un.any("systemd-networkd.service")
	nd.Masked = un.masked["systemd-networkd.service"]
	nd.Version = pk["systemd"]
	f.Machine.Systemd = r.systemdVersion()
	if nd.Version == "" && f.Machine.Systemd != 0 {
		nd.Version = strconv.Itoa(f.Machine.Systemd)
	}
	if !nd.Installed {
		nd.Version = ""
	}
	running(nd, ps, comNetworkd)

	nm := &f.NM.Daemon
	nm.Installed = r.firstOf("/usr/sbin/NetworkManager", "/usr/bin/NetworkManager", "/snap/network-manager/current/usr/sbin/NetworkManager") != ""
	nm.Enabled = un.any("NetworkManager.service", "snap.network-manager.networkmanager.service", "init:networkmanager", "init:network-manager")
	nm.Masked = un.masked["NetworkManager.service"]
	nm.Version = pk["network-manager"]
	if nm.Version == "" {
		nm.Version = pk["networkmanager"]
	}
	if nm.Version == "" && nm.Installed && !r.Bare {
		nm.Version = r.nmVersion()
	}
	running(nm, ps, comNM)

	f.Netplan.Version = pk["netplan.io"]

	dc := &f.Dhcpcd.Daemon
	dc.Installed = r.firstOf("/usr/sbin/dhcpcd", "/sbin/dhcpcd", "/usr/bin/dhcpcd", "/usr/sbin/dhcpcd5", "/sbin/dhcpcd5") != ""
	dc.Enabled = un.any("dhcpcd.service", "dhcpcd5.service", "init:dhcpcd", "init:dhcpcd5")
	dc.Masked = un.masked["dhcpcd.service"]
	for _, n := range []string{"dhcpcd-base", "dhcpcd5", "dhcpcd"} {
		if dc.Version == "" {
			dc.Version = pk[n]
		}
	}
	running(dc, ps, comDhcpcd)

	u := &f.Ifupdown
	for _, flavour := range []string{"ifupdown2", "ifupdown-ng", "ifupdown"} {
		if v := pk[flavour]; v != "" {
			u.Flavour, u.Version = flavour, v
			break
		}
	}
	u.Installed = r.firstOf("/usr/sbin/ifup", "/sbin/ifup") != ""
	if u.Installed && u.Flavour == "" {
		u.Flavour = r.ifupFlavour()
	}
	u.Enabled = un.any("networking.service", "init:networking")
	if u.Installed {
		u.Client = r.ifupClient(u.Flavour)
	}

	for _, p := range ps {
		if otherManager(p.Comm) && p.Ours && !p.Inner {
			f.Machine.Others = append(f.Machine.Others, p.Comm)
		}
	}
}

func running(d *Daemon, ps processes, comm string) {
	if p, ok := ps.find(comm); ok {
		d.Running, d.PID = true, p.PID
	}
}

// firstOf returns the first of the paths that exists.
func (r *gathering) firstOf(paths ...string) string {
	for _, p := range paths {
		if r.t.Exists(p) {
			return p
		}
	}
	return ""
}

// libDirs are the directories of libraries of the architectures that Debian and
// Fedora know; a mounted image may be of any.
var libDirs = []string{
	"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/arm-linux-gnueabihf", "/usr/lib/arm-linux-gnueabi",
	"/usr/lib/i386-linux-gnu", "/usr/lib/riscv64-linux-gnu", "/usr/lib/powerpc64le-linux-gnu", "/usr/lib/s390x-linux-gnu",
	"/usr/lib/loongarch64-linux-gnu", "/usr/lib/mips64el-linux-gnuabi64", "/usr/lib64", "/usr/lib",
}

// systemdVersion is the number in libsystemd-shared-NNN.so, which every systemd
// binary is linked to; 0 if there is none.
func (r *gathering) systemdVersion() int {
	for _, dir := range append([]string{"/usr/lib/systemd", "/lib/systemd"}, libDirs...) {
		if !strings.HasSuffix(dir, "/systemd") {
			dir += "/systemd"
		}
		names, err := r.t.ReadNames(dir)
		if err != nil {
			continue
		}
		for _, n := range names {
			if v := sharedVersion(n); v != 0 {
				return v
			}
		}
	}
	return 0
}

// sharedVersion reads "libsystemd-shared-252.so" and "-256.7-1.fc41.so".
func sharedVersion(name string) int {
	rest, ok := strings.CutPrefix(name, "libsystemd-shared-")
	if !ok {
		return 0
	}
	end := 0
	for end < len(rest) && end < 5 && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(rest[:end])
	return n
}

// nmVersion is the name of the directory of NetworkManager's plugins.
func (r *gathering) nmVersion() string {
	for _, dir := range libDirs {
		names, err := r.t.ReadDir(dir + "/NetworkManager")
		if err != nil {
			continue
		}
		for _, n := range names {
			if n != "" && n[0] >= '0' && n[0] <= '9' {
				return clean(n)
			}
		}
	}
	return ""
}

// ifupFlavour tells the implementations apart by what their ifup is.
func (r *gathering) ifupFlavour() string {
	for _, p := range []string{"/usr/sbin/ifup", "/sbin/ifup"} {
		target, err := r.t.Readlink(p)
		if err != nil {
			continue
		}
		switch {
		case strings.Contains(target, "ifupdown2"):
			return "ifupdown2"
		case strings.Contains(target, "ifupdown"):
			return "ifupdown-ng"
		case strings.Contains(target, "busybox"):
			return "busybox"
		}
	}
	return "ifupdown"
}

// ifupClient is the DHCP client that ifup takes for "inet dhcp": the first of its
// list that is installed. ifupdown and ifupdown2 prefer dhclient, ifupdown-ng
// dhcpcd.
func (r *gathering) ifupClient(flavour string) string {
	order := []string{"dhclient", "udhcpc", "dhcpcd"}
	switch flavour {
	case "ifupdown-ng":
		order = []string{"dhcpcd", "dhclient", "udhcpc"}
	case "ifupdown2":
		order = []string{"dhclient", "dhcpcd"}
	case "busybox":
		order = []string{"udhcpc"}
	}
	for _, c := range order {
		if r.firstOf("/usr/sbin/"+c, "/sbin/"+c, "/usr/bin/"+c, "/bin/"+c) != "" {
			return c
		}
	}
	return ""
}
