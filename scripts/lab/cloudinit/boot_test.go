//go:build lab && linux

package cloudinit

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

const applied = "provision: the network is what it should be\n"

// policy is a configuration whose apply installs and starts units of its own, from within cloud-init's.
const policy = config + `routing:
  zones:
    outside: {interfaces: [eth0]}
  firewall:
    rules:
      - {source-interface: outside, destination-interface: self, port: [ssh], action: allow}
`

// recorder writes down each route of the boot, from before the network comes up.
var recorder = lab.Overlay{
	"/etc/systemd/system/recorder.service": {Content: "[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\nBefore=network-pre.target\nWants=network-pre.target\n" +
		"[Service]\nExecStart=/bin/sh -c 'exec ip monitor route > /run/routes'\n"},
	"/etc/systemd/system/sysinit.target.wants/recorder.service": {Link: "../recorder.service"},
}

// always checks that no default route of this boot ever had another metric than it should have.
func (m *machine) always() {
	m.t.Helper()
	text, err := m.ReadFile("/run/routes")
	if err != nil {
		m.t.Fatal(err)
	}
	seen := map[string]int{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "default ") {
			continue
		}
		for nic, metric := range map[string]string{"eth0": " metric 1000 ", "eth1": " metric 10 "} {
			if strings.Contains(line, " dev "+nic+" ") {
				seen[nic]++
				if !strings.Contains(line, metric) {
					m.t.Errorf("at some moment there was %s", line)
				}
			}
		}
	}
	if seen["eth0"] < 2 || seen["eth1"] < 2 { // one per family
		m.t.Errorf("the routes were not recorded:\n%s", text)
	}
}

// cheap checks what our units cost a boot on which nothing changes, and that sshd does not wait for them.
func (m *machine) cheap() {
	m.t.Helper()
	t := m.t
	var took time.Duration
	for line := range strings.Lines(m.MustRun(t, "systemd-analyze", "blame", "--no-pager")) {
		f := strings.Fields(line)
		name := f[len(f)-1]
		if name != "provision-early.service" && name != "provision-restore.service" && name != "provision.service" {
			continue
		}
		one, err := time.ParseDuration(strings.Join(f[:len(f)-1], "")) // "1min 2.380s" is none of ours
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		t.Log(strings.TrimSpace(line))
		took += one
	}
	limit := time.Duration(float64(300*time.Millisecond) * min(max(1, load(t)/float64(runtime.NumCPU())), 10))
	if took == 0 || took > limit {
		t.Errorf("our units were active for %v of the boot: it should be 0.3 s on an idle machine, and %v now", took, limit)
	}
	if out, msg, _ := m.Run(t.Context(), "systemd-analyze", "verify", "--man=no", "default.target"); strings.Contains(out+msg, "provision") || strings.Contains(out+msg, "cycle") {
		t.Errorf("systemd says: %s%s", out, msg)
	}
	m.beside()
}

// User-data alone: the first boot ends with the network right, the second one changes nothing, and a new instance is right
// again.
func TestCloudInit(t *testing.T) {
	lab.Need(t, lab.Packages)
	t.Parallel()
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			w := lab.NewWorld(t, lab.WorldOpts{})
			path := must(t, deb)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			from := []string{"--url", server(t, w, path), "--sha256", fmt.Sprintf("%x", sha256.Sum256(b))}
			if release == "trixie" {
				from = []string{"--embed", path}
			}
			const limit = 2 * time.Minute
			m := boot(t, release, w, seed(t, append(from, "--config", file(t, "provision.yaml", policy), "--time-limit", limit.String())...))
			t.Logf("first boot: %v", m.BootTime)
			m.well()
			m.free(limit)
			m.right()
			if r := m.result(); !r.OK || r.Status != 0 || r.Step != "apply" {
				t.Errorf("%+v", r)
			}
			if n := m.count("/var/log/cloud-init-output.log", applied); n != 1 {
				t.Errorf("it ran %d times", n)
			}
			m.MustRun(t, "dpkg", "--verify", "provision")
			before := m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")

			m.Reboot(t)
			t.Logf("second boot: %v", m.BootTime)
			m.well()
			m.right()
			if diff := before.Diff(m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")); len(diff) > 0 {
				t.Errorf("the second boot has changed:\n%s", strings.Join(diff, "\n"))
			}
			if n := m.count("/var/log/cloud-init-output.log", applied); n != 1 {
				t.Errorf("it ran %d times", n)
			}
			m.cheap()

			m.WriteFile(t, seedDir+"/meta-data", "instance-id: another\n", 0o600)
			m.Reboot(t)
			t.Logf("new instance: %v", m.BootTime)
			m.well()
			m.right()
			if n := m.count("/var/log/cloud-init-output.log", applied); n != 2 {
				t.Errorf("it ran %d times", n)
			}
		})
	}
}

// unit is a oneshot that stays active, as a file of a machine.
func unit(dependencies string) lab.File {
	return lab.File{Content: "[Unit]\n" + dependencies + "\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"}
}

