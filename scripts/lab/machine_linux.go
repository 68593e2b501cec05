package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BootOpts says what is put into a root before it boots.
type BootOpts struct {
	Config  Config  // ready network configuration, default BothNICs
	Overlay Overlay // more files, they win over Config's
	Binary  string  // a host file that becomes /usr/local/bin/provision
	// Udevadm puts a udevadm that does nothing before the real one. /sys is read-only in a container, so udev does not run and
	// "netplan apply" dies on "udevadm trigger"; nothing else needs this.
	Udevadm bool
	Until   string        // unit that must be active, default: all that the default target wants has started
	Timeout time.Duration // of one boot, default 60 s
}

// Machine is a root booted by its own systemd in the machine's side of a world.
type Machine struct {
	*World
	// BootTime is how long the last boot took.
	BootTime time.Duration

	t       testing.TB
	opts    BootOpts
	root    string  // the shared root
	mounts  *holder // of the overlay
	top     string  // where the overlay is mounted, in the holder's mount namespace
	cgroup  string  // name below the cgroup mount point
	console *os.File
	notify  *net.UnixConn
	heard   chan struct{} // closed when all is read that the last boot's systemd-nspawn has said
	nspawn  *proc
	leader  int // PID 1 of the machine, as the host numbers it

	mu      sync.Mutex
	running map[*Process]bool
}

// Boot starts the root (a directory by Root, which is not changed: an overlay in memory takes the writes) and returns when it is
// up. It ends with the test; if the test has failed, its journal is printed.
func Boot(t testing.TB, root string, w *World, o BootOpts) *Machine {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	m := &Machine{World: w, t: t, opts: o, root: root, running: map[*Process]bool{}}
	t.Cleanup(m.close)
	if err := m.prepare(); err != nil {
		t.Fatalf("lab: cannot prepare %s: %v", RootName(root), err)
	}
	m.boot(t)
	return m
}

// prepare makes the overlay, in a mount namespace that no path of the host leads to, and fills it. /run is private there, because
// systemd-nspawn keeps a directory for each machine name in it. All that systemd-nspawn starts is in the holder's process namespace
// and ends with it: its own ways to end with its parent do not cover a parent that is killed.
func (m *Machine) prepare() error {
	m.top = filepath.Join(m.World.dir, "root")
	if err := os.Mkdir(m.top, 0o755); err != nil {
		return err
	}
	var err error
	m.mounts, err = newHolder(unix.CLONE_NEWNS|unix.CLONE_NEWPID, "/bin/sh", "-c", `set -e
mount -t tmpfs -o mode=755 lab "$2"
mkdir "$2/up" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" lab "$2/root"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs run /run
echo ready; exec cat >/dev/null`, "sh", m.root, m.top)
	if err != nil {
		return err
	}
	m.top += "/root"
	if err := m.makeCgroup(); err != nil {
		return err
	}
	if m.opts.Config == CloudInit && kind(m.root) == "netplan" {
		return errors.New("networkd matches the permanent MAC address, and a NIC in a namespace has none: use BootVM for this configuration")
	}
	files, err := configFiles(m.root, m.opts.Config, m.World.plugged())
	if err != nil {
		return err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	all := Overlay{
		// The DHCP identifiers of networkd and NetworkManager come from it.
		"/etc/machine-id": {Content: hex.EncodeToString(id) + "\n", Mode: 0o444},
	}
	if m.opts.Udevadm {
		all["/usr/local/sbin/udevadm"] = File{Content: "#!/bin/sh\nexit 0\n", Mode: 0o755}
	}
	for _, o := range []Overlay{files, m.opts.Overlay} {
		for p, f := range o {
			all[p] = f
		}
	}
	for p, f := range all {
		if err := m.put(p, f); err != nil {
			return err
		}
	}
	// With this directory the journal outlives a reboot.
	if err := os.MkdirAll(m.host("/var/log/journal"), 0o755); err != nil {
		return err
	}
	if m.opts.Binary != "" {
		if err := copyFile(m.opts.Binary, m.host("/usr/local/bin/provision")); err != nil {
			return err
		}
	}
	if m.console, err = os.Create(filepath.Join(m.World.dir, "console")); err != nil {
		return err
	}
	m.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(m.World.dir, "notify"), Net: "unixgram"})
	return err
}

// host is where a path of the machine's disk can be reached from the test, whether the machine runs or not.
func (m *Machine) host(path string) string {
	return fmt.Sprintf("/proc/%d/root%s%s", m.mounts.pid(), m.top, path)
}

