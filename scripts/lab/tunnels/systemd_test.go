//go:build lab && linux

package tunnels

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/scripts/lab"
)

// Under systemd, on a kernel without WireGuard, a device is a unit: apply starts it, it is there again
// after a reboot, whoever kills it gets it back whole, and revert leaves nothing.
func TestUnit(t *testing.T) {
	lab.Need(t, lab.Serve)
	program, err := lab.Program(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{lab.NAT()}})
	m := lab.Boot(t, lab.Root(t, "bookworm-netplan"), w, lab.BootOpts{Binary: program})
	m.AwaitAddrs(t, 20*time.Second, "eth0")
	ctx := context.Background()
	if _, _, code := m.Run(ctx, "sh", "-c", "ip link add probe type wireguard && ip link del probe"); code == 0 {
		t.Skip("skipped: this kernel has WireGuard")
	}
	m.MustRun(t, "sh", "-c", "mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200; head -c 0 /dev/net/tun")
	private := wireguard.Key{1: 1}.Clamp()
	m.WriteFile(t, "/etc/provision/provision.yaml", fmt.Sprintf(`version: 1
routing:
  wireguard:
    wg0:
      private-key: %s
      addresses: [10.97.98.1/24]
      listen-port: 51820
      peers:
        phone: {public-key: %s, allowed-ips: [10.97.98.2/32]}
`, private, wireguard.Key{1: 2}.Clamp().Public()), 0o600)
	const unit = "provision-wireguard@wg0.service"
	there := func() error {
		out, _, _ := m.Run(ctx, "sh", "-c", "systemctl is-active "+unit+"; ip -o addr show wg0; ip -o link show wg0; ls -l /run/wireguard")
		for _, want := range []string{"active\n", "10.97.98.1/24", ",UP", "wg0.sock"} {
			if !strings.Contains(out, want) || strings.HasPrefix(out, "inactive") {
				return fmt.Errorf("no %q in: %s", want, out)
			}
		}
		return nil
	}
	t.Log(m.MustRun(t, "provision", "apply"))
	if err := there(); err != nil {
		t.Fatal(err)
	}
	m.MustRun(t, "provision", "plan", "--exit-code")
	pid := strings.TrimSpace(m.MustRun(t, "systemctl", "show", "-P", "MainPID", unit))
	if cmdline := m.MustRun(t, "sh", "-c", "tr '\\0' ' ' < /proc/"+pid+"/cmdline"); !strings.Contains(cmdline, "wireguard run -- wg0") {
		t.Errorf("the unit runs %s", cmdline)
	}
	m.MustRun(t, "kill", "-9", pid)
	lab.Await(t, 30*time.Second, there)
	m.MustRun(t, "provision", "plan", "--exit-code")
	m.WriteFile(t, "/etc/tmpfiles.d/tun.conf", "c! /dev/net/tun 0666 root root - 10:200\n", 0o644)
	m.Reboot(t)
	lab.Await(t, 60*time.Second, there)
	m.AwaitAddrs(t, 20*time.Second, "eth0") // without a way out the MTU of the path is not known, and 1280
	m.MustRun(t, "provision", "plan", "--exit-code")
	t.Log(m.MustRun(t, "provision", "revert"))
	if out, _, _ := m.Run(ctx, "sh", "-c", "systemctl is-active "+unit+"; ip -o link show wg0 2>/dev/null; ls /run/wireguard"); strings.TrimSpace(out) != "inactive" {
		t.Errorf("after revert: %s", out)
	}
}
