package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// States of a controller (drivers/usb/common/common.c, usb_state_string).
const (
	notAttached = "not attached"
	addressed   = "addressed"
	configured  = "configured"
	suspended   = "suspended"
)

// settle is how long a host may take between addressing a device and choosing its configuration: a PC that installs a driver
// takes some seconds.
const settle = 10 * time.Second

// host looks at what the host has done with a bound gadget.
func (e *exam) host(d Device, c facts.UDC, tree *facts.Gadget, up []facts.Link) {
	h := e.in.History[c.Name]
	since := e.since(h, c.State)
	e.wedged(d, c, up)
	switch c.State {
	case notAttached, "attached", "powered", "default":
		e.noHost(c, h, since)
	case addressed:
		if n := len(h); n == 0 || e.in.Now.Sub(h[n-1].At) >= settle {
			f := Finding{Code: NotConfigured, Severity: Error, Culprit: "the host has seen the device and does not choose its configuration",
				Evidence:   []string{e.state(c, since)},
				CannotTell: []string{"what the host has against it: its own log says (dmesg, Device Manager)"},
				Cure:       []string{"plug into a port of the computer itself: a bus-powered hub refuses more than 100 mA", "give the gadget a smaller max-power", "look into the host's log"}}
			if len(tree.Configs) > 0 && tree.Configs[0].MaxPower != "" {
				f.Evidence = append(f.Evidence, tree.Configs[0].Name+" asks for "+tree.Configs[0].MaxPower+" mA")
			}
			e.found(80, f)
		}
	case suspended:
		e.suspended(d, c, h, since, tree)
	case configured:
		e.configured(d, c, since, tree, up)
	}
}

// since says from when on the state has been so: " for 5m0s", or nothing.
func (e *exam) since(h []Seen, state string) string {
	if n := len(h); n > 0 && h[n-1].State == state && !e.in.Now.IsZero() {
		return " for " + e.in.Now.Sub(h[n-1].At).Round(time.Second).String()
	}
	return ""
}

func (e *exam) state(c facts.UDC, since string) string {
	return fmt.Sprintf("/sys/class/udc/%s/state: %s%s", c.Name, c.State, since)
}

// noHost tells apart, as far as that can be done: a host that was there, one that
// tries and fails, and none at all.
func (e *exam) noHost(c facts.UDC, h []Seen, since string) {
	last, tries, reached := time.Time{}, 0, false
	for i, s := range h {
		switch s.State {
		case addressed, configured, suspended:
			reached = true
			if last = e.in.Now; i+1 < len(h) {
				last = h[i+1].At
			}
			tries = 0
		case "default":
			tries++
		}
	}
	ev := []string{e.state(c, since)}
	switch {
	case tries >= 2:
		f := Finding{Code: Enumeration, Severity: Error, Culprit: "the host begins to talk to the device and fails, again and again: a bad cable or hub, or too little power",
			Evidence: append(ev, fmt.Sprintf("it was reset %d times since %s and never addressed", tries, h[0].At.UTC().Format(time.RFC3339))),
			Cure:     []string{"take another cable, short and without an adapter", "plug into a port of the computer itself, not into a hub", "power the board by its own supply where it has one"}}
		e.found(82, f)
	case reached:
		e.found(55, Finding{Code: HostGone, Severity: Note, Culprit: "the host is gone: unplugged, switched off, or asleep without power on its port",
			Evidence: append(ev, fmt.Sprintf("until %s a host had it addressed, so cable and controller carry data", last.UTC().Format(time.RFC3339))),
			Cure:     []string{"plug in again, or wake the host"}})
	default:
		f := Finding{Code: NoHost, Severity: Warning, Culprit: "no host is seen: nothing is plugged in, the host is off, or the cable only charges", Evidence: ev,
			CannotTell: []string{"whether there is power on the cable: the controller does not tell it here, and a charge-only cable looks like none"},
			Cure:       []string{"take a cable that is known to carry data", "plug into a running computer, without a hub"}}
		if len(h) > 0 {
			f.Evidence = append(f.Evidence, "watched since "+h[0].At.UTC().Format(time.RFC3339)+": no host was ever there")
		}
		b, pi := e.board()
		if pi && strings.HasPrefix(b.Name, "Raspberry Pi Zero") {
			f.Cure = append([]string{"take the port marked USB: the one marked PWR carries no data"}, f.Cure...)
		}
		if c.OTG && pi && !b.PD {
			f.Evidence = append(f.Evidence, "the controller is OTG: an adapter that grounds the ID pin makes it a host")
			f.Cure = append(f.Cure, "write dr_mode=peripheral behind dtoverlay=dwc2 in config.txt")
		}
		e.found(75, f)
		if pi && b.PD {
			e.found(74, Finding{Code: USBPD, Severity: Warning, Culprit: "the negotiation of power on USB-C may keep the host from looking at the device",
				Evidence:   append(slices.Clone(ev), e.f.Machine.Board+" is powered by the port that is the device; Apple hosts are known to stop there (raspberrypi/linux issue 6569)"),
				CannotTell: []string{"which host it is"},
				Cure:       []string{"put a USB-A port, or a hub with a power supply of its own, between them", "power the board by its pins"}})
		}
	}
}

