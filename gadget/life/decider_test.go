package life

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/gadget/verdict"
)

func start(t *testing.T, c Config) *world {
	w := newWorld(t, c, verdict.Table{})
	w.set(NotAttached)
	return w
}

func TestHealthyHostsAreLeftAlone(t *testing.T) {
	w := start(t, auto())
	w.run(time.Hour)
	w.plugIn(linuxHost)
	w.run(24 * time.Hour)
	w.unplug()
	w.run(time.Hour)
	w.plugIn(linuxHost)
	w.run(time.Hour)
	w.want("")
	if len(w.all) > 40 {
		t.Errorf("%d actions in a day of nothing", len(w.all))
	}
	if s := w.d.Status(); !s.Spoke || s.Plugs != 2 || s.Profile != verdict.Modern || s.LED != led.Leased || !strings.Contains(s.Verdict, "can use it") {
		t.Errorf("%+v", s)
	}
}

func TestNobodyIsNormal(t *testing.T) {
	for _, s := range []State{NotAttached, Attached, Powered, Reconnecting, Unauthenticated} {
		w := newWorld(t, auto(), verdict.Table{})
		w.set(s)
		w.tell(Logged{"dwc2 20980000.usb: dwc2_hsotg_ep_stop_xfr: timeout GINTSTS.GOUTNAKEFF"})
		w.run(1000 * time.Hour)
		w.want("")
		if len(w.all) > 1 || w.d.shown != led.NoHost {
			t.Errorf("%s: %v", s, w.all)
		}
	}
}

func TestClassicForAHostThatNeedsIt(t *testing.T) {
	for name, h := range map[string]hostModel{"configures": windows7, "suspends": driverless} {
		t.Run(name, func(t *testing.T) {
			w := start(t, auto())
			w.plugIn(h)
			w.run(5 * time.Minute)
			if name == "configures" {
				w.want("reconnect, switch classic")
			} else {
				w.want("switch classic")
			}
			if s := w.d.Status(); !s.Spoke || s.Profile != verdict.Classic || !strings.HasPrefix(s.Verdict, "classic: ") {
				t.Errorf("%+v", s)
			}
			w.unplug()
			w.run(time.Hour)
			w.plugIn(h) // at once, this time
			w.run(time.Hour)
			w.want("")
			w.unplug()
			w.run(time.Minute)
			w.plugIn(linuxHost) // works too, and says that it knows the modern one
			w.run(time.Minute)
			w.want("")
			w.unplug()
			w.run(time.Minute)
			w.want("switch modern")
			w.plugIn(linuxHost)
			w.run(time.Hour)
			w.want("")
		})
	}
}

func TestClassicOnlyWhereAllowed(t *testing.T) {
	for name, c := range map[string]Config{
		"no rndis":  {Profile: verdict.Modern, Auto: true},
		"not auto":  {Profile: verdict.Modern, NCM: true},
		"by choice": {Profile: "custom"},
	} {
		w := start(t, c)
		w.plugIn(windows7)
		w.run(time.Hour)
		if name == "by choice" {
			w.want("report")
		} else {
			w.want("reconnect, report")
		}
	}
}

func TestMacThatLeavesTheDataInterfaceOff(t *testing.T) {
	w := start(t, auto())
	w.plugIn(macAltZero)
	w.run(time.Hour)
	w.want("reconnect")
	if s := w.d.Status(); !s.Spoke || s.Profile != verdict.Modern {
		t.Errorf("%+v", s)
	}
}

func TestSilentOnBoth(t *testing.T) {
	w := start(t, auto())
	w.plugIn(firmware)
	w.run(time.Hour)
	w.want("reconnect, switch classic, report")
	w.unplug()
	w.run(4 * time.Second)
	w.want("")
	w.run(2 * time.Second)
	w.want("switch modern")
}

// Firmware, boot loader and system take the device over from each other.
func TestBootingHostIsLeftAlone(t *testing.T) {
	w := start(t, auto())
	w.plugIn(firmware)
	w.run(10 * time.Second)
	for range 5 {
		w.enumerate()
		w.run(70 * time.Second)
	}
	w.want("")
	w.host = &linuxHost
	w.enumerate()
	w.run(time.Hour)
	w.want("")
}

func TestQuietServer(t *testing.T) {
	w := start(t, auto())
	w.plugIn(serverLinux)
	w.run(50 * time.Second)
	w.want("")
	w.run(time.Hour)
	w.want("switch classic, report")
}

func TestSoftConnectThatDoesNotWork(t *testing.T) {
	w := start(t, auto())
	w.softBroken = true
	w.plugIn(macAltZero)
	w.run(time.Hour)
	w.want("reconnect, rebind") // the second enumeration mends macOS too
	if s := w.d.Status(); !s.SoftBroken || !s.Spoke {
		t.Errorf("%+v", s)
	}
	w.unplug()
	w.run(time.Minute)
	w.plugIn(macAltZero)
	w.run(20 * time.Second)
	w.want("") // not again
	w = start(t, Config{Profile: verdict.Modern, Auto: true, Classic: true, NoSoft: true})
	w.plugIn(macAltZero)
	w.run(time.Minute)
	w.want("switch classic, report")
}

