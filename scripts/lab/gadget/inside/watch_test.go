//go:build lab && linux

package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// watched has `gadget watch` running over what the configuration says, with the gadget up. They all have two controllers, because one
// that comes again is seldom of use to Linux 6.1 (README).
func watched(t *testing.T, config string) (*pi, *exec.Cmd) {
	t.Helper()
	bed.Controllers(t, 2)
	p := newPi(t, config)
	return p, watching(t)
}

func watching(t *testing.T) *exec.Cmd {
	t.Helper()
	w := started(t, "watch", "gadget", "watch", "-v")
	watchSays(t, "the watch to follow", func(l seenLife) bool { return l.State != "" })
	return w
}

// seenLife is what a watch says of the gadget that it follows.
type seenLife struct {
	State  string // of the controller, "" when there is none
	Leased bool
	Last   string `json:"last_action"`
}

// watchSays waits until the watch says so.
func watchSays(t *testing.T, what string, ok func(seenLife) bool) {
	t.Helper()
	lab.Await(t, 90*time.Second, func() error {
		text := bed.Sh(t, "provision gadget status -o json || [ $? = 2 ]")
		var s struct{ Gadgets []struct{ Life *seenLife } }
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return err
		}
		if len(s.Gadgets) != 1 || s.Gadgets[0].Life == nil || !ok(*s.Gadgets[0].Life) {
			return fmt.Errorf("waiting for %s: %s", what, text)
		}
		return nil
	})
}

// waitFor is wait for what takes longer, like all that the watch does only when it is sure.
func waitFor(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	lab.Await(t, limit, func() error {
		if !cond() {
			return errors.New("waited for " + what)
		}
		return nil
	})
}

// TestWatchLink has the watch move a network that another one gets in the way of, without an unplug, and show on a light how far the link
// has come. The light is that of a keyboard on the second controller.
func TestWatchLink(t *testing.T) {
	bed.Controllers(t, 2)
	bed.Sh(t, "modprobe -a ledtrig_timer ledtrig_pattern ledtrig_netdev")
	p := newPi(t, "gadget: {profile: modern, udc: dummy_udc.0}")
	t.Setenv("UDC", "dummy_udc.1")
	bed.ByHand(t, "hid")
	bed.Plugged(t, 1, "usbhid")
	var light string
	lab.Await(t, limit, func() error {
		found, _ := filepath.Glob("/sys/class/leds/input*::capslock")
		for _, f := range found {
			if to, err := os.Readlink(f); err == nil && strings.Contains(to, "dummy_hcd") {
				light = f
				return nil
			}
		}
		return errors.New("no light")
	})
	shows := func(trigger, flashes string) {
		t.Helper()
		lab.Await(t, limit, func() error {
			all, _ := os.ReadFile(light + "/trigger")
			pattern, _ := os.ReadFile(light + "/pattern")
			if !strings.Contains(string(all), "["+trigger+"]") || trigger == "pattern" && fmt.Sprint(strings.Count(string(pattern), " 150 ")) != flashes {
				return fmt.Errorf("the light is %s, %s; want %s %s", all, pattern, trigger, flashes)
			}
			return nil
		})
	}
	p.configure("gadget: {profile: modern, udc: dummy_udc.0, led: '" + filepath.Base(light) + "'}")
	w := watching(t)
	shows("pattern", "2")
	s := p.up()
	h := bed.NewHost(t)
	leased(t, s, h, "udhcpc")
	shows("pattern", "3")
	d, err := bed.Find(0)
	if err != nil {
		t.Fatal(err)
	}
	number, first := d.Attr("devnum"), s.Links[0].Addresses[0]
	bed.Sh(t, "ip link add other0 type dummy; ip link set other0 up; ip addr add 198.18.0.1/24 dev other0; ip route add default via 198.18.0.2 dev other0")
	t.Cleanup(func() { bed.Sh(t, "ip link del other0") })
	shows("netdev", "")
	began := time.Now()
	theirs := netip.PrefixFrom(first.Addr(), 24).Masked()
	bed.Sh(t, "ip route add "+theirs.String()+" dev other0")
	var now string
	waitFor(t, 40*time.Second, "another network", func() bool {
		now, _ = bed.Try("ip -4 -o addr show dev usb0")
		return strings.Contains(now, " inet ") && !strings.Contains(now, first.Addr().String())
	})
	t.Logf("%s became %s after %.1f s", first, strings.Fields(now)[3], time.Since(began).Seconds())
	if at := netip.MustParsePrefix(strings.Fields(now)[3]); at.Overlaps(theirs) {
		t.Errorf("%s is in %s", at, theirs)
	}
	if d, err := bed.Find(0); err != nil || d.Attr("devnum") != number {
		t.Errorf("the host has seen an unplug: %v", err)
	}
	stopped(t, w)
	shows("kbd-capslock", "")
}

// stopped ends a watch as the service manager does; the gadget stays.
func stopped(t *testing.T, w *exec.Cmd) {
	t.Helper()
	if err := w.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	wait(t, "the watch to end", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/exe", w.Process.Pid))
		return err != nil
	})
}