func (m *Machine) cgroupDir() string {
	return fmt.Sprintf("/proc/%d/root/sys/fs/cgroup/%s", m.mounts.pid(), m.cgroup)
}

const cgroupPrefix = "provision-lab-"

// makeCgroup gives the machine a control group of its own, so that everything in it can be ended at once, and sweeps those of
// tests that were killed: a control group is the one thing that does not end with its processes.
func (m *Machine) makeCgroup() error {
	base := fmt.Sprintf("/proc/%d/root/sys/fs/cgroup", m.mounts.pid())
	left, _ := filepath.Glob(filepath.Join(base, cgroupPrefix+"*"))
	for _, dir := range left {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			removeCgroup(dir)
		}
	}
	dir, err := os.MkdirTemp(base, fmt.Sprintf("%s%d-", cgroupPrefix, os.Getpid()))
	if err != nil {
		return err
	}
	m.cgroup = filepath.Base(dir)
	return nil
}

func removeCgroup(dir string) {
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	for range 100 {
		var dirs []string
		_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = os.Remove(dirs[i])
		}
		if _, err := os.Stat(dir); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // killed processes leave their group a little later, and there is no event for it
	}
}

// boot runs systemd-nspawn and waits until it says that the machine is up.
func (m *Machine) boot(t testing.TB) {
	t.Helper()
	begin := time.Now()
	cg, err := os.Open(m.cgroupDir())
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer cg.Close()
	attr := dieWithParent()
	attr.UseCgroupFD, attr.CgroupFD = true, int(cg.Fd())
	// The container shares the network namespace that systemd-nspawn itself is started in. A private one would take
	// CAP_NET_ADMIN away or show the host's NICs in /sys.
	argv := []string{"nsenter", "-t", strconv.Itoa(m.mounts.pid()), "-m", "-p", "--",
		"nsenter", "--net=" + m.World.Machine.path(), "--", "unshare", "-m", "--", "/bin/sh", "-c",
		`mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`, "sh",
		"systemd-nspawn", "--quiet", "--directory=" + m.top, "--machine=lab", "--settings=no", "--register=no", "--keep-unit",
		"--capability=CAP_NET_ADMIN", "--console=pipe", "--notify-ready=yes", "--kill-signal=SIGRTMIN+3",
		// These write into /etc.
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--boot"}
	env := append(os.Environ(), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network", "NOTIFY_SOCKET="+filepath.Join(m.World.dir, "notify"))
	if m.nspawn, err = start(m.console, attr, env, argv...); err != nil {
		t.Fatalf("lab: %v", err)
	}
	if err := m.awaitReady(m.listen(m.nspawn), begin.Add(m.opts.Timeout)); err != nil {
		t.Fatalf("lab: %s does not come up: %v\n%s", RootName(m.root), err, tail(m.consoleText(), 30))
	}
	if m.opts.Until != "" {
		Await(t, m.opts.Timeout, func() error {
			if out, _, exit := m.Run(context.Background(), "systemctl", "is-active", m.opts.Until); exit != 0 {
				return fmt.Errorf("%s is %s", m.opts.Until, strings.TrimSpace(out))
			}
			return nil
		})
	}
	m.BootTime = time.Since(begin)
}

// listen reads what systemd-nspawn says by sd_notify(3) until that ends, and returns a channel with its first READY=1. All of it is read,
// because systemd says RELOADING=1 and READY=1 at each reload, too (since version 253): with a full queue systemd-nspawn
// waits for who reads it, and the machine's first process for systemd-nspawn.
func (m *Machine) listen(p *proc) <-chan struct{} {
	ready, buf := make(chan struct{}, 1), make([]byte, 4096)
	if m.heard != nil { // what the last boot has said is not of this one
		<-m.heard
		_ = m.notify.SetReadDeadline(time.Now().Add(time.Millisecond))
		for {
			if _, err := m.notify.Read(buf); err != nil {
				break
			}
		}
	}
	m.heard = make(chan struct{})
	_ = m.notify.SetReadDeadline(time.Time{})
	go func() {
		<-p.done
		_ = m.notify.SetReadDeadline(time.Now())
	}()
	go func(heard chan<- struct{}) {
		defer close(heard)
		for {
			n, err := m.notify.Read(buf)
			if err != nil {
				return
			}
			for line := range strings.Lines(string(buf[:n])) {
				if strings.TrimSpace(line) == "READY=1" {
					select {
					case ready <- struct{}{}:
					default:
					}
				}
			}
		}
	}(m.heard)
	return ready
}

// awaitReady waits until the machine's first jobs are done.
func (m *Machine) awaitReady(ready <-chan struct{}, deadline time.Time) (err error) {
	m.leader = 0
	select {
	case <-ready:
		m.leader, err = m.findLeader()
		return err
	case <-m.nspawn.done: // an early end must not look like a slow boot
		return fmt.Errorf("systemd-nspawn ended: %v", m.nspawn.err)
	case <-time.After(time.Until(deadline)):
		return errors.New("it does not say that it is ready")
	}
}

// findLeader finds the machine's systemd, which is alone in its control group.
func (m *Machine) findLeader() (int, error) {
	b, err := os.ReadFile(m.cgroupDir() + "/payload/init.scope/cgroup.procs")
	if err != nil {
		return 0, fmt.Errorf("cannot find the machine's first process: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return strconv.Atoi(first)
}

// Reboot restarts the machine in good order (systemctl reboot) and returns when it is up again. Its disk stays; /run, the
// NICs' addresses and routes, virtual devices and sysctls are gone, as after a reset.
func (m *Machine) Reboot(t testing.TB) {
	t.Helper()
	_, msg, _ := m.Run(context.Background(), "systemctl", "reboot", "--no-block")
	m.down(t, m.opts.Timeout, msg)
	m.up(t)
}

// Crash takes the machine's power away at once and boots it again. What it had written stays, synced or not.
func (m *Machine) Crash(t testing.TB) {
	t.Helper()
	_ = syscall.Kill(m.leader, syscall.SIGKILL)
	m.down(t, m.opts.Timeout, "")
	m.up(t)
}

func (m *Machine) down(t testing.TB, limit time.Duration, why string) {
	t.Helper()
	begin, sig := time.Now(), syscall.SIGTERM
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for up := true; up; {
		select {
		case <-m.nspawn.done:
			up = false
		case <-deadline:
			t.Fatalf("lab: the machine does not go down: %s\n%s", why, tail(m.consoleText(), 30))
		case <-tick.C:
			// Else systemd waits 10 s for processes whose end it cannot see, because they are not its children.
			m.endSessions(sig)
			if time.Since(begin) > 2*time.Second {
				sig = syscall.SIGKILL
			}
		}
	}
	m.leader = 0
	// Not used again: Linux (6.18) kills whatever is cloned into a control group that was ever killed.
	removeCgroup(m.cgroupDir())
	if err := m.makeCgroup(); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

func (m *Machine) up(t testing.TB) {
	t.Helper()
	if err := m.World.rebootLinks(); err != nil {
		t.Fatalf("lab: cannot reset the NICs: %v", err)
	}
	m.boot(t)
}

func (m *Machine) close() {
	if m.t.Failed() && m.mounts != nil {
		m.t.Logf("journal:\n%s", tail(m.Journal(), 100))
		if m.leader == 0 {
			m.t.Logf("console:\n%s", tail(m.consoleText(), 60))
		}
	}
	if m.mounts == nil {
		return
	}
	if m.leader != 0 {
		// With its first process all others end, and systemd-nspawn cleans up.
		_ = syscall.Kill(m.leader, syscall.SIGKILL)
		select {
		case <-m.nspawn.done:
		case <-time.After(5 * time.Second):
		}
	}
	if m.cgroup != "" {
		removeCgroup(m.cgroupDir())
	}
	if m.nspawn != nil {
		m.nspawn.stop(syscall.SIGKILL)
	}
	if m.notify != nil {
		m.notify.Close()
	}
	if m.console != nil {
		m.console.Close()
	}
	m.mounts.close()
	m.leader = 0
}

func (m *Machine) consoleText() string {
	b, _ := os.ReadFile(filepath.Join(m.World.dir, "console"))
	return string(b)
}

// Journal is the machine's whole journal, of all its boots.
func (m *Machine) Journal() string {
	args := []string{"--no-pager", "--no-hostname", "-o", "short-precise"}
	if m.leader != 0 {
		_, _, _ = m.Run(context.Background(), "journalctl", "--flush")
		out, _, _ := m.Run(context.Background(), "journalctl", args...)
		return out
	}
	out, _ := exec.Command("journalctl", append(args, "-D", m.host("/var/log/journal"))...).CombinedOutput()
	return string(out)
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
