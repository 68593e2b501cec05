package conf

import "testing"

func TestDeny(t *testing.T) {
	const ours = denyMark + "\ndenyinterfaces usb0 br-usb\n"
	for name, c := range map[string]struct{ in, want string }{
		"an empty file":        {"", ours},
		"no block":             {"hostname\npersistent", "hostname\npersistent\n" + ours},
		"before the block":     {"persistent\ninterface eth0\nmetric 5\n", "persistent\n" + ours + "interface eth0\nmetric 5\n"},
		"before an ssid block": {"ssid home\nstatic routers=\n", ours + "ssid home\nstatic routers=\n"},
		"one is denied":        {"denyinterfaces usb*\n", "denyinterfaces usb*\n" + denyMark + "\ndenyinterfaces br-usb\n"},
		"all are denied":       {"denyinterfaces usb0, br-usb\n", "denyinterfaces usb0, br-usb\n"},
		"only others allowed":  {"allowinterfaces eth0\n", "allowinterfaces eth0\n"},
		"a line of before":     {denyMark + "\ndenyinterfaces usb0 usb1\ninterface wlan0\n", ours + "interface wlan0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse("dhcpcd.conf", c.in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Deny("usb0", "br-usb")
			if err != nil || got != c.want {
				t.Fatalf("%v\n%s", err, got)
			}
			again, err := Parse("dhcpcd.conf", got)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := again.Deny("usb0", "br-usb"); err != nil || twice != got {
				t.Errorf("the second time: %v\n%s", err, twice)
			}
			if name == "a line of before" {
				if gone, err := again.Deny(); err != nil || gone != "interface wlan0\n" {
					t.Errorf("with nothing to deny: %v\n%s", err, gone)
				}
			}
		})
	}
	f, _ := Parse("x", "")
	for _, bad := range []string{"", "a b", "a\n", "usb*", "a,b"} {
		if _, err := f.Deny(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