// TestWatchSilent has a host that does not know what modern is: classic comes in its place, and the host has its lease.
func TestWatchSilent(t *testing.T) {
	bed.Controllers(t, 2)
	bed.Sh(t, "modprobe -r cdc_ncm cdc_acm")
	t.Cleanup(func() { bed.Sh(t, "modprobe -a cdc_ncm cdc_acm") })
	p, _ := watched(t, "gadget: {profile: auto, rndis: true, udc: dummy_udc.0}")
	began := time.Now()
	waitFor(t, time.Minute, "classic", func() bool {
		d, err := bed.Find(0)
		if err != nil {
			return false
		}
		all := d.Interfaces() // asked once: they go while the watch changes them
		return len(all) > 0 && all[0].Driver == "cdc_ether"
	})
	t.Logf("classic after %.1f s of silence", time.Since(began).Seconds())
	s := p.up()
	if s.Result.Writes != 0 || len(s.Links) != 2 {
		t.Errorf("up over what the watch has made: %+v", s)
	}
	h := bed.NewHost(t)
	leased(t, s, h, "udhcpc")
	watchSays(t, "the lease", func(l seenLife) bool { return l.Leased })
}

// TestWatchSleep has the host let the device sleep, and wake up: the gadget is left as it is, and the link works on. dummy_hcd tells the
// gadget's driver of it, and leaves the controller's state at configured, so that what the watch makes of "suspended" is not seen here.
func TestWatchSleep(t *testing.T) {
	p, _ := watched(t, "gadget: {profile: modern, udc: dummy_udc.0}")
	s := p.up()
	h := bed.NewHost(t)
	leased(t, s, h, "udhcpc").Stop()
	tree := bed.Tree(t, "provision")
	d, err := bed.Find(0)
	if err != nil {
		t.Fatal(err)
	}
	number := d.Attr("devnum")
	h.Must("ip", "link", "set", "usb0", "down") // a NIC that is up keeps its device awake (cdc_ncm.c cdc_ncm_manage_power)
	bed.Sh(t, "cd "+string(d)+"; echo 0 > power/autosuspend_delay_ms; echo auto > power/control")
	asleep := func(want string) func() bool {
		return func() bool {
			now, _ := bed.Try("cat /sys/devices/platform/dummy_udc.0/gadget.*/suspended; cat " + string(d) + "/power/runtime_status")
			return strings.Join(strings.Fields(now), " ") == want
		}
	}
	waitFor(t, limit, "the device to sleep", asleep("1 suspended"))
	t.Logf("asleep the controller is %q", bed.State(0))
	time.Sleep(6 * time.Second) // more than what counts as an unplug where nobody senses VBUS
	h.Must("ip", "link", "set", "usb0", "up")
	bed.Sh(t, "echo on > "+string(d)+"/power/control")
	waitFor(t, limit, "the device to wake up", asleep("0 active"))
	h.AwaitCarrier("usb0", true)
	if a := h.Client(t, "udhcpc", "usb0").Settled(limit); !s.inside(0, a) {
		t.Errorf("leased %v", a)
	}
	if d.Attr("devnum") != number || bed.Tree(t, "provision") != tree {
		t.Errorf("the gadget has been touched")
	}
}

// TestWatchDead: a link that the driver complains of, on which frames leave and none comes, is bound anew.
func TestWatchDead(t *testing.T) {
	p, _ := watched(t, "gadget: {profile: modern, udc: dummy_udc.0}")
	s := p.up()
	h := bed.NewHost(t)
	leased(t, s, h, "udhcpc")
	watchSays(t, "the lease", func(l seenLife) bool { return l.Leased })
	number := at(t).Attr("devnum")
	h.Must("nft", "table netdev mute { chain out { type filter hook egress device usb0 priority 0; policy drop; }; }")
	// The complaint of a dwc2, and by the kernel itself: what others write to /dev/kmsg does not count. A module repeats the name of a
	// parameter that it does not know.
	bed.Sh(t, `insmod $(find /lib/modules -name ledtrig-heartbeat.ko) '"dwc2_hsotg_ep_stop_xfr: timeout DIEPINT.NAKEFF"=1'; dmesg | grep "ep_stop_xfr: timeout "`)
	t.Cleanup(func() { bed.Sh(t, "rmmod ledtrig_heartbeat") })
	began := time.Now()
	watchSays(t, "the gadget to be bound anew", func(l seenLife) bool { return l.Last == "rebind" })
	t.Logf("after %.1f s", time.Since(began).Seconds())
	bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm")
	if now := at(t).Attr("devnum"); now == number {
		t.Errorf("the host has seen nothing: %s", now)
	}
	leased(t, s, bed.NewHost(t), "udhcpc")
}

// TestWatchReturn takes the controller away and gives it back: the watch has the gadget on it again. What was taken down stays down.
func TestWatchReturn(t *testing.T) {
	p, _ := watched(t, "gadget: {profile: modern, udc: dummy_udc.0}")
	s := p.up()
	bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm")
	bed.Vanish(t)
	watchSays(t, "the controller to be missed", func(l seenLife) bool { return l.State == "" })
	bed.Controllers(t, 2)
	watchSays(t, "the controller", func(l seenLife) bool { return l.State == "configured" })
	waitFor(t, 40*time.Second, "the gadget", func() bool {
		said, _ := os.ReadFile("/sys/class/udc/dummy_udc.0/function")
		nic, err := os.ReadFile("/sys/class/net/usb0/operstate")
		return strings.TrimSpace(string(said)) == "provision" && err == nil && len(nic) > 0
	})
	leased(t, s, bed.NewHost(t), "udhcpc")
}
