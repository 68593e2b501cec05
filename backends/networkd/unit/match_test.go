package unit

import (
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

func TestFits(t *testing.T) {
	f := &facts.Facts{Machine: facts.Machine{Hostname: "box", Hypervisor: "virtualbox"}}
	eth := facts.Link{Index: 2, Name: "eth0", Alt: []string{"enp0s3"}, MAC: "08:00:27:00:00:01", PermMAC: "08:00:27:00:00:01", ARPHRD: 1,
		Driver: "e1000", DevPath: "/devices/pci0000:00/0000:00:03.0", Udev: map[string]string{"ID_PATH": "pci-0000:00:03.0", "ID_BUS": "pci"}}
	veth := facts.Link{Index: 3, Name: "eth1", MAC: "02:00:00:00:00:02", PermMAC: "02:00:00:00:00:02", ARPHRD: 1, Kind: "veth"}
	wlan := facts.Link{Index: 4, Name: "wlan0", ARPHRD: 1, DevType: "wlan", Driver: "brcmfmac"}
	for _, c := range []struct {
		match   string
		l       facts.Link
		version int
		want    Verdict
	}{
		{"Name=eth0", eth, 252, Yes},
		{"Name=eth1", eth, 252, No},
		{"Name=enp0s3", eth, 252, Yes},
		{"Name=!eth0", veth, 252, Yes},
		{"Name=!eth*\nName=wlan*", veth, 252, No},
		{"Name=eth* !eth0", eth, 252, No},
		{"Name=!eth0 eth1", eth, 252, Yes}, // by its alternative name
		{"Name=eth1\nName=\nName=eth0", eth, 252, Yes},
		{"MACAddress=08-00-27-00-00-01", eth, 252, Yes},
		{"MACAddress=00:00:00:00:00:01 08:00:27:00:00:01", eth, 252, Yes},
		{"PermanentMACAddress=08:00:27:00:00:01", eth, 252, Yes},
		{"PermanentMACAddress=02:00:00:00:00:02", veth, 252, No},
		{"MACAddress=02:00:00:00:00:02", veth, 252, Yes},
		{"Driver=e1000 virtio_net", eth, 252, Yes},
		{"Driver=\"e1000\"", eth, 252, Yes},
		{"Driver=virtio*", eth, 252, No},
		{"Driver=veth", veth, 252, Yes},
		{"Type=ether", eth, 252, Yes},
		{"Type=ether", wlan, 252, No},
		{"Type=wlan", wlan, 252, Yes},
		{"Type=ether\nKind=!*", eth, 257, Yes},
		{"Type=ether\nKind=!*", veth, 257, No},
		{"Kind=veth", veth, 252, Yes},
		{"Path=pci-*", eth, 252, Yes},
		{"Path=usb-*", eth, 252, No},
		{"Path=pci-*", veth, 252, No},
		{"Property=ID_BUS=pci", eth, 252, Yes},
		{"Property=ID_BUS=usb", eth, 252, No},
		{"Property=!ID_BUS=pci", eth, 252, No},
		{"Property=ID_MODEL=x", eth, 252, Unknown},
		{"Name=wlan*\nSSID=home", wlan, 252, Unknown},
		{"Name=eth*\nSSID=home", wlan, 252, No},
		{"Host=box\nName=eth0", eth, 252, Yes},
		{"Host=!box\nName=eth0", eth, 252, No},
		{"Virtualization=oracle\nName=eth0", eth, 252, Yes},
		{"Virtualization=container\nName=eth0", eth, 252, No},
		{"KernelVersion=>=5\nName=eth0", eth, 252, Unknown},
		{"", eth, 252, No},
		{"", eth, 243, Yes},
	} {
		m := ReadMatch(Parse("f", "[Match]\n"+c.match+"\n").Entries)
		if got := m.Fits(f, c.l, c.version); got != c.want {
			t.Errorf("%q on %s: %d, want %d", c.match, c.l.Name, got, c.want)
		}
	}
}
