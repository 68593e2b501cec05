package backends_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
)

// verdict is the decision about one NIC as text: the owner, its rivals, cloud-init's
// part and the evidence, without what is merely installed.
func verdict(o backends.Ownership) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", o.Link, o.Owner)
	if o.Renderer != "" {
		fmt.Fprintf(&b, "/%s", o.Renderer)
	}
	if o.Conflict() {
		fmt.Fprintf(&b, " against %v", o.Rivals)
	}
	if o.CloudInit != "" {
		fmt.Fprintf(&b, " (%s: %s)", o.CloudInit, o.Rewrites)
	}
	for _, e := range o.Evidence {
		if e.Text == "installed, which proves nothing" {
			continue
		}
		fmt.Fprintf(&b, "\n %d %s: %s [%s]", e.Weight, e.Manager, e.Text, e.Source)
	}
	return b.String()
}

func TestOwners(t *testing.T) {
	type row struct {
		name string
		f    func() *facts.Facts
		nic  string
		want string
	}
	rows := []row{
		{"netplan and networkd, cloud-init", func() *facts.Facts { return backendtest.NetplanNetworkd(257) }, "enp0s8", `
enp0s8 netplan/networkd (/etc/netplan/50-cloud-init.yaml: new instance)
 100 netplan: networkd runs and has it configured by netplan's id "enp0s8" (/run/systemd/network/10-netplan-enp0s8.network) [/run/systemd/netif/links/3]
 20 netplan: netplan id "enp0s8" (ethernets, renderer networkd) fits [/etc/netplan/50-cloud-init.yaml:8]`},

		{"the same, unprivileged: neither YAML nor generated file readable", func() *facts.Facts {
			f := backendtest.NetplanNetworkd(257)
			f.Machine.Root = false
			f.Files = map[string]facts.File{}
			return f
		}, "enp0s3", `
enp0s3 netplan/networkd (/etc/netplan/50-cloud-init.yaml: new instance)
 100 netplan: networkd runs and has it configured by netplan's id "enp0s3" (/run/systemd/network/10-netplan-enp0s3.network) [/run/systemd/netif/links/2]`},

		{"a .network file of its own shadows netplan's id", func() *facts.Facts {
			f := backendtest.NetplanNetworkd(257)
			backendtest.Put(f, "/etc/systemd/network/05-own.network", "[Match]\nName=enp0s8\n[Network]\nDHCP=yes\n", 0o644)
			f.Networkd.Links[3] = facts.NetworkdLink{Admin: "configured", Network: "/etc/systemd/network/05-own.network"}
			return f
		}, "enp0s8", `
enp0s8 networkd
 100 networkd: networkd runs and has it configured by /etc/systemd/network/05-own.network [/run/systemd/netif/links/3]
 20 netplan: netplan id "enp0s8" (ethernets, renderer networkd) fits [/etc/netplan/50-cloud-init.yaml:8]
 1 none: netplan's id "enp0s8" fits too, but networkd took /etc/systemd/network/05-own.network [/etc/netplan/50-cloud-init.yaml:8]`},

		{"Debian's cloud image: a glob id takes the NIC that another id names", func() *facts.Facts {
			f := backendtest.NetplanNetworkd(257)
			backendtest.Put(f, "/etc/netplan/50-cloud-init.yaml", "network:\n  version: 2\n  ethernets:\n    all-en:\n      match: {name: en*}\n      dhcp4: true\n    enp0s3: {dhcp4: true}\n", 0o600)
			f.Networkd.Links[2] = facts.NetworkdLink{Admin: "configured", Network: "/run/systemd/network/10-netplan-all-en.network"}
			return f
		}, "enp0s3", `
enp0s3 netplan/networkd (/etc/netplan/50-cloud-init.yaml: new instance)
 100 netplan: networkd runs and has it configured by netplan's id "all-en" (/run/systemd/network/10-netplan-all-en.network) [/run/systemd/netif/links/2]
 20 netplan: netplan id "all-en" (ethernets, renderer networkd) fits [/etc/netplan/50-cloud-init.yaml:4]
 20 netplan: netplan id "enp0s3" (ethernets, renderer networkd) fits, behind "all-en" [/etc/netplan/50-cloud-init.yaml:7]`},

		{"networkd with files of its own, netplan's binary installed", func() *facts.Facts {
			f := backendtest.Networkd(252)
			f.Netplan.Installed = true
			return f
		}, "enp0s3", `
enp0s3 networkd
 100 networkd: networkd runs and has it configured by /etc/systemd/network/20-enp0s3.network [/run/systemd/netif/links/2]`},

		{"networkd leaves a NIC unmanaged: nobody's, though its file fits", func() *facts.Facts {
			f := backendtest.Networkd(252)
			f.Networkd.Links[3] = facts.NetworkdLink{Admin: "unmanaged"}
			return f
		}, "enp0s8", `
enp0s8 none
 1 none: networkd leaves it unmanaged [/run/systemd/netif/links/3]`},

		{"ID_NET_MANAGED_BY names another manager", func() *facts.Facts {
			f := backendtest.Networkd(257)
			delete(f.Networkd.Links, 3)
			f.Links[2].Udev["ID_NET_MANAGED_BY"] = "org.freedesktop.NetworkManager"
			return f
		}, "enp0s8", `
enp0s8 none
 1 none: declared to be managed by org.freedesktop.NetworkManager: networkd keeps off [udev ID_NET_MANAGED_BY]`},

		{"NetworkManager with an auto-default profile", func() *facts.Facts { return backendtest.NM("1.52.1") }, "enp0s8", `
enp0s8 networkmanager
 100 networkmanager: NetworkManager runs and manages it with profile "Wired connection 1" (/run/NetworkManager/system-connections/Wired connection 1.nmconnection) [/run/NetworkManager/devices/3]`},

		{"NetworkManager beside networkd: connected (externally) is no ownership", func() *facts.Facts {
			f := backendtest.Networkd(257)
			f.NM.Daemon = facts.Daemon{Installed: true, Running: true, Version: "1.52.1"}
			f.NM.Devices[3] = facts.NMDevice{Managed: "managed", UUID: "44444444-4444-4444-8444-444444444444", External: true}
			return f
		}, "enp0s8", `
enp0s8 networkd
 100 networkd: networkd runs and has it configured by /etc/systemd/network/20-enp0s8.network [/run/systemd/netif/links/3]
 1 none: NetworkManager shows it as connected (externally), which is no ownership [/run/NetworkManager/devices/3]`},

		{"NetworkManager and networkd both configure it", func() *facts.Facts {
			f := backendtest.NM("1.52.1")
			f.Networkd.Daemon = facts.Daemon{Installed: true, Running: true, Version: "257"}
			f.Networkd.Links[3] = facts.NetworkdLink{Admin: "configured", Network: "/etc/systemd/network/20-wired.network"}
			return f
		}, "enp0s8", `
enp0s8 networkmanager against [networkd]
 100 networkmanager: NetworkManager runs and manages it with profile "Wired connection 1" (/run/NetworkManager/system-connections/Wired connection 1.nmconnection) [/run/NetworkManager/devices/3]
 100 networkd: networkd runs and has it configured by /etc/systemd/network/20-wired.network [/run/systemd/netif/links/3]`},

		{"NetworkManager manages it but nothing is connected", func() *facts.Facts {
			f := backendtest.NM("1.42.4")
			f.NM.Devices[3] = facts.NMDevice{Managed: "managed"}
			return f
		}, "enp0s8", `
enp0s8 networkmanager
 60 networkmanager: NetworkManager runs and manages it, without an active connection [/run/NetworkManager/devices/3]`},

		{"netplan with the NetworkManager renderer", func() *facts.Facts { return backendtest.NetplanNM("1.52.1") }, "enp0s3", `
enp0s3 netplan/networkmanager
 100 netplan: NetworkManager runs and manages it by netplan's profile /run/NetworkManager/system-connections/netplan-enp0s3.nmconnection [/run/NetworkManager/devices/2]
 20 netplan: netplan id "enp0s3" (ethernets, renderer NetworkManager) fits [/etc/netplan/01-nm.yaml:5]`},

		{"the same, unprivileged: the profile's name is all there is", func() *facts.Facts {
			f := backendtest.NetplanNM("1.52.1")
			f.NM.Profiles, f.Files = nil, map[string]facts.File{}
			return f
		}, "enp0s3", `
enp0s3 netplan/networkmanager
 100 netplan: NetworkManager runs and manages it; its profile is not readable, and netplan made /run/NetworkManager/system-connections/netplan-enp0s3.nmconnection for its id "enp0s3" [/run/NetworkManager/devices/2]`},

		{"ifupdown and dhclient, NetworkManager keeps off", func() *facts.Facts {
			f := backendtest.Ifupdown("dhclient")
			f.NM.Daemon = facts.Daemon{Installed: true, Running: true, Version: "1.52.1"}
			f.NM.Devices[2] = facts.NMDevice{Managed: "unmanaged"}
			return f
		}, "enp0s3", `
enp0s3 ifupdown
 100 ifupdown: ifup has it up as enp0s3 [/run/network/ifstate]
 100 ifupdown: dhclient runs on it, started by ifup [process 500]
 20 ifupdown: stanza "iface enp0s3 inet dhcp" [/etc/network/interfaces:8]
 20 ifupdown: stanza "iface enp0s3 inet6 auto" [/etc/network/interfaces:9]
 1 none: NetworkManager leaves it unmanaged [/run/NetworkManager/devices/2]`},

		{"a fresh trixie: ifup's dhcpcd leaves dhcpcd's marks and is ifupdown all the same", func() *facts.Facts { return backendtest.Ifupdown("dhcpcd") }, "enp0s8", `
enp0s8 ifupdown
 100 ifupdown: ifup has it up as enp0s8 [/run/network/ifstate]
 100 ifupdown: dhcpcd runs on it, started by ifup [process 501]
 20 ifupdown: stanza "iface enp0s8 inet dhcp" [/etc/network/interfaces:12]
 20 ifupdown: stanza "iface enp0s8 inet6 auto" [/etc/network/interfaces:13]`},

		{"a stanza that nobody has brought up yet", func() *facts.Facts {
			f := backendtest.Ifupdown("dhclient")
			delete(f.Ifupdown.State, "enp0s8")
			f.Clients = f.Clients[:1]
			return f
		}, "enp0s8", `
enp0s8 ifupdown
 20 ifupdown: stanza "iface enp0s8 inet dhcp" [/etc/network/interfaces:12]
 20 ifupdown: stanza "iface enp0s8 inet6 auto" [/etc/network/interfaces:13]`},

		{"inet manual for a NIC that networkd configures is no second owner", func() *facts.Facts {
			f := backendtest.Networkd(252)
			f.Ifupdown = facts.Ifupdown{Installed: true, State: map[string]string{"enp0s8": "enp0s8"}}
			backendtest.Put(f, "/etc/network/interfaces", "auto enp0s8\niface enp0s8 inet manual\n", 0o644)
			return f
		}, "enp0s8", `
enp0s8 networkd
 100 networkd: networkd runs and has it configured by /etc/systemd/network/20-enp0s8.network [/run/systemd/netif/links/3]
 5 ifupdown: stanza "iface enp0s8 inet manual": ifup leaves addresses to others [/etc/network/interfaces:2]`},

		{"dhcpcd in master mode", func() *facts.Facts { return backendtest.Dhcpcd("9.4.1") }, "enp0s8", `
enp0s8 dhcpcd
 100 dhcpcd: dhcpcd runs in master mode, and a default route has its metric 1003 [process 600]`},

		{"dhcpcd denies the NIC", func() *facts.Facts {
			f := backendtest.Dhcpcd("9.4.1")
			backendtest.Put(f, "/etc/dhcpcd.conf", "persistent\ndenyinterfaces veth* enp0s8\n", 0o644)
			return f
		}, "enp0s8", `
enp0s8 none
 1 none: dhcpcd leaves it alone: "denyinterfaces veth* enp0s8" [/etc/dhcpcd.conf:2]`},

		{"bullseye's dhcpcd.service next to networkd: both configured it", func() *facts.Facts {
			f := backendtest.Networkd(247)
			f.Dhcpcd = facts.Dhcpcd{Daemon: facts.Daemon{Installed: true, Running: true, PID: 600, Version: "8.1.5"}, Master: true}
			r := f.Routes[0]
			r.Metric = 202
			f.Routes = append(f.Routes, r)
			return f
		}, "enp0s3", `
enp0s3 networkd against [dhcpcd]
 100 networkd: networkd runs and has it configured by /etc/systemd/network/20-enp0s3.network [/run/systemd/netif/links/2]
 100 dhcpcd: dhcpcd runs in master mode, and a default route has its metric 202 [process 600]`},

		{"dhcpcd.service runs beside ifup's own dhcpcd: the marks on the NIC are those of ifup's", func() *facts.Facts {
			f := backendtest.Ifupdown("dhcpcd")
			f.Dhcpcd = facts.Dhcpcd{Daemon: facts.Daemon{Installed: true, Running: true, PID: 600, Version: "10.1.0"}, Master: true}
			return f
		}, "enp0s8", `
enp0s8 ifupdown
 100 ifupdown: ifup has it up as enp0s8 [/run/network/ifstate]
 100 ifupdown: dhcpcd runs on it, started by ifup [process 501]
 60 dhcpcd: dhcpcd runs in master mode, but nothing of it is seen here [process 600]
 20 ifupdown: stanza "iface enp0s8 inet dhcp" [/etc/network/interfaces:12]
 20 ifupdown: stanza "iface enp0s8 inet6 auto" [/etc/network/interfaces:13]`},

		{"a client that nobody knows holds the DHCP port on networkd's NIC", func() *facts.Facts {
			f := backendtest.Networkd(257)
			f.DHCPSockets = []facts.DHCPSocket{
				{Local: netip.MustParseAddrPort("10.0.2.15:68"), Link: 2, PID: 300, Name: "systemd-network"},
				{Local: netip.MustParseAddrPort("192.168.76.15:68"), Link: 3, PID: 90, Name: "connmand"}}
			return f
		}, "enp0s8", `
enp0s8 networkd against [foreign]
 100 networkd: networkd runs and has it configured by /etc/systemd/network/20-enp0s8.network [/run/systemd/netif/links/3]
 100 foreign: connmand holds the DHCP client port 68 on it [process 90]`},

		{"dhclient started by hand", func() *facts.Facts {
			f := backendtest.Ifupdown("dhclient")
			f.Ifupdown.State = map[string]string{}
			f.Clients = []facts.DHCPClient{{PID: 77, Name: "dhclient", Link: "enp0s8", Args: []string{"dhclient", "enp0s8"}}}
			backendtest.Put(f, "/etc/network/interfaces", "auto lo\niface lo inet loopback\n", 0o644)
			return f
		}, "enp0s8", `
enp0s8 foreign
 100 foreign: dhclient runs on it, started by no known manager [process 77]`},

		{"dhclient started by hand on a NIC of networkd: two clients fight", func() *facts.Facts {
			f := backendtest.Networkd(257)
			f.Clients = []facts.DHCPClient{{PID: 77, Name: "dhclient", Link: "enp0s8", Args: []string{"dhclient", "enp0s8"}}}
			return f
		}, "enp0s8", `
enp0s8 networkd against [foreign]
 100 networkd: networkd runs and has it configured by /etc/systemd/network/20-enp0s8.network [/run/systemd/netif/links/3]
 100 foreign: dhclient runs on it, started by no known manager [process 77]`},

		{"NetworkManager's own dhclient is NetworkManager", func() *facts.Facts {
			f := backendtest.NM("1.30.6")
			f.Clients = []facts.DHCPClient{{PID: 88, Name: "dhclient", Link: "enp0s3", Args: []string{"dhclient", "-sf", "/usr/lib/NetworkManager/nm-dhcp-helper", "enp0s3"}}}
			return f
		}, "enp0s3", `
enp0s3 networkmanager
 100 networkmanager: NetworkManager runs and manages it with profile "nat" (/etc/NetworkManager/system-connections/nat.nmconnection) [/run/NetworkManager/devices/2]
 100 networkmanager: dhclient was started by NetworkManager [process 88]`},

		{"a mounted image: only files speak", func() *facts.Facts {
			f := backendtest.NetplanNetworkd(257)
			f.Machine.Offline = true
			f.Networkd.Running, f.Networkd.Links = false, nil
			delete(f.Files, "/run/systemd/network/10-netplan-enp0s3.network")
			return f
		}, "enp0s3", `
enp0s3 netplan/networkd (/etc/netplan/50-cloud-init.yaml: new instance)
 20 netplan: netplan id "enp0s3" (ethernets, renderer networkd) fits [/etc/netplan/50-cloud-init.yaml:5]`},

		{"the second NIC of a fresh box: every binary installed, nobody took it", func() *facts.Facts {
			f := backendtest.Box()
			backendtest.Add(f, "enp0s8", backendtest.Wire{Down: true, Slot: 8})
			f.Netplan.Installed, f.NM.Installed, f.Networkd.Installed, f.Ifupdown.Installed, f.Dhcpcd.Installed = true, true, true, true, true
			return f
		}, "enp0s8", `
enp0s8 none`},

		{"cloud-init disabled after the first boot: its file stays, nobody rewrites it", func() *facts.Facts {
			f := backendtest.NetplanNetworkd(252)
			f.CloudInit.Disabled = true
			delete(f.Networkd.Links, 2)
			return f
		}, "enp0s3", `
enp0s3 netplan/networkd (/etc/netplan/50-cloud-init.yaml: never)
 50 netplan: generated by netplan for its id "enp0s3", not taken by networkd yet [/run/systemd/network/10-netplan-enp0s3.network:2]
 20 netplan: netplan id "enp0s3" (ethernets, renderer networkd) fits [/etc/netplan/50-cloud-init.yaml:5]`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			f := r.f()
			owners := backends.Owners(f)
			if len(owners) != len(f.Links) {
				t.Fatalf("%d verdicts for %d links", len(owners), len(f.Links))
			}
			for _, o := range owners {
				if o.Link != r.nic {
					continue
				}
				if got, want := verdict(o), strings.TrimPrefix(r.want, "\n"); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				return
			}
			t.Fatalf("no verdict about %s", r.nic)
		})
	}
}
