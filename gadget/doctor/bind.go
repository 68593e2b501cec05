package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// controllers looks for a controller and configfs; false: there is nothing to bind to.
func (e *exam) controllers() bool {
	u := e.f.USB
	if len(u.Controllers) == 0 {
		for _, f := range e.r.Findings {
			switch f.Code {
			case NoPort, OverlayMissing, OverlayShadowed, HostMode, OTGMode:
				return false // that is why
			}
		}
		f := Finding{Code: NoController, Severity: Error, Culprit: "the kernel shows no USB device controller", Evidence: []string{"/sys/class/udc is empty or not there"}}
		if _, pi := e.board(); pi || u.Boot != "" {
			if slices.Contains(u.Modules, "dwc2") {
				f.Evidence = append(f.Evidence, "the driver dwc2 is loaded")
				f.CannotTell = []string{"why the driver shows no controller: see its lines in the kernel's log"}
			} else if pi {
				f.Evidence = append(f.Evidence, "the driver dwc2 is not loaded as a module")
			}
			f.Evidence = append(f.Evidence, e.log("dwc2", 3)...)
			f.Cure = []string{"reboot: config.txt is read at boot only", "modprobe dwc2"}
		} else {
			f.Cure = []string{"most computers have none: take a board that has"}
		}
		e.found(98, f)
		return false
	}
	for _, c := range u.Controllers {
		e.well("controller", "%s (%s), state %q, held by %s", c.Name, orUnknown(c.Driver), c.State, orNobody(c.Function))
	}
	if !u.LibComposite && len(e.in.Devices) > 0 {
		f := Finding{Code: NoConfigFS, Severity: Error, Culprit: "the kernel's gadgets cannot be configured", Cure: []string{"modprobe libcomposite"}}
		if u.ConfigFS == "" {
			f.Evidence = []string{"configfs is not mounted"}
			f.Cure = append([]string{"mount -t configfs configfs /sys/kernel/config"}, f.Cure...)
		} else {
			f.Evidence = []string{u.ConfigFS + "/usb_gadget is not there: libcomposite is not loaded"}
		}
		f.Cure = append(f.Cure, "provision gadget up")
		if !slices.ContainsFunc(e.r.Findings, func(x Finding) bool { return x.Code == Held }) {
			e.found(94, f)
		}
		return false
	}
	return true
}

func orUnknown(s string) string {
	if s == "" {
		return "driver unknown"
	}
	return s
}

func orNobody(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}

// device looks at one of our gadgets: is it bound, and what does the host make of it.
func (e *exam) device(d Device) {
	name := e.udcOf(d)
	i := slices.IndexFunc(e.f.USB.Controllers, func(c facts.UDC) bool { return c.Name == name })
	if i < 0 {
		var have []string
		for _, c := range e.f.USB.Controllers {
			have = append(have, c.Name)
		}
		culprit := fmt.Sprintf("the controller %s that gadget %s is for is not there", name, d.Name)
		if name == "" {
			culprit = fmt.Sprintf("there is more than one controller, and none is chosen for gadget %s", d.Name)
		}
		e.found(96, Finding{Code: NoController, Severity: Error, Culprit: culprit, Evidence: []string{"/sys/class/udc has " + strings.Join(have, ", ")}, Cure: []string{"write the right one as udc: in the configuration, or auto"}})
		return
	}
	c := e.f.USB.Controllers[i]
	if c.Function != "" && c.Function != d.Name {
		return // told by others
	}
	var tree *facts.Gadget
	for j := range e.f.USB.Gadgets {
		if e.f.USB.Gadgets[j].Name == d.Name {
			tree = &e.f.USB.Gadgets[j]
		}
	}
	if tree == nil || tree.UDC == "" && c.Function == "" {
		e.notBound(d, c, tree)
		return
	}
	e.well("gadget "+d.Name, "bound to %s", c.Name)
	up := e.interfaces(d)
	e.host(d, c, tree, up)
}

// bindErrors are what the kernel means by the number in "failed to start NAME: -N"
// (drivers/usb/gadget/udc/core.c, configfs.c).
var bindErrors = map[string]string{
	"-16": "the controller is held by another gadget", "-19": "a function found no free endpoint, or the controller is gone", "-22": "a configuration has no functions, or a value is not allowed",
	"-28": "the controller has too few endpoints or too little FIFO memory", "-12": "there is too little memory",
}

