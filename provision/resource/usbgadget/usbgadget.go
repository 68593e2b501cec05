// Package usbgadget is a USB gadget in the kernel's configfs: what a board plugged
// into a computer is to that computer.
//
// A gadget is a directory below usb_gadget/ in the configfs mount (usually
// /sys/kernel/config). It has five kinds of state, wanted in this order:
//
//   - usb-gadget "NAME": ids, class, strings (0x409);
//   - usb-function "NAME/ncm.usb0": one function and the files below its directory,
//     by their relative path ("host_addr", "os_desc/interface.ncm/compatible_id",
//     "lun.0/file");
//   - usb-config "NAME/c.1": one configuration and the functions linked into it, in
//     the order of their interfaces;
//   - usb-os-desc "NAME": Microsoft OS descriptors, and the configuration that they
//     speak for;
//   - usb-udc "NAME": the controller that the gadget is bound to, "" for none.
//
// OS descriptors and the binding exist as long as their gadget does: who wants a
// gadget wants both of them too, switched off or unbound if need be, and gives them
// up together with it.
//
// The kernel freezes functions that are linked and unbinds a gadget whose links are
// touched, so the host sees an unplug. Set never lets that happen by the way: it
// refuses with provision.ErrBusy, and Holds has the unbinding and unlinking that a
// change needs.
//
// Values are canonical: numbers of descriptors as the kernel prints them ("0x1d6b",
// "0xef"), addresses in lower case, report_desc as hexadecimal digits, texts without
// the final newline and padding. A function's ifname is given once, at its making:
// after the bind the kernel prints the device's name there. Vendor code and signature of
// OS descriptors read as empty while they are not in use.
//
// What is written goes by the files that the kernel offers, so a newer kernel's
// attributes work too; a file that is not there is an error. Sources:
// drivers/usb/gadget/configfs.c, function/u_ether_configfs.h, function/f_*.c and
// Documentation/ABI/testing/configfs-usb-gadget* of Linux.
package usbgadget

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kinds of reference.
const (
	KindGadget   = "usb-gadget"
	KindFunction = "usb-function"
	KindConfig   = "usb-config"
	KindOSDesc   = "usb-os-desc"
	KindUDC      = "usb-udc"
)

// Attributes that are not the name of one kernel file, or that others look at.
const (
	AttrFunctions = "functions" // of a configuration: "ncm.usb0 acm.GS0"
	AttrConfig    = "config"    // of OS descriptors: "c.1", "" unlinked
	AttrUDC       = "udc"       // of a binding: "" unbound
	AttrIfname    = "ifname"    // of a function: pattern with %d, at its making only
)

// Mount is where configfs usually is.
const Mount = "/sys/kernel/config"

// Name is the gadget's usual directory. A gadget of this name, or of one that begins
// with it and a hyphen, was made by this program.
const Name = "provision"

// GadgetRef names a gadget by its directory.
//
//go:noinline
func GadgetRef(gadget string) provision.Ref { return provision.Ref{Kind: KindGadget, Name: gadget} }

// FunctionRef names a function of a gadget: "ncm.usb0".
//
//go:noinline
func FunctionRef(gadget, function string) provision.Ref {
	return provision.Ref{Kind: KindFunction, Name: gadget + "/" + function}
}

// ConfigRef names a configuration of a gadget: "c.1".
//
//go:noinline
func ConfigRef(gadget, config string) provision.Ref {
	return provision.Ref{Kind: KindConfig, Name: gadget + "/" + config}
}

// OSDescRef names a gadget's OS descriptors.
//
//go:noinline
func OSDescRef(gadget string) provision.Ref { return provision.Ref{Kind: KindOSDesc, Name: gadget} }

// UDCRef names a gadget's binding.
//
//go:noinline
func UDCRef(gadget string) provision.Ref { return provision.Ref{Kind: KindUDC, Name: gadget} }

// Device is a device descriptor with its strings.
type Device struct {
	IDVendor, IDProduct uint16
	// BCDDevice and BCDUSB are versions; the kernel wants decimal digits in them.
	BCDDevice, BCDUSB         uint16
	Class, SubClass, Protocol uint8
	Manufacturer              string // at most 126 bytes each
	Product, SerialNumber     string
	// MaxSpeed is a name of usb_device_speed ("high-speed"); "" leaves it to the
	// kernel, which has the attribute from 5.10 on.
	MaxSpeed string
}

