package gadget

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

// Everything that is wrong with the words alone, with its place and the next step.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, config, path, text string }{
		{"keys without a profile", "{rndis: true}", "profile", "write for example profile: auto"},
		{"functions without custom", "{profile: modern, functions: [{type: ncm}]}", "functions", "write profile: custom"},
		{"custom without functions", "{profile: custom}", "functions", "is missing"},
		{"unknown profile", "{profile: fast}", "profile", "is not one of auto, modern"},
		{"somebody else's name", "{profile: modern, name: g1}", "name", "provision or provision-NAME"},
		{"two of one name", "{profile: modern, more: [{profile: rescue, name: provision}]}", "more[0].name", "already the name of another gadget"},
		{"a path as controller", "{profile: modern, udc: ../x}", "udc", "ls /sys/class/udc"},
		{"a path as LED", "{profile: modern, led: a/b}", "led", "ls /sys/class/leds"},
		{"unknown function", "{profile: custom, functions: [{type: uvc}]}", "functions[0].type", `"uvc" is not one of ncm, ecm`},
		{"no type", "{profile: custom, functions: [{login: true}]}", "functions[0].type", "is missing"},
		{"RNDIS not asked for", "{profile: custom, functions: [{type: rndis}]}", "functions[0].type", "write rndis: true"},
		{"RNDIS not first", "{profile: custom, rndis: true, functions: [{type: acm}, {type: rndis}]}", "functions[1]", "has to be the first function"},
		{"two RNDIS", "{profile: custom, rndis: true, functions: [{type: rndis}, {type: rndis}]}", "functions[1]", "has to be the first function"},
		{"two configurations with serial", "{profile: custom, functions: [{type: ecm}, {type: ncm, configuration: 2}, {type: acm, configuration: 2}]}", "functions[2].configuration", "acm would vanish there"},
		{"two configurations with storage", "{profile: custom, functions: [{type: mass-storage, image: /a}, {type: ncm, configuration: 2}]}", "functions[0].configuration", "mass-storage would vanish there"},
		{"a gap in configurations", "{profile: custom, functions: [{type: ecm}, {type: ncm, configuration: 3}]}", "functions", "configuration 3 is there and 2 is not"},
		{"more than USB has", "{profile: custom, functions: [{type: acm}, {type: acm}, {type: acm}, {type: acm}, {type: acm}, {type: acm}, {type: acm}, {type: acm}]}", "functions", "16 IN endpoints"},
		{"login that is no serial port", "{profile: custom, functions: [{type: ncm, login: true}]}", "functions[0].login", "is for acm"},
		{"login of custom at the gadget", "{profile: custom, login: true, functions: [{type: acm}]}", "login", "stands with the function"},
		{"image of a network", "{profile: custom, functions: [{type: ncm, image: /x}]}", "functions[0].image", "is for mass-storage"},
		{"no image", "{profile: custom, functions: [{type: mass-storage}]}", "functions[0].image", "is missing"},
		{"the boot partition by name", "{profile: custom, functions: [{type: mass-storage, image: /boot/firmware/x.img}]}", "functions[0].image", "never shown to a host"},
		{"a detour to it", "{profile: custom, functions: [{type: mass-storage, image: /srv/../boot/x.img}]}", "functions[0].image", "without detours"},
		{"a written CD", "{profile: custom, functions: [{type: mass-storage, image: /x, cdrom: true, writable: true}]}", "functions[0].writable", "cannot be written"},
		{"HID without report", "{profile: custom, functions: [{type: hid, report-length: 8}]}", "functions[0].report-descriptor", "is missing"},
		{"HID with nonsense", "{profile: custom, functions: [{type: hid, report-length: 8, report-descriptor: xyz}]}", "functions[0].report-descriptor", "no hexadecimal"},
		{"HID without length", "{profile: custom, functions: [{type: hid, report-descriptor: '05'}]}", "functions[0].report-length", "1 to 1024"},
		{"multicast MAC", "{profile: custom, functions: [{type: ncm, mac: '03:00:00:00:00:01'}]}", "functions[0].mac", "multicast"},
		{"no MAC", "{profile: custom, functions: [{type: ncm, mac: '02:00'}]}", "functions[0].mac", "no MAC address"},
		{"both sides the same", "{profile: custom, functions: [{type: ncm, mac: '02:00:00:00:00:01', host-mac: '02:00:00:00:00:01'}]}", "functions[0].host-mac", "is already functions[0].mac"},
		{"two interfaces of one name", "{profile: classic, interfaces: [a0, a0]}", "interfaces[1]", "is already the interface of interfaces[0]"},
		{"more names than links", "{profile: modern, interfaces: [a0, a1]}", "interfaces[1]", "has 1 network functions"},
		{"a name that is too long", "{profile: modern, interfaces: [averyverylongname]}", "interfaces[0]", "at most 15"},
		{"a bridge named as a port", "{profile: classic, bridge: usb5, interfaces: [usb5]}", "interfaces[0]", "is already the interface of bridge"},
		{"split without routes", "{profile: modern, router: split}", "routes", "is missing"},
		{"routes without split", "{profile: modern, routes: [10.0.0.0/8]}", "routes", "belongs to router split"},
		{"everything as split", "{profile: modern, router: split, routes: [0.0.0.0/0]}", "routes[0]", "write router: full"},
		{"host bits", "{profile: modern, router: split, routes: [10.0.0.1/8]}", "routes[0]", "write 10.0.0.0/8"},
		{"client with addresses", "{profile: modern, router: client, addresses: [10.0.0.1/24]}", "addresses", "gives this machine its address"},
		{"link-local", "{profile: modern, addresses: [169.254.1.1/16]}", "addresses[0]", "cannot be forwarded"},
		{"the network's own", "{profile: modern, addresses: [10.0.0.0/24]}", "addresses[0]", "broadcast"},
		{"no room for the host", "{profile: modern, addresses: [10.0.0.1/32]}", "addresses[0]", "address for the host"},
		{"one address on two links", "{profile: classic, addresses: [10.0.0.1/24]}", "addresses[0]", "bridge: br-usb"},
		{"small MTU", "{profile: modern, mtu: 576}", "mtu", "RFC 8200"},
		{"a network key of rescue", "{profile: rescue, router: full}", "router", "without a network function"},
		{"policy of a bridge's port", "{profile: custom, bridge: b, functions: [{type: ncm, router: full}]}", "functions[0].router", "port of the bridge"},
		{"no id", "{profile: modern, vendor-id: '0x12345'}", "vendor-id", "four hexadecimal digits"},
		{"nobody's id", "{profile: modern, vendor-id: '0'}", "vendor-id", "nobody's"},
		{"a long string", "{profile: modern, product: " + strings.Repeat("x", 127) + "}", "product", "127 bytes long"},
		{"a string with a line break", "{profile: modern, serial: \"a\\nb\"}", "serial", "control character"},
		{"too much power", "{profile: modern, max-power: 501}", "max-power", "500"},
		{"no power", "{profile: modern, max-power: 0}", "max-power", "self-powered: true"},
		{"a local OUI", "{profile: modern, host-oui: '02:11:22'}", "host-oui", "what Android refuses"},
		{"a wrong class", "{profile: windows, rndis-class: 02/06/00}", "rndis-class", "is not one of"},
		{"deep in more", "{profile: modern, more: [{profile: custom, functions: [{type: ncm}, {type: uac}]}]}", "more[0].functions[1].type", "is not one of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps := config(t, c.config).Problems()
			found := false
			for _, p := range ps {
				found = found || p.Path == c.path && strings.Contains(p.Text, c.text)
			}
			if !found || len(ps) > 2 {
				t.Errorf("%+v\nwant %s: %s", ps, c.path, c.text)
			}
			if _, err := Plan(Input{Facts: zeroW()}, config(t, c.config)); err == nil || !strings.Contains(err.Error(), "gadget."+c.path+": ") {
				t.Errorf("planned all the same: %v", err)
			}
		})
	}
}

