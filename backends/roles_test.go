package backends_test

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
)

func TestRoles(t *testing.T) {
	bridged := backendtest.Wire{Addr4: "192.168.1.20/24", GW4: "192.168.1.1", Proto4: facts.ProtoDHCP, Metric4: 100, Slot: 8}
	slirp := backendtest.Wire{Addr4: "10.0.2.15/24", GW4: "10.0.2.2", Proto4: facts.ProtoDHCP, Metric4: 100, DNS: "10.0.2.3", Slot: 3}
	with := func(w backendtest.Wire, change func(*backendtest.Wire)) backendtest.Wire { change(&w); return w }
	machine := func(change func(*facts.Machine)) *facts.Facts {
		f := backendtest.Box()
		change(&f.Machine)
		return f
	}
	virtualBox := func() *facts.Facts { return backendtest.Box() }
	kvm := func() *facts.Facts {
		return machine(func(m *facts.Machine) { m.Hypervisor, m.Vendor, m.Product = "kvm", "QEMU", "Standard PC" })
	}
	vmware := func() *facts.Facts {
		return machine(func(m *facts.Machine) {
			m.Hypervisor, m.Vendor, m.Product = "vmware", "VMware, Inc.", "VMware Virtual Platform"
		})
	}
	hardware := func() *facts.Facts {
		return machine(func(m *facts.Machine) { m.Hypervisor, m.Vendor, m.Product = "none", "Dell Inc.", "OptiPlex" })
	}
	nspawn := func() *facts.Facts {
		return machine(func(m *facts.Machine) { m.Hypervisor, m.Vendor, m.Product, m.Container = "", "", "", "systemd-nspawn" })
	}
	libvirt := with(slirp, func(w *backendtest.Wire) {
		w.Addr4, w.GW4, w.DNS, w.MAC = "192.168.121.50/24", "192.168.121.1", "192.168.121.1", "52:54:00:12:34:56"
	})
	vmnat := with(slirp, func(w *backendtest.Wire) {
		w.Addr4, w.GW4, w.DNS, w.MAC = "172.16.93.128/24", "172.16.93.2", "172.16.93.2", "00:0c:29:12:34:56"
	})
	const netplanDefault = "network:\n  version: 2\n  ethernets:\n    default:\n      match: {macaddress: '52:54:00:12:34:56'}\n      dhcp4: true\n    extra0:\n      match: {macaddress: '52:54:00:aa:bb:cc'}\n      dhcp4: true\n      dhcp4-overrides: {route-metric: 200}\n      optional: true\n"

	for _, c := range []struct {
		name  string
		f     *facts.Facts
		first backendtest.Wire
		other *backendtest.Wire // a second NIC
		more  func(*facts.Facts)
		want  facts.Role
		text  string // part of the evidence
	}{
		{"VirtualBox NAT beside a bridged NIC", virtualBox(), slirp, &bridged, nil, facts.RoleNAT, "VirtualBox NAT: 10.0.2.0/24 with gateway 10.0.2.2"},
		{"the same, but the only NIC", virtualBox(), slirp, nil, nil, facts.RoleBridged, "it is the only NIC"},
		{"the third adapter's NAT network", virtualBox(), with(slirp, func(w *backendtest.Wire) { w.Addr4, w.GW4, w.DNS = "10.0.4.15/24", "10.0.4.2", "10.0.4.3" }), &bridged, nil, facts.RoleNAT, "adapter 3"},
		{"10.0.4.0/24 outside VirtualBox is somebody's LAN", kvm(), with(slirp, func(w *backendtest.Wire) { w.Addr4, w.GW4, w.DNS = "10.0.4.15/24", "10.0.4.2", "10.0.4.3" }), &bridged, nil, facts.RoleBridged, "default route"},
		{"QEMU user networking, any MAC", kvm(), with(slirp, func(w *backendtest.Wire) { w.MAC = "de:ad:be:ef:00:01" }), &bridged, nil, facts.RoleNAT, "QEMU user networking"},
		{"10.0.2.0/24 with another gateway", kvm(), with(slirp, func(w *backendtest.Wire) { w.GW4 = "10.0.2.1" }), &bridged, nil, facts.RoleBridged, "default route"},
		{"all the right numbers on real hardware", hardware(), slirp, &bridged, nil, facts.RoleBridged, "not taken for NAT"},
		{"QEMU's network in a container with veth", nspawn(), with(slirp, func(w *backendtest.Wire) { w.Kind, w.DNS, w.Slot, w.Addr4 = "veth", "", 0, "10.0.2.77/24" }),
			&backendtest.Wire{Kind: "veth", Addr4: "192.168.76.15/24", GW4: "192.168.76.2", Proto4: 16}, nil, facts.RoleNAT, "inside systemd-nspawn"},
		{"vagrant-libvirt", kvm(), libvirt, &bridged, nil, facts.RoleNAT, "libvirt"},
		{"192.168.122.0/24 without libvirt's MAC", kvm(), with(libvirt, func(w *backendtest.Wire) { w.MAC = "02:00:00:00:00:01" }), &bridged, nil, facts.RoleBridged, "default route"},
		{"192.168.122.0/24 on hardware", hardware(), libvirt, &bridged, nil, facts.RoleBridged, "default route"},
		{"VMware NAT", vmware(), vmnat, &bridged, nil, facts.RoleNAT, "VMware NAT"},
		{"a VMware guest on a LAN whose router is .2 but no name server", vmware(), with(vmnat, func(w *backendtest.Wire) { w.DNS = "172.16.93.9" }), &bridged, nil, facts.RoleBridged, "scores 5"},
		{"Multipass' default NIC beside extra0", kvm(), with(slirp, func(w *backendtest.Wire) {
			w.Addr4, w.GW4, w.DNS, w.MAC = "10.166.4.9/24", "10.166.4.1", "10.166.4.1", "52:54:00:12:34:56"
		}), &bridged, func(f *facts.Facts) {
			f.Netplan.Files = []string{"/etc/netplan/50-cloud-init.yaml"}
			backendtest.Put(f, "/etc/netplan/50-cloud-init.yaml", netplanDefault, 0o600)
		}, facts.RoleNAT, "Multipass"},
		{"host-only", virtualBox(), backendtest.Wire{Addr4: "192.168.56.10/24", Slot: 3, Static: true}, &bridged, nil, facts.RoleHostOnly, "VirtualBox's host-only"},
		{"a lease without a router", virtualBox(), backendtest.Wire{Addr4: "172.20.1.5/24", Slot: 3}, &bridged, nil, facts.RoleHostOnly, "no default route"},
		{"a lease whose default dhclient could not add", virtualBox(), backendtest.Wire{Addr4: "192.168.76.15/24", Slot: 8},
			&backendtest.Wire{Addr4: "10.0.2.15/24", GW4: "10.0.2.2", Proto4: facts.ProtoBoot, Slot: 3}, nil, facts.RoleBridged, "would have kept a second one out"},
		{"nothing known", virtualBox(), backendtest.Wire{Down: true, Slot: 8}, &slirp, nil, facts.RoleBridged, "taken for an uplink"},
		{"Wi-Fi", hardware(), backendtest.Wire{DevType: "wlan"}, nil, nil, facts.RoleWifi, ""},
		{"gadget", hardware(), backendtest.Wire{DevType: "gadget"}, nil, nil, facts.RoleGadget, ""},
		{"gadget by its address", hardware(), backendtest.Wire{MAC: "02:00:00:00:00:77"}, nil, func(f *facts.Facts) {
			f.USB.Gadgets = []facts.Gadget{{Name: "g1", Functions: []facts.GadgetFunction{{Name: "ncm.usb0", Dev: "02:00:00:00:00:77"}}}}
		}, facts.RoleGadget, "ncm.usb0 of gadget g1"},
		{"no gadget's address", hardware(), backendtest.Wire{MAC: "02:00:00:00:00:78"}, nil, func(f *facts.Facts) {
			f.USB.Gadgets = []facts.Gadget{{Name: "g1", Functions: []facts.GadgetFunction{{Name: "ncm.usb0", Dev: "02:00:00:00:00:77"}, {Name: "acm.GS0"}}}}
		}, facts.RoleBridged, ""},
		{"WireGuard", hardware(), backendtest.Wire{Kind: "wireguard"}, nil, nil, facts.RoleVPN, ""},
		{"a VLAN", hardware(), backendtest.Wire{Kind: "vlan"}, nil, nil, facts.RoleOther, ""},
		{"VirtualBox's IPv6-only uplink", virtualBox(), backendtest.Wire{GW6: "fe80::1", Metric6: 1024, Proto6: facts.ProtoRA, Slot: 8}, &slirp, nil, facts.RoleBridged, "IPv6 default route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := backendtest.Add(c.f, "nic0", c.first)
			if c.first.Kind == "veth" {
				c.f.Links[i-1].Name = "eth0"
			}
			if c.other != nil {
				j := backendtest.Add(c.f, "nic1", *c.other)
				if c.other.Kind == "veth" {
					c.f.Links[j-1].Name = "eth1"
				}
			}
			if c.more != nil {
				c.more(c.f)
			}
			v := backends.Roles(c.f, backends.Owners(c.f))[i]
			if v.Role != c.want || !strings.Contains(strings.Join(v.Evidence, "; "), c.text) {
				t.Errorf("got %s (%d) because %q, want %s because %q", v.Role, v.Score, v.Evidence, c.want, c.text)
			}
		})
	}
}

