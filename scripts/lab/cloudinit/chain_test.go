//go:build lab && linux

package cloudinit

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// chain is the longest way to sshd, as systemd has measured it during the boot.
func (m *machine) chain() string {
	m.t.Helper()
	m.MustRun(m.t, "systemctl", "is-system-running", "--wait")
	chain := m.MustRun(m.t, "systemd-analyze", "critical-chain", "ssh.service", "--no-pager")
	if !strings.Contains(chain, "\nssh.service +") || !strings.Contains(chain, ".target @") {
		m.t.Errorf("this is no chain:\n%s", chain)
	}
	return chain
}

// beside checks that sshd does not wait for us on a boot on which nothing changes: no unit of ours is on the longest way to it. It also
// checks what they cost the processor, which a busy machine does not make longer as it does the clock on the wall.
func (m *machine) beside() {
	m.t.Helper()
	if chain := m.chain(); strings.Contains(chain, "provision") {
		m.t.Errorf("sshd waits for us:\n%s", chain)
	}
	m.frugal(true)
}

// frugal checks what our units cost the processor, and that none was dropped; one of them is there with a firewall.
func (m *machine) frugal(firewall bool) {
	m.t.Helper()
	show := func(unit, key string) string {
		return strings.TrimSpace(m.MustRun(m.t, "systemctl", "show", "-P", key, unit))
	}
	// It was its turn, so no ordering cycle has dropped it, and there was nothing to do.
	if at, met := show("provision-early.service", "ConditionTimestampMonotonic"), show("provision-early.service", "ConditionResult"); at == "0" || met != "no" {
		m.t.Errorf("provision-early.service had its turn at %s µs, and something to do: %s", at, met)
	}
	var used time.Duration
	units := []string{"provision.service"}
	if firewall {
		units = append(units, "provision-restore.service")
	}
	for _, unit := range units {
		ns, err := strconv.ParseInt(show(unit, "CPUUsageNSec"), 10, 64)
		if err != nil {
			m.t.Errorf("%s: %v", unit, err)
		}
		if state := show(unit, "ActiveState") + ", " + show(unit, "Result"); state != "active, success" {
			m.t.Errorf("%s is %s", unit, state)
		}
		m.t.Logf("%s: %v of CPU", unit, time.Duration(ns).Round(time.Millisecond/10))
		used += time.Duration(ns)
	}
	if used == 0 || used > 200*time.Millisecond {
		m.t.Errorf("our units have used %v of the processor during the boot", used)
	}
}

// sshd does not wait for us, with any manager and with or without cloud-init.
func TestChain(t *testing.T) {
	lab.Need(t, lab.Packages)
	t.Parallel()
	b, err := os.ReadFile(must(t, deb))
	if err != nil {
		t.Fatal(err)
	}
	images := []image{{"bookworm-netplan", false}} // TestCloudInit has the same with cloud-init
	if full {
		images = nil
		for _, root := range []string{"bookworm-netplan", "bookworm-nm", "bookworm-ifupdown", "trixie-netplan", "trixie-nm", "trixie-ifupdown"} {
			images = append(images, image{root, true}, image{root, false})
		}
	}
	for _, i := range images {
		t.Run(i.name(), func(t *testing.T) {
			t.Parallel()
			files := lab.Overlay{"/srv/provision.deb": {Content: string(b)}}
			o := lab.BootOpts{Overlay: files, Udevadm: true, Timeout: 4 * time.Minute}
			if i.cloudInit {
				o.Config = lab.NoConfig
				for path, f := range seed(t, "--config", file(t, "provision.yaml", config)) {
					switch {
					case strings.HasSuffix(path, "/user-data"):
						f.Content = "#cloud-config\n{}\n"
					case strings.HasSuffix(path, "/network-config") && strings.Contains(i.root, "ifupdown"):
						f.Content = slaac
					}
					files[path] = f
				}
				for path, f := range renderers(i.root) {
					files[path] = f
				}
			} else {
				files[cloudInitOff] = lab.File{}
			}
			for path, f := range settings {
				files[path] = f
			}
			m := &machine{lab.Boot(t, lab.Root(t, i.root+"+cloud-init+openssh-server"), lab.NewWorld(t, lab.WorldOpts{}), o), t}
			m.AwaitAddrs(t, time.Minute, "eth0", "eth1")
			m.MustRun(t, "dpkg", "-i", "/srv/provision.deb")
			for what, text := range []string{config, policy} {
				m.WriteFile(t, "/etc/provision/provision.yaml", text, 0o600)
				m.MustRun(t, "provision", "apply")
				m.Reboot(t)
				chain := m.chain()
				m.right()
				m.frugal(what == 1)
				// The firewall is there before the network in any case. What else is before it takes longer: cloud-init, or the bus that
				// NetworkManager waits for, or udev, which no container has. There, without the others, the firewall is what is left.
				if what == 1 && !i.cloudInit {
					t.Logf("with a firewall:\n%s", chain)
					chain = strings.ReplaceAll(chain, "provision-restore.service", "")
				}
				if strings.Contains(chain, "provision") {
					t.Errorf("sshd waits for us:\n%s", chain)
				}
			}
		})
	}
}
