// Package led drives one light of a board by the kernel's triggers (Documentation/leds/leds-class.rst,
// ABI/testing/sysfs-class-led*), and gives it back as it was. Polarity is the device tree's: 1 is on.
//
// A light whose former trigger is lost would blink our way for ever after a crash, so what it was is
// kept in a file as long as it is ours.
package led

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Dir is where lights are.
const Dir = "/sys/class/leds"

// Attr is one attribute of a trigger.
type Attr struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Pattern is a trigger with its attributes, written in this order. "{max}" in a value is replaced by
// the light's max_brightness.
type Pattern struct {
	Trigger string
	Attrs   []Attr
}

// ErrNone: the board has no light that is ours to use, or the kernel none of the triggers.
var ErrNone = errors.New("no light")

// Choose picks the light of a board among those that there are: the wanted one, or one that is
// known to be the board's own sign of life. Lights of keyboards, disks and network cards are never
// chosen. The names are those of Raspberry Pi (ACT, led0 with older
// device trees), BeagleBone (usr0), and of the functions that device trees give
// (include/dt-bindings/leds/common.h).
func Choose(names []string, wanted string) (string, error) {
	if wanted != "" {
		if !slices.Contains(names, wanted) || !valid(wanted) {
			return "", fmt.Errorf("%w: there is no %q; there are: %s", ErrNone, wanted, orNone(names))
		}
		return wanted, nil
	}
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	for _, fits := range []func(string) bool{
		is("ACT"), is("led0"), ends(":usr0"), ends(":activity"), ends(":status"), ends(":heartbeat"), ends(":indicator"), ends(":act"),
	} {
		for _, n := range sorted {
			if fits(n) && valid(n) {
				return n, nil
			}
		}
	}
	return "", fmt.Errorf("%w: none of these is known to be the board's: %s", ErrNone, orNone(names))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names[:min(len(names), 20)], " ")
}

func is(s string) func(string) bool { return func(n string) bool { return n == s } }

func ends(s string) func(string) bool {
	return func(n string) bool { return strings.HasSuffix(n, s) && !strings.HasPrefix(n, "input") }
}

func valid(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) < 256 && !strings.ContainsAny(name, "/\x00\n")
}

// triggers reads the attribute `trigger`: all names that the kernel has, the present one in brackets.
func triggers(text string) (all []string, present string) {
	for _, w := range strings.Fields(text) {
		if len(w) > 2 && w[0] == '[' && w[len(w)-1] == ']' {
			w = w[1 : len(w)-1]
			present = w
		}
		all = append(all, w)
	}
	return all, present
}

// own are the attributes of a trigger that make it what it is, in the order in which they are put
// back. Attributes of others are not kept: most triggers have none.
func own(trigger string) []string {
	switch trigger {
	case "timer":
		return []string{"delay_on", "delay_off"}
	case "oneshot":
		return []string{"delay_on", "delay_off", "invert"}
	case "heartbeat", "activity":
		return []string{"invert"}
	case "netdev":
		return []string{"device_name", "link", "rx", "tx", "interval"}
	case "pattern":
		return []string{"pattern", "repeat"}
	case "gpio":
		return []string{"gpio", "inverted", "desired_brightness"}
	case "none":
		return []string{"brightness"}
	}
	return nil
}
