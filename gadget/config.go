// Package gadget is the wing of the USB device side: it turns a few words of configuration
// (a profile, a route policy) into what the kernel's configfs has to hold for a host to see a
// network card, a serial port or a disk, and into addresses for the links behind it.
//
// Everything here is pure: facts and configuration go in, wants, intents and served links come
// out. Who listens to the host's behaviour (package life) gives its judgement back in Input.
package gadget

import "strconv"

// Config is the slice "gadget" of the configuration file: one gadget, and more of them where the
// machine has more controllers.
type Config struct {
	Gadget `yaml:",inline"`
	More   []Gadget `yaml:"more" help:"further gadgets, each on a USB device controller of its own and with a name of its own"`
}

// Gadget is one USB device as a host sees it.
type Gadget struct {
	Profile      string     `yaml:"profile" enum:"auto,modern,classic,windows,rescue,custom" help:"what the host sees: auto (modern; where a host does not take it and rndis is true, classic for that plug), modern (NCM network card and serial port: Linux, macOS, Windows 10 and later, Android, ChromeOS, iPadOS), classic (ECM and RNDIS in two configurations, as usb0 and usb1), windows (RNDIS network card and serial port, for old Windows), rescue (serial port with a login prompt), custom (the functions below)"`
	Name         string     `yaml:"name" default:"provision" help:"name of the gadget's directory in configfs"`
	UDC          string     `yaml:"udc" default:"auto" help:"USB device controller, as in /sys/class/udc, or auto (the only free one)"`
	RNDIS        bool       `yaml:"rndis" default:"false" help:"Microsoft's RNDIS may be used where the profile was not chosen for it by name: by auto, and among the functions of custom; its driver trusts the host, and the kernel may drop it one day"`
	Functions    []Function `yaml:"functions" help:"with profile custom: what the gadget consists of, in the order of its interfaces"`
	Interfaces   []string   `yaml:"interfaces" help:"names of this side's network interfaces, in the order of the network functions; the default is usb0, usb1 and so on"`
	Router       string     `yaml:"router" enum:"none,split,full,client" default:"none" help:"the way out of the host: none (it keeps its own), split (only the routes below lead through this machine), full (this machine is its default router, with NAT to whatever has the default route here), client (the host shares its connection with this machine)"`
	Routes       []string   `yaml:"routes" help:"with router split: networks of both families that the host reaches through this machine"`
	Addresses    []string   `yaml:"addresses" default:"auto" help:"addresses of this side with their prefix lengths, such as 10.55.0.1/24; auto is a small network of its own for each link, made of the board's serial number and clear of every other network here, and an IPv6 network of fc00::/7"`
	MTU          uint16     `yaml:"mtu" help:"MTU that the host is told to use; the default is not told"`
	Bridge       string     `yaml:"bridge" help:"put all network interfaces of this gadget into a bridge of this name, such as br-usb: one network for all of them; without it each has a network of its own"`
	Login        *bool      `yaml:"login" help:"login prompt on the serial port of a profile, always with a password; the default is true"`
	VendorID     string     `yaml:"vendor-id" default:"0x1d6b" help:"USB vendor id in hexadecimal, with quotes around it"`
	ProductID    string     `yaml:"product-id" default:"0x0104" help:"USB product id in hexadecimal, with quotes around it"`
	Manufacturer string     `yaml:"manufacturer" default:"provision" help:"maker's name that the host shows, at most 126 characters"`
	Product      string     `yaml:"product" help:"product's name that the host shows, at most 126 characters; the default is the board's model"`
	Serial       string     `yaml:"serial" help:"serial number that the host sees, at most 126 characters; the default is the board's own"`
	MaxPower     *uint16    `yaml:"max-power" default:"250" help:"current that is asked of the host in mA, at most 500; a bus-powered hub refuses more than 100"`
	SelfPowered  bool       `yaml:"self-powered" default:"false" help:"tell the host that this machine has a power supply of its own"`
	RemoteWakeup bool       `yaml:"remote-wakeup" default:"false" help:"tell the host that this machine may wake it up"`
	RNDISClass   string     `yaml:"rndis-class" enum:"ef/04/01,e0/01/03" default:"ef/04/01" help:"class, subclass and protocol that RNDIS tells Windows beside its descriptors"`
	HostOUI      string     `yaml:"host-oui" help:"first three bytes of the MAC addresses that the host's side gets, universally administered, such as 00:11:22: Android takes no adapter without; only an OUI that you may use. The default is locally administered addresses"`
	LED          string     `yaml:"led" help:"LED below /sys/class/leds that shows the gadget's state, such as ACT; none leaves all alone. The default is the board's activity LED"`
}

