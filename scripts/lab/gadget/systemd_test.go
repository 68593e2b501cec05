//go:build lab && linux

package gadget

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// On Debian with systemd the unit brings the gadget up when udev finds the controller, and both ends of the cable have what their
// manager does with them. Both ends are in one machine here, and its own kernel is the laptop's.
func TestSystemd(t *testing.T) {
	lab.Need(t, lab.Gadget)
	lab.Need(t, lab.Tier3)
	if os.Getenv("PROVISION_LAB_FULL") == "" {
		t.Skip("two systemd boots: PROVISION_LAB_FULL=1 runs it")
	}
	t.Parallel()
	for _, tt := range []struct {
		root   string
		state  string // of the gadget's interface at its manager
		laptop string // has the other end configured
	}{
		{"bookworm-nm", "nmcli -g GENERAL.STATE device show usb0", ""},
		{"bookworm-netplan", "networkctl --no-pager status usb0", `[Match]\nDriver=cdc_ncm\n[Network]\nDHCP=yes\n`},
	} {
		t.Run(tt.root, func(t *testing.T) {
			overlay := lab.Overlay{
				"/etc/modules-load.d/lab.conf":        {Content: "dummy_hcd\ncdc_ncm\ncdc_acm\n"},
				"/etc/provision/provision.yaml":       {Content: "version: 1\ngadget: {profile: modern}\n"},
				"/etc/systemd/network/10-lap.network": {Content: strings.ReplaceAll(tt.laptop, `\n`, "\n")},
			}
			v := lab.BootVM(t, lab.Root(t, tt.root), lab.VMOpts{Overlay: overlay, Binary: program(t)})
			await := func(what, script string, ok func(string) bool) string {
				t.Helper()
				var out string
				lab.Await(t, 2*time.Minute, func() error {
					var msg string
					out, msg, _ = v.Run(t.Context(), "sh", "-c", script)
					if !ok(out) {
						return fmt.Errorf("%s: %s%s", what, out, msg)
					}
					return nil
				})
				return out
			}
			active := func() {
				t.Helper()
				await("the units", "systemctl is-active provision-gadget provision-serve", func(s string) bool { return s == "active\nactive\n" })
				await("the gadget", "cat /sys/class/udc/*/function /sys/class/udc/*/state", func(s string) bool { return s == "provision\nconfigured\n" })
			}
			apply := func() {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				out, msg, exit := v.Run(ctx, "provision", "apply")
				if exit != 0 {
					t.Fatalf("provision apply: exit status %d\n%s%s", exit, out, msg)
				}
				t.Log(out)
			}
			apply()
			active()
			v.Reboot(t)
			active()
			t.Log(v.MustRun(t, "sh", "-c", "systemctl --no-pager status provision-gadget usb-gadget.target; provision gadget status || [ $? = 2 ]"))
			const laptop = `for d in /sys/class/net/*; do [ "$(basename "$(readlink $d/device/driver)")" = cdc_ncm ] && basename $d; done`
			nic := strings.TrimSpace(await("the laptop's NIC", laptop, func(s string) bool { return len(strings.Fields(s)) == 1 }))
			await("the laptop's lease", "ip -4 -o addr show dev "+nic, func(s string) bool { return strings.Contains(s, " dynamic ") })
			said := v.MustRun(t, "sh", "-c", tt.state+"; ip -o addr show dev usb0")
			t.Log(said)
			if !strings.Contains(said, "unmanaged") || strings.Contains(said, "dynamic") {
				t.Errorf("the gadget's interface: %s", said)
			}
			if tt.root != "bookworm-nm" {
				return
			}
			// The laptop shares its connection: a server of its own on its NIC, and NetworkManager asks it on ours.
			v.MustRun(t, "sh", "-c", `echo 'version: 1
gadget: {profile: modern, router: client}' > /etc/provision/provision.yaml
echo 'version: 1
serve: {links: [{match: {name: `+nic+`}, router: full}]}' > /root/laptop.yaml`)
			apply()
			v.MustRun(t, "sh", "-c", `systemctl stop provision-serve; nmcli device set `+nic+` managed no; ip addr flush dev `+nic+`; ip link set `+nic+` up; ip addr add 192.168.137.1/24 dev `+nic+`
systemd-run --unit laptop provision serve -c /root/laptop.yaml --state-dir /root/laptop --socket /run/laptop.sock`)
			said = await("a lease of ours", "ip -4 -o addr show dev usb0; nmcli -g GENERAL.STATE device show usb0; ip -4 route show default", func(s string) bool {
				return strings.Contains(s, "192.168.137.") && strings.Contains(s, "100 (connected)") && strings.Contains(s, "via 192.168.137.1 dev usb0")
			})
			t.Log(said)
		})
	}
}
