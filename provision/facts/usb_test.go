package facts

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestConfigfsMount(t *testing.T) {
	root := "22 1 179:2 / / rw shared:1 - ext4 /dev/root rw\n"
	for _, c := range []struct{ mounts, want string }{
		{"", ""},
		{root, ""},
		{root + "31 22 0:27 / /sys/kernel/config rw,nosuid shared:14 - configfs configfs rw\n", "/sys/kernel/config"},
		{root + `31 22 0:27 / /mnt/a\040b rw - configfs none rw` + "\n", "/mnt/a b"},
		{root + "31 22 0:27 /usb_gadget /bind rw - configfs none rw\n", ""}, // a part of it
		{root + "31 22 0:27 / /x rw - ext4 configfs rw\n", ""},
		{"- configfs \n", ""},
		{" - configfs x", ""},
	} {
		if got := configfsMount(c.mounts); got != c.want {
			t.Errorf("%q: mounted at %q, want %q", c.mounts, got, c.want)
		}
	}
}

func TestSpeaksOfGadgets(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                  false,
		"i2c-dev\n":                         false,
		"# g_ether\n":                       false,
		"dwc2\n":                            true,
		"options g_ether host_addr=02:00\n": true,
		"modprobe g_ethernet\n":             false,
		"/usr/bin/isticktoit_usb # x\n":     true,
		"cd /sys/kernel/config/usb_gadget/": true,
	} {
		if got := speaksOfGadgets(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestGadgetEnabled(t *testing.T) {
	for text, want := range map[string]bool{
		"rpi:\n  enable_usb_gadget: true\n":       true,
		"rpi:\n  enable_usb_gadget: True # x\r\n": true,
		"rpi:\n  enable_usb_gadget: false\n":      false,
		"# enable_usb_gadget: true\n":             false,
	} {
		if got := gadgetEnabled(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A module that others only need has no file of its own.
func TestListed(t *testing.T) {
	for dep, want := range map[string]string{
		"kernel/a/usb_f_ncm.ko: kernel/b/u_ether.ko\n":                            "usb_f_ncm",
		"kernel/x/g_ncm.ko.xz: kernel/a/usb_f_ncm.ko.xz\n":                        "",
		"kernel/x/g_ncm.ko: kernel/a/usb_f_ncm.ko\nkernel/a/usb_f_ncm.ko.zst:\n":  "usb_f_ncm",
		"kernel/a/usb_f_ecm.ko\nkernel/a/usb_f_mass_storage.ko\n":                 "usb_f_ecm usb_f_mass_storage", // modules.builtin
		"kernel/a/usb_f_ncm.ko: kernel/a/usb_f_ecm.ko\nkernel/a/usb_f_acm.ko:\n":  "usb_f_acm usb_f_ncm",
		"usb_f_ncm.ko:\nkernel/my_usb_f_ncm.ko:\nkernel/usb_f_\nkernel/a/usb_f_":  "",
		"kernel/usb_f_" + strings.Repeat("n", 100) + ".ko:\nkernel/usb_f_hid.ko:": "usb_f_hid",
		"": "",
	} {
		var got []string
		for m := range listed([]byte(dep)) {
			got = append(got, m)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %q", dep, got, want)
		}
	}
}

// A machine with neither a controller nor libcomposite pays for two looks at most.
func TestNoUSBDeviceSideReadsNothing(t *testing.T) {
	for _, name := range []string{"bookworm-netplan-networkd", "vagrant-virtualbox-debian", "ec2-vpc-cni"} {
		f, _, names := gatherNamed(t, "testdata/"+name)
		var got []string
		for _, n := range names {
			for _, p := range []string{"/sys/class/udc", "/sys/kernel/config", "/boot", "/lib/modules", "/usr/lib/modules", "/sys/class/leds", "/etc/modules", "/proc/modules", "/etc/rc.local"} {
				if strings.HasPrefix(n, p) {
					got = append(got, n)
				}
			}
		}
		if len(got) > 2 {
			t.Errorf("%s: looked at %v", name, got)
		}
		if f.USB.Boot != "" || f.USB.ConfigFS != "" || f.USB.Functions != nil {
			t.Errorf("%s: device side %+v", name, f.USB)
		}
	}
}

func TestAnonymiseSerial(t *testing.T) {
	f, _ := gatherCaptured(t, "testdata/pizerow-bookworm-composite")
	g := Anonymise(f, "salt")
	var b bytes.Buffer
	if err := g.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"f3a2b1c4", "F3A2B1C4", "02:1a:7f:03:9c", "8e:9b:2f", "b8:27:eb:f6", "fedcba9876543210"} {
		if strings.Contains(b.String(), s) {
			t.Errorf("%q survives", s)
		}
	}
	own := g.USB.Gadgets[slices.IndexFunc(g.USB.Gadgets, func(x Gadget) bool { return x.Name == "provision" })]
	if own.Serial != g.Machine.Serial || own.Serial == "" {
		t.Errorf("the gadget's serial %q is no longer the board's %q", own.Serial, g.Machine.Serial)
	}
	l, _ := g.LinkByName("usb0")
	if i := slices.IndexFunc(own.Functions, func(x GadgetFunction) bool { return x.Dev == l.MAC }); i < 0 {
		t.Errorf("no function has the MAC %s of usb0: %+v", l.MAC, own.Functions)
	}
}