// Function is one function of a gadget with profile custom.
type Function struct {
	Type          string   `yaml:"type" enum:"ncm,ecm,rndis,eem,acm,mass-storage,hid" help:"ncm, ecm, rndis and eem are network cards, acm is a serial port, mass-storage a disk, hid a keyboard, mouse or the like"`
	Configuration uint8    `yaml:"configuration" default:"1" help:"number of the USB configuration that it is in; a host uses one of them at a time"`
	Interface     string   `yaml:"interface" help:"name of this side's network interface"`
	MAC           string   `yaml:"mac" help:"MAC address of this side; the default is made of the board's serial number"`
	HostMAC       string   `yaml:"host-mac" help:"MAC address of the host's side; the default is made of the board's serial number"`
	Addresses     []string `yaml:"addresses" help:"addresses of this link; the default is what the gadget says"`
	Router        string   `yaml:"router" enum:"none,split,full,client" help:"the way out of the host on this link; the default is what the gadget says"`
	Routes        []string `yaml:"routes" help:"with router split: networks that the host reaches through this machine on this link"`
	MTU           uint16   `yaml:"mtu" help:"MTU that the host is told to use on this link"`

	Login bool `yaml:"login" default:"false" help:"acm: login prompt on it, always with a password"`

	Image     string `yaml:"image" help:"mass-storage: absolute path of the disk image, or of a block device that nobody here uses"`
	Writable  bool   `yaml:"writable" default:"false" help:"mass-storage: the host may write to the image"`
	CDROM     bool   `yaml:"cdrom" default:"false" help:"mass-storage: show it as a CD-ROM"`
	Removable *bool  `yaml:"removable" default:"true" help:"mass-storage: show it as a removable medium"`

	Protocol     uint8  `yaml:"protocol" help:"hid: 1 keyboard, 2 mouse, 0 anything else"`
	Subclass     uint8  `yaml:"subclass" help:"hid: 1 where a BIOS may use it, else 0"`
	ReportLength uint16 `yaml:"report-length" help:"hid: length of a report in bytes"`
	Report       string `yaml:"report-descriptor" help:"hid: report descriptor in hexadecimal"`
}

// Problem is something wrong in the slice. Path is relative to "gadget".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Profiles.
const (
	Auto    = "auto"
	Modern  = "modern"
	Classic = "classic"
	Windows = "windows"
	Rescue  = "rescue"
	Custom  = "custom"
)

// Route policies of a link.
const (
	RouterNone   = "none"
	RouterSplit  = "split"
	RouterFull   = "full"
	RouterClient = "client"
)

// DefaultName is that of the gadget's directory.
const DefaultName = "provision"

// Wanted reports whether there is to be any gadget.
func (c Config) Wanted() bool { return c.Profile != "" || len(c.Functions) > 0 || len(c.More) > 0 }

// All are the gadgets of the slice with their paths in it, relative to "gadget".
func (c Config) All() []Placed {
	out := []Placed{{Gadget: c.Gadget}}
	if c.Profile == "" && len(c.Functions) == 0 && len(c.More) > 0 {
		out = nil
	}
	for i, g := range c.More {
		out = append(out, Placed{Gadget: g, Path: "more[" + strconv.Itoa(i) + "]."})
	}
	return out
}

// Placed is a gadget and where it stands.
type Placed struct {
	Gadget
	Path string // "" or "more[0]."
}

// Directory is the name of the gadget's directory in configfs.
func (p Placed) Directory() string { return p.name() }
