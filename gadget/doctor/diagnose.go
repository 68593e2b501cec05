package doctor

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
	"github.com/provision-net/provision/gadget/leftover"
	"github.com/provision-net/provision/provision/facts"
)

// Diagnose looks at everything and returns what it found, the likeliest first. What
// an earlier culprit explains is not told again: without a controller there is no
// host to be missed.
func Diagnose(in Input) Report {
	e := &exam{in: in, f: in.Facts, r: Report{Schema: Schema, Findings: []Finding{}, Looked: []Look{}}}
	for _, d := range in.Devices {
		e.own = append(e.own, d.Name)
	}
	e.unreadable()
	e.bootConfig()
	e.bootCmdline()
	e.functions()
	e.others()
	if !e.f.Machine.Offline {
		if e.controllers() {
			for _, d := range in.Devices {
				e.device(d)
			}
		}
		e.network()
		e.power()
	}
	sort.SliceStable(e.r.Findings, func(i, j int) bool { return e.r.Findings[i].weight > e.r.Findings[j].weight })
	return e.r
}

type exam struct {
	in  Input
	f   *facts.Facts
	own []string
	r   Report
}

func (e *exam) found(weight int, f Finding) {
	f.weight = weight
	e.r.Findings = append(e.r.Findings, f)
}

func (e *exam) well(what, format string, args ...any) {
	e.r.Looked = append(e.r.Looked, Look{what, fmt.Sprintf(format, args...)})
}

func (e *exam) blind(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(e.r.Blind, s) {
		e.r.Blind = append(e.r.Blind, s)
	}
}

// unreadable names the sources of the device side that could not be read.
func (e *exam) unreadable() {
	for _, p := range e.f.Unreadable {
		for _, dir := range []string{"/sys/class/udc", "/sys/kernel/config", "/boot", "/proc/modules", "/lib/modules", "/etc/modules", "/usr/lib/modules", "/etc/rc.local", "rtnetlink"} {
			if strings.HasPrefix(p.Source, dir) {
				e.blind("%s: %s", p.Source, p.Reason)
				break
			}
		}
	}
	if e.f.Machine.Offline {
		e.blind("the running system: this is an image")
		return
	}
	if e.in.Kernel == nil {
		e.blind("the kernel's log")
	}
	if e.in.History == nil {
		e.blind("what the controller's state was before: nobody has watched it")
	}
	if e.in.Server == nil && len(e.in.Links) > 0 {
		e.blind("the DHCP and DNS server")
	}
}

// board is the Raspberry Pi at hand.
func (e *exam) board() (bootfile.Board, bool) {
	return bootfile.BoardOf(e.f.Machine.Board, e.f.Machine.Serial)
}

// bootConfig reads config.txt.
func (e *exam) bootConfig() {
	dir := e.f.USB.Boot
	b, pi := e.board()
	running := len(e.f.USB.Controllers) > 0
	if pi && b.Device == bootfile.No && !running {
		e.found(100, Finding{Code: NoPort, Severity: Error, Culprit: "this board has no port that can be a USB device",
			Evidence: []string{"the device tree says " + e.f.Machine.Board}, Cure: []string{"take a Raspberry Pi Zero, A, 4, 5 or a Compute Module"}})
		return
	}
	main := path.Join(dir, "config.txt")
	if dir == "" {
		return
	}
	if _, ok := e.f.Files[main]; !ok {
		e.blind("%s", main)
		return
	}
	files := map[string]string{}
	for p, file := range e.f.Files {
		if rel, ok := strings.CutPrefix(p, dir+"/"); ok {
			files[rel] = file.Text
		}
	}
	u := bootfile.ReadUSB(files, b)
	say := func(p bootfile.Place) string {
		return fmt.Sprintf("%s line %d: %s", path.Join(dir, p.File), p.Line, strings.TrimSpace(p.Text))
	}
	var lines []string
	for _, n := range u.Notes {
		lines = append(lines, say(n.Place)+" ("+n.Says+")")
	}
	switch {
	case u.Device == bootfile.Yes:
		e.well("config.txt", "%s makes the controller %s", say(*u.By), map[bootfile.Mode]string{bootfile.ModePeripheral: "a device", bootfile.ModeOTG: "a device or a host"}[u.Mode])
		return
	case u.Device == bootfile.Unknown:
		e.blind("whether the lines of %s count on this board: %s", main, strings.Join(lines, "; "))
		return
	}
	f := Finding{Severity: Error, Evidence: lines}
	weight := 100
	fix := "write at the end of " + main + ": [all], and below it dtoverlay=dwc2,dr_mode=peripheral"
	switch u.Mode {
	case bootfile.ModeXHCI:
		f.Code, f.Culprit = OTGMode, "otg_mode=1 gives the port to a host controller"
		f.Cure = []string{fmt.Sprintf("take line %d out of %s, or write [all] and otg_mode=0 at its end", u.By.Line, path.Join(dir, u.By.File))}
	case bootfile.ModeHost:
		f.Code, f.Culprit = HostMode, "config.txt makes the controller a host"
		f.Cure = []string{fmt.Sprintf("change line %d of %s, or %s", u.By.Line, path.Join(dir, u.By.File), fix)}
	default:
		// Lines for other boards stand in every stock file and explain nothing.
		f.Code, f.Culprit, f.Cure = OverlayMissing, "config.txt does not make the USB controller a device", []string{fix}
		for _, n := range u.Notes {
			if strings.Contains(n.Text, "dwc2") && !strings.Contains(n.Text, "dr_mode=host") {
				f.Code, f.Culprit = OverlayShadowed, "config.txt has the overlay dwc2 where it does not count"
			}
		}
		if len(f.Evidence) == 0 {
			f.Evidence = []string{main + " has no line dtoverlay=dwc2"}
		}
	}
	f.Cure = append(f.Cure, "reboot")
	if running {
		weight, f.Severity, f.Culprit = 40, Warning, "after the next boot the controller is gone: "+f.Culprit
		f.Evidence = append(f.Evidence, "now "+e.f.USB.Controllers[0].Name+" is there")
		f.Code = NextBoot
	}
	e.found(weight, f)
}

