package usbgadget

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/provision-net/provision/provision"
)

// What files hold is somebody else's: any bytes are read without a panic, and what was
// decoded is written as what it was.
func FuzzDecode(f *testing.F) {
	for attr, v := range map[string]string{
		"report_desc": "\x05\x01\xc0", "os_desc/interface.ncm/compatible_id": "WINNCM\x00\x00", "lun.0/inquiry_string": "abc   \n",
		"ifname": "(unnamed net_device)\n", "dev_addr": "02:00:00:00:00:01\x00\n", "qmult": "5\n",
	} {
		f.Add(attr, v)
	}
	f.Fuzz(func(t *testing.T, attr, v string) {
		p := place{part: "ncm.usb0"}
		if strings.HasSuffix(attr, "data") {
			return // reads its type
		}
		canonical := p.decode(dir{}, attr, v)
		if raw, err := p.encode(attr, canonical); err == nil && raw != "" && attr != AttrIfname {
			if again := p.decode(dir{}, attr, raw); again != canonical {
				t.Errorf("%s: %q is read as %q, which is written as %q and read as %q", attr, v, canonical, raw, again)
			}
		}
		if s := signature(v); !utf8.ValidString(s) && utf8.ValidString(v) {
			t.Errorf("signature of %q is %q", v, s)
		}
		_, _ = vendorCode(v)
		names := []string{v, attr}
		sortNumbered(names)
		if numbered(v) != numbered(v+"x") && !strings.HasSuffix(v, "-") && strings.Contains(v, "-") {
			t.Errorf("%q is numbered: %v", v, numbered(v))
		}
		_, _, _ = Split(provision.Ref{Kind: attr, Name: v})
	})
}