func (e *exam) notBound(d Device, c facts.UDC, tree *facts.Gadget) {
	f := Finding{Code: NotBound, Severity: Error, Culprit: fmt.Sprintf("gadget %s is not up: no host can see it", d.Name), Cure: []string{"provision gadget up"}}
	if tree == nil {
		f.Evidence = []string{fmt.Sprintf("%s/usb_gadget/%s is not there", e.f.USB.ConfigFS, d.Name)}
	} else {
		f.Evidence = []string{fmt.Sprintf("%s/usb_gadget/%s/UDC is empty", e.f.USB.ConfigFS, d.Name)}
	}
	f.Evidence = append(f.Evidence, c.Name+" is held by nobody")
	for _, line := range e.log("failed to start "+d.Name+":", 1) {
		f.Code = BindFailed
		f.Culprit = fmt.Sprintf("the kernel refused to bind gadget %s", d.Name)
		f.Evidence = append(f.Evidence, line)
		no := strings.TrimSpace(line[strings.LastIndexByte(line, ':')+1:])
		if why := bindErrors[no]; why != "" {
			f.Culprit += ": " + why
		}
		f.Cure = []string{"provision gadget status shows the endpoints that the functions take", "provision gadget up"}
	}
	e.found(90, f)
}

// log returns the last n lines of the kernel's log that have a word.
func (e *exam) log(word string, n int) []string {
	var out []string
	for i := len(e.in.Kernel) - 1; i >= 0 && len(out) < n; i-- {
		if strings.Contains(e.in.Kernel[i], word) {
			out = append(out, strings.TrimSpace(e.in.Kernel[i]))
		}
	}
	slices.Reverse(out)
	return out
}

// network functions, by the types of the kernel.
func isNetwork(kind string) bool {
	return kind == "ncm" || kind == "ecm" || kind == "rndis" || kind == "eem"
}

// byMAC finds the netdev of a network function.
func (e *exam) byMAC(mac string) (facts.Link, bool) {
	for _, l := range e.f.Links {
		if l.Kind == "" && mac != "" && (strings.EqualFold(l.MAC, mac) || strings.EqualFold(l.PermMAC, mac)) {
			return l, true
		}
	}
	return facts.Link{}, false
}

// interfaces looks at this side's network interfaces and returns those that are up.
func (e *exam) interfaces(d Device) []facts.Link {
	var up []facts.Link
	for _, fn := range d.Functions {
		if !isNetwork(fn.Type) {
			continue
		}
		l, ok := e.byMAC(fn.MAC)
		if !ok {
			e.found(88, Finding{Code: NoInterface, Severity: Error, Culprit: fmt.Sprintf("function %s has no network interface", fn.Name),
				Evidence: []string{"no interface has the address " + fn.MAC, "the gadget is bound"}, CannotTell: []string{"whether it was moved to another network namespace"}, Cure: []string{"provision gadget down; provision gadget up"}})
			continue
		}
		if fn.Interface != "" && l.Name != fn.Interface {
			ev := []string{fmt.Sprintf("%s has the address %s of %s", l.Name, fn.MAC, fn.Name)}
			if o, ok := e.f.LinkByName(fn.Interface); ok {
				ev = append(ev, fmt.Sprintf("%s is another interface (%s, %s)", o.Name, o.MAC, orUnknown(o.Driver)))
			}
			e.found(65, Finding{Code: InterfaceName, Severity: Warning, Culprit: fmt.Sprintf("the interface of %s is called %s, not %s", fn.Name, l.Name, fn.Interface), Evidence: ev, Cure: []string{"provision gadget up"}})
		}
		if !l.Up {
			e.found(87, Finding{Code: InterfaceDown, Severity: Error, Culprit: fmt.Sprintf("%s is down on this side: the host shows an unplugged network cable", l.Name),
				Evidence: []string{fmt.Sprintf("%s has no flag UP; a function tells its host of a carrier only while it is up", l.Name)}, Cure: []string{"ip link set " + l.Name + " up", "provision gadget up"}})
			continue
		}
		up = append(up, l)
		e.well("interface "+l.Name, "up, %s", map[bool]string{true: "with carrier", false: "no carrier"}[l.Carrier])
	}
	return up
}
