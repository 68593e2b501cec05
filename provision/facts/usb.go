package facts

// USB is the device side of USB: controllers, gadgets made of configfs, and what
// the kernel has for them. It is the zero value on a machine that has none of it.
type USB struct {
	// ConfigFS is where configfs is mounted; empty where it is not.
	ConfigFS string `json:"configfs,omitempty"`
	// LibComposite: ConfigFS has the directory usb_gadget, so libcomposite is there.
	LibComposite bool      `json:"libcomposite,omitempty"`
	Controllers  []UDC     `json:"controllers,omitempty"` // by name
	Gadgets      []Gadget  `json:"gadgets,omitempty"`     // everybody's trees, by name
	Functions    Functions `json:"functions,omitempty"`
	// Kernels are the releases below /lib/modules that Functions speaks of: the
	// running one, or all those of an image.
	Kernels []string `json:"kernels,omitempty"`
	// Modules are the loaded modules of the device side: controllers' drivers,
	// libcomposite, functions, and the legacy gadgets, by name.
	Modules []string `json:"modules,omitempty"`
	// Boot is the directory of the boot files of a Raspberry Pi: "/boot/firmware" or
	// "/boot"; config.txt, what it includes, and cmdline.txt are in Facts.Files.
	Boot string `json:"boot,omitempty"`
	LEDs []LED  `json:"leds,omitempty"`
	// Traces are what other programs that make gadgets leave on a machine: paths of
	// files, "unit:NAME" for an enabled unit, "package:NAME" for an installed one.
	Traces []string `json:"traces,omitempty"`
}

// UDC is a USB device controller: /sys/class/udc/NAME
// (Documentation/ABI/stable/sysfs-class-udc).
type UDC struct {
	Name   string `json:"name"`             // 20980000.usb, dummy_udc.0
	Driver string `json:"driver,omitempty"` // of the device that it belongs to: dwc2, dwc3, dummy_udc
	// State is "not attached", "attached", "powered", "reconnecting",
	// "unauthenticated", "default", "addressed", "configured" or "suspended".
	State    string `json:"state,omitempty"`
	Speed    string `json:"speed,omitempty"`     // current: "high-speed", "UNKNOWN" without a host
	MaxSpeed string `json:"max_speed,omitempty"` // "high-speed", "super-speed"
	OTG      bool   `json:"otg,omitempty"`       // is_otg
	// Function is the gadget that holds the controller: the name of a tree in
	// configfs or of a legacy module (g_ether); empty when it is free.
	Function string `json:"function,omitempty"`
}

// Gadget is one tree below usb_gadget/.
type Gadget struct {
	Name         string           `json:"name"`
	UDC          string           `json:"udc,omitempty"` // the controller it is bound to
	Vendor       string           `json:"vendor,omitempty"`
	Product      string           `json:"product,omitempty"` // ids as the kernel prints them: "0x1d6b"
	Device       string           `json:"bcd_device,omitempty"`
	USB          string           `json:"bcd_usb,omitempty"`
	Class        string           `json:"class,omitempty"` // "ef/02/01": class, subclass, protocol
	Manufacturer string           `json:"manufacturer,omitempty"`
	ProductName  string           `json:"product_name,omitempty"`
	Serial       string           `json:"serial,omitempty"`
	Functions    []GadgetFunction `json:"functions,omitempty"` // by name
	Configs      []GadgetConfig   `json:"configs,omitempty"`   // by name
	OSDesc       GadgetOSDesc     `json:"os_desc,omitzero"`
}

// GadgetFunction is functions/TYPE.INSTANCE.
type GadgetFunction struct {
	Name string `json:"name"` // "ncm.usb0"
	Type string `json:"type"` // "ncm"
	// Interface is ifname: the network device once the gadget was bound, before that
	// nothing, or a pattern ("usb%d") where one was written.
	Interface string `json:"interface,omitempty"`
	Dev       string `json:"dev_addr,omitempty"`  // MAC address of this side
	Host      string `json:"host_addr,omitempty"` // MAC address of the host's side
	Port      string `json:"port,omitempty"`      // acm: N of ttyGSN
	File      string `json:"lun_file,omitempty"`  // mass_storage: what lun.0 offers
	ReadOnly  bool   `json:"lun_ro,omitempty"`
	Class     string `json:"class,omitempty"`   // rndis: "ef/04/01"
	OSDesc    string `json:"os_desc,omitempty"` // compatible id: "RNDIS", "WINNCM"
}

// GadgetConfig is configs/LABEL.NUMBER.
type GadgetConfig struct {
	Name          string `json:"name"` // "c.1"
	Configuration string `json:"configuration,omitempty"`
	MaxPower      string `json:"max_power,omitempty"`  // mA
	Attributes    string `json:"attributes,omitempty"` // bmAttributes: "0x80"
	// Functions are the linked functions by the names of the links, which is not
	// the order of the interfaces (that is the order in which they were linked).
	Functions []string `json:"functions,omitempty"`
}

// GadgetOSDesc is os_desc/ of a gadget.
type GadgetOSDesc struct {
	Use    bool   `json:"use,omitempty"`
	Config string `json:"config,omitempty"` // the linked configuration: "c.1"
}

// Support says how the kernel has a function.
type Support string

// Kinds of support. Where nothing could be found out a function is not listed.
const (
	SupportLoaded  Support = "loaded"
	SupportBuiltin Support = "built-in"
	SupportModule  Support = "module" // its file is there, mkdir loads it
	SupportMissing Support = "missing"
)

// Functions is what the kernel offers, by the type of the function as configfs names
// it: ecm, ncm, eem, rndis, acm, mass_storage, hid.
type Functions map[string]Support

// LED is one of /sys/class/leds.
type LED struct {
	Name    string `json:"name"`
	Trigger string `json:"trigger,omitempty"` // the one in use
	// Triggers are those offered that show something of the gadget's state: none,
	// default-on, heartbeat, timer, pattern, oneshot, netdev, usb-gadget.
	Triggers []string `json:"triggers,omitempty"`
}

// Legacy are the modules that make a gadget by themselves and take the first free
// controller as soon as they are loaded (drivers/usb/gadget/legacy).
func Legacy() []string {
	return []string{"g_acm_ms", "g_audio", "g_cdc", "g_dbgp", "g_ether", "g_ffs", "g_hid", "g_mass_storage", "g_midi", "g_multi", "g_ncm", "g_nokia",
		"g_printer", "g_serial", "g_webcam", "g_zero", "gadgetfs", "raw_gadget", "tcm_usb_gadget"}
}