// suspended tells a host that sleeps from one that has no driver: Windows suspends
// what nobody uses, soon after it was plugged in.
func (e *exam) suspended(d Device, c facts.UDC, h []Seen, since string, tree *facts.Gadget) {
	ev := []string{e.state(c, since)}
	heard := false
	for _, l := range e.in.Links {
		if e.in.Server != nil && !e.in.Server.Heard[l.Name].IsZero() {
			heard = true
		}
	}
	if n := len(h); n >= 2 && !heard && e.in.Server != nil && h[n-1].State == suspended && h[n-2].State != suspended {
		if awake := h[n-1].At.Sub(plugged(h)); awake < time.Minute {
			e.noDriver(d, tree, append(ev, fmt.Sprintf("suspended %v after it was plugged in, and no packet ever came", awake.Round(time.Second))))
			return
		}
	}
	e.found(70, Finding{Code: Suspended, Severity: Note, Culprit: "the host has put the device to sleep: it sleeps itself, or saves power on this port", Evidence: ev, Cure: []string{"wake the host", "switch off power saving for the device there"}})
}

// plugged is when the present plug began.
func plugged(h []Seen) time.Time {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].State == notAttached {
			if i+1 < len(h) {
				return h[i+1].At
			}
			return h[i].At
		}
	}
	return h[0].At
}

// configured looks at the data interface.
func (e *exam) configured(d Device, c facts.UDC, since string, tree *facts.Gadget, up []facts.Link) {
	if len(up) == 0 {
		return
	}
	var names []string
	for _, l := range up {
		names = append(names, l.Name)
		if l.Carrier {
			e.silent(d, c, up)
			return // of two configurations a host uses one
		}
	}
	e.noDriver(d, tree, []string{e.state(c, since), strings.Join(names, " and ") + " up on this side, no carrier: the host has not switched the data interface on"})
}

func (e *exam) noDriver(d Device, tree *facts.Gadget, ev []string) {
	f := Finding{Code: NoDriver, Severity: Error, Culprit: "the host has taken the device and has no driver for its network card, or has not started it", Evidence: ev,
		CannotTell: []string{"which system the host runs, as long as it sends nothing"}}
	has := func(kind string) bool {
		return slices.ContainsFunc(d.Functions, func(fn Function) bool { return fn.Type == kind })
	}
	for _, fn := range tree.Functions {
		want := map[string]string{"ncm": "WINNCM", "rndis": "RNDIS"}[fn.Type]
		if want != "" && fn.OSDesc != want {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s has the compatible id %q, Windows looks for %s", fn.Name, fn.OSDesc, want))
		}
	}
	if (has("ncm") || has("rndis")) && !tree.OSDesc.Use {
		f.Evidence = append(f.Evidence, "os_desc/use is 0: Windows is not told which driver to take")
	}
	f.Cure = []string{"unplug and plug in again: macOS sometimes leaves NCM off for good"}
	switch {
	case !has("rndis") && !has("ncm"):
		f.Cure = append(f.Cure, "Windows has no driver for ECM and EEM: profile modern, windows or auto")
	case !has("rndis"):
		f.Cure = append(f.Cure, "for Windows before 10: profile windows, or auto with rndis: true")
	case !has("ncm"):
		f.Cure = append(f.Cure, "for macOS, which knows no RNDIS: profile modern or auto")
	}
	f.Cure = append(f.Cure, "on Windows: remove the device in the Device Manager and plug in again, so that it asks anew")
	e.found(78, f)
}

// silent looks for a link that is up on both sides and on which the host sends nothing.
func (e *exam) silent(d Device, c facts.UDC, up []facts.Link) {
	for _, l := range up {
		if !l.Carrier {
			continue
		}
		s := e.in.Counts[l.Name]
		if len(s) == 0 {
			e.blind("the packet counters of %s", l.Name)
			continue
		}
		last := s[len(s)-1]
		if last.RX > 0 {
			e.well("packets on "+l.Name, "%d received, %d sent", last.RX, last.TX)
			continue
		}
		f := Finding{Code: Silent, Severity: Warning, Culprit: "the host has never sent a packet on " + l.Name, Evidence: []string{fmt.Sprintf("%s: carrier, %d packets received, %d sent", l.Name, last.RX, last.TX)},
			Cure: []string{"switch the network card on in the host's settings, and let it take its address by DHCP", "unplug and plug in again"}}
		for _, fn := range d.Functions {
			if fn.Type == "rndis" && strings.EqualFold(fn.MAC, l.MAC) {
				f.Evidence = append(f.Evidence, "with RNDIS the carrier comes before the host's driver has started")
				f.CannotTell = append(f.CannotTell, "whether its driver runs at all")
			}
		}
		e.found(72, f)
	}
}

// wedged looks for endpoints that hang: what dwc2 says in the log and the counters
// must agree for an error (raspberrypi/linux issues 4181 and 7188).
func (e *exam) wedged(_ Device, c facts.UDC, up []facts.Link) {
	lines := e.log("ep_stop_xfr: timeout", 2)
	if len(lines) == 0 {
		return
	}
	f := Finding{Code: Wedged, Severity: Warning, Culprit: "the controller has had endpoints that would not stop", Evidence: lines,
		Cure: []string{"unplug and plug in again", "provision gadget down; provision gadget up", "update the kernel: raspberrypi/linux mended several causes"}}
	weight := 45
	for _, l := range up {
		s := e.in.Counts[l.Name]
		if n := len(s); n >= 2 && l.Carrier && c.State == configured {
			a, b := s[0], s[n-1]
			switch {
			case b.RX == a.RX && b.TX > a.TX:
				weight, f.Severity, f.Culprit = 86, Error, "the controller's receiving endpoint hangs on "+l.Name
				f.Evidence = append(f.Evidence, fmt.Sprintf("%s: in %v %d packets sent and none received", l.Name, b.At.Sub(a.At).Round(time.Second), b.TX-a.TX))
			case b.RX > a.RX:
				return // it has recovered
			}
		}
	}
	e.found(weight, f)
}
