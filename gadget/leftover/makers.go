package leftover

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision/facts"
)

// maker is a program or guide that makes gadgets, and what it is known by.
type maker struct {
	name    string
	trees   []string // names of its directory
	strings []string // manufacturer or product as it writes them
	units   []string
	files   []string
	why     string // filled by madeBy
}

// makers are those that were read: the names are what their own files say.
var makers = []maker{
	{name: "rpi-usb-gadget", units: []string{"rpi-usb-gadget-ics.service"}, files: []string{"/usr/bin/rpi-usb-gadget"}},
	{name: "P4wnP1", trees: []string{"mame82_gadget"}, strings: []string{"MaMe82"}, units: []string{"P4wnP1.service"}, files: []string{"/usr/local/bin/P4wnP1_service"}},
	{name: "the isticktoit.net guide", trees: []string{"isticktoit"}, strings: []string{"iSticktoit.net USB Device", "Tobias Girstmair"}, units: []string{"isticktoit.service"}, files: []string{"/usr/bin/isticktoit_usb"}},
	{name: "PiKVM", trees: []string{"kvmd"}, strings: []string{"PiKVM"}, units: []string{"kvmd-otg.service"}, files: []string{"/usr/bin/kvmd-otg"}},
	{name: "the hardill.me.uk guide", trees: []string{"pi4", "display-pi"}, strings: []string{"Ben Hardill"}, units: []string{"usbgadget.service"}, files: []string{"/usr/local/sbin/usbgadget.sh", "/root/usb.sh"}},
	{name: "pi400kb", trees: []string{"pi400kb"}, units: []string{"pi400kb.service"}, files: []string{"/usr/bin/pi400kb"}},
	{name: "WLAN Pi", trees: []string{"wlanpi_gadget"}, strings: []string{"WLAN Pi Project"}},
	{name: "BeagleBoard's scripts", units: []string{"bb-usb-gadgets.service"}, strings: []string{"BeagleBoard.org"}, files: []string{"/usr/bin/bb-start-usb-gadgets"}},
	{name: "pwnagotchi", units: []string{"pwnagotchi.service"}, files: []string{"/usr/bin/pwnagotchi-launcher", "/usr/local/bin/pwnagotchi-launcher"}},
}

// madeBy recognises a tree by its name, then by its strings.
func madeBy(g facts.Gadget) maker {
	for _, m := range makers {
		if slices.Contains(m.trees, g.Name) {
			m.why = fmt.Sprintf("%s calls its gadget so", m.name)
			return m
		}
	}
	for _, m := range makers {
		for _, s := range []string{g.Manufacturer, g.ProductName} {
			if slices.Contains(m.strings, s) {
				m.why = fmt.Sprintf("%s names its device %q", m.name, s)
				return m
			}
		}
	}
	return maker{}
}
