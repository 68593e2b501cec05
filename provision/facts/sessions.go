package facts

import (
	"net/netip"
	"path"
	"sort"
	"strconv"
	"strings"
)

// sessions lists the established SSH sessions towards this machine, and whose
// sockets DHCP clients hold.
func (r *gathering) sessions(ps processes, socks Sockets) {
	ports := r.sshPorts()
	mine, haveMine := r.sshConnection()
	if haveMine {
		ports[mine.Local.Port()] = true
	}
	// Root sees which process holds which socket: an sshd on a port of its own, and
	// the sshd among our ancestors when sudo has dropped SSH_CONNECTION.
	held := map[uint64]bool{}
	above := map[uint64]bool{}
	servers := map[int]bool{}
	for _, p := range ps {
		if sshServer(p.Comm) {
			servers[p.PID] = true
		}
	}
	if len(servers) > 0 && r.f.Machine.Root {
		for pid := range servers {
			for ino := range r.sockets(pid) {
				held[ino] = true
			}
		}
		for _, pid := range r.ancestors(r.PID) {
			if servers[pid] {
				for ino := range r.sockets(pid) {
					above[ino] = true
				}
			}
		}
	}
	for _, s := range socks.TCP {
		if !ports[s.Local.Port()] && !(s.Inode != 0 && held[s.Inode]) {
			continue
		}
		k := Session{Local: s.Local, Remote: s.Remote}
		k.Mine = haveMine && sameEnd(s.Local, mine.Local) && sameEnd(s.Remote, mine.Remote) || s.Inode != 0 && above[s.Inode]
		r.f.SSH = append(r.f.SSH, k)
	}
	r.dhcpSockets(ps, socks)
}

func sshServer(comm string) bool {
	return comm == "sshd" || comm == "sshd-session" || comm == "sshd-auth" || comm == "dropbear"
}

// sameEnd compares ends of a connection; SSH_CONNECTION has no zone.
func sameEnd(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().WithZone("").Unmap() == b.Addr().WithZone("").Unmap()
}

// sshConnection reads SSH_CONNECTION: client address and port, server address and
// port (ssh(1)).
func (r *gathering) sshConnection() (Session, bool) {
	v, _ := r.Env("SSH_CONNECTION")
	return parseSSHConnection(v)
}

func parseSSHConnection(v string) (Session, bool) {
	f := strings.Fields(v)
	if len(f) != 4 {
		return Session{}, false
	}
	remote, ok1 := addrPort(f[0], f[1])
	local, ok2 := addrPort(f[2], f[3])
	return Session{Local: local, Remote: remote, Mine: true}, ok1 && ok2
}

func addrPort(a, p string) (netip.AddrPort, bool) {
	addr, err1 := netip.ParseAddr(a)
	port, err2 := strconv.ParseUint(p, 10, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), err1 == nil && err2 == nil
}

// sshPorts are the ports that sshd is told to listen on: 22, or those of
// sshd_config(5), and those of systemd's ssh.socket.
func (r *gathering) sshPorts() map[uint16]bool {
	ports := map[uint16]bool{}
	var texts []string
	texts = append(texts, r.quiet("/etc/ssh/sshd_config", maxFile))
	for _, n := range r.list("/etc/ssh/sshd_config.d") {
		if strings.HasSuffix(n, ".conf") {
			texts = append(texts, r.quiet(path.Join("/etc/ssh/sshd_config.d", n), maxFile))
		}
	}
	for _, t := range texts {
		for _, p := range sshdPorts(t) {
			ports[p] = true
		}
	}
	for _, dir := range []string{"/etc/systemd/system/ssh.socket.d", "/run/systemd/generator/ssh.socket.d", "/etc/systemd/system/sshd.socket.d"} {
		names, err := r.t.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, n := range names {
			keyfile(r.quiet(path.Join(dir, n), maxState), func(_, k, v string) {
				if k == "ListenStream" {
					if p, err := strconv.ParseUint(v[strings.LastIndexByte(v, ':')+1:], 10, 16); err == nil && p != 0 {
						ports[uint16(p)] = true
					}
				}
			})
		}
	}
	if len(ports) == 0 {
		ports[22] = true
	}
	return ports
}

// sshdPorts reads Port and the ports of ListenAddress.
func sshdPorts(text string) []uint16 {
	var out []uint16
	for line := range strings.Lines(text) {
		f := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' || c == '=' || c == '\n' || c == '\r' || c == '"' })
		if len(f) < 2 || len(out) > 64 {
			continue
		}
		v := ""
		switch strings.ToLower(f[0]) {
		case "port":
			v = f[1]
		case "listenaddress":
			if ap, err := netip.ParseAddrPort(f[1]); err == nil {
				v = strconv.Itoa(int(ap.Port()))
			}
		}
		if p, err := strconv.ParseUint(v, 10, 16); err == nil && p != 0 {
			out = append(out, uint16(p))
		}
	}
	return out
}

// dhcpSockets lists the sockets on DHCP client ports, with the holder where we may
// look.
func (r *gathering) dhcpSockets(ps processes, socks Sockets) {
	if len(socks.UDP) == 0 {
		return
	}
	holder := map[uint64]process{}
	if r.f.Machine.Root {
		for _, p := range ps {
			if !p.Ours || sshServer(p.Comm) {
				continue
			}
			for ino := range r.sockets(p.PID) {
				holder[ino] = p
			}
		}
	}
	for _, s := range socks.UDP {
		k := DHCPSocket{Local: s.Local, Link: s.Link, UID: s.UID}
		if p, ok := holder[s.Inode]; ok && s.Inode != 0 {
			k.PID, k.Name = p.PID, p.Comm
		}
		r.f.DHCPSockets = append(r.f.DHCPSockets, k)
	}
	sort.SliceStable(r.f.DHCPSockets, func(i, j int) bool {
		a, b := r.f.DHCPSockets[i], r.f.DHCPSockets[j]
		if a.Link != b.Link {
			return a.Link < b.Link
		}
		return a.Local.Compare(b.Local) < 0
	})
}

// procSockets reads /proc/net where sock_diag is not answered: gVisor, WSL 1, a
// kernel without the module.
func (r *gathering) procSockets(cause error) Sockets {
	var s Sockets
	any := false
	for _, f := range []struct {
		name string
		udp  bool
	}{{"tcp", false}, {"tcp6", false}, {"udp", true}, {"udp6", true}} {
		b, err := r.t.ReadFile("/proc/net/"+f.name, 16<<20)
		if err != nil {
			continue
		}
		any = true
		if !f.udp {
			s.TCP = append(s.TCP, parseProcNet(string(b), tcpEstablished, bigEndian)...)
			continue
		}
		for _, k := range parseProcNet(string(b), 0, bigEndian) {
			if k.Local.Port() == dhcp4Port && f.name == "udp" || k.Local.Port() == dhcp6Port && f.name == "udp6" {
				s.UDP = append(s.UDP, k)
			}
		}
	}
	if !any {
		r.problem("sock_diag", cause)
	}
	return s
}
