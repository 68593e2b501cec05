//go:build lab && linux

package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/scripts/lab"
)

// TestNetworkdLeavesThemAlone makes what a tunnel and replies have, and lets the real daemon start
// again and configure its links anew: without our file and with it.
func TestNetworkdLeavesThemAlone(t *testing.T) {
	lab.Need(t, lab.Tier2)
	const restart, reload = "systemctl restart systemd-networkd.service", "networkctl reload"
	for _, tc := range []struct {
		root    string
		version string
		action  string
		deletes bool // without our file
		address bool // the address goes for a moment, and the kernel takes the routes of its NIC along
	}{
		{"bookworm-netplan", "252", restart, false, false},
		{"bookworm-netplan", "252", reload, true, true},
		{"trixie-netplan", "257", restart, true, false},
		{"trixie-netplan", "257", reload, true, false},
	} {
		t.Run(tc.root+"/"+strings.Fields(tc.action)[1], func(t *testing.T) {
			w := lab.NewWorld(t, lab.WorldOpts{})
			m := lab.Boot(t, lab.Root(t, tc.root), w, lab.BootOpts{})
			m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
			put := func() {
				for _, line := range []string{
					"route replace default via 192.168.76.2 dev eth1 table 15800 proto 158",
					"-6 route replace default via fe80::77 dev eth1 table 15800 proto 158",
					"route replace unreachable default table 15801 metric 4278198272 proto 158",
					"-6 route replace unreachable default table 15801 metric 4278198272 proto 158",
					"rule add from 192.0.2.77 lookup 15800 prio 25200 proto 158",
					"-6 rule add from 2001:db8:77::/64 iif lo lookup 15800 prio 25200 proto 158",
					"rule add not fwmark 0x1000000/0xff000000 lookup 15802 prio 25301 proto 158",
					"-6 rule add not fwmark 0x1000000/0xff000000 lookup 15802 prio 25301 proto 158",
				} {
					if _, msg, exit := m.Run(t.Context(), "ip", strings.Fields(line)...); exit != 0 && !strings.Contains(msg, "File exists") {
						t.Fatalf("ip %s: %s", line, msg)
					}
				}
			}
			ours := func() string {
				out := ""
				for _, args := range []string{"-4 route show table all proto 158", "-6 route show table all proto 158", "-4 rule", "-6 rule"} {
					for line := range strings.Lines(m.MustRun(t, "ip", strings.Fields(args)...)) {
						if strings.Contains(line, "158") && !(tc.address && strings.Contains(line, "dev eth1")) {
							out += strings.Join(strings.Fields(line), " ") + "\n"
						}
					}
				}
				return out
			}
			act := func() {
				t.Helper()
				if tc.action == reload {
					m.MustRun(t, "touch", "/run/systemd/network/10-netplan-eth1.network")
				}
				m.MustRun(t, strings.Fields(tc.action)[0], strings.Fields(tc.action)[1:]...)
				// It has done with its links when it says so.
				lab.Await(t, 20*time.Second, func() error {
					out, _, _ := m.Run(t.Context(), "networkctl", "list", "--no-legend")
					for _, dev := range []string{"eth0", "eth1"} {
						ok := false
						for line := range strings.Lines(out) {
							w := strings.Fields(line)
							ok = ok || len(w) > 4 && w[1] == dev && w[4] == "configured"
						}
						if !ok {
							return fmt.Errorf("%s is not configured: %s", dev, out)
						}
					}
					return nil
				})
				m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
			}
			put()
			before := ours()
			all := strings.Count(before, "\n")
			if all != 8 && !(tc.address && all == 6) {
				t.Fatalf("%d things are there:\n%s", all, before)
			}
			act()
			after := ours()
			t.Logf("without our file %s %s leaves %d of %d", tc.version, tc.action, strings.Count(after, "\n"), all)
			if deleted := after != before; deleted != tc.deletes {
				t.Errorf("deleted: %v, expected %v; left:\n%s", deleted, tc.deletes, after)
			}
			put()
			before = ours()

			f := &facts.Facts{Files: map[string]facts.File{}}
			f.Networkd.Daemon = facts.Daemon{Installed: true, Running: true, Version: tc.version}
			d := Networkd(f)
			m.MustRun(t, "mkdir", "-p", networkdDir)
			for _, want := range d.Wants {
				if want.Attrs[file.AttrType] == file.TypeFile {
					m.WriteFile(t, want.Name, want.Attrs[file.AttrContent], 0o644)
				}
			}
			if len(d.Triggers) != 1 {
				t.Fatalf("triggers: %v", d.Triggers)
			}
			m.MustRun(t, "systemctl", "restart", "systemd-networkd.service") // what the trigger does
			m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
			act()
			if after := ours(); after != before {
				t.Errorf("with our file, %s leaves\n%s\nof\n%s", tc.action, after, before)
			}
		})
	}
}
