//go:build lab && linux

package routing

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// booted is the policy of a machine with two NICs: eth0 leads out, eth1 is inside.
const booted = `version: 1
routing:
  zones:
    inside: {interfaces: [eth1]}
    outside: {interfaces: [eth0], masquerade: true}
  firewall:
    rules:
      - {source-interface: inside, destination-interface: outside, action: allow}
  policy:
    routes:
      - {to: 10.20.0.0/16, via: 10.0.2.2, interface: eth0, table: 120}
    rules:
      - {to: 10.20.0.0/16, table: 120}
`

// Under systemd: units are installed, the table is there before the network is, the watch runs, and
// a restart of networkd takes nothing away for good.
func TestBoot(t *testing.T) {
	need(t)
	for _, root := range []string{"bookworm-netplan", "trixie-netplan"} {
		t.Run(root, func(t *testing.T) {
			t.Parallel() // they wait for router advertisements most of the time
			w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{lab.NAT(), {Name: "eth1", Net4: "192.168.76.0/24", NoRouter: true, NoRA: true}}})
			m := lab.Boot(t, lab.Root(t, root), w, lab.BootOpts{Binary: program})
			m.AwaitAddrs(t, 20*time.Second, "eth0")
			b := &boot{Machine: m, t: t}
			units := b.MustRun(t, "systemctl", "list-unit-files", "--no-legend", "--no-pager")
			etc := m.TreeDigest(t, "/etc")
			m.WriteFile(t, "/etc/provision/provision.yaml", booted, 0o600)
			t.Log(b.MustRun(t, "provision", "apply"))
			for _, unit := range []string{"provision-restore.service", "provision-watch.service"} {
				if got, _, _ := b.Run(context.Background(), "systemctl", "is-enabled", unit); strings.TrimSpace(got) != "enabled" {
					t.Errorf("%s is %s", unit, got)
				}
				if out, errs, _ := b.Run(context.Background(), "systemd-analyze", "verify", "--man=no", "/etc/systemd/system/"+unit); strings.TrimSpace(out+errs) != "" {
					t.Errorf("systemd says of %s: %s%s", unit, out, errs)
				}
			}
			b.active("provision-watch.service")
			b.settled()
			table := b.table()
			if !strings.Contains(table, "chain forward") {
				t.Fatalf("no table: %s", table)
			}

			m.Reboot(t)
			b.active("provision-watch.service")
			m.AwaitAddrs(t, 20*time.Second, "eth0")
			if got := b.table(); got != table {
				t.Errorf("after the reboot the table is another one:\n%s", difference(table, got))
			}
			restored := b.since("provision-restore.service")
			for _, later := range []string{"network-pre.target", "systemd-networkd.service"} {
				if at := b.since(later); restored == 0 || at < restored {
					t.Errorf("%s is active at %d µs, the table was restored at %d µs", later, at, restored)
				} else {
					t.Logf("restored %d ms before %s", (at-restored)/1000, later)
				}
			}
			b.settled()
			b.keeps("after the reboot")

			for _, what := range [][]string{{"systemctl", "restart", "systemd-networkd"}, {"networkctl", "reconfigure", "eth0"}, {"netplan", "generate"}} {
				b.MustRun(t, what[0], what[1:]...)
				m.AwaitAddrs(t, 20*time.Second, "eth0")
				b.keeps(strings.Join(what, " "))
			}
			// The watch is killed: systemd starts it again, and it puts back what was lost meanwhile.
			pid := b.show("provision-watch.service", "MainPID")
			b.MustRun(t, "sh", "-c", "kill -9 "+pid+"; nft delete table inet provision 2>/dev/null || provision firewall check >/dev/null || true")
			lab.Await(t, 20*time.Second, func() error {
				if got := b.show("provision-watch.service", "MainPID"); got == pid || got == "0" {
					return fmt.Errorf("the watch is not back")
				}
				return nil
			})
			b.active("provision-watch.service")
			b.keeps("the watch was killed")
			// The unit for what was left unfinished puts back, at the end, what the boot has forgotten.
			b.MustRun(t, "systemctl", "stop", "provision-watch.service")
			for arg, want := range map[string]string{"--boot=false": "", "--boot": table} {
				_, _ = b.World.Machine.Exec("nft", "delete", "table", "inet", "provision")
				b.MustRun(t, "provision", "recover", arg)
				if got := b.table(); got != want {
					t.Errorf("after recover %s the table is another one:\n%s", arg, difference(want, got))
				}
			}
			b.MustRun(t, "systemctl", "start", "provision-watch.service")
			b.keeps("after a recovery")
			if out, _, code := b.Run(context.Background(), "systemctl", "is-system-running"); code != 0 {
				t.Logf("the system is %s%s", out, b.MustRun(t, "systemctl", "--failed", "--no-legend", "--no-pager"))
			}

			b.MustRun(t, "provision", "revert")
			lab.Await(t, 10*time.Second, func() error {
				if s := b.show("provision-watch.service", "ActiveState"); s != "inactive" {
					return fmt.Errorf("provision-watch.service is %s", s)
				}
				return nil
			})
			if got := b.MustRun(t, "systemctl", "list-unit-files", "--no-legend", "--no-pager"); got != units {
				t.Errorf("units are left:\n%s", difference(units, got))
			}
			if got := b.table(); got != "" {
				t.Errorf("the table is left: %s", got)
			}
			if got := b.MustRun(t, "sh", "-c", "ip rule | grep 'proto 158' || true; ip route show table all proto 158"); got != "" {
				t.Errorf("left: %s", got)
			}
			m.MustRun(t, "rm", "-r", "/etc/provision")
			if d := etc.Without("/etc/resolv.conf").Diff(m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")); len(d) > 0 {
				t.Errorf("files of /etc differ: %v", d)
			}
		})
	}
}

