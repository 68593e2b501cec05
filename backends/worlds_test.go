package backends_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

func winner4(f *facts.Facts, routes []facts.Route) string {
	for _, w := range backends.Winners(f, routes) {
		if w.Family == 4 {
			return w.Link
		}
	}
	return ""
}

// Machines that nobody meant when the default policy was made. Without a configuration
// nothing may be written on most of them, and on none may the way out move to a device
// that people would not expect.
func TestWorldsWithoutConfiguration(t *testing.T) {
	const dhcp = facts.ProtoDHCP
	own := func(f *facts.Facts, names ...string) *facts.Facts { // networkd has configured them
		f.Networkd.Daemon = facts.Daemon{Installed: true, Running: true, Version: "257", Enabled: true}
		for _, n := range names {
			l, _ := f.LinkByName(n)
			p := "/etc/systemd/network/20-" + n + ".network"
			backendtest.Put(f, p, "[Match]\nName="+n+"\n\n[Network]\nDHCP=yes\n", 0o644)
			f.Networkd.Links[l.Index] = facts.NetworkdLink{Admin: "configured", Network: p}
		}
		return f
	}
	machine := func(hypervisor, vendor, product string, build func(f *facts.Facts)) *facts.Facts {
		f := backendtest.Box()
		f.Machine.Hypervisor, f.Machine.Vendor, f.Machine.Product = hypervisor, vendor, product
		build(f)
		return f
	}
	wire := func(addr, gw string, metric uint32, slot int) backendtest.Wire {
		return backendtest.Wire{Addr4: addr, GW4: gw, Metric4: metric, Proto4: dhcp, Slot: slot}
	}
	mac := func(w backendtest.Wire, m string) backendtest.Wire { w.MAC = m; return w }
	dns := func(w backendtest.Wire, s string) backendtest.Wire { w.DNS = s; return w }
	for _, c := range []struct {
		name   string
		f      *facts.Facts
		want   string // as nics prints it; empty: nothing at all is wanted
		winner string // after the apply
	}{
		{"a libvirt guest with one NIC", machine("kvm", "QEMU", "Standard PC", func(f *facts.Facts) {
			backendtest.Add(f, "enp1s0", dns(mac(wire("192.168.122.40/24", "192.168.122.1", 100, 1), "52:54:00:11:22:33"), "192.168.122.1"))
			own(f, "enp1s0")
		}), "", "enp1s0"},
		{"a VirtualBox guest with one NIC", machine("virtualbox", "innotek GmbH", "VirtualBox", func(f *facts.Facts) {
			backendtest.Add(f, "enp0s3", dns(wire("10.0.2.15/24", "10.0.2.2", 100, 3), "10.0.2.3"))
			own(f, "enp0s3")
		}), "", "enp0s3"},
		{"the same with Docker, its veth and a dummy", machine("virtualbox", "innotek GmbH", "VirtualBox", func(f *facts.Facts) {
			backendtest.Add(f, "enp0s3", dns(wire("10.0.2.15/24", "10.0.2.2", 100, 3), "10.0.2.3"))
			backendtest.Add(f, "docker0", backendtest.Wire{Kind: "bridge", Addr4: "172.17.0.1/16", Static: true})
			backendtest.Add(f, "veth12ab34c", backendtest.Wire{Kind: "veth"})
			backendtest.Add(f, "dummy0", backendtest.Wire{Kind: "dummy"})
			own(f, "enp0s3")
		}), "", "enp0s3"},
		{"a VirtualBox guest with a tunnel's fallback devices", machine("virtualbox", "innotek GmbH", "VirtualBox", func(f *facts.Facts) {
			backendtest.Add(f, "enp0s3", dns(wire("10.0.2.15/24", "10.0.2.2", 100, 3), "10.0.2.3"))
			for _, k := range []string{"sit", "ip6tnl", "gre", "gretap", "erspan", "ifb", "vcan"} {
				i := backendtest.Add(f, k+"0", backendtest.Wire{Kind: k})
				f.Links[i-1].DevPath = ""
			}
			own(f, "enp0s3")
		}), "", "enp0s3"},
		{"an EC2 instance whose subnet is 10.0.2.0/24", machine("kvm", "Amazon EC2", "t3.micro", func(f *facts.Facts) {
			f.Machine.Cloud = "ec2"
			backendtest.Add(f, "ens5", dns(mac(wire("10.0.2.15/24", "10.0.2.1", 512, 5), "0a:11:22:33:44:55"), "10.0.2.2"))
			backendtest.Add(f, "ens6", mac(wire("10.0.3.9/24", "10.0.3.1", 522, 6), "0a:11:22:33:44:66"))
			own(f, "ens5", "ens6")
		}), "", "ens5"},
		{"the same from an image without cloud-init and agents", machine("kvm", "Amazon EC2", "t3.micro", func(f *facts.Facts) {
			backendtest.Add(f, "ens5", dns(mac(wire("10.0.2.15/24", "10.0.2.1", 512, 5), "0a:11:22:33:44:55"), "10.0.2.2"))
			backendtest.Add(f, "ens6", mac(wire("10.0.3.9/24", "10.0.3.1", 522, 6), "0a:11:22:33:44:66"))
			own(f, "ens5", "ens6")
		}), "", "ens5"},
		{"a GCE instance", machine("kvm", "Google", "Google Compute Engine", func(f *facts.Facts) {
			backendtest.Add(f, "ens4", mac(wire("10.128.0.2/32", "10.128.0.1", 100, 4), "42:01:0a:80:00:02"))
			own(f, "ens4")
		}), "", "ens4"},
		{"an Azure instance with accelerated networking", machine("hyperv", "Microsoft Corporation", "Virtual Machine", func(f *facts.Facts) {
			i := backendtest.Add(f, "eth0", mac(wire("10.0.2.4/24", "10.0.2.1", 100, 0), "00:0d:3a:11:22:33"))
			v := backendtest.Add(f, "enP1s1", mac(backendtest.Wire{Slot: 1}, "00:0d:3a:11:22:33"))
			f.Links[v-1].Master = i
			own(f, "eth0")
		}), "", "eth0"},
		{"a Hetzner server with a private network", machine("kvm", "Hetzner", "vServer", func(f *facts.Facts) {
			backendtest.Add(f, "eth0", mac(wire("203.0.113.9/32", "172.31.1.1", 100, 1), "96:00:00:11:22:33"))
			backendtest.Add(f, "enp7s0", mac(backendtest.Wire{Addr4: "10.0.2.2/32", Slot: 7}, "86:00:00:11:22:33"))
			own(f, "eth0", "enp7s0")
		}), "", "eth0"},
		{"a Proxmox host", machine("none", "Supermicro", "X11", func(f *facts.Facts) {
			b := backendtest.Add(f, "vmbr0", backendtest.Wire{Kind: "bridge", Addr4: "192.168.1.2/24", GW4: "192.168.1.1", Proto4: facts.ProtoBoot, Static: true})
			i := backendtest.Add(f, "eno1", backendtest.Wire{Slot: 1})
			f.Links[i-1].Master = b
			backendtest.Add(f, "eno2", backendtest.Wire{Slot: 2, Down: true})
			f.Links[b-1].Ports = []int{i}
		}), "", "vmbr0"},
		{"a laptop with Ethernet and Wi-Fi on somebody's 10.0.2.0/24", machine("none", "LENOVO", "20XX", func(f *facts.Facts) {
			backendtest.Add(f, "enp0s31f6", dns(wire("10.0.2.15/24", "10.0.2.2", 100, 31), "10.0.2.3"))
			w := wire("192.168.1.44/24", "192.168.1.1", 600, 20)
			w.DevType = "wlan"
			backendtest.Add(f, "wlp20s0", w)
			own(f, "enp0s31f6", "wlp20s0")
		}), "", "enp0s31f6"},
		{"a board whose kernel names no hypervisor on somebody's 10.0.2.0/24", machine("", "", "", func(f *facts.Facts) {
			backendtest.Add(f, "eth0", mac(dns(wire("10.0.2.15/24", "10.0.2.2", 202, 0), "10.0.2.3"), "b8:27:eb:11:22:33"))
			w := wire("192.168.1.44/24", "192.168.1.1", 303, 0)
			w.DevType = "wlan"
			backendtest.Add(f, "wlan0", w)
			own(f, "eth0", "wlan0")
		}), "", "eth0"},
		{"a Pi with a USB gadget", machine("none", "", "", func(f *facts.Facts) {
			w := wire("192.168.1.44/24", "192.168.1.1", 303, 0)
			w.DevType = "wlan"
			backendtest.Add(f, "wlan0", w)
			backendtest.Add(f, "usb0", backendtest.Wire{DevType: "gadget", Addr4: "10.55.0.1/29", Static: true})
			own(f, "wlan0")
		}), "", "wlan0"},
		{"a router with PPPoE", machine("none", "PC Engines", "APU2", func(f *facts.Facts) {
			backendtest.Add(f, "enp1s0", backendtest.Wire{Slot: 1}) // up, without an address: pppd's
			backendtest.Add(f, "enp2s0", backendtest.Wire{Slot: 2, Addr4: "192.168.1.1/24", Static: true})
			p := backendtest.Add(f, "ppp0", backendtest.Wire{Kind: "ppp", Addr4: "203.0.113.77/32", GW4: "203.0.113.1", Proto4: facts.ProtoBoot, Static: true})
			f.Links[p-1].ARPHRD = 512
			own(f, "enp2s0")
		}), "", "ppp0"},
		{"a guest of VirtualBox whose second NIC is pppd's, manual in interfaces", func() *facts.Facts {
			f := backendtest.Ifupdown("dhclient")
			text := f.Files["/etc/network/interfaces"].Text
			backendtest.Put(f, "/etc/network/interfaces", text+"\nauto enp0s9\niface enp0s9 inet manual\n", 0o644)
			backendtest.Add(f, "enp0s9", backendtest.Wire{Slot: 9})
			return f
		}(), "enp0s3 1000/1000, enp0s8 10/10", "enp0s8"},
		{"NAT and host-only: the way out stays", func() *facts.Facts {
			f := machine("virtualbox", "innotek GmbH", "VirtualBox", func(f *facts.Facts) {
				backendtest.Add(f, "enp0s3", dns(wire("10.0.2.15/24", "10.0.2.2", 100, 3), "10.0.2.3"))
				backendtest.Add(f, "enp0s8", backendtest.Wire{Addr4: "192.168.56.10/24", Slot: 8, Static: true})
			})
			return own(f, "enp0s3", "enp0s8")
		}(), "enp0s3 1000/1000", "enp0s3"},
		{"nothing but two NAT NICs: the first stays the way out", func() *facts.Facts {
			f := machine("virtualbox", "innotek GmbH", "VirtualBox", func(f *facts.Facts) {
				backendtest.Add(f, "enp0s3", dns(wire("10.0.2.15/24", "10.0.2.2", 100, 3), "10.0.2.3"))
				backendtest.Add(f, "enp0s8", dns(wire("10.0.3.15/24", "10.0.3.2", 101, 8), "10.0.3.3"))
			})
			return own(f, "enp0s3", "enp0s8")
		}(), "enp0s3 1000/1000, enp0s8 1001/1001", "enp0s3"},
		{"NAT in the higher slot, the bridged NIC in the lower", func() *facts.Facts {
			f := machine("virtualbox", "innotek GmbH", "VirtualBox", func(f *facts.Facts) {
				backendtest.Add(f, "enp0s9", dns(wire("10.0.2.15/24", "10.0.2.2", 100, 9), "10.0.2.3"))
				backendtest.Add(f, "enp0s8", wire("192.168.76.15/24", "192.168.76.1", 100, 8))
			})
			return own(f, "enp0s9", "enp0s8")
		}(), "enp0s9 1000/1000, enp0s8 10/10", "enp0s8"},
		{"a VPN that has the default route at 50 keeps it", func() *facts.Facts {
			f := backendtest.NM("1.52.1")
			i := backendtest.Add(f, "tun0", backendtest.Wire{Kind: "tun", Addr4: "10.8.0.6/24", GW4: "10.8.0.1", Metric4: 50, Proto4: facts.ProtoStatic, Static: true})
			f.Links[i-1].ARPHRD = 65534
			return f
		}(), "enp0s3 1000/1000, enp0s8 51/51", "tun0"},
		{"a WireGuard tunnel with metric 0", func() *facts.Facts {
			f := backendtest.NetplanNetworkd(257)
			i := backendtest.Add(f, "wg0", backendtest.Wire{Kind: "wireguard", Addr4: "10.9.0.2/24", GW4: "10.9.0.1", Proto4: facts.ProtoBoot, Static: true})
			f.Links[i-1].ARPHRD = 65534
			return f
		}(), "enp0s3 1000/1000, enp0s8 10/10", "wg0"},
		{"the way out over a bridge keeps winning", func() *facts.Facts {
			f := machine("virtualbox", "innotek GmbH", "VirtualBox", func(f *facts.Facts) {
				backendtest.Add(f, "enp0s3", dns(wire("10.0.2.15/24", "10.0.2.2", 100, 3), "10.0.2.3"))
				b := backendtest.Add(f, "br0", backendtest.Wire{Kind: "bridge", Addr4: "192.168.76.15/24", GW4: "192.168.76.1", Metric4: 425, Proto4: dhcp})
				i := backendtest.Add(f, "enp0s8", backendtest.Wire{Slot: 8})
				f.Links[i-1].Master, f.Links[b-1].Ports = b, []int{i}
			})
			return own(f, "enp0s3", "br0")
		}(), "enp0s3 1000/1000", "br0"},
		{"a bond and a VLAN beside NAT", func() *facts.Facts {
			f := machine("kvm", "QEMU", "Standard PC", func(f *facts.Facts) {
				backendtest.Add(f, "ens3", mac(dns(wire("10.0.2.15/24", "10.0.2.2", 100, 3), "10.0.2.3"), "52:54:00:12:34:56"))
				b := backendtest.Add(f, "bond0", backendtest.Wire{Kind: "bond"})
				for s := 4; s < 6; s++ {
					i := backendtest.Add(f, fmt.Sprintf("ens%d", s), backendtest.Wire{Slot: s})
					f.Links[i-1].Master = b
				}
				v := backendtest.Add(f, "bond0.7", backendtest.Wire{Kind: "vlan", Addr4: "192.168.7.9/24", GW4: "192.168.7.1", Metric4: 1500, Proto4: facts.ProtoStatic, Static: true})
				f.Links[v-1].Parent = b
			})
			return own(f, "ens3", "bond0", "bond0.7")
		}(), "ens3 1501/1501", "bond0.7"},
		{"a Kubernetes node in VirtualBox", func() *facts.Facts {
			f := backendtest.NetplanNetworkd(257)
			f.Machine.CNI = "cilium: running agent"
			return f
		}(), "", "enp0s3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, report, err := backends.Plan(c.f, backends.Config{}, backends.Memory{}, managers())
			if err != nil {
				t.Fatal(err)
			}
			decision, err := decide(c.f, backends.Config{}, backends.Memory{})
			if err != nil {
				t.Fatal(err)
			}
			if got := nics(decision); got != c.want {
				t.Errorf("got  %q\nwant %q\n%s", got, c.want, notes(decision))
			}
			if c.want == "" && (len(d.Wants) > 0 || len(d.Triggers) > 0) {
				t.Errorf("nothing was to be wanted, but %+v", d.Wants)
			}
			_, after, _ := backends.Predict(c.f, decision.NICs, d)
			if got := winner4(c.f, after); got != c.winner {
				t.Errorf("the way out is %q afterwards, want %q (before: %q)", got, c.winner, winner4(c.f, c.f.Routes))
			}
			for _, w := range d.Wants {
				if w.Kind == file.Kind && !strings.HasPrefix(w.Name, "/etc/") && !strings.HasPrefix(w.Name, "/run/systemd/network") && w.Name != backends.MemoryPath {
					t.Errorf("writes %s", w.Name)
				}
			}
			if c.want == "" && !slices.ContainsFunc(report.Notes, func(n provision.Note) bool { return strings.Contains(n.Text, "nothing is changed") }) {
				t.Errorf("nothing says why nothing is done: %+v", report.Notes)
			}
		})
	}
}