// bootCmdline reads cmdline.txt.
func (e *exam) bootCmdline() {
	name := path.Join(e.f.USB.Boot, "cmdline.txt")
	file, ok := e.f.Files[name]
	if !ok || e.f.USB.Boot == "" {
		return
	}
	c := bootfile.ParseCmdline(file.Text)
	if len(c.Problems) == 0 {
		e.well("cmdline.txt", "one line of %d parameters with root=", len(c.Params))
		return
	}
	f := Finding{Code: Cmdline, Severity: Warning, Culprit: "cmdline.txt is broken", Cure: []string{"make " + name + " one line that ends in a line feed, with an editor that leaves line ends alone", "reboot"}}
	for _, p := range c.Problems {
		where := name
		if p.Line > 0 {
			where = fmt.Sprintf("%s line %d", name, p.Line)
		}
		f.Evidence = append(f.Evidence, where+": "+p.Text)
		switch p.Code {
		case "empty", "no-root", "nul":
			f.Severity = Error
		}
	}
	weight := 60
	if len(e.f.USB.Controllers) == 0 {
		weight = 92
	}
	e.found(weight, f)
}

// functions compares what is planned with what the kernel has.
func (e *exam) functions() {
	have := e.f.USB.Functions
	var lacks, unknown []string
	for _, d := range e.in.Devices {
		for _, fn := range d.Functions {
			t := strings.ReplaceAll(fn.Type, "-", "_")
			switch s, ok := have[t]; {
			case !ok:
				unknown = append(unknown, t)
			case s == facts.SupportMissing && !slices.Contains(lacks, t):
				lacks = append(lacks, t)
			}
		}
	}
	if len(unknown) > 0 && len(e.f.USB.Controllers) > 0 {
		e.blind("whether the kernel has %s", strings.Join(unknown, ", "))
	}
	if len(lacks) > 0 {
		e.found(97, Finding{Code: NoFunction, Severity: Error, Culprit: "the kernel cannot make the function " + strings.Join(lacks, ", "),
			Evidence: []string{fmt.Sprintf("neither modules.builtin nor modules.dep of kernel %s has usb_f_%s", strings.Join(e.f.USB.Kernels, ", "), strings.Join(lacks, ", usb_f_"))},
			Cure:     e.kernelWith()})
	} else if len(unknown) == 0 && len(e.in.Devices) > 0 {
		e.well("functions", "the kernel has all that are planned")
	}
}

// kernelWith says where a kernel with the functions comes from.
func (e *exam) kernelWith() []string {
	m, rel := e.f.Machine, strings.Join(e.f.USB.Kernels, " ")
	then := "or choose a profile without the function"
	switch {
	case strings.Contains(rel, "-cloud-"):
		return []string{"install linux-image-" + debArch(m.Arch) + " (the cloud kernel leaves the USB device side out) and reboot", then}
	case strings.Contains(rel, "rpt-rpi") || strings.HasSuffix(rel, "+") || m.OS == "raspbian":
		return []string{"update the kernel (apt full-upgrade) and reboot", then}
	case m.OS == "ubuntu":
		return []string{"install linux-modules-extra-" + m.Kernel + " and reboot", then}
	case m.OS == "debian":
		return []string{"install linux-image-" + debArch(m.Arch) + " and reboot", then}
	}
	return []string{"take a kernel with CONFIG_USB_CONFIGFS and its functions", then}
}

func debArch(arch string) string {
	switch arch {
	case "x86_64", "":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "arm":
		return "armmp"
	}
	return arch
}

// others names the gadgets of others that hold a planned controller or will.
func (e *exam) others() {
	var later, idle []leftover.Found
	for _, x := range leftover.Find(e.f, e.own...) {
		switch {
		case len(x.Holds) > 0 && e.wanted(x.Holds):
			f := Finding{Code: Held, Severity: Error, Culprit: x.Name() + " holds the controller " + strings.Join(x.Holds, ", "), Evidence: x.Evidence, Cure: append(x.Stop, "provision gadget up")}
			if len(e.in.Devices) == 0 {
				f.Severity = Note // and may well be what is wanted here
			}
			e.found(95, f)
		case len(x.Holds) > 0:
		case x.Boot:
			later = append(later, x)
		default:
			idle = append(idle, x)
		}
	}
	for _, x := range later {
		e.found(50, Finding{Code: OtherAtBoot, Severity: Warning, Culprit: x.Name() + " comes at every boot and may take the controller first", Evidence: x.Evidence, Cure: x.Stop})
	}
	for _, x := range idle {
		e.well("other gadgets", "%s is there and holds nothing", x.Name())
	}
}

// wanted reports whether one of our gadgets is planned for one of these controllers.
func (e *exam) wanted(udcs []string) bool {
	if len(e.in.Devices) == 0 {
		return true
	}
	for _, d := range e.in.Devices {
		if u := e.udcOf(d); u == "" || slices.Contains(udcs, u) {
			return true
		}
	}
	return false
}

// udcOf is the controller that a device is planned for.
func (e *exam) udcOf(d Device) string {
	if d.UDC == "" && len(e.f.USB.Controllers) == 1 {
		return e.f.USB.Controllers[0].Name
	}
	return d.UDC
}
