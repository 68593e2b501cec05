//go:build lab && linux

package inside

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// TestLinkTunnel is the gadget behind a VPN as docs/wireguard.md has it: with the provider's file imported, what the laptop sends leaves
// by the tunnel and nowhere else, of both families, questions for names as well; with the provider gone, or with a kill switch and the
// tunnel itself gone, it leaves not at all.
func TestLinkTunnel(t *testing.T) {
	bed.Controllers(t, 1)
	w := bed.NewWifi(t)
	v := w.NewProvider(t)
	const gadget = "gadget: {profile: modern, router: full}\n"
	t.Cleanup(func() { bed.Sh(t, "ip link del wg0 2>/dev/null; rm -rf /etc/provision/wireguard.d /root/vpn.conf") })
	p := newPi(t, gadget)
	run := func(args ...string) {
		t.Helper()
		if out, code := p.run(args...); code != 0 {
			t.Fatalf("%s: status %d\n%s", args[0], code, out)
		}
	}
	run("apply")
	s := p.up()
	h := bed.NewHost(t)
	leased(t, s, h, "dhclient")
	wait(t, "default routes of both families", func() bool {
		return len(h.Defaults(4, "usb0")) == 1 && len(h.Defaults(6, "usb0")) == 1 && len(h.Addrs(6, "usb0")) > 0
	})
	reached := func(how, from4, from6 string) {
		t.Helper()
		for to, want := range map[string]string{bed.World4: from4, bed.World6: from6} {
			wait(t, how+": "+to+" from "+want, func() bool { from, err := h.Reach(to, 2*time.Second); return err == nil && from == want })
		}
	}
	reached("without a tunnel", bed.WifiAddr, bed.WifiAddr6)
	if seen := v.Beside(); len(seen) != 2 {
		t.Fatalf("the Wi-Fi's router has seen %q, and both families were used", seen)
	}

	if err := os.WriteFile("/root/vpn.conf", []byte(v.File), 0o600); err != nil {
		t.Fatal(err)
	}
	run("wireguard", "import", "/root/vpn.conf", "--interface", "wg0")
	v.Beside() // until now
	only := func(how string) {
		t.Helper()
		if seen := v.Beside(); len(seen) != 0 {
			t.Errorf("%s: beside the tunnel left %q", how, seen)
		}
	}
	behind := func(how string) {
		t.Helper()
		reached(how, bed.ProviderAddr, bed.ProviderAddr6)
		if got := h.Resolve(s.own(0, 4), bed.WorldName, "A"); got != bed.World4 {
			t.Errorf("%s: %s is %q", how, bed.WorldName, got)
		}
		if got := h.Resolve(bed.World4, bed.WorldName, "A"); got != bed.World4 { // a laptop with a name server of its own
			t.Errorf("%s: %s is %q at %s", how, bed.WorldName, got, bed.World4)
		}
		only(how)
	}
	silent := func(how string) {
		t.Helper()
		for _, to := range []string{bed.World4, bed.World6} {
			if from, err := h.Reach(to, 700*time.Millisecond); err == nil {
				t.Errorf("%s: %s was reached from %s", how, to, from)
			}
		}
		for _, server := range []string{s.own(0, 4), bed.World4} { // a name that nobody keeps yet
			out, _ := h.Call("dig", "+short", "+time=1", "+tries=1", "@"+server, fmt.Sprintf("n%d.world.example", time.Now().UnixNano()), "A")
			t.Logf("%s: %s says %q", how, server, out)
		}
		only(how)
	}
	behind("by the tunnel")
	v.Up(false)
	silent("the provider is gone")
	v.Up(true)

	p.configure(gadget + "routing: {kill-switch: {tunnel: wg0, endpoints: ['" + bed.ProviderAddr + ":51820']}}\n")
	run("apply")
	v.Beside()
	behind("with a kill switch")
	v.Up(false)
	bed.Sh(t, "ip link del wg0")
	silent("the tunnel is gone")
	bed.Sh(t, "set -e; for f in -4 -6; do all=$(ip $f rule | grep -o '^253[0-9]*'); for n in $all; do ip $f rule del pref $n; done; done")
	silent("and rules as well")
	v.Up(true)
	run("apply")
	v.Beside()
	behind("all is back")
}