// The four ways in which a boot with cloud-init waits for itself, or loses a unit. They are real: without them what the other tests show
// of us would show nothing. What a command of cloud-init's must never do, it may do here: the time limit ends it, the boot goes on, and
// cloud-init says that something is wrong. Its units alone would wait for ever (TimeoutSec=0).
func TestDeadlockIsCut(t *testing.T) {
	lab.Need(t, lab.Tier2)
	t.Parallel()
	m := boot(t, "bookworm", lab.NewWorld(t, lab.WorldOpts{}), seed(t, "--file", "/opt/provision", "--time-limit", "5s"), lab.Overlay{
		// It starts a unit that waits for cloud-init's end, and waits for that end as well.
		"/opt/provision": {Mode: 0o755, Content: "#!/bin/sh\n[ \"$1\" = apply ] || exec printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=sysinit.target\\n'\n" +
			"systemctl start ordinary.service; echo $? > /run/in-runcmd\nsystemctl start late.service &\ncloud-init status --wait &\nwait\n"},
		"/etc/systemd/system/late.service": unit("After=cloud-init.target cloud-final.service"),
		// Somebody else's data: a command of the early boot waits for a unit that waits for the end of the early boot.
		seedDir + "/vendor-data":               {Content: "#cloud-config\nbootcmd:\n- timeout 3 systemctl start early.service; echo $? > /run/in-bootcmd\n"},
		"/etc/systemd/system/early.service":    unit(""),
		"/etc/systemd/system/ordinary.service": unit(""),
		"/etc/systemd/system/dropped.service":  unit("After=cloud-final.service"),
		"/etc/systemd/system/likeours.service": unit("After=multi-user.target cloud-final.service"),
		multiUser + "/likeours.service":        {Link: "/etc/systemd/system/likeours.service"},
	})
	if r := m.result(); r.OK || r.Step != "apply" || r.Status != 124 {
		t.Errorf("%+v", r)
	}
	status, errs := m.status()
	if status != "error" || len(errs) == 0 {
		t.Errorf("cloud-init says %q, errors %q", status, errs)
	}
	// timeout(1) says 124 when it had to end what it ran.
	for path, want := range map[string]string{"/run/in-bootcmd": "124\n", "/run/in-runcmd": "0\n"} {
		if got, err := m.ReadFile(path); err != nil || got != want {
			t.Errorf("%s: an ordinary unit was started with status %q, not %q (%v)", path, got, want, err)
		}
	}
	// They did wait for the end, and came when that was reached.
	for _, name := range []string{"early.service", "late.service", "likeours.service"} {
		lab.Await(t, 30*time.Second, func() error {
			if out, _, exit := m.Run(t.Context(), "systemctl", "is-active", name); exit != 0 {
				return fmt.Errorf("%s is %s", name, out)
			}
			return nil
		})
	}
	// A unit after cloud-final.service that multi-user.target waits for: that service waits for the target. systemd gives up one of the
	// circle, this unit or cloud-init's last stage, now the one and now the other (transaction_verify_order_one in src/core/transaction.c).
	m.MustRun(t, "ln", "-s", "/etc/systemd/system/dropped.service", multiUser)
	m.Reboot(t)
	m.MustRun(t, "sh", "-c", "systemctl is-system-running --wait || true")
	lost := ""
	for _, unit := range []string{"dropped.service", "cloud-final.service"} {
		if at := m.MustRun(t, "systemctl", "show", "-P", "ConditionTimestampMonotonic", "-P", "Job", unit); strings.Trim(at, "0\n") == "" {
			lost += unit
		}
	}
	if t.Log("lost: " + lost); lost == "" {
		t.Error("a unit after cloud-final.service had its turn in multi-user.target, and so had that service")
	}
	if state := m.MustRun(t, "systemctl", "is-active", "likeours.service"); state != "active\n" {
		t.Errorf("a unit after its own target is %s", state)
	}
}

const multiUser = "/etc/systemd/system/multi-user.target.wants"

// free checks that our data do nothing in a stage in which a command waits for itself: cloud-init has found neither a boothook nor a
// bootcmd in them, ran them in its final stage, well within their time, and nothing waits any more.
func (m *machine) free(limit time.Duration) {
	m.t.Helper()
	const instance = "/var/lib/cloud/instance/"
	if hooks, _, _ := m.Run(m.t.Context(), "ls", instance+"boothooks"); hooks != "" {
		m.t.Errorf("boothooks: %s", hooks)
	}
	if read := m.MustRun(m.t, "cat", instance+"cloud-config.txt"); !strings.Contains(read, "runcmd:") || strings.Contains(read, "bootcmd:") {
		m.t.Errorf("cloud-init has read:\n%.400s", read)
	}
	log := m.MustRun(m.t, "cat", "/var/log/cloud-init-output.log")
	if final, said := strings.Index(log, "running 'modules:final'"), strings.Index(log, "provision: "); final < 0 || said < final {
		m.t.Errorf("something of ours ran before the final stage:\n%s", log)
	}
	if r := m.result(); time.Duration(r.Seconds)*time.Second >= limit/2 {
		m.t.Errorf("it took %d s, so that it seems to have waited", r.Seconds)
	}
	if jobs := m.MustRun(m.t, "systemctl", "list-jobs", "--no-legend"); strings.TrimSpace(jobs) != "" && !strings.Contains(jobs, "No jobs") {
		m.t.Errorf("still waiting:\n%s", jobs)
	}
}
