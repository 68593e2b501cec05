//go:build lab && linux

package inside

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/provision/host"
	lamp "github.com/provision-net/provision/provision/host/led"
	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// TestUDCLight shows every state on a light of the real kernel, one of the keyboard that a gadget is to its host, and gives it back.
func TestUDCLight(t *testing.T) {
	bed.Controllers(t, 1)
	bed.Sh(t, "modprobe -a ledtrig_heartbeat ledtrig_timer ledtrig_pattern ledtrig_netdev")
	bed.ByHand(t, "hid")
	bed.Plugged(t, 0, "usbhid")
	var name string
	lab.Await(t, 10*time.Second, func() error {
		found, _ := filepath.Glob("/sys/class/leds/input*::capslock")
		for _, f := range found { // QEMU's own keyboard may have one too
			if to, err := os.Readlink(f); err == nil && strings.Contains(to, "dummy_hcd") {
				name = filepath.Base(f)
				return nil
			}
		}
		return fmt.Errorf("the keyboard has no light: %v", found)
	})
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	names, err := lamp.Names(root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := lamp.Choose(names, ""); !errors.Is(err, lamp.ErrNone) {
		t.Errorf("the light %q is taken for the board's: %v", got, err)
	}
	if got, err := lamp.Choose(names, name); got != name || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	read := func(attr string) string {
		b, _ := os.ReadFile("/sys/class/leds/" + name + "/" + attr)
		return strings.TrimSpace(string(b))
	}
	present := func() string {
		_, after, _ := strings.Cut(read("trigger"), "[")
		before, _, _ := strings.Cut(after, "]")
		return before
	}
	for _, former := range []string{"kbd-capslock", "timer", "none"} {
		bed.Sh(t, "echo "+former+" > /sys/class/leds/"+name+"/trigger")
		if former == "timer" {
			bed.Sh(t, "echo 123 > /sys/class/leds/"+name+"/delay_on; echo 456 > /sys/class/leds/"+name+"/delay_off")
		}
		l, err := lamp.Take(root, lamp.File("/run/light"), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range led.States() {
			var ways []lamp.Pattern
			for _, p := range led.Patterns(s, "lo") {
				way := lamp.Pattern{Trigger: p.Trigger}
				for _, a := range p.Attrs {
					way.Attrs = append(way.Attrs, lamp.Attr{Name: a.Name, Value: a.Value})
				}
				ways = append(ways, way)
				if err := l.Show([]lamp.Pattern{way}); err != nil || present() != p.Trigger {
					t.Errorf("%s by %s: %v, the trigger is %q", s, p.Trigger, err, present())
				}
			}
			if err := l.Show(ways); err != nil || present() != ways[0].Trigger {
				t.Errorf("%s: %v, the trigger is %q", s, err, present())
			}
		}
		if err := l.Giveback(); err != nil || present() != former {
			t.Errorf("%v, the trigger is %q, was %q", err, present(), former)
		}
		if former == "timer" && (read("delay_on") != "123" || read("delay_off") != "456") {
			t.Errorf("the timer is %s/%s", read("delay_on"), read("delay_off"))
		}
	}
}