// The cable is pulled while a soft reconnect is waited for.
func TestPulledWhileWaiting(t *testing.T) {
	w := start(t, auto())
	w.plugIn(macAltZero)
	w.run(15600 * time.Millisecond)
	w.want("reconnect")
	w.unplug()
	w.run(time.Hour)
	w.want("rebind") // once: it cannot be told from a soft_connect that does not work
}

const complaint = "dwc2 20980000.usb: dwc2_hsotg_ep_stop_xfr: timeout GINTSTS.GOUTNAKEFF"

func TestLadder(t *testing.T) {
	for level, want := range map[int]string{
		1: "reconnect",
		2: "reconnect, rebind",
		3: "reconnect, rebind, rebind-driver",
		4: "reconnect, rebind, rebind-driver, report",
	} {
		c := auto()
		c.Driver = true
		w := start(t, c)
		w.plugIn(linuxHost)
		w.run(time.Minute)
		w.wedged, w.wedgeLevel = true, level
		w.run(time.Minute)
		w.want("") // a silent host alone is no evidence
		for range 600 {
			if w.wedged && w.state == Configured {
				w.tell(Logged{complaint})
			}
			w.run(time.Second)
		}
		w.want(want)
		if s := w.d.Status(); (s.LED == led.Fault) != (level == 4) || (s.Fault != "") != (level == 4) {
			t.Errorf("level %d: %+v", level, s)
		}
		if level == 4 {
			w.unplug()
			w.run(time.Minute)
			w.wedged = false
			w.plugIn(linuxHost)
			w.run(time.Minute)
			w.want("")
			if s := w.d.Status(); s.Fault != "" || s.LED != led.Leased {
				t.Errorf("after another plug: %+v", s)
			}
		}
	}
}

func TestNothingIsRevivedWhileTheHostBoots(t *testing.T) {
	w := start(t, auto())
	w.plugIn(linuxHost)
	w.run(time.Minute)
	w.setCarrier(false)
	w.enumerate()
	w.run(2 * time.Second)
	w.wedged, w.wedgeLevel = true, 1
	for range 80 {
		w.tell(Logged{complaint})
		w.run(time.Second)
	}
	w.want("")
	w.run(20 * time.Second)
	w.want("reconnect")
}

func TestComplaintWithoutTrafficIsNoEvidence(t *testing.T) {
	w := start(t, auto())
	w.plugIn(linuxHost)
	w.run(time.Minute)
	w.wedged, w.wedgeLevel, w.stuck = true, 4, true
	for range 600 {
		w.tell(Logged{complaint})
		w.run(time.Second)
	}
	w.want("")
}

func TestComplaintWithTrafficIsNoEvidence(t *testing.T) {
	w := start(t, auto())
	w.plugIn(linuxHost)
	for range 3000 {
		w.tell(Logged{complaint})
		w.traffic(1)
		w.run(time.Second)
	}
	w.want("")
	for _, line := range []string{"", "dwc2 20980000.usb: new device is high-speed", "dwc2_hsotg_ep_stop_xfr: started", "usb 1-1: timeout"} {
		if Complaint(line) {
			t.Errorf("%q is a complaint", line)
		}
	}
}

func TestWokenUp(t *testing.T) {
	w := start(t, auto())
	w.plugIn(linuxHost)
	w.run(time.Minute)
	for range 3 { // wakes up well
		w.set(Suspended)
		w.run(time.Hour)
		w.set(Configured)
		w.traffic(5)
		w.run(time.Minute)
	}
	w.want("")
	w.set(Suspended)
	w.run(time.Hour)
	w.stuck = true
	w.set(Configured)
	for range 40 {
		w.traffic(1)
		w.run(time.Second)
	}
	w.want("reconnect")
	w.set(Suspended)
	w.run(time.Minute)
	w.stuck, w.wedged, w.wedgeLevel = true, true, 4 // a host that is not awake yet sends nothing
	w.set(Configured)
	w.run(time.Hour)
	w.want("")
}

// Without VBUS sense a pulled cable is a suspended bus, and another host a bus reset.
func TestPlugSeenAsSuspend(t *testing.T) {
	w := start(t, auto())
	w.plugIn(windows7)
	w.run(5 * time.Minute)
	w.want("reconnect, switch classic")
	w.setCarrier(false)
	w.set(Suspended)
	w.run(time.Hour)
	w.plugIn(linuxHost)
	w.run(time.Hour)
	w.want("")
	if s := w.d.Status(); s.Plugs != 2 || !s.Spoke || !strings.HasPrefix(s.Verdict, "modern: ") {
		t.Errorf("%+v", s)
	}
}

func TestControllerThatComesBack(t *testing.T) {
	w := start(t, auto())
	w.plugIn(linuxHost)
	w.run(time.Minute)
	w.setCarrier(false)
	w.set(Absent)
	w.run(time.Hour)
	w.want("")
	if s := w.d.Status(); s.LED != led.Fault {
		t.Errorf("%+v", s)
	}
	w.set(NotAttached)
	w.run(time.Second)
	w.want("restore")
	w.enumerate()
	w.run(time.Minute)
	w.want("")
	if s := w.d.Status(); s.LED != led.Leased {
		t.Errorf("%+v", s)
	}
}

