package gadget

import (
	"net/netip"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
)

// Input is what Plan decides from.
type Input struct {
	Facts *facts.Facts
	// Settled is what has been found out about the host that is plugged in now, for gadgets with
	// profile auto, by the gadget's name: Modern or Classic. What is missing is Modern.
	Settled map[string]string
	// Images are what the paths of Config.Images are; a path that is missing is refused.
	Images map[string]Image
	// Units are the program's own systemd units.
	Units Units
}

// Image is what a path that is to be shown as a disk is.
type Image struct {
	// Path is where it really is: the kernel shows it without symlinks.
	Path string
	Kind string // "file", "block", "" nothing there, or what else it is
	// Use says what this machine itself uses it for: "mounted at /boot/firmware", "backs /dev/loop0";
	// of a disk also what its partitions are used for. Empty: nothing.
	Use string
}

// Units are the systemd units that bring the gadget up and follow it.
type Units struct {
	Gadget string // text of provision-gadget.service; empty where it cannot be installed
	Why    string // why it is empty
}

// Result is what Plan says.
type Result struct {
	Desired provision.Desired
	Intents intent.Set
	// Links are the network interfaces that clients are served on, in the order of the functions.
	Links []Link
	// Devices are the gadgets, for status and doctor.
	Devices []Device
}

// Link is a network interface of ours: of one function, or a bridge of several.
type Link struct {
	Gadget string // its gadget's name
	Name   string // usb0
	// MAC is of this side. A served link is told by name and MAC, so that another machine's phone
	// that took the name is never served.
	MAC       string
	Bridge    bool
	Ports     []string // of a bridge: names of its interfaces
	Addresses []netip.Prefix
	Router    string // RouterNone, RouterSplit, RouterFull, RouterClient
	Routes    []netip.Prefix
	MTU       uint16   // 0: not told
	Functions []string // ncm.usb0
}

// Device is one gadget as it is planned.
type Device struct {
	Name    string `json:"name"`
	Asked   string `json:"asked"`   // profile as it was written
	Profile string `json:"profile"` // and what became of auto
	UDC     string `json:"udc"`     // "" none
	Vendor  string `json:"vendor"`  // 0x1d6b
	Product string `json:"product"` // 0x0104
	BCD     string `json:"bcd"`     // bcdDevice, made of the layout: 0x4711
	Serial  string `json:"serial"`
	// Functions in the order of their configurations and interfaces.
	Functions []DeviceFunction `json:"functions"`
	// Endpoints is how many IN endpoints they take, of Budget; Budget is 0 where it is not known.
	Endpoints int    `json:"endpoints"`
	Budget    int    `json:"budget,omitempty"`
	Bridge    string `json:"bridge,omitempty"`
	LED       string `json:"led,omitempty"` // as configured
	// May: profile auto may go on to Classic.
	May bool `json:"may_use_classic,omitempty"`
}

// DeviceFunction is one of its functions.
type DeviceFunction struct {
	Name      string `json:"name"`                // ncm.usb0
	Type      string `json:"type"`                // ncm, mass-storage
	Config    string `json:"config"`              // c.1
	Interface string `json:"interface,omitempty"` // usb0
	MAC       string `json:"mac,omitempty"`       // of this side
	HostMAC   string `json:"host_mac,omitempty"`
	TTY       string `json:"tty,omitempty"` // ttyGS0
	Login     bool   `json:"login,omitempty"`
	Image     string `json:"image,omitempty"`
}