func TestRightConfigurations(t *testing.T) {
	for _, text := range []string{"{}", "{profile: auto}", "{profile: classic, bridge: br-usb, addresses: [10.0.0.1/24, auto]}", "{profile: windows, max-power: 0, self-powered: true}",
		"{more: [{profile: rescue}, {profile: modern, name: provision-door}]}", "{profile: auto, addresses: [10.0.0.1/24]}",
		"{profile: custom, rndis: true, functions: [{type: ecm}, {type: rndis, configuration: 2}, {type: ncm, configuration: 2, interface: n.1}]}"} {
		if ps := config(t, text).Problems(); len(ps) > 0 {
			t.Errorf("%s: %+v", text, ps)
		}
	}
}

// What a machine cannot do, or has otherwise in use.
func TestRefusals(t *testing.T) {
	storage := "{profile: custom, functions: [{type: mass-storage, image: /srv/x.img}]}"
	for _, c := range []struct {
		name, config string
		change       func(*facts.Facts)
		images       map[string]Image
		want         []string
	}{
		{"no controller", "{profile: modern}", func(f *facts.Facts) { f.USB.Controllers = nil }, nil, []string{"gadget.udc: this machine has no USB device controller", "dtoverlay=dwc2"}},
		{"not that controller", "{profile: modern, udc: x.usb}", nil, nil, []string{"gadget.udc: there is no controller x.usb: there is 20980000.usb"}},
		{"held by a module", "{profile: modern}", func(f *facts.Facts) { f.USB.Controllers[0].Function = "g_serial" }, nil, []string{"gadget.udc: no controller is free", "held by the module g_serial", "modprobe -r g_serial"}},
		{"held by another gadget", "{profile: modern, udc: 20980000.usb}", func(f *facts.Facts) {
			f.USB.Controllers[0].Function = "pi4"
			f.USB.Gadgets = []facts.Gadget{{Name: "pi4", UDC: "20980000.usb"}}
		}, nil, []string{"gadget.udc: 20980000.usb is held by the gadget pi4 of another program", "echo > /sys/kernel/config/usb_gadget/pi4/UDC"}},
		{"two gadgets, one controller", "{profile: modern, more: [{profile: rescue}]}", nil, nil, []string{"gadget.more[0].udc: no controller is left for it: there is 20980000.usb"}},
		{"one controller twice", "{profile: modern, udc: 20980000.usb, more: [{profile: rescue, udc: 20980000.usb}]}", nil, nil, []string{"gadget.more[0].udc: 20980000.usb is already given to another gadget (udc)"}},
		{"too many endpoints", "{profile: custom, rndis: true, functions: [{type: rndis}, {type: ncm}, {type: acm}, {type: mass-storage, image: /srv/x.img}, {type: hid, report-length: 8, report-descriptor: '0501'}]}",
			nil, map[string]Image{"/srv/x.img": {Kind: "file"}}, []string{"gadget.functions: configuration 1 needs 8 IN endpoints, and 20980000.usb has 7: leave out what takes 1",
				"\n  ncm.usb1              2    1\n", "\n  mass_storage.0        1    1\n", "\n  together              8    5"}},
		{"the same where the driver is not known", "{profile: custom, functions: [{type: acm}, {type: acm}, {type: acm}, {type: acm}]}",
			func(f *facts.Facts) { f.USB.Controllers[0].Driver = "" }, nil, []string{"needs 8 IN endpoints"}},
		{"a function that the kernel lacks", "{profile: auto}", func(f *facts.Facts) { f.USB.Functions["ncm"] = facts.SupportMissing }, nil,
			[]string{"gadget.profile: the kernel has no function ncm (usb_f_ncm)", "with rndis: true"}},
		{"no configfs", "{profile: modern}", func(f *facts.Facts) { f.USB.ConfigFS = "" }, nil, []string{"gadget.profile: configfs is not mounted", "sys-kernel-config.mount"}},
		{"no libcomposite", "{profile: modern}", func(f *facts.Facts) { f.USB.LibComposite = false }, nil, []string{"modprobe libcomposite"}},
		{"nothing that tells it from others", "{profile: modern}", func(f *facts.Facts) { f.Machine.Serial, f.Machine.MachineID = "0000000000000000", "" }, nil, []string{"gadget.serial: this machine has neither"}},
		{"an image that is not there", storage, nil, nil, []string{"gadget.functions[0].image: /srv/x.img is not there: make it first"}},
		{"a folder as image", storage, nil, map[string]Image{"/srv/x.img": {Kind: "directory"}}, []string{"is a directory: a disk is shown from"}},
		{"the boot partition behind a link", storage, nil, map[string]Image{"/srv/x.img": {Kind: "block", Path: "/dev/mmcblk0p1", Use: "mounted at /boot/firmware"}}, []string{"/srv/x.img is mounted at /boot/firmware on this machine: two systems that use one disk destroy it"}},
		{"a file of the boot partition behind a link", storage, nil, map[string]Image{"/srv/x.img": {Kind: "file", Path: "/boot/firmware/x.img"}}, []string{"/srv/x.img leads elsewhere: /boot/firmware/x.img is on the boot partition"}},
		{"an image in a loop", storage, nil, map[string]Image{"/srv/x.img": {Kind: "file", Use: "behind /dev/loop0, mounted at /mnt"}}, []string{"behind /dev/loop0"}},
		{"a name that a phone has", "{profile: modern, interfaces: [enx0]}", func(f *facts.Facts) {
			f.Links = append(f.Links, facts.Link{Index: 9, Name: "enx0", MAC: "02:02:02:02:02:02", ARPHRD: 1})
		}, nil, []string{"the interface name enx0 is taken by another device"}},
		{"a bridge that is none", "{profile: modern, bridge: wlan0}", nil, nil, []string{"gadget.bridge: the interface name wlan0 is taken by a device that is no bridge"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := zeroW()
			if c.change != nil {
				c.change(f)
			}
			r, err := Plan(Input{Facts: f, Images: c.images}, config(t, c.config))
			if err == nil {
				t.Fatalf("it was planned:\n%s", text(r))
			}
			of := map[string]error{"no controller": ErrLacks, "not that controller": ErrLacks, "held by a module": ErrHeld, "held by another gadget": ErrHeld,
				"two gadgets, one controller": ErrLacks, "a function that the kernel lacks": ErrLacks, "no configfs": ErrLacks, "no libcomposite": ErrLacks,
				"nothing that tells it from others": ErrLacks}[c.name]
			for _, kind := range []error{ErrLacks, ErrHeld} {
				if errors.Is(err, kind) != (of == kind) {
					t.Errorf("%v: that %v is %v", err, kind, errors.Is(err, kind))
				}
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\nlacks %q", err, w)
				}
			}
			if len(r.Desired.Wants) > 0 || len(r.Links) > 0 {
				t.Errorf("half of it is wanted: %v", r.Desired.Wants)
			}
		})
	}
}

