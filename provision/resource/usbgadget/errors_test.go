package usbgadget

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/usbgadget/fakekernel"
)

// What people read when it cannot be done, and that nothing is left half-built.
func TestErrors(t *testing.T) {
	gadget := provision.Want{Ref: GadgetRef("t"), Attrs: provision.Attrs{}}
	acm := Function("t", "acm.a", nil, "")
	config := Config("t", "c.1", Configuration{Attributes: 0x80, Functions: []string{"acm.a"}}, "")
	bound := []provision.Want{gadget, acm, config, UDC("t", "dummy_udc.0", "")}
	for name, c := range map[string]struct {
		before []provision.Want
		kernel func(k *fakekernel.Kernel)
		want   provision.Want
		says   string
		is     error
	}{
		"function that the kernel lacks": {
			before: []provision.Want{gadget}, kernel: func(k *fakekernel.Kernel) { k.Kinds = []string{"acm"} },
			want: Function("t", "ncm.usb0", provision.Attrs{"qmult": "5"}, ""), says: "usb_f_ncm (CONFIG_USB_CONFIGFS_NCM)", is: ErrNoFunction},
		"function without a name": {
			before: []provision.Want{gadget}, want: Function("t", "ncm", nil, ""), says: "a dot and a name", is: syscall.EINVAL},
		"unknown attribute of a function": {
			before: []provision.Want{gadget}, want: Function("t", "ncm.usb0", provision.Attrs{"colour": "red"}, ""), says: "colour of usb-function t/ncm.usb0: unknown attribute"},
		"unknown directory of a function": {
			before: []provision.Want{gadget}, want: Function("t", "ncm.usb0", provision.Attrs{"os_desc/interface.rndis/L/type": "1"}, ""), says: "unknown attribute"},
		"unknown attribute of a gadget": {
			want: provision.Want{Ref: GadgetRef("t"), Attrs: provision.Attrs{"bcdColour": "1"}}, says: "bcdColour of usb-gadget t: unknown attribute"},
		"unknown attribute of a configuration": {
			before: []provision.Want{gadget}, want: provision.Want{Ref: ConfigRef("t", "c.1"), Attrs: provision.Attrs{"Power": "1"}}, says: "unknown attribute"},
		"unknown attribute of OS descriptors": {
			before: []provision.Want{gadget}, want: provision.Want{Ref: OSDescRef("t"), Attrs: provision.Attrs{"using": "1"}}, says: "unknown attribute"},
		"a group's address": {
			before: []provision.Want{gadget}, want: Function("t", "ncm.usb0", provision.Attrs{"host_addr": "03:00:00:00:00:01"}, ""), says: "neither zero nor a group's", is: syscall.EINVAL},
		"no such image": {
			before: []provision.Want{gadget}, want: Function("t", "mass_storage.0", provision.Attrs{"lun.0/file": "/none"}, ""), says: "there is no such image"},
		"bad digits": {
			want: Gadget("t", Device{BCDDevice: 0x0a00}, ""), says: `bcdDevice "0x0a00"`, is: syscall.EINVAL},
		"a value that the kernel makes another of": {
			before: []provision.Want{gadget}, want: Function("t", "rndis.usb0", provision.Attrs{"class": "0xef"}, ""), says: `the kernel made "00" of it`},
		"read-only": {
			kernel: func(k *fakekernel.Kernel) { k.ReadOnly = true }, want: gadget, says: "mount -o remount,rw /sys/kernel/config", is: syscall.EROFS},
		"number of a configuration": {
			before: []provision.Want{gadget}, want: Config("t", "c.0", Configuration{Attributes: 0x80}, ""), says: "a number from 1 to 255"},
		"configuration of a function that is not there": {
			before: []provision.Want{gadget}, want: config, says: "there is no function acm.a", is: provision.ErrBusy},
		"no controller": {
			before: bound[:3], kernel: func(k *fakekernel.Kernel) { k.RemoveUDC("dummy_udc.0") }, want: bound[3], says: "dtoverlay=dwc2,dr_mode=peripheral", is: ErrNoController},
		"another controller": {
			before: bound[:3], want: UDC("t", "musb", ""), says: "there is dummy_udc.0", is: ErrNoController},
		"no configuration": {
			before: bound[:2], want: bound[3], says: "has no configuration", is: provision.ErrBusy},
		"an empty configuration": {
			before: []provision.Want{gadget, Config("t", "c.1", Configuration{Attributes: 0x80}, "")}, want: bound[3], says: "configuration c.1 has no function", is: provision.ErrBusy},
		"a legacy driver": {
			before: bound[:3], kernel: func(k *fakekernel.Kernel) { k.Occupy("dummy_udc.0", "g_ether") }, want: bound[3], says: "modprobe -r g_ether", is: syscall.EBUSY},
		"another gadget": {
			before: bound[:3], kernel: func(k *fakekernel.Kernel) { strangers(t, k, "g1", "dummy_udc.0") }, want: bound[3], says: "bound to the gadget g1", is: syscall.EBUSY},
		"too few endpoints, as far as it is known": {
			before: bound[:3], kernel: func(k *fakekernel.Kernel) { k.Endpoints = 1 }, want: bound[3], says: "-19 is too few endpoints"},
		"a linked function": {
			before: []provision.Want{gadget, Function("t", "ncm.usb0", nil, ""), Config("t", "c.1", Configuration{Attributes: 0x80, Functions: []string{"ncm.usb0"}}, "")},
			want:   Function("t", "ncm.usb0", provision.Attrs{"qmult": "9"}, ""), says: "linked into configuration c.1", is: provision.ErrBusy},
		"a bound gadget": {
			before: bound, want: Gadget("t", Device{IDVendor: 1}, ""), says: "bound to dummy_udc.0", is: provision.ErrBusy},
		"a bound configuration": {
			before: bound, want: Config("t", "c.1", Configuration{Attributes: 0x80}, ""), says: "bound to dummy_udc.0", is: provision.ErrBusy},
		"a signature that is not in use": {
			before: []provision.Want{gadget}, want: provision.Want{Ref: OSDescRef("t"), Attrs: provision.Attrs{"use": "0", "qw_sign": "MSFT100"}}, says: "need use to be 1"},
		"a path for a name": {
			want: provision.Want{Ref: GadgetRef("../t"), Attrs: provision.Attrs{}}, says: "want the name of a gadget"},
	} {
		t.Run(name, func(t *testing.T) {
			k := fakekernel.New("dummy_udc.0")
			all := Resources(k, "")
			for _, w := range c.before {
				if err := all[w.Kind].Set(t.Context(), w.Name, nil, w.Attrs); err != nil {
					t.Fatal(err)
				}
			}
			if c.kernel != nil {
				c.kernel(k)
			}
			before := k.String()
			have, err := all[c.want.Kind].Get(t.Context(), c.want.Name)
			if err == nil {
				err = all[c.want.Kind].Set(t.Context(), c.want.Name, have, c.want.Attrs)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if after := k.String(); after != before {
				t.Errorf("left behind:\n%s\nwas:\n%s", after, before)
			}
		})
	}
}

// Without configfs, or without its usb_gadget, there is nothing, and the way to get it
// is told.
func TestNoConfigfs(t *testing.T) {
	r := &Resource{Kind: KindGadget, Files: fakekernel.New(), Root: "/elsewhere"}
	if a, err := r.Get(t.Context(), "t"); a != nil || err != nil {
		t.Errorf("get: %v, %v", a, err)
	}
	if err := r.Set(t.Context(), "t", nil, provision.Attrs{}); err == nil || !strings.Contains(err.Error(), "mount -t configfs none /elsewhere") {
		t.Errorf("set: %v", err)
	}
}

// A host that uses a drive has it locked; that does not stop a change of medium, also
// while the gadget is plugged in.
func TestMediumUnderAHost(t *testing.T) {
	k := fakekernel.New("dummy_udc.0")
	all := Resources(k, "")
	for _, w := range []provision.Want{{Ref: GadgetRef("t"), Attrs: provision.Attrs{}}, Function("t", "mass_storage.0", provision.Attrs{"lun.0/file": "/images/one.img"}, ""),
		Config("t", "c.1", Configuration{Attributes: 0x80, Functions: []string{"mass_storage.0"}}, ""), UDC("t", "dummy_udc.0", "")} {
		if err := all[w.Kind].Set(t.Context(), w.Name, nil, w.Attrs); err != nil {
			t.Fatal(err)
		}
	}
	k.Lock("t", "mass_storage.0", "lun.0")
	r := all[KindFunction]
	have, err := r.Get(t.Context(), "t/mass_storage.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Set(t.Context(), "t/mass_storage.0", have, provision.Attrs{"lun.0/file": "/images/two.img", "lun.0/ro": "1"}); err != nil {
		t.Fatal(err)
	}
	have, _ = r.Get(t.Context(), "t/mass_storage.0")
	if have["lun.0/file"] != "/images/two.img" || have["lun.0/ro"] != "1" || k.Unplugs() != 0 {
		t.Errorf("%v, %d unplugs", have, k.Unplugs())
	}
}

// A controller that goes takes the binding with it, whatever name the kernel keeps; also when one of that name comes again and the
// kernel could not bind the gadget to it. Then it is bound again, and what stands in the way of changes is only a name.
func TestVanishingController(t *testing.T) {
	for _, comes := range []bool{false, true} {
		k := fakekernel.New("dummy_udc.0")
		strangers(t, k, "provision-2", "dummy_udc.0")
		all := Resources(k, "")
		r := all[KindUDC]
		k.RemoveUDC("dummy_udc.0")
		if comes {
			k.Endpoints = 1
			k.AddUDC("dummy_udc.0")
			k.Endpoints = 0
		}
		have, err := r.Get(t.Context(), "provision-2")
		if err != nil || have[AttrUDC] != "" || !strings.Contains(k.String(), `UDC "dummy_udc.0`) {
			t.Fatalf("comes again %t: %v, %v\n%s", comes, have, err, k)
		}
		if !r.(provision.Loser).Lost("provision-2", have) || r.(provision.Loser).Lost("g1", have) {
			t.Error("only a gadget of ours has lost its controller")
		}
		if comes {
			if err := r.Set(t.Context(), "provision-2", have, provision.Attrs{AttrUDC: "dummy_udc.0"}); err != nil {
				t.Fatal(err)
			}
			if len(k.Interfaces("dummy_udc.0")) == 0 {
				t.Errorf("not bound:\n%s", k)
			}
			continue
		}
		g := all[KindGadget]
		have, err = g.Get(t.Context(), "provision-2")
		if err == nil {
			err = g.Set(t.Context(), "provision-2", have, provision.Attrs{"idVendor": "0x1234"})
		}
		if err != nil {
			t.Errorf("a change without the controller: %v", err)
		}
	}
}

// What the kernel's log says of a bind that it answers with EBUSY.
func TestReasonOfTheLog(t *testing.T) {
	for number, says := range map[string]string{"-19": "too few endpoints", "-2": "could not make the functions' devices", "-22": "invalid argument", "": "dmesg has the reason"} {
		k := fakekernel.New("dummy_udc.0")
		all := Resources(k, "")
		for _, w := range []provision.Want{{Ref: GadgetRef("t"), Attrs: provision.Attrs{}}, Function("t", "acm.a", nil, ""),
			Config("t", "c.1", Configuration{Attributes: 0x80, Functions: []string{"acm.a"}}, "")} {
			if err := all[w.Kind].Set(t.Context(), w.Name, nil, w.Attrs); err != nil {
				t.Fatal(err)
			}
		}
		k.Endpoints = 1
		r := all[KindUDC].(*Resource)
		r.Log = func() []string {
			return []string{"<3>[ 1.0] udc dummy_udc.0: failed to start t: -5", "<3>[ 2.0] udc dummy_udc.0: failed to start t: " + number, "other"}
		}
		if number == "" {
			r.Log = nil
		}
		err := r.Set(t.Context(), "t", provision.Attrs{AttrUDC: ""}, provision.Attrs{AttrUDC: "dummy_udc.0"})
		if err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, syscall.EBUSY) {
			t.Errorf("%s: %v", number, err)
		}
	}
}