type boot struct {
	*lab.Machine
	t *testing.T
}

func (b *boot) show(unit, key string) string {
	b.t.Helper()
	return strings.TrimSpace(b.MustRun(b.t, "systemctl", "show", "--value", "-p", key, unit))
}

// active waits until a unit runs, and has not been tried again and again.
func (b *boot) active(unit string) {
	b.t.Helper()
	lab.Await(b.t, 20*time.Second, func() error {
		if s := b.show(unit, "ActiveState"); s != "active" {
			return fmt.Errorf("%s is %s\n%s", unit, s, b.Journal())
		}
		return nil
	})
}

// since is when a unit became active, in microseconds of the machine's clock; 0 never.
func (b *boot) since(unit string) int64 {
	b.t.Helper()
	n, _ := strconv.ParseInt(b.show(unit, "ActiveEnterTimestampMonotonic"), 10, 64)
	return n
}

// table is the own table, read by the host's nft in the machine's network: the roots have none.
func (b *boot) table() string {
	out, err := b.World.Machine.Exec("nft", "list", "table", "inet", "provision")
	if err != nil {
		return ""
	}
	return stateless(out)
}

// settled waits until nothing is left to do: addresses come seconds after the boot.
func (b *boot) settled() {
	b.t.Helper()
	lab.Await(b.t, 20*time.Second, func() error {
		if out, msg, code := b.Run(context.Background(), "provision", "plan", "--exit-code"); code != 0 {
			return fmt.Errorf("status %d\n%s%s", code, out, msg)
		}
		return nil
	})
}

// keeps waits for all that was committed.
func (b *boot) keeps(when string) {
	b.t.Helper()
	begin := time.Now()
	lab.Await(b.t, 20*time.Second, func() error {
		rules := b.MustRun(b.t, "sh", "-c", "ip rule; ip route show table 120; cat /proc/sys/net/ipv4/ip_forward")
		for _, want := range []string{"lookup 120", "10.20.0.0/16 via 10.0.2.2", "\n1\n"} {
			if !strings.Contains(rules, want) {
				return fmt.Errorf("%s: %q is not there:\n%s", when, want, rules)
			}
		}
		if b.table() == "" {
			return fmt.Errorf("%s: the table is not there", when)
		}
		return nil
	})
	b.t.Logf("%s: all is there after %v", when, time.Since(begin).Round(time.Millisecond))
}
