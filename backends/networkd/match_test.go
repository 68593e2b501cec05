package networkd

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
		m := ReadMatch(ParseUnit("f", "[Match]\n"+c.match+"\n").Entries)
		if got := m.Fits(f, c.l, c.version); got != c.want {
			t.Errorf("%q on %s: %d, want %d", c.match, c.l.Name, got, c.want)
		}
	}
}

func TestSettings(t *testing.T) {
	both := "[DHCP]\nRouteMetric=100\n"
	for _, c := range []struct {
		text    string
		version int
		m4, m6  uint32
	}{
		{"", 252, 1024, 1024},
		{both, 252, 100, 100},
		{both + "[DHCPv4]\nRouteMetric=7\n", 252, 7, 100},
		{"[DHCPv4]\nRouteMetric=7\n" + both, 252, 7, 100},
		{both + "[IPv6AcceptRA]\nRouteMetric=8\n", 252, 100, 8},
		{both + "[IPv6AcceptRA]\nRouteMetric=1:2:3\n", 257, 100, 2},
		{both + "[IPv6AcceptRA]\nRouteMetric=8\n", 247, 100, 100},
		{both + "[DHCPv6]\nRouteMetric=8\n", 247, 100, 8},
		{both + "[DHCPv6]\nRouteMetric=8\n", 252, 100, 100},
		{both + "[DHCPv4]\nRouteMetric=7\n", 245, 7, 7},
		{"[DHCPv4]\nRouteMetric=7\n" + both, 245, 100, 100},
		{both + "[DHCP]\nRouteMetric=never\n", 252, 100, 100},
		{"[DHCPv4]\nRouteMetric=4294967296\n", 252, 1024, 1024},
	} {
		s := ReadSettings(ParseUnit("f", c.text).Entries, c.version)
		if s.Metric4.Metric != c.m4 || s.Metric6.Metric != c.m6 {
			t.Errorf("%q on %d: %v %v, want %d %d", c.text, c.version, s.Metric4, s.Metric6, c.m4, c.m6)
		}
	}
	s := ReadSettings(ParseUnit("f", "[Network]\nDHCP=ipv4\nGateway=10.0.0.1\nGateway=fe80::1\n[Route]\nGateway=10.0.0.2\nMetric=5\n[Route]\nDestination=10.1.0.0/16\nGateway=10.0.0.3\n"+
		"[Route]\nGateway=10.0.0.4\nTable=7\n[Route]\nDestination=::/0\nGateway=_ipv6ra\n").Entries, 252)
	if got := len(s.StaticOf(4)); got != 2 || s.StaticOf(4)[1].Metric != "5" || len(s.StaticOf(6)) != 2 {
		t.Errorf("static routes: %+v", s.Static)
	}
	if !s.DHCP4 || s.DHCP6 || !s.RA {
		t.Errorf("%+v", s)
	}
}
