package facts

import (
	"path"
	"sort"
	"strings"
)

// collectConfig reads the configuration files that planners and detection need.
func (r *gathering) collectConfig() {
	r.collectNetplan()
	r.collectInterfaces()
	r.collectNM()
	r.collectNetworkd()
	r.collectRest()
}

// libDir is where the distribution's part of NAME lies: /lib/NAME where /lib is a
// directory of its own, else /usr/lib/NAME.
func (r *gathering) libDir(name string) string {
	if target, err := r.t.Readlink("/lib"); err == nil && strings.Trim(target, "/") == "usr/lib" {
		return "/usr/lib/" + name
	}
	if r.t.Exists("/lib/" + name) {
		return "/lib/" + name
	}
	return "/usr/lib/" + name
}

// collectNetplan reads the YAML trees. A file shadows those of the same name in
// lesser directories (netplan(5): run over etc over lib); the rest is read in the
// order of their names over all directories.
func (r *gathering) collectNetplan() {
	effective := map[string]string{}
	for _, dir := range []string{r.libDir("netplan"), "/etc/netplan", "/run/netplan"} {
		for _, n := range r.list(dir) {
			if !strings.HasSuffix(n, ".yaml") || strings.HasPrefix(n, ".") {
				continue
			}
			if p := path.Join(dir, n); r.collect(p) {
				effective[n] = p
			}
		}
	}
	names := make([]string, 0, len(effective))
	for n := range effective {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		r.f.Netplan.Files = append(r.f.Netplan.Files, effective[n])
	}
	r.f.Netplan.Installed = r.t.Exists("/usr/sbin/netplan")
}

// collectNM reads NetworkManager's configuration and keyfile profiles.
func (r *gathering) collectNM() {
	r.collect("/etc/NetworkManager/NetworkManager.conf")
	for _, dir := range []string{"/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"} {
		for _, n := range r.list(dir) {
			if strings.HasSuffix(n, ".conf") {
				r.collect(path.Join(dir, n))
				r.generated(dir, n, "10-globally-managed-devices.conf")
			}
		}
	}
	r.collect("/var/lib/NetworkManager/NetworkManager-intern.conf")
	for _, dir := range []string{"/usr/lib/NetworkManager/system-connections", "/etc/NetworkManager/system-connections", "/run/NetworkManager/system-connections"} {
		for _, n := range r.list(dir) {
			// Without the suffix a file counts too in /etc, as long as it is no
			// editor's leftover (nm-settings-keyfile(5)).
			if strings.HasPrefix(n, ".") || strings.HasSuffix(n, "~") || dir != "/etc/NetworkManager/system-connections" && !strings.HasSuffix(n, ".nmconnection") {
				continue
			}
			p := path.Join(dir, n)
			r.collect(p)
			r.generated(dir, n, "netplan-")
			if f, ok := r.file(p); ok {
				if prof, ok := parseProfile(f.Text); ok {
					prof.Path = p
					if prof.UUID == "" {
						prof.UUID = derivedUUID(n)
					}
					r.f.NM.Profiles = append(r.f.NM.Profiles, prof.NMProfile)
					if prof.external {
						r.external(prof.UUID)
					}
				}
			}
		}
	}
}

// generated lists a file below /run that netplan's generator made.
func (r *gathering) generated(dir, name, prefix string) {
	if strings.HasPrefix(dir, "/run/") && strings.HasPrefix(name, prefix) {
		r.f.Netplan.Generated = append(r.f.Netplan.Generated, path.Join(dir, name))
	}
}

// stock are the files that systemd itself ships. They are left out unless
// something shadows them or a link uses them: a fact that holds everywhere says
// nothing about a machine.
var stock = map[string]bool{
	"73-usb-net-by-mac.link": true, "99-default.link": true, "80-6rd-tunnel.network": true, "80-6rd-tunnel.link": true,
	"80-auto-link-local.network.example": true, "80-container-host0.network": true, "80-container-host0-tun.network": true,
	"80-container-vb.network": true, "80-container-vb.link": true, "80-container-ve.network": true, "80-container-ve.link": true,
	"80-container-vz.network": true, "80-container-vz.link": true, "80-ethernet.network.example": true, "80-iwd.link": true,
	"80-namespace-ns.network": true, "80-namespace-ns.link": true, "80-namespace-ns-tun.network": true, "80-namespace-ns-tun.link": true,
	"80-vm-vt.network": true, "80-vm-vt.link": true, "80-wifi-adhoc.network": true, "80-wifi-ap.network.example": true,
	"80-wifi-station.network.example": true, "82-tun-tap.network": true, "89-ethernet.network": true, "89-ethernet.network.example": true,
}

// collectNetworkd reads .network, .netdev and .link files with their drop-ins, and
// networkd.conf.
func (r *gathering) collectNetworkd() {
	dirs := []string{"/etc/systemd/network", "/run/systemd/network", r.libDir("systemd/network")}
	above := map[string]bool{} // names seen in /etc and /run
	for i, dir := range dirs {
		lib := i == len(dirs)-1
		names := r.list(dir)
		for _, n := range names {
			p := path.Join(dir, n)
			base, dropin := strings.CutSuffix(n, ".d")
			if !unitFile(base) {
				continue
			}
			switch {
			case dropin:
				above[base] = true
				for _, c := range r.list(p) {
					if strings.HasSuffix(c, ".conf") {
						r.collect(path.Join(p, c))
					}
				}
			case lib && stock[n] && !above[n]:
			default:
				if !lib {
					above[n] = true
				}
				r.collect(p)
				r.generated(dir, n, "10-netplan-")
			}
		}
	}
	r.collect("/etc/systemd/networkd.conf")
	for _, dir := range []string{"/usr/lib/systemd/networkd.conf.d", "/run/systemd/networkd.conf.d", "/etc/systemd/networkd.conf.d"} {
		r.collectConf(dir, ".conf")
	}
}

func unitFile(n string) bool {
	return strings.HasSuffix(n, ".network") || strings.HasSuffix(n, ".netdev") || strings.HasSuffix(n, ".link")
}

// collectConf reads the files of one directory that have the suffix.
func (r *gathering) collectConf(dir, suffix string) {
	for _, n := range r.list(dir) {
		if strings.HasSuffix(n, suffix) && !strings.HasPrefix(n, ".") {
			r.collect(path.Join(dir, n))
		}
	}
}

// collectRest reads what is one file or directory each.
func (r *gathering) collectRest() {
	r.collect("/etc/dhcpcd.conf")
	r.collect("/etc/dhcp/dhclient.conf")
	r.collect("/etc/resolv.conf")
	r.collect("/etc/systemd/resolved.conf")
	r.collectConf("/etc/systemd/resolved.conf.d", ".conf")
	r.collect("/etc/sysctl.conf")
	for _, dir := range []string{"/etc/sysctl.d", "/run/sysctl.d"} {
		r.collectConf(dir, ".conf")
	}
	for _, n := range r.list("/run/udev/rules.d") {
		if strings.HasSuffix(n, ".rules") {
			p := path.Join("/run/udev/rules.d", n)
			r.collect(p)
			r.generated("/run/udev/rules.d", n, "90-netplan")
		}
	}
	// A profile of NetworkManager or netplan may leave a NIC to udev rules.
	for _, n := range r.list("/etc/udev/rules.d") {
		if strings.HasSuffix(n, ".rules") && strings.Contains(n, "net") {
			r.collect(path.Join("/etc/udev/rules.d", n))
		}
	}
}
