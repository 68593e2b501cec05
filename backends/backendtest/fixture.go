// Package backendtest holds the conformance suite that every backend must pass, and
// the machines it is held against: facts as they are read on real systems.
package backendtest

import (
	"fmt"
	"net/netip"

	"github.com/provision-net/provision/provision/facts"
)

// Box is a VirtualBox guest with Debian's systemd 257 and no NIC but lo.
func Box() *facts.Facts {
	return &facts.Facts{
		Schema: facts.SchemaVersion,
		Machine: facts.Machine{Hostname: "box", OS: "debian", OSVersion: "13", Kernel: "6.12.48+deb13-amd64", Arch: "x86_64", Init: "systemd",
			Systemd: 257, Hypervisor: "virtualbox", Vendor: "innotek GmbH", Product: "VirtualBox", Root: true},
		Links:    []facts.Link{{Index: 1, Name: "lo", ARPHRD: 772, Up: true, Carrier: true}},
		Files:    map[string]facts.File{},
		Networkd: facts.Networkd{Links: map[int]facts.NetworkdLink{}},
		NM:       facts.NM{Devices: map[int]facts.NMDevice{}},
		Ifupdown: facts.Ifupdown{State: map[string]string{}},
		DNS:      facts.DNS{Owner: "file", ByLink: map[string][]string{}},
	}
}

// Wire describes what a NIC has got.
type Wire struct {
	Addr4, GW4     string // prefix and gateway; empty: nothing
	Metric4        uint32
	Proto4         int // facts.ProtoDHCP ...
	GW6            string
	Metric6        uint32
	Proto6         int
	DNS            string
	MAC, Driver    string
	Kind, DevType  string
	Slot           int // PCI slot; 0: no bus
	NoCarrier      bool
	Down, Static   bool
	NoIPv6Metric   bool // a kernel before 5.12: no ra_defrtr_metric
	KernelRA       bool // accept_ra is the kernel's
	Addr6          string
	ExtraDefaults4 []uint32
}

// Add puts a NIC into f and returns its index.
func Add(f *facts.Facts, name string, w Wire) int {
	i := len(f.Links) + 1
	if w.MAC == "" {
		w.MAC = fmt.Sprintf("08:00:27:00:00:%02x", i)
	}
	if w.Driver == "" && w.Kind == "" {
		w.Driver = "e1000"
	}
	l := facts.Link{Index: i, Name: name, MAC: w.MAC, PermMAC: w.MAC, ARPHRD: 1, Kind: w.Kind, Driver: w.Driver, DevType: w.DevType,
		MTU: 1500, Up: !w.Down, Carrier: !w.NoCarrier && !w.Down, Oper: "up",
		Udev: map[string]string{}, Sysctl: map[string]string{"ipv6.accept_ra": "0", "ipv6.disable_ipv6": "0"}}
	if !w.NoIPv6Metric {
		l.Sysctl["ipv6.ra_defrtr_metric"] = "1024"
	}
	if w.KernelRA {
		l.Sysctl["ipv6.accept_ra"] = "1"
	}
	if w.Slot > 0 {
		l.Bus = "pci"
		l.DevPath = fmt.Sprintf("/devices/pci0000:00/0000:00:%02x.0/net/%s", w.Slot, name)
		l.Udev["ID_PATH"] = fmt.Sprintf("pci-0000:00:%02x.0", w.Slot)
	}
	f.Links = append(f.Links, l)
	if w.Addr4 != "" {
		f.Addrs = append(f.Addrs, facts.Address{Link: i, Prefix: netip.MustParsePrefix(w.Addr4), Scope: "global", Dynamic: !w.Static})
	}
	if w.Addr6 != "" {
		f.Addrs = append(f.Addrs, facts.Address{Link: i, Prefix: netip.MustParsePrefix(w.Addr6), Scope: "global", Dynamic: true})
	}
	if w.GW4 != "" {
		for _, m := range append([]uint32{w.Metric4}, w.ExtraDefaults4...) {
			f.Routes = append(f.Routes, facts.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr(w.GW4), Link: i,
				Metric: m, Proto: w.Proto4, Table: 254, Type: "unicast", Scope: "global"})
		}
	}
	if w.GW6 != "" {
		f.Routes = append(f.Routes, facts.Route{Dst: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr(w.GW6), Link: i,
			Metric: w.Metric6, Proto: w.Proto6, Table: 254, Type: "unicast", Scope: "global", Pref: "medium"})
	}
	if w.DNS != "" {
		f.DNS.ByLink[name] = []string{w.DNS}
		f.DNS.Servers = append(f.DNS.Servers, w.DNS)
	}
	return i
}

