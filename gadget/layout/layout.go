// Package layout is what a gadget is made of, as far as a host's choice of drivers depends on it:
// configurations, functions in the order of their interfaces, classes and Microsoft's descriptors.
//
// Windows asks a device for its Microsoft descriptors once per idVendor, idProduct and bcdDevice
// and keeps the answer (registry value osvc below usbflags), and so with the choice of drivers. A
// layout that changes under the same numbers is met with yesterday's drivers. So bcdDevice is made
// of the layout: different layouts get different numbers but for chance.
package layout

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// Types of functions as configfs names them.
const (
	ECM         = "ecm"
	NCM         = "ncm"
	RNDIS       = "rndis"
	EEM         = "eem"
	ACM         = "acm"
	MassStorage = "mass_storage"
	HID         = "hid"
)

// Triple is class, subclass and protocol.
type Triple [3]uint8

// String is "ef/02/01".
func (t Triple) String() string { return fmt.Sprintf("%02x/%02x/%02x", t[0], t[1], t[2]) }

// Composite is the class of a device whose interfaces are grouped by association descriptors (IAD;
// USB-IF, Defined Class Codes). Windows loads its parent driver usbccgp for it, and NCM without it
// ends in Code 10 on Windows 11.
func Composite() Triple { return Triple{0xef, 0x02, 0x01} }

// Communications is the class of a network adapter in two configurations. Windows takes the first
// one that it is described, and loads no parent for more.
func Communications() Triple { return Triple{0x02, 0x00, 0x00} }

// Function is one function.
type Function struct {
	Type     string
	Instance string // usb0, GS0
	Class    Triple // rndis: of its association descriptor
	// Detail is what else of it a driver is chosen by: protocol of a HID, CD-ROM or disk.
	Detail string
}

// Name is the function's directory: "ncm.usb0".
func (f Function) Name() string { return f.Type + "." + f.Instance }

// Network reports whether the function is a network adapter.
func (f Function) Network() bool {
	return f.Type == ECM || f.Type == NCM || f.Type == RNDIS || f.Type == EEM
}

// Associated reports whether the function has an interface association descriptor
// (drivers/usb/gadget/function: f_ecm.c, f_ncm.c, f_rndis.c and f_acm.c have one; f_eem.c,
// f_mass_storage.c and f_hid.c are a single interface).
func (f Function) Associated() bool {
	return f.Type == ECM || f.Type == NCM || f.Type == RNDIS || f.Type == ACM
}

// Compatible is the compatible and the sub-compatible id of the function's Microsoft descriptor;
// empty when it needs none. RNDIS 5162001 selects the NDIS 6 driver, WINNCM selects UsbNcm.
func (f Function) Compatible() (id, sub string) {
	switch f.Type {
	case RNDIS:
		return "RNDIS", "5162001"
	case NCM:
		return "WINNCM", ""
	}
	return "", ""
}

// Endpoints is how many endpoints the function takes in each direction: networks and serial ports
// have a bulk pair and an interrupt endpoint for notifications (EEM has none), a disk a bulk pair,
// a HID an interrupt pair.
func (f Function) Endpoints() (in, out int) {
	switch f.Type {
	case ECM, NCM, RNDIS, ACM:
		return 2, 1
	}
	return 1, 1
}

// Config is one configuration.
type Config struct {
	Number    int
	Functions []Function
}

// Name is the configuration's directory: "c.1".
func (c Config) Name() string { return fmt.Sprintf("c.%d", c.Number) }

// Endpoints is what the configuration takes: those of another one are free again, since a host
// uses one at a time (usb_ep_autoconfig_reset after each one in configfs.c).
func (c Config) Endpoints() (in, out int) {
	for _, f := range c.Functions {
		i, o := f.Endpoints()
		in, out = in+i, out+o
	}
	return in, out
}

// Gadget is a whole layout.
type Gadget struct {
	Class   Triple
	Configs []Config
	// Described is the configuration that the Microsoft descriptors speak of; "" there are none.
	Described string
}

// Functions are those of all configurations, in order.
func (g Gadget) Functions() []Function {
	var out []Function
	for _, c := range g.Configs {
		out = append(out, c.Functions...)
	}
	return out
}

// String is the layout in one line: what BCD is made of.
func (g Gadget) String() string {
	var b strings.Builder
	b.WriteString(g.Class.String())
	for _, c := range g.Configs {
		fmt.Fprintf(&b, " %s[", c.Name())
		for i, f := range c.Functions {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(f.Type)
			if f.Type == RNDIS {
				b.WriteString(":" + f.Class.String())
			}
			if f.Detail != "" {
				fmt.Fprintf(&b, ":%q", f.Detail)
			}
		}
		b.WriteByte(']')
	}
	if g.Described != "" {
		b.WriteString(" described " + g.Described)
	}
	return b.String()
}

// BCD is the layout's bcdDevice: a version of four decimal digits, which is all that the kernel
// takes (is_valid_bcd in configfs.c), so that two layouts share one with a chance of 1 in 9900. It
// is above 00.99, which other programs begin with.
func (g Gadget) BCD() uint16 {
	sum := sha256.Sum256([]byte("layout of a gadget: " + g.String()))
	n := 100 + binary.BigEndian.Uint64(sum[:8])%9900
	var bcd uint16
	for _, d := range []uint64{1000, 100, 10, 1} {
		bcd = bcd<<4 | uint16(n/d%10)
	}
	return bcd
}
