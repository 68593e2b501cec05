package doctor

import (
	"net/netip"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// Schema is the version of Report's JSON form.
const Schema = 1

// Input is what is known. Facts is all that must be there.
type Input struct {
	Facts   *facts.Facts
	Devices []Device // as planned
	Links   []Link   // served, as planned
	// History is what the controllers' states were, oldest first, by the controller;
	// nil when nobody has watched.
	History map[string][]Seen
	// Counts are samples of packet counters, oldest first, by the link's name.
	Counts map[string][]Count
	// Kernel are lines of the kernel's log of this boot; nil when it was not read.
	Kernel []string
	Server *Server // nil when it was not asked
	Now    time.Time
}

// Seen is a state that a controller came into.
type Seen struct {
	At    time.Time
	State string // as facts.UDC.State
}

// Count is one sample of a link's packets since it exists.
type Count struct {
	At     time.Time
	RX, TX uint64
}

// Server is what the DHCP and DNS server says.
type Server struct {
	Running bool
	Links   []string // names of those that it serves now
	Leases  map[string]int
	// Heard is when the last packet of a client came, by link.
	Heard map[string]time.Time
}

// Device is a gadget as planned.
type Device struct {
	Name      string // of its tree
	UDC       string // "" where there is none
	Functions []Function
}

// Function is one of its functions.
type Function struct {
	Name      string // ncm.usb0
	Type      string // ncm, mass_storage or mass-storage
	Interface string // of a network function
	MAC       string // of this side
}

// Link is a served link as planned.
type Link struct {
	Name      string
	MAC       string // of this side; empty for a bridge
	Bridge    bool
	Addresses []netip.Prefix
	Router    string // none, split, full, client
}

// Severity says what a finding means for the link.
type Severity string

// Severities.
const (
	Error   Severity = "error"   // with this there is no link
	Warning Severity = "warning" // this may be why, or will be after the next boot
	Note    Severity = "note"    // normal in itself
)

// Code names a culprit; codes stay.
type Code string

// Codes.
const (
	NoPort          Code = "no-port"           // the board has no port for it
	OverlayMissing  Code = "overlay-missing"   // config.txt has no dtoverlay=dwc2
	OverlayShadowed Code = "overlay-shadowed"  // it has, and the line does not count
	HostMode        Code = "host-mode"         // dr_mode=host
	OTGMode         Code = "otg-mode"          // otg_mode=1
	NextBoot        Code = "next-boot"         // works now, not after the next boot
	NoController    Code = "no-controller"     // no UDC for another reason
	Cmdline         Code = "cmdline"           // cmdline.txt is broken
	NoConfigFS      Code = "no-configfs"       // no configfs or no libcomposite
	NoFunction      Code = "function-missing"  // the kernel lacks a function
	Held            Code = "controller-held"   // another gadget has the controller
	OtherAtBoot     Code = "other-at-boot"     // another gadget will come at the next boot
	NotBound        Code = "not-bound"         // our gadget is not bound
	BindFailed      Code = "bind-failed"       // and the kernel says why
	NoInterface     Code = "interface-missing" // bound, and its network interface is not there
	InterfaceDown   Code = "interface-down"    // the host shows an unplugged cable
	InterfaceName   Code = "interface-name"    // it has another name
	NoHost          Code = "no-host"           // never seen a host
	HostGone        Code = "host-gone"         // seen, and gone now
	USBPD           Code = "usb-pd"            // USB-C negotiation may keep the host off
	Enumeration     Code = "enumeration"       // starts and fails, again and again
	NotConfigured   Code = "not-configured"    // addressed, and the host leaves it at that
	Suspended       Code = "host-suspended"    // the host sleeps
	NoDriver        Code = "no-driver"         // configured, and the host never opens the data interface
	Silent          Code = "host-silent"       // carrier, and no packet from the host
	Wedged          Code = "wedged"            // the controller's endpoints hang
	NoAddress       Code = "address-missing"   // our address is not on the link
	Conflict        Code = "subnet-conflict"   // the same network elsewhere
	NoServer        Code = "server-down"       // nobody answers DHCP
	Managed         Code = "managed"           // a network manager works on the interface too
	NoUplink        Code = "no-uplink"         // full, and there is no way out
	NoForwarding    Code = "no-forwarding"     // full or split, and the kernel does not forward
	NoSharing       Code = "no-sharing"        // client, and the host gives no address
	Power           Code = "undervoltage"      // the board had too little power
)

// Finding is a culprit.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Culprit  string   `json:"culprit"`
	Evidence []string `json:"evidence"`
	// CannotTell is what the evidence leaves open.
	CannotTell []string `json:"cannot_tell,omitempty"`
	Cure       []string `json:"cure"` // steps, the likeliest first

	weight int
}

// Look is something that was looked at and is well.
type Look struct {
	What string `json:"what"`
	Says string `json:"says"`
}

// Report is the answer.
type Report struct {
	Schema   int       `json:"schema"`
	Findings []Finding `json:"findings"` // the likeliest first
	Looked   []Look    `json:"looked_at"`
	// Blind is what could not be looked at and may hide a culprit.
	Blind []string `json:"not_looked_at,omitempty"`
}

// Worst is the worst severity found, "" for none.
func (r Report) Worst() Severity {
	var worst Severity
	for _, f := range r.Findings {
		if f.Severity == Error || worst == "" || worst == Note {
			worst = f.Severity
		}
		if worst == Error {
			break
		}
	}
	return worst
}