// VirtualBox's first adapter behind its NAT, and a second one bridged to a real
// network, both with an address and defaults of both families.
func pair(f *facts.Facts, metric4 [2]uint32, proto4 int, metric6 [2]uint32, proto6 int) {
	Add(f, "enp0s3", Wire{Addr4: "10.0.2.15/24", GW4: "10.0.2.2", Metric4: metric4[0], Proto4: proto4, DNS: "10.0.2.3", Slot: 3,
		GW6: "fe80::2", Metric6: metric6[0], Proto6: proto6, Addr6: "fd17:625c:f037:2:a00:27ff:fe00:2/64", KernelRA: proto6 == facts.ProtoRA && proto4 == facts.ProtoBoot})
	Add(f, "enp0s8", Wire{Addr4: "192.168.76.15/24", GW4: "192.168.76.1", Metric4: metric4[1], Proto4: proto4, DNS: "192.168.76.1", Slot: 8,
		GW6: "fe80::1", Metric6: metric6[1], Proto6: proto6, Addr6: "2001:db8:76::15/64", KernelRA: proto6 == facts.ProtoRA && proto4 == facts.ProtoBoot})
}

// Put writes a file into the facts.
func Put(f *facts.Facts, path, text string, mode uint32) {
	f.Files[path] = facts.File{Mode: mode, Text: text}
}

const cloudYAML = `# This file is generated from information provided by the datasource.
network:
    version: 2
    ethernets:
        enp0s3:
            dhcp4: true
            dhcp6: true
        enp0s8:
            dhcp4: true
            dhcp6: true
            match:
                macaddress: 08:00:27:00:00:03
            set-name: enp0s8
`

func generatedNetwork(name string) string {
	return "[Match]\nName=" + name + "\n\n[Network]\nDHCP=yes\nLinkLocalAddressing=ipv6\n\n[DHCP]\nRouteMetric=100\nUseMTU=true\n"
}

// NetplanNetworkd is netplan with the networkd renderer, configured by cloud-init.
func NetplanNetworkd(systemd int) *facts.Facts {
	f := Box()
	f.Machine.Systemd = systemd
	pair(f, [2]uint32{100, 100}, facts.ProtoDHCP, [2]uint32{100, 100}, facts.ProtoRA)
	f.CloudInit = facts.CloudInit{Installed: true, Renders: true, Datasource: "NoCloud", Rewrites: "new instance"}
	f.Netplan = facts.Netplan{Installed: true, Version: "1.1.2", Files: []string{"/etc/netplan/50-cloud-init.yaml"}}
	Put(f, "/etc/netplan/50-cloud-init.yaml", cloudYAML, 0o600)
	f.Networkd.Daemon = facts.Daemon{Installed: true, Running: true, PID: 300, Version: fmt.Sprint(systemd), Enabled: true}
	for _, l := range f.Links[1:] {
		p := "/run/systemd/network/10-netplan-" + l.Name + ".network"
		Put(f, p, generatedNetwork(l.Name), 0o640)
		f.Netplan.Generated = append(f.Netplan.Generated, p)
		f.Networkd.Links[l.Index] = facts.NetworkdLink{Admin: "configured", Oper: "routable", Network: p}
	}
	return f
}

// Networkd is networkd with files of its own, as Vagrant writes them: no metric, 1024.
func Networkd(systemd int) *facts.Facts {
	f := Box()
	f.Machine.Systemd = systemd
	pair(f, [2]uint32{1024, 1024}, facts.ProtoDHCP, [2]uint32{1024, 1024}, facts.ProtoRA)
	f.Networkd.Daemon = facts.Daemon{Installed: true, Running: true, PID: 300, Version: fmt.Sprint(systemd), Enabled: true}
	for _, l := range f.Links[1:] {
		p := "/etc/systemd/network/20-" + l.Name + ".network"
		Put(f, p, "[Match]\nName="+l.Name+"\n\n[Network]\nDHCP=yes\n", 0o644)
		f.Networkd.Links[l.Index] = facts.NetworkdLink{Admin: "configured", Oper: "routable", Network: p}
	}
	return f
}

