package facts

import (
	"sort"
	"strings"
)

func sortProcesses(ps processes) {
	sort.Slice(ps, func(i, j int) bool { return ps[i].PID < ps[j].PID })
}

// units says which units are enabled, by the symlinks that systemctl enable makes
// (systemd.unit(5), [Install]). Presets are no proof.
type units struct {
	enabled map[string]bool
	masked  map[string]bool
}

// unitDirs are searched for TARGET.wants and TARGET.requires. Distributions enable
// some units statically below /usr/lib; generators do below /run.
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late"}

func (r *gathering) units() units {
	u := units{enabled: map[string]bool{}, masked: map[string]bool{}}
	for _, dir := range unitDirs {
		if r.volatile(dir) {
			continue
		}
		names, err := r.t.ReadNames(dir)
		if err != nil {
			if !missing(err) {
				r.problem(dir, err)
			}
			continue
		}
		for _, n := range names {
			switch {
			case strings.HasSuffix(n, ".wants"), strings.HasSuffix(n, ".requires"):
				wants, _ := r.t.ReadNames(dir + "/" + n)
				for _, w := range wants {
					u.enabled[w] = true
				}
			case dir != "/usr/lib/systemd/system" && ofInterest(n):
				if target, err := r.t.Readlink(dir + "/" + n); err == nil && target == "/dev/null" {
					u.masked[n] = true
				}
			}
		}
	}
	// Init scripts: a start link in a runlevel of sysvinit, or a runlevel of OpenRC.
	for _, dir := range []string{"/etc/rcS.d", "/etc/rc2.d", "/etc/rc3.d", "/etc/runlevels/boot", "/etc/runlevels/default"} {
		names, err := r.t.ReadNames(dir)
		if err != nil {
			continue
		}
		for _, n := range names {
			if strings.HasPrefix(dir, "/etc/rc") && len(n) > 3 && n[0] == 'S' {
				u.enabled["init:"+n[3:]] = true
			} else if strings.HasPrefix(dir, "/etc/runlevels") {
				u.enabled["init:"+n] = true
			}
		}
	}
	for m := range u.masked {
		delete(u.enabled, m)
	}
	return u
}

// ofInterest tells whether it matters that a unit is masked.
func ofInterest(unit string) bool {
	for _, p := range []string{"systemd-networkd", "NetworkManager", "networking.", "dhcpcd", "cloud-init", "systemd-resolved"} {
		if strings.HasPrefix(unit, p) {
			return true
		}
	}
	return false
}

// any reports whether one of the units or init scripts is enabled.
func (u units) any(names ...string) bool {
	for _, n := range names {
		if u.enabled[n] {
			return true
		}
	}
	return false
}

// waitOnline names the enabled units that make the boot wait for the network.
func (u units) waitOnline() []string {
	var out []string
	for n := range u.enabled {
		if strings.HasPrefix(n, "systemd-networkd-wait-online") || n == "NetworkManager-wait-online.service" || n == "ifupdown-wait-online.service" {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}
