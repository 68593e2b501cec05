package facts

import (
	"bytes"
	"path"
	"strconv"
	"strings"
)

// process is one process that has a part in the network.
type process struct {
	PID  int
	Comm string // at most 15 bytes, see TASK_COMM_LEN
	Args []string
	// Ours: in this machine's network namespace. Inner: in a PID namespace below
	// ours, so a container's even when it shares our network.
	Ours, Inner bool
}

// processes are those with a part in the network, by ascending PID.
type processes []process

// find returns the first process of that name that belongs to this machine and
// not to a container on it.
func (ps processes) find(comm string) (process, bool) {
	for _, p := range ps {
		if p.Comm == comm && p.Ours && !p.Inner {
			return p, true
		}
	}
	return process{}, false
}

// What a process' name makes of it. Names are cut to 15 bytes by the kernel.
const (
	comNetworkd = "systemd-network" // systemd-networkd
	comResolved = "systemd-resolve" // systemd-resolved
	comNM       = "NetworkManager"
	comDhcpcd   = "dhcpcd"
)

// wanted tells which processes are looked at closer, by name.
func wanted(comm string) bool {
	switch comm {
	case comNetworkd, comResolved, comNM, comDhcpcd, "dhclient", "udhcpc", "udhcpc6", "dhcp6c", "odhcp6c",
		"sshd", "sshd-session", "sshd-auth", "dropbear", "dnsmasq", "iwd", "wpa_supplicant":
		return true
	}
	return otherManager(comm) || cniAgent(comm) != "" || cloudAgent(comm) != ""
}

// otherManager names network managers that no backend serves.
func otherManager(comm string) bool {
	switch comm {
	case "connmand", "wickedd", "netifd", "wicd", "ifplugd", "netplugd", "wickedd-nanny":
		return true
	}
	return false
}

// processes walks /proc once. Only the name is read of most; the rest, command
// line and namespaces, of the few that matter.
func (r *gathering) processes() processes {
	if r.offline {
		return nil
	}
	names, err := r.t.ReadNames("/proc")
	if err != nil {
		r.problem("/proc", err)
		return nil
	}
	threads := r.kernelThreads()
	var ps processes
	for _, n := range names {
		if n == "" || n[0] < '0' || n[0] > '9' || threads[n] {
			continue
		}
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if r.ctx.Err() != nil {
			break
		}
		b, err := r.t.Head("/proc/"+n+"/comm", 64)
		if err != nil {
			continue // gone meanwhile
		}
		comm := string(bytes.TrimRight(b, "\n"))
		if !wanted(comm) {
			continue
		}
		p := process{PID: pid, Comm: comm, Ours: true}
		if cmd, err := r.t.Head("/proc/"+n+"/cmdline", 16<<10); err == nil {
			p.Args = splitCmdline(cmd)
		}
		if same, known := r.Kernel.SameNetwork(pid); known {
			p.Ours = same
		}
		status := r.quiet("/proc/"+n+"/status", maxState)
		if anybody(status) && !sshServer(comm) {
			continue // who cannot configure a network cannot be its manager, whatever the name
		}
		p.Inner = innerPID(status)
		ps = append(ps, p)
	}
	sortProcesses(ps)
	return ps
}

// kernelThreads are the PIDs of the kernel's own threads, which are most processes of a small machine: all are children
// of kthreadd (kernel/kthread.c), and one file tells them (CONFIG_PROC_CHILDREN). Without it none are known. Its only
// other children are helpers that the kernel does not wait for (kernel/umh.c), which no manager is.
func (r *gathering) kernelThreads() map[string]bool {
	const kthreadd = "/proc/2/"
	if stat, err := r.t.Head(kthreadd+"stat", 1024); err != nil || !kernelThread(string(stat)) {
		return nil
	}
	text, err := r.t.ReadFile(kthreadd+"task/2/children", maxState)
	if err != nil {
		return nil
	}
	out := map[string]bool{"2": true}
	for _, pid := range strings.Fields(string(text)) {
		out[pid] = true
	}
	return out
}

// kernelThread reads the flags of /proc/PID/stat (proc(5)), which no program can set on itself: in a container PID 2 is
// any process.
func kernelThread(stat string) bool {
	const pfKthread = 0x00200000 // PF_KTHREAD, linux/sched.h
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return false
	}
	f := strings.Fields(stat[i+1:])
	if len(f) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(f[6], 10, 64)
	return err == nil && flags&pfKthread != 0
}

// firstUser is the first user id that a person gets (login.defs(5), UID_MIN); below are
// root and the accounts of services.
const firstUser = 1000

// anybody reports whether /proc/PID/status (proc(5)) is that of an ordinary user's
// process. Anybody can give a process any name; believed, one called dhclient would
// keep root from changing the network, and one called dhcpcd would be restarted as root.
func anybody(status string) bool {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			f := strings.Fields(rest) // real, effective, saved, file system
			if len(f) < 2 {
				return false
			}
			uid, err := strconv.ParseUint(f[1], 10, 32)
			return err == nil && uid >= firstUser
		}
	}
	return false
}

// innerPID reads NSpid of /proc/PID/status (proc(5)): more than one number means
// that the process lives in a PID namespace below the one of this /proc.
func innerPID(status string) bool {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return len(strings.Fields(rest)) > 1
		}
	}
	return false
}

// splitCmdline splits /proc/PID/cmdline. Programs that set their title leave one
// string, with blanks and trailing zeros.
func splitCmdline(b []byte) []string {
	b = bytes.TrimRight(b, "\x00")
	if len(b) == 0 {
		return nil
	}
	var out []string
	for _, a := range bytes.Split(b, []byte{0}) {
		out = append(out, clean(string(a)))
		if len(out) == 256 {
			break
		}
	}
	return out
}

// ancestors returns the process and its parents, nearest first.
func (r *gathering) ancestors(pid int) []int {
	var out []int
	for pid > 0 && len(out) < 64 {
		out = append(out, pid)
		pid = parentPID(r.quiet("/proc/"+strconv.Itoa(pid)+"/stat", maxState))
	}
	return out
}

// parentPID reads the fourth field of /proc/PID/stat. The second is the name in
// parentheses, which may hold blanks and parentheses itself.
func parentPID(stat string) int {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return 0
	}
	f := strings.Fields(stat[i+1:])
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}

// sockets returns the inodes of the sockets that the process holds; root may look
// at any process', others at their own.
func (r *gathering) sockets(pid int) map[uint64]bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	names, err := r.t.ReadNames(dir)
	if err != nil {
		return nil
	}
	m := map[uint64]bool{}
	for i, n := range names {
		if i == 1024 {
			break
		}
		target, err := r.t.Readlink(path.Join(dir, n))
		if err != nil {
			continue
		}
		if s, ok := strings.CutPrefix(target, "socket:["); ok {
			if ino, err := strconv.ParseUint(strings.TrimSuffix(s, "]"), 10, 64); err == nil {
				m[ino] = true
			}
		}
	}
	return m
}