func TestFailedSwitch(t *testing.T) {
	w := start(t, auto())
	d := w.d
	now := epoch
	for _, s := range []State{Default, Addressed} {
		d.Take(now, UDC{s})
	}
	now = now.Add(time.Minute)
	acts := d.Wake(now)
	if len(acts) != 1 || acts[0].Do != Switch {
		t.Fatalf("%v", acts)
	}
	d.Take(now, Done{Do: Rebind}) // of nothing that was ordered
	if d.pending != Switch {
		t.Error("somebody else's end was taken")
	}
	acts = d.Take(now, Done{Do: Switch, Err: errors.New("the kernel has no rndis")})
	if s := d.Status(); s.Fault != "cannot switch: the kernel has no rndis" || s.LED != led.Fault || s.Profile != verdict.Modern || len(acts) == 0 {
		t.Errorf("%+v, %v", s, acts)
	}
	for range 100 { // not again in this plug
		now = now.Add(time.Minute)
		for _, a := range d.Wake(now) {
			if a.Do != Report {
				t.Errorf("%+v", a)
			}
		}
	}
}

// What the host said to the old profile while the new one was put there is no praise of the new.
func TestHeardWhileSwitching(t *testing.T) {
	w := start(t, auto())
	for _, s := range []State{Default, Addressed} {
		w.d.Take(epoch, UDC{s})
	}
	now := epoch.Add(time.Minute)
	w.d.Wake(now)
	w.d.Take(now, Heard{"usb0", linuxHost.seen})
	w.d.Take(now, Done{Do: Switch})
	if s := w.d.Status(); s.Profile != verdict.Classic || s.Spoke || len(w.d.Table().Hosts()) > 0 {
		t.Errorf("%+v %v", s, w.d.Table())
	}
	w.d.Take(now.Add(time.Second), UDC{Configured})
	w.d.Take(now.Add(time.Second), Heard{"usb0", windows7.seen})
	if h := w.d.Table().Hosts(); len(h) != 1 || h[0].Classic != verdict.Worked || h[0].Modern != verdict.Failed {
		t.Errorf("%+v", h)
	}
}

// A controller that says `configured` whatever happens, and tells nothing.
func TestControllerThatTellsNothing(t *testing.T) {
	d := New(auto(), verdict.Table{}, epoch)
	d.Take(epoch, UDC{Configured})
	now := epoch.Add(15 * time.Second)
	if acts := d.Wake(now); len(acts) != 1 || acts[0].Do != Reconnect {
		t.Fatalf("%v", acts)
	}
	d.Take(now, Done{Do: Reconnect})
	now = now.Add(15 * time.Second)
	if acts := d.Wake(now); len(acts) != 1 || acts[0].Do != Rebind {
		t.Fatalf("%v", acts)
	}
}

func TestOverlap(t *testing.T) {
	w := start(t, auto())
	list := []Overlap{{netip.MustParsePrefix("10.55.0.0/29"), netip.MustParsePrefix("10.0.0.0/8"), "wlan0"}}
	for range 20 { // a route that comes and goes
		w.tell(Overlaps{list})
		w.run(9 * time.Second)
		w.tell(Overlaps{})
		w.run(time.Second)
	}
	w.want("")
	w.tell(Overlaps{list})
	w.run(time.Minute)
	w.want("readdress")
	if last := w.d.Status(); !strings.Contains(last.LastWhy, "10.55.0.0/29 of the gadget overlaps with 10.0.0.0/8 of wlan0") || last.Overlap == "" {
		t.Errorf("%+v", last)
	}
	w.run(24 * time.Hour) // it lasts: ever more rarely
	w.want("readdress, readdress, readdress, readdress, readdress, readdress")
	w.tell(Overlaps{})
	w.run(1000 * time.Hour)
	w.want("")
}

func TestLights(t *testing.T) {
	w := start(t, auto())
	var lights []led.State
	w.each = func(a Action) {
		if a.Do == Show {
			lights = append(lights, a.LED)
		}
	}
	w.plugIn(linuxHost)
	w.run(time.Minute)
	w.tell(Ways{Uplink: true})
	w.tell(Ways{Uplink: true, Tunnel: true})
	w.tell(Ways{Uplink: true, Tunnel: true})
	w.set(Suspended)
	w.set(Configured)
	w.tell(Ways{})
	w.unplug()
	w.run(time.Minute)
	w.plugIn(linuxHost) // its lease is not the old one's
	w.run(time.Minute)
	w.setCarrier(false)
	w.set(Absent)
	want := []led.State{led.Enumerated, led.Leased, led.Uplink, led.Tunnel, led.NoHost, led.Tunnel, led.Leased, led.NoHost, led.Enumerated, led.Leased, led.Fault}
	if !slices.Equal(lights, want) {
		t.Errorf("%q, want %q", lights, want)
	}
}
