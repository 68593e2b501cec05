package doctor

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "write the goldens in testdata anew")

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func ago(s int) time.Time { return now.Add(-time.Duration(s) * time.Second) }

// history makes states of pairs: seconds ago, state.
func history(pairs ...any) []Seen {
	var out []Seen
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Seen{ago(pairs[i].(int)), pairs[i+1].(string)})
	}
	return out
}

func load(t *testing.T, name string) *facts.Facts {
	t.Helper()
	r, err := os.Open("../../provision/facts/testdata/" + name + "/facts.json")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := facts.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const mac = "02:1a:7f:03:9c:10"

// well is a Zero W on which everything is as it should be.
func well(t *testing.T) Input {
	f := load(t, "pizerow-bookworm-composite")
	f.USB.Gadgets = slices.DeleteFunc(f.USB.Gadgets, func(g facts.Gadget) bool { return g.Name == "g1" })
	f.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	f.Routes = append(f.Routes, facts.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.168.1.1"), Link: 2, Table: 254, Type: "unicast"})
	return Input{
		Facts: f, Now: now,
		Devices: []Device{{Name: "provision", UDC: "20980000.usb", Functions: []Function{{"ncm.usb0", "ncm", "usb0", mac}, {"acm.GS0", "acm", "", ""}}}},
		Links:   []Link{{Name: "usb0", MAC: mac, Addresses: []netip.Prefix{netip.MustParsePrefix("10.55.4.1/29")}, Router: "none"}},
		History: map[string][]Seen{"20980000.usb": history(600, "not attached", 540, "default", 540, "addressed", 539, "configured")},
		Counts:  map[string][]Count{"usb0": {{ago(30), 100, 90}, {now, 140, 120}}},
		Kernel:  []string{"[   12.3] dwc2 20980000.usb: bound driver configfs-gadget.provision", "[  540.1] dwc2 20980000.usb: new device is high-speed"},
		Server:  &Server{Running: true, Links: []string{"usb0"}, Leases: map[string]int{"usb0": 1}, Heard: map[string]time.Time{"usb0": ago(60)}},
	}
}

// state sets the controller's state with what happened before.
func state(in *Input, s string, pairs ...any) {
	in.Facts.USB.Controllers[0].State = s
	in.History = map[string][]Seen{"20980000.usb": history(pairs...)}
	if s != "configured" {
		in.Facts.Links[2].Carrier = false
	}
}

// absent takes the controller away.
func absent(in *Input) {
	u := &in.Facts.USB
	u.Controllers, u.Gadgets, u.Modules, u.LibComposite = nil, nil, nil, false
	in.Facts.Links = in.Facts.Links[:2]
	in.Server.Links = nil
}

func setFile(in *Input, name, text string) {
	in.Facts.Files[name] = facts.File{Mode: 0o644, Text: text}
}

const config = "/boot/firmware/config.txt"

func cases() []struct {
	name  string
	first Code // the likeliest culprit, "" nothing wrong
	edit  func(*Input)
} {
	return []struct {
		name  string
		first Code
		edit  func(*Input)
	}{
		{"nothing-wrong", "", func(*Input) {}},
		{"overlay-missing", OverlayMissing, func(in *Input) { absent(in); setFile(in, config, "dtparam=audio=on\n") }},
		{"overlay-in-stock-file", OverlayMissing, func(in *Input) {
			absent(in)
			setFile(in, config, "[cm4]\notg_mode=1\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n[all]\n")
		}},
		{"overlay-shadowed", OverlayShadowed, func(in *Input) {
			absent(in)
			setFile(in, config, "[cm5]\ndtoverlay=dwc2,dr_mode=host\n\ndtoverlay=dwc2\n")
		}},
		{"overlay-commented-out", OverlayShadowed, func(in *Input) { absent(in); setFile(in, config, "#dtoverlay=dwc2\n") }},
		{"host-mode", HostMode, func(in *Input) { absent(in); setFile(in, config, "dtoverlay=dwc2\ndtparam=dr_mode=host\n") }},
		{"otg-mode", OTGMode, func(in *Input) {
			absent(in)
			in.Facts.Machine.Board = "Raspberry Pi Compute Module 4 Rev 1.0"
			setFile(in, config, "[cm4]\notg_mode=1\n[all]\ndtoverlay=dwc2\n")
		}},
		{"no-port", NoPort, func(in *Input) { absent(in); in.Facts.Machine.Board = "Raspberry Pi 3 Model B Plus Rev 1.3" }},
		{"next-boot", NextBoot, func(in *Input) { setFile(in, config, "dtparam=audio=on\n") }},
		{"no-controller-not-rebooted", NoController, absent},
		{"no-controller-driver-loaded", NoController, func(in *Input) {
			absent(in)
			in.Facts.USB.Modules = []string{"dwc2"}
			in.Kernel = append(in.Kernel, "[    3.1] dwc2 20980000.usb: dwc2_core_reset: HANG! Soft Reset timeout GRSTCTL_CSFTRST")
		}},
		{"no-controller-on-a-pc", NoController, func(in *Input) {
			absent(in)
			in.Facts.Machine.Board, in.Facts.USB.Boot = "", ""
		}},
		{"another-controller", NoController, func(in *Input) { in.Devices[0].UDC = "fe980000.usb" }},
		{"which-controller", NoController, func(in *Input) {
			in.Devices[0].UDC = ""
			in.Facts.USB.Controllers = append(in.Facts.USB.Controllers, facts.UDC{Name: "dummy_udc.0"})
		}},
		{"cmdline-two-lines", Cmdline, func(in *Input) {
			setFile(in, "/boot/firmware/cmdline.txt", "console=tty1 root=PARTUUID=1 rootwait\r\nmodules-load=dwc2\r\n")
		}},
		{"cmdline-without-root", Cmdline, func(in *Input) { setFile(in, "/boot/firmware/cmdline.txt", "modules-load=dwc2\n") }},
		{"no-libcomposite", NoConfigFS, func(in *Input) {
			in.Facts.USB.LibComposite, in.Facts.USB.Gadgets, in.Facts.USB.Controllers[0].Function = false, nil, ""
		}},
		{"configfs-not-mounted", NoConfigFS, func(in *Input) {
			in.Facts.USB.LibComposite, in.Facts.USB.ConfigFS, in.Facts.USB.Gadgets, in.Facts.USB.Controllers[0].Function = false, "", nil, ""
		}},
		{"g-ether-holds-it", Held, func(in *Input) {
			in.Facts = load(t0, "pizero2w-trixie-g-ether")
			in.Facts.USB.Functions["ncm"] = facts.SupportModule
			in.Devices[0].UDC = ""
		}},
		{"another-tree-holds-it", Held, func(in *Input) {
			in.Facts.USB.Gadgets = []facts.Gadget{{Name: "pi4", UDC: "20980000.usb", Manufacturer: "Ben Hardill"}}
			in.Facts.USB.Controllers[0].Function = "pi4"
			in.Facts.USB.Traces = []string{"unit:usbgadget.service"}
		}},
		{"other-at-boot", OtherAtBoot, func(in *Input) {
			setFile(in, "/boot/firmware/cmdline.txt", "root=PARTUUID=1 rootwait modules-load=dwc2,g_ether\n")
		}},
		{"function-missing", NoFunction, func(in *Input) {
			in.Facts.USB.Functions["ncm"] = facts.SupportMissing
			in.Facts.USB.Controllers[0].Function, in.Facts.USB.Gadgets = "", nil
		}},
		{"function-missing-cloud-kernel", NoFunction, func(in *Input) {
			in.Facts.USB.Functions["ncm"], in.Facts.USB.Functions["acm"] = facts.SupportMissing, facts.SupportMissing
			in.Facts.USB.Kernels, in.Facts.Machine.Arch = []string{"6.12.48+deb13-cloud-arm64"}, "aarch64"
			in.Facts.USB.Controllers[0].Function, in.Facts.USB.Gadgets = "", nil
		}},
		{"not-up", NotBound, func(in *Input) {
			in.Facts.USB.Gadgets, in.Facts.USB.Controllers[0].Function = nil, ""
			in.Facts.Links = in.Facts.Links[:2]
		}},
		{"not-bound", NotBound, func(in *Input) {
			in.Facts.USB.Gadgets[0].UDC, in.Facts.USB.Controllers[0].Function = "", ""
		}},
		{"bind-failed", BindFailed, func(in *Input) {
			in.Facts.USB.Gadgets[0].UDC, in.Facts.USB.Controllers[0].Function = "", ""
			in.Kernel = append(in.Kernel, "[   13.0] udc 20980000.usb: failed to start provision: -19")
		}},
		{"interface-missing", NoInterface, func(in *Input) { in.Facts.Links = in.Facts.Links[:2] }},
		{"interface-down", InterfaceDown, func(in *Input) { in.Facts.Links[2].Up, in.Facts.Links[2].Carrier = false, false }},
		{"interface-name", InterfaceName, func(in *Input) {
			in.Facts.Links[2].Name = "usb1"
			in.Facts.Links = append(in.Facts.Links, facts.Link{Index: 9, Name: "usb0", MAC: "ee:aa:bb:00:00:01", PermMAC: "ee:aa:bb:00:00:01", Driver: "rndis_host", Up: true})
			in.Server.Links = []string{"usb0"}
		}},
		{"no-host", NoHost, func(in *Input) { state(in, "not attached", 600, "not attached") }},
		{"no-host-unwatched-otg", NoHost, func(in *Input) {
			state(in, "not attached")
			in.History, in.Kernel, in.Server = nil, nil, nil
			in.Facts.USB.Controllers[0].OTG = true
		}},
		{"no-host-on-usb-c", NoHost, func(in *Input) {
			state(in, "not attached", 600, "not attached")
			in.Facts.Machine.Board = "Raspberry Pi 5 Model B Rev 1.0"
		}},
		{"host-gone", HostGone, func(in *Input) {
			state(in, "not attached", 600, "not attached", 500, "default", 500, "addressed", 499, "configured", 60, "not attached")
		}},
		{"enumeration", Enumeration, func(in *Input) {
			state(in, "not attached", 600, "not attached", 500, "default", 499, "not attached", 490, "default", 489, "not attached", 480, "default", 479, "not attached")
		}},
		{"not-configured", NotConfigured, func(in *Input) { state(in, "addressed", 600, "not attached", 61, "default", 60, "addressed") }},
		{"addressed-just-now", "", func(in *Input) { state(in, "addressed", 600, "not attached", 2, "default", 1, "addressed") }},
		{"host-suspended", Suspended, func(in *Input) {
			state(in, "suspended", 6000, "not attached", 5000, "default", 5000, "addressed", 4999, "configured", 300, "suspended")
		}},
		{"windows-suspends-what-it-cannot-use", NoDriver, func(in *Input) {
			state(in, "suspended", 600, "not attached", 305, "default", 305, "addressed", 304, "configured", 300, "suspended")
			in.Server.Heard = nil
		}},
		{"no-driver", NoDriver, func(in *Input) {
			in.Facts.Links[2].Carrier = false
			in.Facts.USB.Gadgets[0].OSDesc.Use = false
			in.Facts.USB.Gadgets[0].Functions[1].OSDesc = ""
		}},
		{"one-of-two-configurations", "", func(in *Input) {
			in.Devices[0].Functions = append(in.Devices[0].Functions, Function{"rndis.usb1", "rndis", "usb1", "02:1a:7f:03:9c:20"})
			in.Facts.Links = append(in.Facts.Links, facts.Link{Index: 4, Name: "usb1", MAC: "02:1a:7f:03:9c:20", PermMAC: "02:1a:7f:03:9c:20", Up: true})
		}},
		{"host-silent", Silent, func(in *Input) { in.Counts["usb0"] = []Count{{ago(30), 0, 4}, {now, 0, 9}} }},
		{"wedged", Wedged, func(in *Input) {
			in.Kernel = append(in.Kernel, "[  700.0] dwc2 20980000.usb: dwc2_hsotg_ep_stop_xfr: timeout DIEPCTL.EPDISABLE")
			in.Counts["usb0"] = []Count{{ago(30), 140, 90}, {now, 140, 120}}
		}},
		{"wedged-once", Wedged, func(in *Input) {
			in.Kernel = append(in.Kernel, "[  700.0] dwc2 20980000.usb: dwc2_hsotg_ep_stop_xfr: timeout GINTSTS.GOUTNAKEFF")
			in.Counts = nil
		}},
		{"wedged-and-well-again", "", func(in *Input) {
			in.Kernel = append(in.Kernel, "[  700.0] dwc2 20980000.usb: dwc2_hsotg_ep_stop_xfr: timeout GINTSTS.GOUTNAKEFF")
		}},
		{"address-missing", NoAddress, func(in *Input) { in.Facts.Addrs = in.Facts.Addrs[:2] }},
		{"subnet-conflict", Conflict, func(in *Input) {
			in.Facts.Addrs = append(in.Facts.Addrs, facts.Address{Link: 2, Prefix: netip.MustParsePrefix("10.55.0.7/16")})
			in.Facts.Routes = append(in.Facts.Routes, facts.Route{Dst: netip.MustParsePrefix("10.0.0.0/8"), Link: 2, Table: 254, Type: "unicast", Proto: facts.ProtoStatic})
		}},
		{"wider-route-elsewhere", Conflict, func(in *Input) {
			in.Facts.Routes = append(in.Facts.Routes, facts.Route{Dst: netip.MustParsePrefix("10.0.0.0/8"), Link: 2, Table: 254, Type: "unicast", Proto: facts.ProtoStatic})
		}},
		{"ecm-and-windows", NoDriver, func(in *Input) {
			in.Facts.Links[2].Carrier = false
			in.Devices[0].Functions[0] = Function{"ecm.usb0", "ecm", "usb0", mac}
			in.Facts.USB.Gadgets[0].Functions = in.Facts.USB.Gadgets[0].Functions[:1]
		}},
		{"not-ours-to-take", Held, func(in *Input) {
			in.Facts = load(t0, "pizero2w-trixie-g-ether")
			in.Devices, in.Links = nil, nil
		}},
		{"server-down", NoServer, func(in *Input) { in.Server = &Server{} }},
		{"server-leaves-it-out", NoServer, func(in *Input) { in.Server.Links = []string{"wlan0"} }},
		{"managed-by-networkmanager", Managed, func(in *Input) { in.Facts.NM.Devices = map[int]facts.NMDevice{3: {Managed: "managed"}} }},
		{"managed-by-networkd", Managed, func(in *Input) {
			in.Facts.Networkd.Links = map[int]facts.NetworkdLink{3: {Admin: "configured", Network: "/etc/systemd/network/10-usb.network"}}
		}},
		{"managed-by-dhcpcd", Managed, func(in *Input) {
			in.Facts.Dhcpcd.Running, in.Facts.Dhcpcd.Master = true, true
			setFile(in, "/etc/dhcpcd.conf", "hostname\ndenyinterfaces wlan*\n")
		}},
		{"dhcpcd-told-so", "", func(in *Input) {
			in.Facts.Dhcpcd.Running, in.Facts.Dhcpcd.Master = true, true
			setFile(in, "/etc/dhcpcd.conf", "hostname\ndenyinterfaces eth0,usb*\n")
		}},
		{"no-uplink", NoUplink, func(in *Input) { in.Links[0].Router = "full"; in.Facts.Routes = nil }},
		{"no-forwarding", NoForwarding, func(in *Input) { in.Links[0].Router = "split"; in.Facts.Sysctl["net.ipv4.ip_forward"] = "0" }},
		{"full-and-well", "", func(in *Input) { in.Links[0].Router = "full" }},
		{"no-sharing", NoSharing, func(in *Input) { in.Links[0].Router, in.Links[0].Addresses = "client", nil }},
		{"undervoltage", Power, func(in *Input) { in.Kernel = append(in.Kernel, "[   80.2] hwmon hwmon1: Undervoltage detected!") }},
		{"unreadable", "", func(in *Input) {
			in.Facts.Unreadable = []facts.Problem{{Source: "/sys/class/udc/20980000.usb/state", Reason: "permission denied"}, {Source: "/etc/shadow", Reason: "permission denied"}}
			in.Kernel, in.History = nil, nil
		}},
		{"nothing-configured", "", func(in *Input) { in.Devices, in.Links = nil, nil }},
		{"image", OtherAtBoot, func(in *Input) {
			in.Facts = load(t0, "offline-bullseye-image")
			in.Devices[0].Functions = in.Devices[0].Functions[1:]
			in.Facts.Machine.Board = ""
			setFile(in, "/boot/config.txt", "dtoverlay=dwc2\n")
		}},
	}
}

// t0 is the test that cases load machines for.
var t0 *testing.T

func TestDiagnose(t *testing.T) {
	t0 = t
	var left []string
	if !*update {
		files, _ := filepath.Glob("testdata/*.json")
		left = files
	}
	seen := map[Code]bool{}
	for _, c := range cases() {
		in := well(t)
		c.edit(&in)
		r := Diagnose(in)
		golden := filepath.Join("testdata", c.name+".json")
		left = slices.DeleteFunc(left, func(s string) bool { return s == golden })
		t.Run(c.name, func(t *testing.T) {
			first := Code("")
			for _, f := range r.Findings {
				seen[f.Code] = true
				if len(f.Evidence) == 0 || len(f.Cure) == 0 || f.Culprit == "" || f.Severity == "" {
					t.Errorf("finding without evidence, cure or severity: %+v", f)
				}
			}
			if len(r.Findings) > 0 {
				first = r.Findings[0].Code
			}
			if first != c.first {
				t.Errorf("the likeliest culprit is %q, want %q", first, c.first)
			}
			if len(r.Looked) == 0 && len(r.Findings) == 0 {
				t.Error("nothing found, and nothing looked at")
			}
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			if err := e.Encode(r); err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", b.Bytes(), want)
			}
			if strings.Contains(b.String(), "%!") {
				t.Error("a format is broken")
			}
		})
	}
	if len(left) > 0 {
		t.Errorf("goldens of no case: %v", left)
	}
	for _, c := range []Code{NoPort, OverlayMissing, OverlayShadowed, HostMode, OTGMode, NextBoot, NoController, Cmdline, NoConfigFS, NoFunction, Held, OtherAtBoot, NotBound, BindFailed,
		NoInterface, InterfaceDown, InterfaceName, NoHost, HostGone, USBPD, Enumeration, NotConfigured, Suspended, NoDriver, Silent, Wedged, NoAddress, Conflict, NoServer, Managed, NoUplink,
		NoForwarding, NoSharing, Power} {
		if !seen[c] {
			t.Errorf("no case finds %q", c)
		}
	}
}

// With the bare facts of any machine there is an answer, and no panic.
func TestBareFacts(t *testing.T) {
	dirs, err := filepath.Glob("../../provision/facts/testdata/*/facts.json")
	if err != nil || len(dirs) < 8 {
		t.Fatalf("%d machines (%v)", len(dirs), err)
	}
	for _, d := range dirs {
		f := load(t, filepath.Base(filepath.Dir(d)))
		r := Diagnose(Input{Facts: f})
		if len(r.Looked)+len(r.Findings)+len(r.Blind) == 0 {
			t.Errorf("%s: no word", d)
		}
		Diagnose(Input{Facts: f, Devices: well(t).Devices, Links: well(t).Links, History: well(t).History, Server: &Server{}, Now: now})
	}
}

func TestDenied(t *testing.T) {
	for conf, want := range map[string]bool{
		"":                                      false,
		"denyinterfaces usb0\n":                 true,
		"denyinterfaces eth0 usb?\n":            true,
		"# denyinterfaces usb0\n":               false,
		"allowinterfaces wlan0\n":               true,
		"allowinterfaces wlan0 usb0":            false,
		"interface eth0\nstatic ip_address=x\n": false,
		"denyinterfaces [usb0\n":                false,
	} {
		if got := denied(conf, "usb0"); got != want {
			t.Errorf("%q: %v, want %v", conf, got, want)
		}
	}
}

func TestWorst(t *testing.T) {
	for _, c := range []struct {
		in   []Severity
		want Severity
	}{{nil, ""}, {[]Severity{Note}, Note}, {[]Severity{Note, Warning, Note}, Warning}, {[]Severity{Warning, Error, Note}, Error}} {
		var r Report
		for _, s := range c.in {
			r.Findings = append(r.Findings, Finding{Severity: s})
		}
		if got := r.Worst(); got != c.want {
			t.Errorf("worst of %v is %q, want %q", c.in, got, c.want)
		}
	}
}
