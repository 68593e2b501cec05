package facts

import (
	"path"
	"slices"
	"sort"
	"strings"
)

// bootFiles collects config.txt, what it includes, and cmdline.txt of a Raspberry
// Pi and returns the directory they are in: /boot/firmware since bookworm, /boot
// before (there bookworm leaves a file that only says where the real one went).
func (r *gathering) bootFiles() string {
	// A machine with DMI is no such board, and most machines have DMI.
	if !r.offline && r.f.Machine.Board == "" {
		return ""
	}
	for _, dir := range []string{"/boot/firmware", "/boot"} {
		name := dir + "/config.txt"
		if !r.t.Exists(name) || !r.collect(name) {
			continue
		}
		r.collect(dir + "/cmdline.txt")
		r.includes(dir, name, map[string]bool{name: true})
		return dir
	}
	return ""
}

// includes collects the files that a boot file includes, whatever the filters say.
func (r *gathering) includes(dir, name string, seen map[string]bool) {
	f, ok := r.file(name)
	if !ok {
		return
	}
	for line := range strings.Lines(f.Text) {
		inc, ok := strings.CutPrefix(strings.TrimSpace(line), "include ")
		if inc = strings.TrimSpace(inc); !ok || inc == "" || strings.ContainsRune(inc, 0) {
			continue
		}
		p := path.Join(dir, path.Clean("/"+inc))
		if seen[p] || len(seen) > maxIncludes {
			continue
		}
		seen[p] = true
		r.collect(p)
		r.includes(dir, p, seen)
	}
}

// serial is the board's serial number.
func (r *gathering) serial() string {
	if s := r.value("/proc/device-tree/serial-number"); s != "" {
		return s
	}
	if r.f.Machine.Board == "" {
		return ""
	}
	for line := range strings.Lines(r.quiet("/proc/cpuinfo", maxState)) {
		k, v, _ := strings.Cut(line, ":")
		if strings.TrimSpace(k) == "Serial" {
			// A kernel that was not told prints zeros.
			if v = clean(strings.TrimSpace(v)); strings.Trim(v, "0") != "" {
				return v
			}
		}
	}
	return ""
}

// tracePaths are what well-known programs that make gadgets install. What they
// mean is for the gadget part to say.
var tracePaths = []string{
	"/usr/bin/rpi-usb-gadget", "/usr/lib/modules-load.d/usb-gadget.conf", // raspberrypi/rpi-usb-gadget; the latter says that it is on
	"/usr/local/bin/P4wnP1_service", "/usr/local/P4wnP1", "/home/pi/P4wnP1",
	"/usr/bin/isticktoit_usb",
	"/usr/bin/kvmd-otg", "/usr/bin/pi400kb", "/usr/local/bin/pwnagotchi-launcher", "/usr/bin/pwnagotchi-launcher",
	"/usr/local/sbin/usbgadget.sh", "/usr/local/bin/usb-gadget.sh", "/usr/bin/usb-gadget.sh", "/root/usb.sh",
	"/opt/source/bb-customizations", "/usr/bin/bb-start-usb-gadgets", "/usr/bin/ev3-usb.sh",
}

// traceUnits are their units.
var traceUnits = []string{
	"rpi-usb-gadget-ics.service", "P4wnP1.service", "kvmd-otg.service", "pi400kb.service", "usbgadget.service", "usb-gadget.service", "usb-gadgets.service",
	"bb-usb-gadgets.service", "pwnagotchi.service", "pigadget.service", "isticktoit.service",
}

// scripts are files in which somebody may load a module of the device side or call
// a script for it; they are collected where they speak of it.
func (r *gathering) scripts() []string {
	out := []string{"/etc/modules", "/etc/rc.local"}
	for _, dir := range []string{"/etc/modules-load.d", "/usr/lib/modules-load.d", "/etc/modprobe.d"} {
		for _, n := range r.list(dir) {
			if strings.HasSuffix(n, ".conf") {
				out = append(out, path.Join(dir, n))
			}
		}
	}
	return out
}

// traces notes what other makers of gadgets left.
func (r *gathering) traces(u *USB, un units, pk packages) {
	if pk[gadgetPackage] != "" {
		u.Traces = append(u.Traces, "package:"+gadgetPackage)
	}
	for _, p := range tracePaths {
		if r.t.Exists(p) {
			u.Traces = append(u.Traces, p)
		}
	}
	for _, n := range traceUnits {
		if un.enabled[n] {
			u.Traces = append(u.Traces, "unit:"+n)
		}
	}
	const hooked = "/etc/systemd/system/usb-gadget.target.wants"
	for _, n := range r.list(hooked) {
		r.collect(path.Join(hooked, n))
		if t := "unit:" + clean(n); !slices.Contains(u.Traces, t) {
			u.Traces = append(u.Traces, t)
		}
	}
	for _, p := range r.scripts() {
		if text, ok := r.text(p, maxState); ok && speaksOfGadgets(text) {
			r.collect(p)
		}
	}
	// cloud-init's user-data holds passwords: only what matters is noted of it.
	for _, p := range []string{u.Boot + "/user-data", "/var/lib/cloud/instance/cloud-config.txt"} {
		if u.Boot == "" {
			continue
		}
		if text, ok := r.text(p, maxState); ok && gadgetEnabled(text) {
			u.Traces = append(u.Traces, "cloud-init:"+p)
		}
	}
	sort.Strings(u.Traces)
}

// speaksOfGadgets tells whether a line that is no comment names a module or a
// script of the device side.
func speaksOfGadgets(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		for _, w := range strings.FieldsFunc(line, func(c rune) bool {
			return !(c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
		}) {
			if deviceSide(w) || w == "usb_gadget" || w == "isticktoit_usb" || w == "gadget" {
				return true
			}
		}
	}
	return false
}

// gadgetEnabled finds "enable_usb_gadget: true" below "rpi:" in a cloud-config
// (cloudinit/config/cc_raspberry_pi.py).
func gadgetEnabled(text string) bool {
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), ":")
		v, _, _ = strings.Cut(v, "#")
		if ok && k == "enable_usb_gadget" && strings.EqualFold(strings.TrimSpace(v), "true") {
			return true
		}
	}
	return false
}
