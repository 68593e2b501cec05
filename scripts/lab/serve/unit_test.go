//go:build lab && linux

package serve

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// The unit that `provision hook systemd serve` prints, under the systemd of both releases: it becomes ready, is kept
// alive by its watchdog, takes a reload, is started again after a kill -9, and has no more rights than it needs.
func TestUnit(t *testing.T) {
	need(t)
	p := onlyOurs(t)
	for _, root := range []string{"bookworm-ifupdown", "trixie-netplan"} {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{lab.NAT(), {Name: "eth1", Net4: "192.168.76.0/24", NoDHCP: true, NoRA: true, NoRouter: true}}})
			m := lab.Boot(t, lab.Root(t, root), w, lab.BootOpts{Binary: p.Binary, Config: lab.OnlyEth0})
			m.MustRun(t, "ip", "addr", "add", "10.55.0.1/24", "dev", "eth1")
			m.MustRun(t, "ip", "link", "set", "eth1", "up")
			config := "version: 1\nserve:\n  links: [{match: {name: eth1}}]\n"
			m.MustRun(t, "mkdir", "-p", "/etc/provision")
			m.WriteFile(t, "/etc/provision/provision.yaml", config, 0o600)
			m.WriteFile(t, "/etc/systemd/system/provision-serve.service", m.MustRun(t, "provision", "hook", "systemd", "serve"), 0o644)
			out, errs, _ := m.Run(context.Background(), "systemd-analyze", "verify", "--man=no", "/etc/systemd/system/provision-serve.service")
			if strings.TrimSpace(out+errs) != "" {
				t.Errorf("systemd says of the unit: %s%s", out, errs)
			}
			m.MustRun(t, "systemctl", "daemon-reload")
			begin := time.Now()
			m.MustRun(t, "systemctl", "start", "provision-serve.service") // returns once it is ready
			t.Logf("ready after %v", time.Since(begin).Round(time.Millisecond))

			status := func() string {
				out, errs, code := m.Run(context.Background(), "provision", "status")
				if code != 0 {
					t.Fatalf("provision status: %d\n%s%s\n%s", code, out, errs, m.Journal())
				}
				return out
			}
			// The advertiser waits for the end of duplicate address detection (RFC 4862 section 5.4), some two seconds.
			lab.Await(t, 10*time.Second, func() error {
				got := status()
				for _, want := range []string{"dhcp4: running", "dns 10.55.0.1: running", "dns fe80::", "ra: running", "dhcp6: running", "mdns: running", ": ready"} {
					if !strings.Contains(got, want) {
						return fmt.Errorf("status has no %q:\n%s", want, got)
					}
				}
				return nil
			})
			show := func(key string) string {
				return strings.TrimSpace(m.MustRun(t, "systemctl", "show", "--value", "-p", key, "provision-serve.service"))
			}
			if s := show("StatusText"); s != "serving 1 links" {
				t.Errorf("systemd was told %q", s)
			}
			if w := show("WatchdogTimestampMonotonic"); w == "0" || w == "" {
				t.Error("the watchdog is not fed")
			}
			pid := show("MainPID")
			m.WriteFile(t, "/etc/provision/provision.yaml", config+"  domain: other.lan\n", 0o600)
			m.MustRun(t, "systemctl", "reload", "provision-serve.service")
			lab.Await(t, 10*time.Second, func() error {
				if out := m.MustRun(t, "provision", "why", "52:54:00:12:34:56", "--reply", "--options", "15"); !strings.Contains(out, "other.lan") {
					return fmt.Errorf("the new domain is not told: %s", out)
				}
				return nil
			})
			if got := show("MainPID"); got != pid {
				t.Errorf("the reload was a restart: %s, then %s", pid, got)
			}
			m.MustRun(t, "kill", "-9", pid)
			lab.Await(t, 20*time.Second, func() error {
				if got := show("MainPID"); got == pid || got == "0" || show("ActiveState") != "active" {
					return fmt.Errorf("it is not back: %s", show("ActiveState"))
				}
				return nil
			})
			if modes := m.MustRun(t, "stat", "-c", "%a", "/var/lib/provision/serve", "/run/provision/serve.sock"); modes != "700\n600\n" {
				t.Errorf("modes of state and socket: %q", modes)
			}
			m.MustRun(t, "systemctl", "stop", "provision-serve.service")
			if r := show("Result"); r != "success" {
				t.Errorf("it stopped with %s\n%s", r, m.Journal())
			}
		})
	}
}
