package usbgadget

import (
	"encoding/hex"
	"fmt"
	"path"
	"strings"
)

// decode gives the canonical form of what a function's file holds.
func (p place) decode(d dir, attr, v string) string {
	switch path.Base(attr) {
	case "report_desc": // bytes, f_hid.c f_hid_opts_report_desc_show
		return hex.EncodeToString([]byte(v))
	case "compatible_id", "sub_compatible_id": // eight bytes, configfs.c interf_grp_compatible_id_show
		return strings.TrimRight(v, "\x00")
	case "inquiry_string": // padded, storage_common.c fsg_store_inquiry_string
		return strings.TrimRight(v, " \n")
	case "data": // a text is printed with one byte too many, configfs.c ext_prop_data_show
		switch t, _ := d.read("type"); text(t) {
		case "1", "2", "6":
			return v[:max(len(v)-1, 0)]
		}
		return v
	case AttrIfname:
		// Before the bind it has no name, u_ether.c gether_get_ifname.
		if v = text(v); strings.HasPrefix(v, "(") {
			return ""
		}
		return v
	}
	return text(v)
}

// encode gives what is written for a value; "" when nothing can be.
func (p place) encode(attr, v string) (string, error) {
	switch path.Base(attr) {
	case "report_desc":
		b, err := hex.DecodeString(v)
		if err != nil {
			return "", fmt.Errorf("%s %q: want hexadecimal digits, two for each byte", attr, v)
		}
		return string(b), nil
	case "compatible_id", "sub_compatible_id":
		// Padded, because what is not overwritten stays.
		if len(v) > 8 {
			return "", fmt.Errorf("%s %q: want at most 8 bytes", attr, v)
		}
		return v + strings.Repeat("\x00", 8-len(v)), nil
	case "data":
		return v, nil
	case AttrIfname:
		// A device's name as it was becomes the pattern that gives it.
		if v != "" && !strings.Contains(v, "%") {
			v = strings.TrimRight(v, "0123456789") + "%d"
		}
		if v == "usb%d" {
			return "", nil // the kernel's own
		}
		return v, nil
	}
	return orNewline(v), nil
}
