//go:build lab && linux

package inside

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// TestVanish takes the controller away from under a gadget that is up: that is said, and the gadget is back with the controller.
// It is the last of its boot, in which no controller has come again before: see the README for what Linux 6.1 makes of that.
func TestVanish(t *testing.T) {
	bed.Controllers(t, 1)
	p := newPi(t, "gadget: {profile: modern}")
	p.up()
	bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm")
	tree := bed.Tree(t, "provision")
	bed.Vanish(t)
	for _, tt := range []struct{ what, says string }{{"status", "no controller"}, {"doctor", "controller"}, {"up", "no USB device controller"}} {
		out, code := p.run("gadget", tt.what)
		t.Logf("gadget %s without the controller: status %d\n%s", tt.what, code, out)
		if code == 0 || !strings.Contains(out, tt.says) {
			t.Errorf("gadget %s: status %d without %q", tt.what, code, tt.says)
		}
	}
	bed.Controllers(t, 1)
	s := p.up()
	bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm")
	if now := bed.Tree(t, "provision"); now != tree {
		t.Errorf("the gadget was\n%s\nand is\n%s", tree, now)
	}
	leased(t, s, bed.NewHost(t), "udhcpc")
}