// NM is NetworkManager alone: one keyfile profile and one auto-default profile.
func NM(version string) *facts.Facts {
	f := Box()
	pair(f, [2]uint32{100, 101}, facts.ProtoDHCP, [2]uint32{100, 101}, facts.ProtoRA)
	f.NM.Daemon = facts.Daemon{Installed: true, Running: true, PID: 400, Version: version, Enabled: true}
	p := "/etc/NetworkManager/system-connections/nat.nmconnection"
	Put(f, p, "[connection]\nid=nat\nuuid=11111111-1111-4111-8111-111111111111\ntype=ethernet\ninterface-name=enp0s3\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n", 0o600)
	auto := "/run/NetworkManager/system-connections/Wired connection 1.nmconnection"
	Put(f, auto, "[connection]\nid=Wired connection 1\nuuid=22222222-2222-4222-8222-222222222222\ntype=ethernet\nautoconnect-priority=-999\ninterface-name=enp0s8\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n\n[.nmmeta]\nnm-generated=true\n", 0o600)
	f.NM.Profiles = []facts.NMProfile{
		{ID: "nat", UUID: "11111111-1111-4111-8111-111111111111", Type: "ethernet", Interface: "enp0s3", Path: p},
		{ID: "Wired connection 1", UUID: "22222222-2222-4222-8222-222222222222", Type: "ethernet", Interface: "enp0s8", Path: auto},
	}
	f.NM.Devices[2] = facts.NMDevice{Managed: "managed", UUID: f.NM.Profiles[0].UUID}
	f.NM.Devices[3] = facts.NMDevice{Managed: "managed", UUID: f.NM.Profiles[1].UUID}
	return f
}

// NetplanNM is netplan with the NetworkManager renderer.
func NetplanNM(version string) *facts.Facts {
	f := NM(version)
	f.NM.Profiles = nil
	for p := range f.Files {
		delete(f.Files, p)
	}
	f.Netplan = facts.Netplan{Installed: true, Version: "1.1.2", Files: []string{"/etc/netplan/01-nm.yaml"}}
	Put(f, "/etc/netplan/01-nm.yaml", "network:\n  version: 2\n  renderer: NetworkManager\n  ethernets:\n    enp0s3:\n      dhcp4: true\n      dhcp6: true\n    enp0s8:\n      dhcp4: true\n      dhcp6: true\n", 0o600)
	for i, l := range f.Links[1:] {
		p := "/run/NetworkManager/system-connections/netplan-" + l.Name + ".nmconnection"
		uuid := fmt.Sprintf("33333333-3333-4333-8333-33333333333%d", i)
		Put(f, p, "[connection]\nid=netplan-"+l.Name+"\ntype=ethernet\nuuid="+uuid+"\ninterface-name="+l.Name+"\n\n[ethernet]\nwake-on-lan=0\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\nip6-privacy=0\n", 0o600)
		f.Netplan.Generated = append(f.Netplan.Generated, p)
		f.NM.Profiles = append(f.NM.Profiles, facts.NMProfile{ID: "netplan-" + l.Name, UUID: uuid, Type: "ethernet", Interface: l.Name, Path: p})
		f.NM.Devices[l.Index] = facts.NMDevice{Managed: "managed", UUID: uuid}
	}
	return f
}

// Ifupdown is Debian's ifupdown with one DHCP client, kernel RA, and no metric.
func Ifupdown(client string) *facts.Facts {
	f := Box()
	pair(f, [2]uint32{0, 0}, facts.ProtoBoot, [2]uint32{1024, 1024}, facts.ProtoRA)
	Put(f, "/etc/network/interfaces", "# interfaces(5)\nsource /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\nallow-hotplug enp0s3\niface enp0s3 inet dhcp\niface enp0s3 inet6 auto\n\nauto enp0s8\niface enp0s8 inet dhcp\niface enp0s8 inet6 auto\n", 0o644)
	f.Ifupdown = facts.Ifupdown{Installed: true, Flavour: "ifupdown", Version: "0.8.44", Enabled: true, Client: client,
		State: map[string]string{"lo": "lo", "enp0s3": "enp0s3", "enp0s8": "enp0s8"}}
	for i, l := range f.Links[1:] {
		f.Clients = append(f.Clients, facts.DHCPClient{PID: 500 + i, Name: client, Link: l.Name, Family: 4,
			Args: []string{client, "-4", "-v", "-i", "-pf", "/run/" + client + "." + l.Name + ".pid", l.Name}})
	}
	if client == "dhcpcd" { // does RA itself, for both families
		for i := range f.Routes {
			f.Routes[i].Metric = uint32(1000 + f.Routes[i].Link)
			if f.Routes[i].Dst.Addr().Is4() {
				f.Routes[i].Proto = facts.ProtoDHCP
			}
		}
		for i := range f.Clients {
			f.Clients[i].Family = 0
		}
	}
	return f
}

// Dhcpcd is dhcpcd in master mode on its own.
func Dhcpcd(version string) *facts.Facts {
	f := Box()
	pair(f, [2]uint32{1002, 1003}, facts.ProtoDHCP, [2]uint32{1002, 1003}, facts.ProtoRA)
	f.Dhcpcd = facts.Dhcpcd{Daemon: facts.Daemon{Installed: true, Running: true, PID: 600, Version: version, Enabled: true}, Master: true}
	Put(f, "/etc/dhcpcd.conf", "hostname\nduid\npersistent\noption rapid_commit\nslaac private\n", 0o644)
	return f
}