// Of several refusals the one that has to be mended first says what it is.
func TestWhoseRefusal(t *testing.T) {
	f := zeroW()
	f.USB.Controllers[0].Function = "g_serial"
	held := "{profile: modern}"
	if _, err := Plan(Input{Facts: f}, config(t, held)); !errors.Is(err, ErrHeld) || errors.Is(err, ErrLacks) {
		t.Errorf("held: %v", err)
	}
	f.USB.Functions["ncm"] = facts.SupportMissing
	if _, err := Plan(Input{Facts: f}, config(t, held)); !errors.Is(err, ErrLacks) || errors.Is(err, ErrHeld) {
		t.Errorf("held, and without ncm: %v", err)
	}
	wrong := "{profile: custom, functions: [{type: ncm}, {type: mass-storage, image: /srv/x.img}]}"
	if _, err := Plan(Input{Facts: f}, config(t, wrong)); err == nil || errors.Is(err, ErrLacks) || errors.Is(err, ErrHeld) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("and with a wrong image: %v", err)
	}
}

func TestNothingIsWantedWithoutASlice(t *testing.T) {
	r, err := Plan(Input{Facts: zeroW()}, Config{})
	if err != nil || !reflect.DeepEqual(r, Result{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// The full set that a dwc2 can carry is not refused.
func TestSevenEndpointsFit(t *testing.T) {
	r := mustPlan(t, Input{Facts: zeroW(), Images: map[string]Image{"/dev/sda1": {Kind: "block"}}},
		config(t, "{profile: custom, rndis: true, functions: [{type: rndis}, {type: ncm}, {type: acm}, {type: mass-storage, image: /dev/sda1, writable: true}]}"))
	if d := r.Devices[0]; d.Endpoints != 7 || d.Budget != 7 {
		t.Errorf("%+v", d)
	}
	if w, ok := find(r, "usb-function:provision/mass_storage.0"); !ok || w.Attrs["lun.0/ro"] != "0" || w.Attrs["lun.0/file"] != "/dev/sda1" {
		t.Errorf("%+v", w)
	}
	// Two configurations are not used at once, so they do not add up.
	mustPlan(t, Input{Facts: zeroW()}, config(t, "{profile: custom, functions: [{type: ncm}, {type: ncm}, {type: ncm}, {type: ncm, configuration: 2}, {type: ecm, configuration: 2}, {type: ecm, configuration: 2}]}"))
}
