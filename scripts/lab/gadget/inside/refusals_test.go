//go:build lab && linux

package inside

import (
	"os"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// TestLifeRefusals: what cannot be is told with a status of its own, nothing is half-built, and what others have made is left as it was.
func TestLifeRefusals(t *testing.T) {
	bed.Controllers(t, 2)
	// Two trees of other programs, neither of them bound.
	bed.Sh(t, `for g in g1 rpi-usb; do mkdir -p `+bed.ConfigFS+`/$g/{strings/0x409,configs/c.1/strings/0x409,functions/ecm.usb0}; cd `+bed.ConfigFS+`/$g
echo 0x1d6b > idVendor; echo 02:00:00:00:00:01 > functions/ecm.usb0/dev_addr; ln -s $PWD/functions/ecm.usb0 configs/c.1/; done`)
	t.Cleanup(func() { bed.Wipe(t) })
	for _, tt := range []struct {
		name, config string
		before       func(t *testing.T)
		code         int
		says         []string
	}{
		{"unknown function", "{profile: custom, functions: [{type: warp}]}", nil, 64, []string{"warp"}},
		{"unknown controller", "{profile: modern, udc: nobody.0}", nil, 69, []string{"nobody.0"}},
		{"busy controller", "{profile: modern, udc: dummy_udc.0}", func(t *testing.T) {
			t.Setenv("UDC", "dummy_udc.0")
			bed.ByHand(t, "ecm")
		}, 4, []string{"byhand"}},
		{"more endpoints than USB has", "{profile: custom, functions: [" + strings.Repeat("{type: acm}, ", 8) + "]}", nil, 64, []string{"16 IN endpoints"}},
		{"more endpoints than the controller has", "{profile: custom, functions: [" + strings.Repeat("{type: acm}, ", 7) + "]}", nil, 1, []string{"too few endpoints"}},
		{"read-only configfs", "{profile: modern}", func(t *testing.T) {
			bed.Sh(t, "mount --bind /sys/kernel/config /sys/kernel/config && mount -o remount,bind,ro /sys/kernel/config")
			t.Cleanup(func() { bed.Sh(t, "umount /sys/kernel/config") })
		}, 1, []string{"read-only"}},
		{"no controller", "{profile: modern}", func(t *testing.T) { bed.Vanish(t) }, 69, []string{"no USB device controller", "dtoverlay=dwc2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != nil {
				tt.before(t)
			}
			trees := func() (all string) {
				for _, g := range bed.Gadgets() {
					all += bed.Tree(t, g)
				}
				return all
			}
			others := trees()
			alone(t, "gadget: "+tt.config)
			out, code := command(nil, "gadget", "up")
			t.Logf("status %d\n%s", code, out)
			if code != tt.code {
				t.Errorf("status %d, want %d", code, tt.code)
			}
			for _, word := range tt.says {
				if !strings.Contains(out, word) {
					t.Errorf("it does not say %q", word)
				}
			}
			if now := trees(); now != others {
				t.Errorf("the gadgets were\n%s\nand are\n%s", others, now)
			}
			if nics, _ := os.ReadDir("/sys/class/net"); tt.name != "busy controller" && len(nics) > 3 {
				t.Errorf("a network interface is left: %v", nics)
			}
		})
	}
}
