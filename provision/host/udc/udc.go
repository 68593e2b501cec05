// Package udc follows and moves USB device controllers (Linux): their state, their coming and going,
// what their drivers complain of in the kernel log, and the files by which a gadget is taken off
// the bus and put on it again.
//
// The state comes by sysfs_notify (drivers/usb/gadget/udc/core.c usb_gadget_set_state): poll(2)
// on the attribute says POLLPRI and POLLERR once for all changes since it was read, so what was
// passed through quickly is not seen. Controllers come and go by uevents of the subsystem udc; a
// bind and an unbind are told as `change` there.
//
// Not every controller tells the truth: those of a Raspberry Pi Zero do not sense VBUS and say
// `suspended` when the cable is pulled, that of dummy_hcd says `configured` over an unplug.
package udc

import (
	"bytes"
	"errors"
	"strings"
	"time"
)

// Kind is what an Event tells.
type Kind uint8

// The kinds.
const (
	State   Kind = iota + 1 // the state may have changed; Value is what it is, "not attached" without a gadget, empty: the controller is gone
	Added                   // a controller is there
	Removed                 // a controller is gone
	Bound                   // a gadget was bound or unbound; Value is its driver's name, empty: unbound
	Logged                  // Value is a line of the kernel log
	Lost                    // the kernel dropped events of this program; all was read again
)

// Event is one thing that happened.
type Event struct {
	Kind  Kind
	UDC   string // the controller's name; empty with Logged and Lost
	Value string
	At    time.Time
}

// ErrUnsupported: there are no USB device controllers on this system.
var ErrUnsupported = errors.New("USB device controllers can be followed on Linux only")

// uevent is a message of the kernel (lib/kobject_uevent.c): "add@/devices/...", then KEY=value, each
// ended by a zero byte.
type uevent struct{ action, path, subsystem, name, driver string }

// parseUevent reads a message; false: not one of the kernel's, or not about a controller.
func parseUevent(b []byte) (uevent, bool) {
	head, rest, ok := bytes.Cut(b, []byte{0})
	if !ok || !bytes.Contains(head, []byte("@/")) {
		return uevent{}, false // udev's own messages begin with "libudev"
	}
	var u uevent
	for len(rest) > 0 {
		var field []byte
		field, rest, _ = bytes.Cut(rest, []byte{0})
		key, value, _ := bytes.Cut(field, []byte{'='})
		switch string(key) {
		case "ACTION":
			u.action = string(value)
		case "DEVPATH":
			u.path = string(value)
		case "SUBSYSTEM":
			u.subsystem = string(value)
		case "USB_UDC_DRIVER":
			u.driver = string(value)
		}
	}
	// Not USB_UDC_NAME: that is the gadget's own name, which is the driver's for some (dummy_hcd says
	// "dummy_udc" for dummy_udc.0), while sysfs and configfs have the device's.
	u.name = u.path[strings.LastIndexByte(u.path, '/')+1:]
	return u, u.subsystem == "udc" && Valid(u.name)
}

// Valid reports whether a name can be that of a controller: one component of a path.
func Valid(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > 255 {
		return false
	}
	return !strings.ContainsAny(name, "/\x00\n")
}

// maxLine bounds a line of the log that is told.
const maxLine = 512

// logLine reads a record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg): "6,339,5140900,-;text",
// then lines that begin with a blank. It says whether the text is about a controller's driver.
// The text may have been written by any program that may write to the log.
func logLine(record []byte) (string, bool) {
	head, text, ok := bytes.Cut(record, []byte{';'})
	if !ok {
		return "", false
	}
	// The facility is in the upper bits of the first number; 0 is the kernel's.
	number, _, _ := bytes.Cut(head, []byte{','})
	if len(number) != 1 || number[0] < '0' || number[0] > '7' {
		return "", false
	}
	text, _, _ = bytes.Cut(text, []byte{'\n'})
	text = text[:min(len(text), maxLine)]
	for _, word := range []string{"dwc2", "dwc3", "musb", "udc", "ci_hdrc", "configfs-gadget", "ep_stop_xfr"} {
		if bytes.Contains(text, []byte(word)) {
			return clean(text), true
		}
	}
	return "", false
}

// clean makes a line printable.
func clean(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return '?'
		}
		return r
	}, string(b))
}