// Gadget asks for a gadget with this descriptor.
func Gadget(gadget string, d Device, why string) provision.Want {
	a := provision.Attrs{
		"idVendor": Hex16(d.IDVendor), "idProduct": Hex16(d.IDProduct), "bcdDevice": Hex16(d.BCDDevice), "bcdUSB": Hex16(d.BCDUSB),
		"bDeviceClass": Hex8(d.Class), "bDeviceSubClass": Hex8(d.SubClass), "bDeviceProtocol": Hex8(d.Protocol),
		"manufacturer": d.Manufacturer, "product": d.Product, "serialnumber": d.SerialNumber,
	}
	if d.MaxSpeed != "" {
		a["max_speed"] = d.MaxSpeed
	}
	return provision.Want{Ref: GadgetRef(gadget), Attrs: a, Why: why}
}

// Function asks for a function with these files below its directory, by relative
// path. A drive's file is a path without symlinks; a HID function can be in one
// configuration only, or the kernel does not bind the gadget.
func Function(gadget, function string, attrs provision.Attrs, why string) provision.Want {
	a := make(provision.Attrs, len(attrs))
	for k, v := range attrs {
		a[k] = v
	}
	return provision.Want{Ref: FunctionRef(gadget, function), Attrs: a, Why: why}
}

// Configuration is a configuration descriptor.
type Configuration struct {
	MaxPower   uint16 // mA
	Attributes uint8  // 0x80, with 0x40 self-powered and 0x20 remote wakeup
	Name       string // the string of the descriptor, may be empty
	Functions  []string
}

// Config asks for a configuration, "LABEL.NUMBER", with functions linked into it in
// the order of their interfaces.
func Config(gadget, config string, c Configuration, why string) provision.Want {
	return provision.Want{Ref: ConfigRef(gadget, config), Attrs: provision.Attrs{
		"MaxPower": strconv.Itoa(int(c.MaxPower)), "bmAttributes": Hex8(c.Attributes), "configuration": c.Name,
		AttrFunctions: strings.Join(c.Functions, " "),
	}, Why: why}
}

// OS is what Windows asks a device for beyond its USB descriptors.
type OS struct {
	Use        bool
	VendorCode uint8  // of the request by which Windows asks; usually 0xcd
	Signature  string // "MSFT100"
	Config     string // the configuration that is described: the first one
}

// OSDesc asks for OS descriptors, or for none of them: the zero value.
func OSDesc(gadget string, o OS, why string) provision.Want {
	a := provision.Attrs{"use": "0", "b_vendor_code": "", "qw_sign": "", AttrConfig: o.Config}
	if o.Use {
		a["use"], a["b_vendor_code"], a["qw_sign"] = "1", Hex8(o.VendorCode), o.Signature
	}
	return provision.Want{Ref: OSDescRef(gadget), Attrs: a, Why: why}
}

// UDC asks for the gadget to be bound to a controller, a name in /sys/class/udc; ""
// leaves it unbound.
func UDC(gadget, udc, why string) provision.Want {
	return provision.Want{Ref: UDCRef(gadget), Attrs: provision.Attrs{AttrUDC: udc}, Why: why}
}

// Hex16 is how the kernel prints 16 bits of a descriptor: "0x1d6b".
//
//go:noinline
func Hex16(v uint16) string { return fmt.Sprintf("0x%04x", v) }

// Hex8 is how the kernel prints 8 bits of a descriptor: "0xef".
//
//go:noinline
func Hex8(v uint8) string { return fmt.Sprintf("0x%02x", v) }

// Owned reports whether a gadget's name says that this program made it.
func Owned(gadget string) bool {
	return gadget == Name || strings.HasPrefix(gadget, Name+"-")
}

// Split returns the gadget that a reference belongs to, and the function or
// configuration. ok is false for other kinds.
func Split(r provision.Ref) (gadget, part string, ok bool) {
	switch r.Kind {
	case KindFunction, KindConfig:
		gadget, part, ok = strings.Cut(r.Name, "/")
		return gadget, part, ok
	case KindGadget, KindOSDesc, KindUDC:
		return r.Name, "", true
	}
	return "", "", false
}
