//go:build lab && linux

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// belongings is what an apply may leave behind that changes nothing: the folder of its state, the file it locks and the values that
// it saw first, which are written before the snapshot.
var belongings = []string{"/var/lib", "/var/lib/provision", "/var/lib/provision/engine", "/var/lib/provision/engine/lock",
	"/var/lib/provision/engine/first"}

// kept is what must not be touched by an apply that refuses: /etc and the program's state.
func kept(t *testing.T, m *lab.Machine) lab.Tree {
	t.Helper()
	all := m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")
	for p, e := range m.TreeDigest(t, "/var/lib").Without(belongings...) {
		if strings.HasPrefix(p, "/var/lib/provision") {
			all[p] = e
		}
	}
	return all
}

// refusal is a world in which an apply must fail before it has written anything.
type refusal struct {
	name   string
	config string            // of provision, if any
	files  map[string]string // that are laid over what is there, and taken away afterwards
	before string            // commands, and those that undo them
	after  string
	argv   []string // default: provision apply
	code   int
	says   []string // each must be in the message
}

func (r refusal) run(t *testing.T, m *lab.Machine) {
	t.Helper()
	var undo []string
	for path, text := range r.files {
		if was, err := m.ReadFile(path); err == nil {
			m.WriteFile(t, path+".was", was, 0o600)
			undo = append(undo, fmt.Sprintf("cat %[1]s.was >%[1]s && rm %[1]s.was", path))
		} else {
			undo = append(undo, "rm "+path)
		}
		m.WriteFile(t, path, text, 0o600)
	}
	if r.config != "" {
		m.WriteFile(t, "/etc/provision/provision.yaml", r.config, 0o644)
		undo = append(undo, "rm -r /etc/provision")
	}
	if r.before != "" {
		m.MustRun(t, "sh", "-ec", r.before)
	}
	undo = append(undo, r.after)
	defer func() { m.MustRun(t, "sh", "-ec", strings.Join(undo, "\n")) }()

	was, begin := kept(t, m), time.Now()
	argv := r.argv
	if argv == nil {
		argv = []string{"provision", "apply"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, msg, code := m.Run(ctx, argv[0], argv[1:]...)
	t.Logf("%v, status %d: %s", time.Since(begin).Round(time.Millisecond), code, strings.TrimSpace(msg))
	if code != r.code {
		t.Errorf("status %d, want %d\n%s", code, r.code, out)
	}
	for _, s := range r.says {
		if !strings.Contains(msg, s) {
			t.Errorf("the message does not say %q", s)
		}
	}
	if strings.Count(msg, "provision: ") != 1 {
		t.Errorf("not one message")
	}
	if touched := was.Touched(kept(t, m)); len(touched) > 0 {
		t.Errorf("nothing was to be written: %v", touched)
	}
}

// small makes a file system of a few pages of a directory, with what is in it.
func small(dir string, kilobytes int) string {
	return fmt.Sprintf("cp -a %[1]s /run/was; mount -t tmpfs -o size=%[2]dk,mode=700 small %[1]s; cp -a /run/was/. %[1]s/; rm -r /run/was", dir, kilobytes)
}

const fill = `dd if=/dev/zero of=%[1]s/filler bs=4k 2>/dev/null || true`

func TestRefusals(t *testing.T) {
	t.Parallel()
	all := map[string][]refusal{
		"trixie-netplan": {
			{name: "keys and types", code: 64, config: "version: 1\nnetwork:\n  nat-metrik: 5\n  bring-up: perhaps\n  nics:\n  - match: {nam: eth0}\n    route-metric: many\n",
				says: []string{"provision.yaml:3:3", "nat-metric", "provision.yaml:4:", "provision.yaml:6:", "provision.yaml:7:"}},
			{name: "metrics", code: 64, config: "version: 1\nnetwork:\n  nat-metric: 4294967296\n  nics:\n  - match: {name: eth0}\n    route-metric: 0\n  - match: {name: eth1}\n    route-metric: -1\n",
				says: []string{"provision.yaml:3:", "provision.yaml:6:", "provision.yaml:8:"}},
			{name: "equal metrics", code: 64, config: "version: 1\nnetwork:\n  nics:\n  - match: {name: eth0}\n    route-metric: 50\n  - match: {name: eth1}\n    route-metric: 50\n",
				says: []string{"50"}},
			{name: "not YAML", code: 64, config: "version: 1\nnetwork: [\n\x01", says: []string{"provision.yaml"}},
			{name: "newer format", code: 64, config: "version: 2\n", says: []string{"provision.yaml:1:", "newer"}},
			{name: "writable by others", code: 64, config: "version: 1\n", before: "chmod 666 /etc/provision/provision.yaml", says: []string{"chmod go-w"}},
			{name: "usage", code: 64, argv: []string{"provision", "apply", "--confrim", "5s"}, says: []string{"--confrim", "--help"}},
			{name: "broken netplan", code: 1, files: map[string]string{"/etc/netplan/60-mine.yaml": "network:\n  version: 2\n  ethernets:\n    eth1:\n      dhcp4: yes please\n"},
				says: []string{"/etc/netplan/60-mine.yaml:5"}},
			{name: "netplan that is no YAML", code: 1, files: map[string]string{"/etc/netplan/60-mine.yaml": "network:\n\tversion: 2\n"},
				says: []string{"/etc/netplan/60-mine.yaml:2"}},
			{name: "not root", code: 77, argv: []string{"setpriv", "--reuid=65534", "--clear-groups", "provision", "apply"}, says: []string{"root"}},
			{name: "read-only /etc", code: 1, before: "mount --bind /etc /etc; mount -o remount,bind,ro /etc", after: "umount -l /etc", says: []string{"read-only file system"}},
			{name: "full disk", code: 1, before: small("/var/lib/provision", 16) + "\n" + fmt.Sprintf(fill, "/var/lib/provision"), after: "umount /var/lib/provision", says: []string{"no space left on device"}},
			{name: "state of a newer program", code: 1, files: map[string]string{"/var/lib/provision/engine/ledger": "provision-state 99 ledger 2 00\n{}\n"},
				says: []string{"/var/lib/provision/engine/ledger", "99", "newer program"}},
			{name: "damaged state", code: 1, files: map[string]string{"/var/lib/provision/engine/ledger": "\x00\x01\x02"}, says: []string{"/var/lib/provision/engine/ledger", "damaged"}},
			{name: "cut off state", code: 1, files: map[string]string{"/var/lib/provision/engine/snapshot-000007": "provision-state 1 snapshot 200 00\n{"}, says: []string{"snapshot-000007", "damaged"}},
			{name: "damaged metrics", code: 1, files: map[string]string{"/var/lib/provision/metrics.json": "{"}, says: []string{"/var/lib/provision/metrics.json", "remove the file"}},
			{name: "state of somebody else", code: 77, before: "chown 65534 /var/lib/provision/engine", after: "chown 0 /var/lib/provision/engine", says: []string{"belongs to user 65534"}},
		},
		"bookworm-ifupdown": {
			{name: "huge interfaces", code: 1, before: "cp -a /etc/network/interfaces /root/was; yes '# nothing' | head -c 20000000 >>/etc/network/interfaces", after: "cat /root/was >/etc/network/interfaces", says: []string{"/etc/network/interfaces"}},
			{name: "binary interfaces", code: 1, before: "cp -a /etc/network/interfaces /root/was; head -c 4096 /dev/urandom >>/etc/network/interfaces", after: "cat /root/was >/etc/network/interfaces", says: []string{"/etc/network/interfaces"}},
			{name: "interfaces is a FIFO", code: 1, before: "mv /etc/network/interfaces /root/was; mkfifo /etc/network/interfaces", after: "rm /etc/network/interfaces; mv /root/was /etc/network/interfaces", says: []string{"/etc/network/interfaces"}},
			{name: "interfaces is a folder", code: 1, before: "mv /etc/network/interfaces /root/was; mkdir /etc/network/interfaces", after: "rmdir /etc/network/interfaces; mv /root/was /etc/network/interfaces", says: []string{"/etc/network/interfaces"}},
			{name: "read-only /etc", code: 1, before: "mount --bind /etc /etc; mount -o remount,bind,ro /etc", after: "umount -l /etc", says: []string{"read-only file system"}},
		},
		"bookworm-netplan-nm": {
			{name: "NetworkManager and networkd", code: 4, before: "mkdir -p /run/systemd/network; printf '[Match]\\nName=eth1\\n[Network]\\nDHCP=yes\\n' >/run/systemd/network/10-mine.network; systemctl start systemd-networkd; for i in $(seq 100); do networkctl list eth1 | grep -q configured && break; sleep 0.1; done",
				after: "rm /run/systemd/network/10-mine.network; systemctl stop systemd-networkd systemd-networkd.socket; ip -6 route del default dev eth1 metric 1024 || true", says: []string{"eth1 is configured by netplan", "NetworkManager", "networkd"}},
		},
		"bookworm-netplan+isc-dhcp-client": {
			{name: "a DHCP client by hand", code: 4, before: "dhclient -nw eth1; for i in $(seq 100); do [ -s /run/dhclient.pid ] && break; sleep 0.1; done",
				after: "kill $(cat /run/dhclient.pid); ip route del default dev eth1 metric 0", says: []string{"eth1 is configured by netplan", "dhclient"}},
		},
	}
	together(t, slices.Collect(maps.Keys(all)), func(t *testing.T, root string) {
		_, m := boot(t, root, lab.WorldOpts{}, lab.BootOpts{})
		await(t, m, root, "eth0", "eth1")
		// The state is there before, so that it is plain what touches it.
		m.MustRun(t, "install", "-d", "-m", "700", "/var/lib/provision/engine")
		old := conditionOf(t, m)
		for _, c := range all[root] {
			t.Run(c.name, func(t *testing.T) { c.run(t, m) })
		}
		old.require(t, m, "after all refusals")
		if strings.Contains(root, "ifupdown") { // which takes a loop of source lines as it comes, and so do we
			m.WriteFile(t, "/etc/network/interfaces.d/loop", "source /etc/network/interfaces\n", 0o644)
		}
		must(t, m, 0, "apply") // and it was not the machine
	})
}

// Where a disk is full in the middle, apply goes back.
func TestFullDiskInTheMiddle(t *testing.T) {
	t.Parallel()
	name := "trixie-netplan"
	m, old, next, _ := bothWays(t, name)

	m.MustRun(t, "sh", "-ec", small("/etc/netplan", 8)+"\n"+fmt.Sprintf(fill, "/etc/netplan"))
	out, msg, code := provision(t, m, "apply")
	if code != 1 || !strings.Contains(msg, "no space left on device") || !strings.Contains(msg, "/etc/netplan") {
		t.Errorf("full /etc/netplan: status %d\n%s%s", code, out, msg)
	}
	m.MustRun(t, "umount", "/etc/netplan")
	old.require(t, m, "full /etc/netplan")

	m.MustRun(t, "sh", "-ec", small("/var/lib/provision", 1024))
	room := 4
	for ; ; room += 4 {
		m.MustRun(t, "sh", "-ec", fmt.Sprintf("rm -rf /var/lib/provision/* && mount -o remount,size=%dk /var/lib/provision", room))
		out, msg, code := provision(t, m, "apply")
		what := fmt.Sprintf("with %d KiB for the state: status %d: %s", room, code, strings.TrimSpace(msg))
		t.Log(what)
		if code == 0 {
			next.require(t, m, what)
			break
		}
		if code != 1 || !strings.Contains(msg, "no space left on device") {
			t.Fatalf("%s%s", what, out)
		}
		old.require(t, m, what)
	}
	if room < 12 {
		t.Errorf("%d KiB were enough: no room for the test", room)
	}
	m.MustRun(t, "mount", "-o", "remount,size=1m", "/var/lib/provision")
	must(t, m, 0, "revert")
	old.require(t, m, "after revert")
}

// Ctrl-C in the middle.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	together(t, killRoots(), func(t *testing.T, name string) {
		m, old, _, _ := bothWays(t, name)
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
			p, err := m.Start("provision", "apply", "--confirm", "1h")
			if err != nil {
				t.Fatal(err)
			}
			old.awaitChange(t, m)
			p.Signal(sig)
			_, msg, code := p.Wait()
			if code != 1 && code != 0 || code == 1 && !strings.Contains(msg, "gone back to the state before") {
				t.Errorf("%v: status %d, %s", sig, code, msg)
			}
			if code == 0 { // it had just been done
				t.Logf("%v came too late", sig)
				must(t, m, 0, "rollback")
			}
			old.require(t, m, sig.String())
			t.Logf("%v: %s", sig, strings.TrimSpace(msg))
		}
	})
}

