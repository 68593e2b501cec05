package usbgadget

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/resource/usbgadget/fakekernel"
)

// conformance has a case for each kind; some of the functions have one of their own.
// before is what has to be there.
func conformance() []conformanceCase {
	g := provision.Want{Ref: GadgetRef("t"), Attrs: provision.Attrs{}}
	fn := func(name string) provision.Want {
		return provision.Want{Ref: FunctionRef("t", name), Attrs: provision.Attrs{}}
	}
	config := Config("t", "c.1", Configuration{MaxPower: 250, Attributes: 0x80, Functions: []string{"ncm.a", "acm.b"}}, "")
	return []conformanceCase{
		{"gadget", KindGadget, "t", nil, []provision.Attrs{
			Gadget("t", Device{IDVendor: 0x1d6b, IDProduct: 0x104, BCDDevice: 0x123, BCDUSB: 0x200, Class: 0xef, SubClass: 2, Protocol: 1,
				Manufacturer: "provision", Product: "Pi Zero", SerialNumber: "0001", MaxSpeed: "high-speed"}, "").Attrs,
			Gadget("t", Device{IDVendor: 0x1d6c, IDProduct: 0x105, BCDDevice: 0x124, BCDUSB: 0x210, Class: 2, SubClass: 6, Protocol: 5,
				Manufacturer: "somebody", Product: strings.Repeat("x", 126), SerialNumber: "2", MaxSpeed: "full-speed"}, "").Attrs,
		}, []string{"manufacturer", "product", "serialnumber"}},
		{"ncm", KindFunction, "t/ncm.usb0", []provision.Want{g}, []provision.Attrs{
			{"dev_addr": "02:00:00:00:00:01", "host_addr": "02:00:00:00:00:02", "qmult": "7", "ifname": "tst%d",
				"os_desc/interface.ncm/compatible_id": "WINNCM", "os_desc/interface.ncm/sub_compatible_id": "LONGLONG",
				"os_desc/interface.ncm/Label/type": "1", "os_desc/interface.ncm/Label/data": "a label"},
			{"dev_addr": "02:00:00:00:00:03", "host_addr": "02:00:00:00:00:04", "qmult": "5", "ifname": "tst%d",
				"os_desc/interface.ncm/compatible_id": "W", "os_desc/interface.ncm/sub_compatible_id": "5162001",
				"os_desc/interface.ncm/Label/type": "1", "os_desc/interface.ncm/Label/data": "another"},
		}, []string{"os_desc/interface.ncm/compatible_id", "os_desc/interface.ncm/sub_compatible_id"}},
		{"rndis", KindFunction, "t/rndis.usb0", []provision.Want{g}, []provision.Attrs{
			{"dev_addr": "02:00:00:00:00:01", "class": "ef", "subclass": "04", "protocol": "01"},
			{"dev_addr": "02:00:00:00:00:03", "class": "e0", "subclass": "01", "protocol": "03"},
		}, nil},
		{"mass storage", KindFunction, "t/mass_storage.0", []provision.Want{g}, []provision.Attrs{
			{"stall": "1", "lun.0/file": "/images/one.img", "lun.0/ro": "1", "lun.0/cdrom": "0", "lun.0/removable": "1", "lun.0/nofua": "0",
				"lun.0/inquiry_string": "provision", "lun.1/file": "/images/two.img", "lun.1/ro": "1"},
			{"stall": "0", "lun.0/file": "/images/two.img", "lun.0/ro": "0", "lun.0/cdrom": "0", "lun.0/removable": "0", "lun.0/nofua": "1",
				"lun.0/inquiry_string": "", "lun.1/file": "", "lun.1/ro": "0"},
		}, []string{"lun.0/file", "lun.0/inquiry_string"}},
		{"hid", KindFunction, "t/hid.0", []provision.Want{g}, []provision.Attrs{
			{"protocol": "1", "subclass": "1", "report_length": "8", "report_desc": "05010906a10100c0"},
			{"protocol": "2", "subclass": "0", "report_length": "4", "report_desc": "0501"},
		}, []string{"report_desc"}},
		{"config", KindConfig, "t/c.1", []provision.Want{g, fn("ncm.a"), fn("acm.b"), fn("eem.c")}, []provision.Attrs{
			config.Attrs,
			Config("t", "c.1", Configuration{MaxPower: 100, Attributes: 0xa0, Name: "one", Functions: []string{"acm.b", "eem.c", "ncm.a"}}, "").Attrs,
		}, []string{"configuration", AttrFunctions}},
		{"os descriptors", KindOSDesc, "t", []provision.Want{g, fn("ncm.a"), fn("acm.b"), config}, []provision.Attrs{
			OSDesc("t", OS{Use: true, VendorCode: 0xcd, Signature: "MSFT100", Config: "c.1"}, "").Attrs,
			OSDesc("t", OS{Use: true, VendorCode: 0x12, Signature: "MSFT200"}, "").Attrs,
		}, []string{AttrConfig}},
		{"udc", KindUDC, "t", []provision.Want{g, fn("ncm.a"), fn("acm.b"), config}, []provision.Attrs{
			{AttrUDC: "dummy_udc.0"}, {AttrUDC: "dummy_udc.1"},
		}, []string{AttrUDC}},
	}
}

type conformanceCase struct {
	name, kind, ref string
	before          []provision.Want
	values          []provision.Attrs
	optional        []string
}

func TestConformance(t *testing.T) {
	for _, c := range conformance() {
		t.Run(c.name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				return c.open(t, fakekernel.New("dummy_udc.0", "dummy_udc.1"))
			})
		})
	}
}

func (c conformanceCase) open(t *testing.T, f Files) enginetest.ResourceCase {
	t.Helper()
	all := Resources(f, "")
	for _, w := range c.before {
		if err := all[w.Kind].Set(t.Context(), w.Name, nil, w.Attrs); err != nil {
			t.Fatalf("%s: %v", w.Ref, err)
		}
	}
	return enginetest.ResourceCase{Resource: all[c.kind], Name: c.ref, Values: c.values, Optional: c.optional,
		Fixed: c.kind == KindOSDesc || c.kind == KindUDC}
}
