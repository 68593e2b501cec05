package udc

import (
	"strings"
	"testing"
	"unicode"
)

func message(parts ...string) []byte { return []byte(strings.Join(parts, "\x00") + "\x00") }

func TestUevent(t *testing.T) {
	dev := "/devices/platform/soc/20980000.usb/udc/20980000.usb"
	for name, tt := range map[string]struct {
		b    []byte
		want uevent
		ok   bool
	}{
		"added": {message("add@"+dev, "ACTION=add", "DEVPATH="+dev, "SUBSYSTEM=udc", "USB_UDC_NAME=20980000.usb", "SEQNUM=1"),
			uevent{"add", dev, "udc", "20980000.usb", ""}, true},
		"bound": {message("change@"+dev, "ACTION=change", "DEVPATH="+dev, "SUBSYSTEM=udc", "USB_UDC_NAME=20980000.usb", "USB_UDC_DRIVER=provision"),
			uevent{"change", dev, "udc", "20980000.usb", "provision"}, true},
		"named otherwise": {message("add@/devices/platform/dummy_udc.0/udc/dummy_udc.0", "ACTION=add", "DEVPATH=/devices/platform/dummy_udc.0/udc/dummy_udc.0", "SUBSYSTEM=udc", "USB_UDC_NAME=dummy_udc"),
			uevent{"add", "/devices/platform/dummy_udc.0/udc/dummy_udc.0", "udc", "dummy_udc.0", ""}, true},
		"a disk":    {message("add@/devices/sda", "ACTION=add", "DEVPATH=/devices/sda", "SUBSYSTEM=block"), uevent{"add", "/devices/sda", "block", "sda", ""}, false},
		"udev's":    {message("libudev", "ACTION=add", "DEVPATH="+dev, "SUBSYSTEM=udc"), uevent{}, false},
		"nothing":   {nil, uevent{}, false},
		"no name":   {message("add@/", "ACTION=add", "DEVPATH=/devices/..", "SUBSYSTEM=udc"), uevent{"add", "/devices/..", "udc", "..", ""}, false},
		"not ended": {[]byte("add@/x"), uevent{}, false},
	} {
		got, ok := parseUevent(tt.b)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestLogLine(t *testing.T) {
	for record, want := range map[string]string{
		"4,339,5140900,-;dwc2 20980000.usb: dwc2_hsotg_ep_stop_xfr: timeout GINTSTS.GOUTNAKEFF\n SUBSYSTEM=platform\n DEVICE=+platform:20980000.usb\n": "dwc2 20980000.usb: dwc2_hsotg_ep_stop_xfr: timeout GINTSTS.GOUTNAKEFF",
		"6,1,1,-;configfs-gadget gadget.0: high-speed config #1: c":                                                                                    "configfs-gadget gadget.0: high-speed config #1: c",
		"12,1,1,-;dwc2: written by a program":                                                                                                          "",
		"6,1,1,-;usb 1-1: new high-speed USB device":                                                                                                   "",
		"6,1,1,-;dwc2 \x1b[31m\x00evil":                                                                                                                "dwc2 ?[31m?evil",
		"6,1,1,-;dwc2 " + strings.Repeat("x", 9999):                                                                                                    "dwc2 " + strings.Repeat("x", maxLine-5),
		"6;dwc2": "dwc2",
		";dwc2":  "",
		"dwc2":   "",
		"":       "",
	} {
		got, ok := logLine([]byte(record))
		if got != want || ok != (want != "") {
			t.Errorf("%.60q: %.80q, %v, want %.80q", record, got, ok, want)
		}
	}
}

func FuzzUevent(f *testing.F) {
	f.Add(message("add@/a", "ACTION=add", "DEVPATH=/a/b", "SUBSYSTEM=udc", "USB_UDC_DRIVER=x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, ok := parseUevent(b); ok && (!Valid(u.name) || strings.Contains(u.name, "/")) {
			t.Errorf("%+v", u)
		}
	})
}

func FuzzLogLine(f *testing.F) {
	f.Add([]byte("4,339,5140900,-;dwc2 x\n A=b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		line, ok := logLine(b)
		if len(line) > maxLine || ok == (line == "") || strings.ContainsFunc(line, unicode.IsControl) && !strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) {
			t.Errorf("%q, %v", line, ok)
		}
	})
}
