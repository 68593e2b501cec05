package killswitch

import (
	"strings"

	"github.com/provision-net/provision/routing/match"
)

// window opens and ends a captive portal's window. The kernel ends it too, by the timeouts of its
// elements: also when nobody is here any more to do it.
func (d *decision) window(a Ask) {
	switch {
	case a.Window && !a.Close:
		w := Window{Until: d.now + min(max(a.For, 0), d.c.window()), Self: a.Self, Client: a.Client.Unmap().WithZone("")}
		if a.For <= 0 {
			w.Until = d.now + d.c.window()
		}
		if why := d.noWindow(w); why != "" {
			d.log("kill switch: no window: %s", why)
			return
		}
		if d.s.Window.Until != 0 {
			d.clearWindow()
		}
		d.s.Window = w
		d.openWindow()
	case a.Close && d.s.Window.Until != 0:
		d.clearWindow()
		d.s.Window = Window{}
	case d.s.Window.Until != 0 && d.s.Window.Until <= d.now:
		d.log("kill switch: the window for %s is closed", d.s.Window.who())
		d.clearWindow()
		d.s.Window = Window{}
	}
}

func (d *decision) noWindow(w Window) string {
	switch {
	case !d.s.clean:
		return "the guard is not in place"
	case len(d.o.Uplinks) == 0:
		return "there is no way out"
	case !w.Self && !w.Client.IsValid():
		return "it has to be for this machine or for a client"
	}
	return ""
}

func (d *decision) openWindow() {
	w := d.s.Window
	left := w.Until - d.now
	add := func(set string, key []byte) { d.do(Action{Do: Add, Set: set, Key: key, Timeout: left}) }
	var names []string
	for _, u := range d.o.Uplinks {
		names = append(names, u.Name)
		if w.Self {
			add(SetSelf, match.NameKey(u.Name))
		}
		if w.Client.IsValid() {
			add(SetWindow, match.NameKey(u.Name))
		}
		for _, a := range u.DNS {
			if a = a.Unmap().WithZone(""); a.IsValid() {
				add(setOf(SetPortalDNS4, match.Family(a)), a.AsSlice())
			}
		}
	}
	if w.Client.IsValid() {
		add(setOf(SetClient4, match.Family(w.Client)), w.Client.AsSlice())
	}
	d.log("kill switch: a window of %s for %s by %s: name servers of the network, and TCP to %s", left, w.who(), strings.Join(names, ", "), joinPorts(d.c.windowPorts()))
}

func (d *decision) clearWindow() {
	for _, s := range []string{SetSelf, SetWindow, SetClient4, setOf(SetClient4, 6), SetPortalDNS4, setOf(SetPortalDNS4, 6)} {
		d.clear(s)
	}
}

func (w Window) who() string {
	var out []string
	if w.Self {
		out = append(out, "this machine")
	}
	if w.Client.IsValid() {
		out = append(out, w.Client.String())
	}
	return strings.Join(out, " and ")
}