func TestContainerNames(t *testing.T) {
	for _, c := range []struct {
		name, kind, container, cni string
		master                     int
		want                       facts.Role
	}{
		{"docker0", "bridge", "", "", 0, facts.RoleContainer},
		{"br-1a2b3c4d5e6f", "bridge", "", "", 0, facts.RoleContainer},
		{"br0", "bridge", "", "", 0, facts.RoleOther},
		{"virbr0", "bridge", "", "", 0, facts.RoleContainer},
		{"veth1a2b3c4", "veth", "", "", 0, facts.RoleContainer},
		{"cali0a1b2c3d4e5", "veth", "", "", 0, facts.RoleContainer},
		{"eth0", "veth", "docker", "", 0, facts.RoleBridged},
		{"eth0", "veth", "", "", 9, facts.RoleContainer},
		{"uplink", "veth", "lxc", "", 0, facts.RoleBridged},
		{"ve-web", "veth", "systemd-nspawn", "", 0, facts.RoleContainer},
		{"flannel.1", "vxlan", "", "", 0, facts.RoleContainer},
		{"vx0", "vxlan", "", "/etc/cni/net.d/10-x.conflist", 0, facts.RoleContainer},
		{"vx0", "vxlan", "", "", 0, facts.RoleOther},
		{"eni1a2b3c4d5e6", "veth", "", "/etc/cni/net.d/10-aws.conflist", 0, facts.RoleContainer},
		{"docker0", "", "", "", 0, facts.RoleBridged}, // hardware, whatever it is called
	} {
		f := backendtest.Box()
		f.Machine.Container, f.Machine.CNI = c.container, c.cni
		w := backendtest.Wire{Kind: c.kind, GW4: "192.0.2.1", Addr4: "192.0.2.9/24"}
		if c.kind == "" {
			w.Slot = 3
		}
		i := backendtest.Add(f, c.name, w)
		f.Links[i-1].Master = c.master
		if v := backends.Roles(f, nil)[i]; v.Role != c.want {
			t.Errorf("%s (%s, container %q, CNI %q): got %s %q, want %s", c.name, c.kind, c.container, c.cni, v.Role, v.Evidence, c.want)
		}
	}
}

// A false nat demotes the real uplink, so no single observation may be enough.
func TestNumbersAloneAreNeverNAT(t *testing.T) {
	for _, hypervisor := range []string{"none", ""} {
		f := backendtest.Box()
		f.Machine = facts.Machine{Hypervisor: hypervisor}
		i := backendtest.Add(f, "eth0", backendtest.Wire{Addr4: "10.0.2.40/24", GW4: "10.0.2.2", MAC: "02:00:00:00:00:09"})
		backendtest.Add(f, "eth1", backendtest.Wire{Addr4: "192.168.1.2/24", GW4: "192.168.1.1"})
		if v := backends.Roles(f, nil)[i]; v.Role == facts.RoleNAT {
			t.Errorf("hypervisor %q: taken for NAT with %d: %q", hypervisor, v.Score, v.Evidence)
		}
	}
}
