package gadget

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/provision-net/provision/gadget/layout"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

// usb is what configfs has to hold for the gadget, in the kernel's order.
func (p *planner) usb(g *gadget) []provision.Want {
	name := g.dev.Name
	why := "gadget." + g.Path + "profile: " + g.Profile
	if g.profile != g.Profile {
		why += " (" + g.profile + ")"
	}
	vendor, _ := hex16(g.dev.Vendor) // identify wrote both
	product, _ := hex16(g.dev.Product)
	wants := []provision.Want{usbgadget.Gadget(name, usbgadget.Device{IDVendor: vendor, IDProduct: product, BCDDevice: g.layout.BCD(),
		// 2.01 and later make hosts ask for a BOS descriptor, which is there for nothing here.
		BCDUSB: 0x0200, Class: g.layout.Class[0], SubClass: g.layout.Class[1], Protocol: g.layout.Class[2],
		Manufacturer: or(g.Manufacturer, "provision"), Product: or(g.Product, p.product()), SerialNumber: g.dev.Serial}, why)}
	for _, x := range g.parts {
		wants = append(wants, usbgadget.Function(name, x.at.Name(), p.attrs(x), "gadget."+x.path+": "+x.Type))
	}
	attributes := uint8(0x80)
	if g.SelfPowered {
		attributes |= 0x40
	}
	if g.RemoteWakeup {
		attributes |= 0x20
	}
	power := uint16(250)
	if g.MaxPower != nil {
		power = *g.MaxPower
	}
	for _, c := range g.layout.Configs {
		conf := usbgadget.Configuration{MaxPower: power, Attributes: attributes, Name: title(c)}
		for _, f := range c.Functions {
			conf.Functions = append(conf.Functions, f.Name())
		}
		wants = append(wants, usbgadget.Config(name, c.Name(), conf, why))
	}
	var os usbgadget.OS
	if g.layout.Described != "" {
		os = usbgadget.OS{Use: true, VendorCode: 0xcd, Signature: "MSFT100", Config: g.layout.Described}
	}
	return append(wants, usbgadget.OSDesc(name, os, why+": what Windows asks for"), usbgadget.UDC(name, g.udc.Name, why))
}

func or(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// product is what the host shows. The host name is not in it: a new one would be an unplug.
func (p *planner) product() string {
	m := p.Facts.Machine
	return cut(or(m.Board, or(m.Product, "Linux")))
}

// title names a configuration for people.
func title(c layout.Config) string {
	var words []string
	for _, f := range c.Functions {
		w := map[string]string{layout.MassStorage: "disk", layout.ACM: "serial port", layout.HID: "HID"}[f.Type]
		words = append(words, or(w, strings.ToUpper(f.Type)))
	}
	return cut(strings.Join(words, ", "))
}

// attrs are the files of a function.
func (p *planner) attrs(x part) provision.Attrs {
	a := provision.Attrs{}
	flag := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	if x.at.Network() {
		a["dev_addr"], a["host_addr"] = x.MAC, x.HostMAC
	}
	if id, sub := x.at.Compatible(); id != "" && (x.at.Type != layout.NCM || p.describesNCM()) {
		dir := "os_desc/interface." + x.at.Type + "/"
		a[dir+"compatible_id"] = id
		if sub != "" {
			a[dir+"sub_compatible_id"] = sub
		}
	}
	switch x.at.Type {
	case layout.RNDIS:
		for i, k := range []string{"class", "subclass", "protocol"} {
			a[k] = fmt.Sprintf("%02x", x.at.Class[i])
		}
	case layout.MassStorage:
		a["lun.0/file"], a["lun.0/ro"], a["lun.0/cdrom"] = or(p.Images[x.Image].Path, x.Image), flag(!x.Writable), flag(x.CDROM)
		a["lun.0/removable"] = flag(x.Removable == nil || *x.Removable)
	case layout.HID:
		a["protocol"], a["subclass"] = strconv.Itoa(int(x.Protocol)), strconv.Itoa(int(x.Subclass))
		a["report_length"], a["report_desc"] = strconv.Itoa(int(x.ReportLength)), strings.ToLower(x.Report)
	}
	return a
}

// describesNCM: f_ncm.c has Microsoft's descriptor since Linux 5.2; before, the directory is not
// there.
func (p *planner) describesNCM() bool {
	major, minor := 0, 0
	if n, _ := fmt.Sscanf(p.Facts.Machine.Kernel, "%d.%d", &major, &minor); n != 2 {
		return true
	}
	return major > 5 || major == 5 && minor >= 2
}
