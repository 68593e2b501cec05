package facts

import (
	"bytes"
	"path"
	"slices"
	"sort"
	"strings"
)

// functionModules are the modules of the functions (drivers/usb/gadget/function/Makefile), by the types that mkdir takes.
var functionModules = map[string]string{
	"ecm": "usb_f_ecm", "ncm": "usb_f_ncm", "eem": "usb_f_eem", "rndis": "usb_f_rndis", "acm": "usb_f_acm", "mass_storage": "usb_f_mass_storage", "hid": "usb_f_hid",
}

// maxDepFile bounds modules.dep; that of a distribution's kernel has less than a megabyte.
const maxDepFile = 8 << 20

// usbModules says which functions the kernel has and which modules of the device
// side are loaded.
func (r *gathering) usbModules(u *USB) {
	loaded := map[string]bool{}
	if text, ok := r.text("/proc/modules", 1<<20); ok {
		for line := range strings.Lines(text) {
			name, _, _ := strings.Cut(line, " ")
			loaded[name] = true
			if deviceSide(name) {
				u.Modules = append(u.Modules, clean(name))
			}
		}
	}
	sort.Strings(u.Modules)
	releases := []string{r.f.Machine.Kernel}
	if r.offline {
		releases = r.list("/lib/modules")
	}
	for _, rel := range releases {
		if rel == "" || strings.Contains(rel, "/") {
			continue
		}
		have := r.moduleFiles(rel)
		if have == nil {
			continue
		}
		u.Kernels = append(u.Kernels, clean(rel))
		if u.Functions == nil {
			u.Functions = Functions{}
		}
		for f, m := range functionModules {
			s := have[m]
			if s == "" {
				s = SupportMissing
			}
			// Of the kernels of an image the worst one counts: which of them boots is
			// the firmware's choice.
			if was, ok := u.Functions[f]; !ok || rank(s) < rank(was) {
				u.Functions[f] = s
			}
		}
	}
	for f, m := range functionModules {
		if loaded[m] {
			if u.Functions == nil {
				u.Functions = Functions{}
			}
			u.Functions[f] = SupportLoaded
		}
	}
}

func rank(s Support) int {
	switch s {
	case SupportModule:
		return 1
	case SupportBuiltin:
		return 2
	case SupportLoaded:
		return 3
	}
	return 0
}

// moduleFiles reads modules.builtin and modules.dep of a kernel (depmod(8)); nil
// when the latter is not there, so that nothing can be said.
func (r *gathering) moduleFiles(release string) map[string]Support {
	dir := path.Join("/lib/modules", release)
	dep, err := r.t.ReadFile(dir+"/modules.dep", maxDepFile)
	if err != nil {
		if !missing(err) {
			r.problem(dir+"/modules.dep", err)
		}
		return nil
	}
	out := map[string]Support{}
	builtin, err := r.t.ReadFile(dir+"/modules.builtin", maxDepFile)
	if err != nil && !missing(err) {
		r.problem(dir+"/modules.builtin", err)
	}
	for m := range listed(dep) {
		out[m] = SupportModule
	}
	for m := range listed(builtin) {
		out[m] = SupportBuiltin
	}
	return out
}

// listed are the modules of functions that have a line of their own in modules.dep or modules.builtin, and are not only
// what another one needs. They are looked for together: the file has half a megabyte, which a small processor does not
// search often in little time.
func listed(text []byte) map[string]bool {
	out := map[string]bool{}
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("usb_f_"))
		if i < 0 {
			return out
		}
		i += at
		at = i + 1
		start := bytes.LastIndexByte(text[:i], '\n') + 1
		if i == start || text[i-1] != '/' || bytes.ContainsAny(text[start:i], ": ") {
			continue
		}
		name, _, ok := bytes.Cut(text[i:min(len(text), i+maxModule)], []byte(".ko")) // also .ko.xz, .ko.zst, .ko.gz
		if ok {
			out[string(name)] = true
		}
	}
}

// maxModule bounds the name of a module with its ending in bytes (MODULE_NAME_LEN is 56).
const maxModule = 64

// deviceSide tells which modules belong to the device side of USB.
func deviceSide(m string) bool {
	switch m {
	case "dwc2", "dwc3", "dwc_otg", "musb_hdrc", "chipidea", "ci_hdrc", "renesas_usbhs", "dummy_hcd", "udc_core", "libcomposite", "u_ether", "u_serial":
		return true
	}
	if strings.HasPrefix(m, "usb_f_") {
		return true
	}
	return slices.Contains(Legacy(), m)
}

// ledTriggers are those that can show what a gadget does (drivers/leds/trigger).
var ledTriggers = map[string]bool{"none": true, "default-on": true, "heartbeat": true, "timer": true, "pattern": true, "oneshot": true, "netdev": true, "usb-gadget": true}

// leds reads /sys/class/leds: "none [mmc0] timer", the one in use in brackets.
func (r *gathering) leds(u *USB) {
	names := r.list("/sys/class/leds")
	for _, n := range names[:min(len(names), 16)] {
		text, ok := r.text("/sys/class/leds/"+n+"/trigger", maxState)
		if !ok {
			continue
		}
		l := LED{Name: clean(n)}
		for _, t := range strings.Fields(text) {
			if s, ok := strings.CutPrefix(t, "["); ok {
				t = strings.TrimSuffix(s, "]")
				l.Trigger = clean(t)
			}
			if ledTriggers[t] {
				l.Triggers = append(l.Triggers, t)
			}
		}
		u.LEDs = append(u.LEDs, l)
	}
}