// Somebody else holds the lock: apply waits, then names the holder.
func TestLocked(t *testing.T) {
	t.Parallel()
	m, old, _, _ := bothWays(t, "bookworm-ifupdown")
	was := kept(t, m)
	p, err := m.Start("flock", "/var/lib/provision/engine/lock", "sleep", "120")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill9()
	lab.Await(t, 5*time.Second, func() error {
		if out, _, code := m.Run(context.Background(), "flock", "-n", "/var/lib/provision/engine/lock", "true"); code == 0 {
			return fmt.Errorf("the lock is free: %s", out)
		}
		return nil
	})
	begin := time.Now()
	_, msg, code := provision(t, m, "apply")
	took := time.Since(begin)
	pid := strings.Fields(m.MustRun(t, "pgrep", "-x", "flock"))
	t.Logf("%v: %s", took.Round(time.Millisecond), strings.TrimSpace(msg))
	if code != 75 || !strings.Contains(msg, "flock") || !slices.ContainsFunc(pid, func(p string) bool { return strings.Contains(msg, "process "+p+" ") }) {
		t.Errorf("status %d, want 75 and the process %v: %s", code, pid, msg)
	}
	if took < 25*time.Second || took > 40*time.Second {
		t.Errorf("it waited %v", took)
	}
	if touched := was.Touched(kept(t, m)); len(touched) > 0 {
		t.Errorf("touched: %v", touched)
	}
	old.require(t, m, "while locked")
}
