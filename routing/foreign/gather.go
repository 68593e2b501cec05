package foreign

import (
	"slices"
	"strconv"
	"strings"
)

// Files reads a machine's files; facts/tree.Tree does.
type Files interface {
	ReadFile(name string, limit int) ([]byte, error)
	ReadNames(name string) ([]string, error)
}

const maxFile = 1 << 20

// Gather reads everything of Seen but Tables and Devices. What cannot be read is not there: then
// less is detected, and nothing is guessed.
func Gather(r Files) Seen {
	s := Seen{
		Legacy4: lines(r, "/proc/net/ip_tables_names"),
		Legacy6: lines(r, "/proc/net/ip6_tables_names"),
		Files:   map[string]string{},
		Sysctl:  map[string]string{},
	}
	for _, path := range []string{"/etc/nftables.conf", "/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/ufw/ufw.conf", "/etc/docker/daemon.json"} {
		if b, err := r.ReadFile(path, maxFile); err == nil {
			s.Files[path] = string(b)
		}
	}
	for _, key := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
		if b, err := r.ReadFile("/proc/sys/net/bridge/"+key, 16); err == nil {
			s.Sysctl["net.bridge."+key] = strings.TrimSpace(string(b))
		}
	}
	s.Processes, s.Units = processes(r), units(r)
	return s
}

func lines(r Files, path string) []string {
	b, err := r.ReadFile(path, maxFile)
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// processes lists those of the names that signatures know.
func processes(r Files) []string {
	var known []string
	for _, g := range signatures() {
		known = append(known, g.comms...)
	}
	pids, err := r.ReadNames("/proc")
	if err != nil {
		return nil
	}
	var out []string
	for _, pid := range pids {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		// Python programs have the interpreter's name as their own until they change it.
		if b, err := r.ReadFile("/proc/"+pid+"/comm", 64); err == nil {
			if comm := strings.TrimSpace(string(b)); slices.Contains(known, comm) {
				out = append(out, comm)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// units lists the enabled units that matter: what systemctl enable links, and init scripts.
func units(r Files) []string {
	known := []string{"nftables.service", "netfilter-persistent.service", "iptables.service", "ip6tables.service", "init:iptables-persistent"}
	for _, g := range signatures() {
		known = append(known, g.units...)
	}
	var out []string
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		targets, err := r.ReadNames(dir)
		if err != nil {
			continue
		}
		for _, t := range targets {
			if !strings.HasSuffix(t, ".wants") && !strings.HasSuffix(t, ".requires") {
				continue
			}
			names, err := r.ReadNames(dir + "/" + t)
			if err != nil {
				continue
			}
			for _, n := range names {
				if slices.Contains(known, n) {
					out = append(out, n)
				}
			}
		}
	}
	for _, dir := range []string{"/etc/rcS.d", "/etc/rc2.d", "/etc/rc3.d"} {
		names, err := r.ReadNames(dir)
		if err != nil {
			continue
		}
		for _, n := range names {
			if len(n) > 3 && n[0] == 'S' && slices.Contains(known, "init:"+n[3:]) {
				out = append(out, "init:"+n[3:])
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
