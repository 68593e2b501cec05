package netdev

import (
	"strings"
	"testing"
)

const (
	macA = "08:00:27:00:00:0a"
	macB = "08:00:27:00:00:0b"
	macC = "08:00:27:00:00:0c"
)

func TestFind(t *testing.T) {
	table := &Table{Devices: []Device{
		{Index: 1, Name: "lo", MAC: "00:00:00:00:00:00", Type: 772},
		{Index: 2, Name: "eth0", Alt: []string{"enp0s3"}, MAC: macA, PermMAC: macA, Type: Ethernet, Master: 3},
		{Index: 3, Name: "br0", MAC: macA, Kind: "bridge", Type: Ethernet},
		{Index: 4, Name: "eth0.5", MAC: macA, PermMAC: macA, Kind: "vlan", Type: Ethernet},
		{Index: 5, Name: "eth1", MAC: macC, PermMAC: macB, Type: Ethernet}, // spoofed
		{Index: 6, Name: "usb0", MAC: macC, Type: Ethernet},                // no permanent one
		{Index: 7, Name: "twin0", MAC: "08:00:27:00:00:01", PermMAC: "08:00:27:00:00:01", Type: Ethernet},
		{Index: 8, Name: "twin1", MAC: "08:00:27:00:00:01", PermMAC: "08:00:27:00:00:01", Type: Ethernet},
		{Index: 9, Name: "hv0", MAC: "08:00:27:00:00:02", PermMAC: "08:00:27:00:00:02", Type: Ethernet},
		{Index: 10, Name: "vf0", MAC: "08:00:27:00:00:02", PermMAC: "08:00:27:00:00:02", Type: Ethernet, Master: 9},
		{Index: 11, Name: "mon0", MAC: macB, Type: 803},
		{Index: 12, Name: "enp0s3", Type: Ethernet, Kind: "dummy"},
	}}
	for _, tc := range []struct {
		selector, name, err string
	}{
		{"name:lo", "lo", ""},
		{"name:eth0", "eth0", ""},
		{"name:enp0s3", "enp0s3", ""}, // a name beats an alternative name
		{"name:none", "", ""},
		{"mac:" + macA, "eth0", ""}, // not the bridge, not the VLAN
		{"mac:" + macB, "eth1", ""},
		{"mac:" + macC, "usb0", ""},
		{"mac:08:00:27:ff:ff:ff", "", ""},
		{"mac:08:00:27:00:00:02", "hv0", ""},
		{"mac:08:00:27:00:00:01", "", "twin0, twin1 all have the permanent MAC"},
		{"mac:08:00:27:00:00:0A", "", "lower-case"},
		{"mac:00:00:00:00:00:00", "", "by name"},
		{"mac:08-00-27-00-00-0a", "", "lower-case"},
		{"mac:00:00:00:00:fe:80:00:00", "", "six"},
		{"name:", "", "not a device name"},
		{"name:..", "", "not a device name"},
		{"name:a/b", "", "not a device name"},
		{"name:a b", "", "not a device name"},
		{"path:x", "", "unknown kind"},
		{"eth0", "", "want"},
	} {
		d, ok, err := table.Find(tc.selector)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: got %v, want it to say %q", tc.selector, err, tc.err)
			}
			continue
		}
		if err != nil || d.Name != tc.name || ok != (tc.name != "") {
			t.Errorf("%s: got %q, %v, %v; want %q", tc.selector, d.Name, ok, err, tc.name)
		}
	}
	table.Devices[1].Alt = append(table.Devices[1].Alt, "lan")
	if d, ok, _ := table.Find("name:lan"); !ok || d.Name != "eth0" {
		t.Errorf("alternative name: got %q, %v", d.Name, ok)
	}
}

// A name that parses is one path component below /proc/sys/net.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"name:eth0", "mac:" + macA, "name:..", "name:a/b", "name:\u0085", "mac:", ":", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sel, err := Parse(s)
		if err != nil {
			return
		}
		if (sel.MAC == "") == (sel.Name == "") {
			t.Fatalf("%q: %+v", s, sel)
		}
		if again := "mac:" + sel.MAC; sel.MAC != "" && again != s {
			t.Fatalf("%q is not canonical: %q", s, again)
		}
		if strings.ContainsAny(sel.Name, "/ \x00\n\t:") || sel.Name == "." || sel.Name == ".." {
			t.Fatalf("%q: name %q", s, sel.Name)
		}
	})
}
