// Package led says by which light a board shows how far its USB link has come. It is a table:
// state to trigger of the kernel (Documentation/leds/leds-class.rst) and its attributes. Nothing
// blinks by a loop of this program, so a light goes on while the program is busy or dead.
//
// The code can be counted without knowing it: the number of flashes, then a pause, is how many
// parts of the way are there. A steady light that flickers with the traffic means that all is
// well; hectic flashing, that something is wrong.
package led

import "strconv"

// State is what is shown.
type State string

// The states, from bad to good.
const (
	Fault      State = "fault"      // no controller, or recovery was in vain
	NoHost     State = "no host"    // charger, cable for charging only, computer off, asleep
	Enumerated State = "enumerated" // a computer sees the device
	Leased     State = "leased"     // it has an address
	Uplink     State = "uplink"     // and the board has a way out
	Tunnel     State = "tunnel"     // and a tunnel is up
)

// States are all of them.
func States() []State { return []State{Fault, NoHost, Enumerated, Leased, Uplink, Tunnel} }

// Max in a value stands for the light's max_brightness.
const Max = "{max}"

// Attr is one attribute of a trigger, a file beside `trigger`.
type Attr struct{ Name, Value string }

// Pattern is a trigger with its attributes, written in this order once the trigger is set.
type Pattern struct {
	Trigger string
	Attrs   []Attr
}

// Patterns are the ways to show a state, the best first: kernels differ in their triggers, and
// `timer` is where any is. iface is the network device whose traffic is shown, empty for none.
func Patterns(s State, iface string) []Pattern {
	switch s {
	case Fault:
		return []Pattern{timer(100, 100), {Trigger: "heartbeat"}}
	case NoHost:
		return []Pattern{flashes(1), timer(100, 2900)}
	case Enumerated:
		return []Pattern{flashes(2), timer(100, 900)}
	case Leased:
		return []Pattern{flashes(3), timer(500, 500)}
	case Uplink:
		return steady(iface)
	case Tunnel:
		return append([]Pattern{flashes(4)}, timer(1900, 100))
	}
	return nil
}

// steady is on, and flickers with the traffic where the kernel can show that (ledtrig-netdev.c).
func steady(iface string) []Pattern {
	on := Pattern{Trigger: "none", Attrs: []Attr{{"brightness", Max}}}
	if iface == "" {
		return []Pattern{on}
	}
	return []Pattern{{Trigger: "netdev", Attrs: []Attr{{"device_name", iface}, {"link", "1"}, {"rx", "1"}, {"tx", "1"}}}, on}
}

// timer blinks, in milliseconds (ledtrig-timer.c).
func timer(on, off int) Pattern {
	return Pattern{Trigger: "timer", Attrs: []Attr{{"delay_on", strconv.Itoa(on)}, {"delay_off", strconv.Itoa(off)}}}
}

// flashes are n short ones and a pause of a second. A step of no length after each keeps
// ledtrig-pattern.c from fading between brightnesses.
func flashes(n int) Pattern {
	text := ""
	for i := range n {
		off := "250"
		if i == n-1 {
			off = "1250"
		}
		text += Max + " 150 " + Max + " 0 0 " + off + " 0 0 "
	}
	return Pattern{Trigger: "pattern", Attrs: []Attr{{"pattern", text[:len(text)-1]}}}
}
