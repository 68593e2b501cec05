package backends_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
)

func decide(f *facts.Facts, cfg backends.Config, mem backends.Memory) (backends.Decision, error) {
	owners := backends.Owners(f)
	return backends.Decide(f, owners, backends.Roles(f, owners), cfg, mem)
}

// tunnel adds a device with the only default route for IPv6, as one of routing.tunnels has it.
func tunnel(f *facts.Facts, proto int) *facts.Facts {
	f.Routes = slices.DeleteFunc(f.Routes, func(r facts.Route) bool { return r.Default() && r.Dst.Addr().Is6() })
	index := backendtest.Add(f, "he-ipv6", backendtest.Wire{Kind: "sit"})
	f.Routes = append(f.Routes, facts.Route{Dst: netip.MustParsePrefix("::/0"), Link: index, Metric: 1024, Proto: proto, Table: 254, Type: "unicast"})
	return f
}

// nics is a decision as text: "name v4/v6 flags".
func nics(d backends.Decision) string {
	metric := func(p *uint32) string {
		if p == nil {
			return "-"
		}
		return fmt.Sprint(*p)
	}
	var out []string
	for _, n := range d.NICs {
		s := fmt.Sprintf("%s %s/%s", n.Link.Name, metric(n.Metric4), metric(n.Metric6))
		if n.BringUp {
			s += " up:" + string(n.Owner.Owner)
		}
		if n.DemoteDNS {
			s += " demote"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func notes(d backends.Decision) string {
	var out []string
	for _, n := range d.Notes {
		out = append(out, n.Level+" "+n.Subject+": "+n.Text)
	}
	return strings.Join(out, "\n")
}

func u32(v uint32) *uint32 { return &v }
func yes() *bool           { v := true; return &v }
func no() *bool            { v := false; return &v }

func TestDecide(t *testing.T) {
	pair := func() *facts.Facts { return backendtest.NetplanNetworkd(257) }
	more := func(f *facts.Facts, change func(*facts.Facts)) *facts.Facts { change(f); return f }
	rule := func(r backends.NICRule) backends.Config { return backends.Config{NICs: []backends.NICRule{r}} }
	for _, c := range []struct {
		name string
		f    *facts.Facts
		cfg  backends.Config
		want string
		note string
	}{
		{"default", pair(), backends.Config{}, "enp0s3 1000/1000, enp0s8 10/10", "stay in use: a metric moves routes, not DNS"},
		{"no NAT NIC, no configuration", more(pair(), func(f *facts.Facts) { f.Machine.Hypervisor, f.Machine.Vendor, f.Machine.Product = "none", "", "" }), backends.Config{}, "", "no NIC behind a hypervisor's NAT"},
		{"a cloud platform is in charge", more(pair(), func(f *facts.Facts) { f.Machine.Cloud = "ec2" }), backends.Config{}, "", "cloud platform ec2 is in charge"},
		{"but configuration is obeyed there", more(pair(), func(f *facts.Facts) { f.Machine.Cloud = "ec2" }), rule(backends.NICRule{Match: backends.Match{Name: "enp0s8"}, RouteMetric: u32(50)}), "enp0s3 1000/1000, enp0s8 50/50", ""},
		{"a CNI plugin is in charge", more(pair(), func(f *facts.Facts) { f.Machine.CNI = "/etc/cni/net.d/10-x.conf" }), backends.Config{}, "", "CNI plugin is in charge"},
		{"the other NIC is left alone at 1024: NAT must lose against it", backendtest.Networkd(257), rule(backends.NICRule{Match: backends.Match{Name: "enp0s8"}, Manage: no()}), "enp0s3 1025/1025", "manage: false"},
		{"a Wi-Fi with NetworkManager's penalty", more(backendtest.NM("1.52.1"), func(f *facts.Facts) {
			i := backendtest.Add(f, "wlan0", backendtest.Wire{DevType: "wlan", Addr4: "192.168.9.2/24", GW4: "192.168.9.1", Metric4: 20600, Proto4: facts.ProtoDHCP})
			f.NM.Devices[i] = facts.NMDevice{Managed: "managed", UUID: "55555555-5555-4555-8555-555555555555"}
		}), backends.Config{}, "enp0s3 20601/20601, enp0s8 10/10", ""},
		{"the penalty on the bridged NIC itself", more(backendtest.NM("1.52.1"), func(f *facts.Facts) { f.Routes[2].Metric = 20101 }), backends.Config{}, "enp0s3 20011/20011, enp0s8 10/10", ""},
		{"IPv4 without a metric beats everything: both get one", backendtest.Ifupdown("dhclient"), backends.Config{}, "enp0s3 1000/1000, enp0s8 10/10", ""},
		{"dhcpcd's own metrics", more(backendtest.Dhcpcd("10.1.0"), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/dhcpcd.conf", "denyinterfaces enp0s8\n", 0o644)
		}), backends.Config{}, "enp0s3 1004/1004", "no manager owns it"},
		{"a static default route stays", more(pair(), func(f *facts.Facts) { f.Routes[2].Proto, f.Routes[2].Metric = facts.ProtoStatic, 0 }), backends.Config{}, "enp0s3 1000/1000, enp0s8 -/10", "static configuration and keeps its metric 0"},
		{"unless a rule says otherwise", more(pair(), func(f *facts.Facts) { f.Routes[2].Proto = facts.ProtoStatic }), rule(backends.NICRule{Match: backends.Match{Name: "enp0s8"}, RouteMetric: u32(7)}), "enp0s3 1000/1000, enp0s8 7/7", ""},
		{"no IPv6", more(pair(), func(f *facts.Facts) { f.Links[2].Sysctl["ipv6.disable_ipv6"] = "1" }), backends.Config{}, "enp0s3 1000/1000, enp0s8 10/-", ""},
		{"families apart", pair(), rule(backends.NICRule{Match: backends.Match{MAC: "08:00:27:00:00:03"}, RouteMetric: u32(5), DHCP6Overrides: backends.Overrides{RouteMetric: u32(6)}}), "enp0s3 1000/1000, enp0s8 5/6", ""},
		{"the first rule that fits decides", pair(), backends.Config{NICs: []backends.NICRule{
			{Match: backends.Match{Driver: "e10*", Path: "pci-0000:00:08.*"}, RouteMetric: u32(5)}, {Match: backends.Match{Name: "*"}, Manage: no()}}}, "enp0s8 5/5", ""},
		{"a rule by role", pair(), rule(backends.NICRule{Match: backends.Match{Role: facts.RoleNAT}, RouteMetric: u32(3000), DNS: "demote"}), "enp0s3 3000/3000 demote, enp0s8 10/10", "asked last"},
		{"a rule gives the role", more(pair(), func(f *facts.Facts) { f.Machine.Hypervisor, f.Machine.Vendor, f.Machine.Product = "none", "", "" }),
			rule(backends.NICRule{Match: backends.Match{Name: "enp0s3"}, Role: facts.RoleNAT}), "enp0s3 1000/1000, enp0s8 10/10", ""},
		{"first-metric and nat-metric", pair(), backends.Config{FirstMetric: 200, NATMetric: 4000}, "enp0s3 4000/4000, enp0s8 200/200", ""},
		{"nat-metric that does not lose", more(backendtest.Networkd(257), func(*facts.Facts) {}), backends.Config{NATMetric: 1001, NICs: []backends.NICRule{{Match: backends.Match{Name: "enp0s8"}, Manage: no()}}}, "enp0s3 1001/1001", "does not lose against enp0s8"},
		{"a metric that a rule gives to another is skipped", more(pair(), func(f *facts.Facts) {
			i := backendtest.Add(f, "enp0s9", backendtest.Wire{Addr4: "192.168.77.5/24", GW4: "192.168.77.1", Proto4: 16, Metric4: 100, Slot: 9})
			f.Networkd.Links[i] = facts.NetworkdLink{Admin: "configured", Network: "/run/systemd/network/10-netplan-enp0s9.network"}
		}), rule(backends.NICRule{Match: backends.Match{Name: "enp0s9"}, RouteMetric: u32(10)}), "enp0s3 1000/1000, enp0s8 11/11, enp0s9 10/10", ""},
		{"somebody's tunnel that wins stays the winner", tunnel(pair(), facts.ProtoStatic), backends.Config{}, "enp0s3 1026/1026, enp0s8 1025/1025", "the row of uplinks begins at 1025"},
		{"our own tunnel changes nothing", tunnel(pair(), facts.ProtoOurs), backends.Config{}, "enp0s3 1000/1000, enp0s8 10/10", ""},
		{"demote DNS", pair(), backends.Config{DNS: "demote"}, "enp0s3 1000/1000 demote, enp0s8 10/10", "10.0.2.3"},
		{"an unconfigured NIC goes to the manager of the SSH session", more(backendtest.NetplanNetworkd(252), func(f *facts.Facts) {
			backendtest.Add(f, "enp0s9", backendtest.Wire{Down: true, Slot: 9})
		}), backends.Config{}, "enp0s3 1000/1000, enp0s8 10/10, enp0s9 11/11 up:netplan", "nobody configures it"},
		{"bring-up switched off", more(pair(), func(f *facts.Facts) { backendtest.Add(f, "enp0s9", backendtest.Wire{Down: true, Slot: 9}) }),
			backends.Config{BringUp: no()}, "enp0s3 1000/1000, enp0s8 10/10", "no manager owns it"},
		{"a NIC of NetworkManager without a profile", more(backendtest.NM("1.52.1"), func(f *facts.Facts) {
			i := backendtest.Add(f, "enp0s9", backendtest.Wire{Slot: 9})
			f.NM.Devices[i] = facts.NMDevice{Managed: "managed"}
		}), backends.Config{}, "enp0s3 1000/1000, enp0s8 10/10, enp0s9 11/11 up:networkmanager", ""},
		{"a port of a bridge, its bridge and a VLAN parent", more(pair(), func(f *facts.Facts) {
			backendtest.Add(f, "br0", backendtest.Wire{Kind: "bridge"})
			f.Links[2].Master = 4
			i := backendtest.Add(f, "enp0s9", backendtest.Wire{Slot: 9, Down: true})
			v := backendtest.Add(f, "enp0s9.5", backendtest.Wire{Kind: "vlan"})
			f.Links[v-1].Parent = i
		}), backends.Config{}, "enp0s3 1000/1000", "it is a port of the bridge br0"},
		{"configured by the initrd", more(pair(), func(f *facts.Facts) {
			f.Machine.Initrd = true
			delete(f.Networkd.Links, 3)
		}), backends.Config{}, "enp0s3 1000/1000", "before the root file system"},
		{"a USB gadget", more(pair(), func(f *facts.Facts) { backendtest.Add(f, "usb0", backendtest.Wire{DevType: "gadget"}) }), backends.Config{}, "enp0s3 1000/1000, enp0s8 10/10", ""},
		{"dhclient by hand on the second NIC", more(backendtest.Networkd(257), func(f *facts.Facts) {
			delete(f.Networkd.Links, 3)
			delete(f.Files, "/etc/systemd/network/20-enp0s8.network")
			f.Clients = []facts.DHCPClient{{PID: 9, Name: "dhclient", Link: "enp0s8"}}
		}), backends.Config{}, "enp0s3 1025/1025", "no known manager started"},
		{"two NAT NICs keep their order", more(pair(), func(f *facts.Facts) {
			i := backendtest.Add(f, "enp0s9", backendtest.Wire{Addr4: "10.0.4.15/24", GW4: "10.0.4.2", Proto4: 16, Metric4: 100, Slot: 9})
			f.Networkd.Links[i] = facts.NetworkdLink{Admin: "configured", Network: "/etc/systemd/network/x.network"}
		}), backends.Config{}, "enp0s3 1000/1000, enp0s8 10/10, enp0s9 1001/1001", ""},
		{"lazy, with DHCP switched off for a new NIC", more(pair(), func(f *facts.Facts) { backendtest.Add(f, "enp0s9", backendtest.Wire{Down: true, Slot: 9}) }),
			rule(backends.NICRule{Match: backends.Match{Name: "enp0s9"}, DHCP4: no(), DHCP6: no()}), "enp0s3 1000/1000, enp0s8 10/10", "neither dhcp4 nor dhcp6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := decide(c.f, c.cfg, backends.Memory{})
			if err != nil {
				t.Fatal(err)
			}
			if got := nics(d); got != c.want {
				t.Errorf("got  %s\nwant %s\n%s", got, c.want, notes(d))
			}
			if !strings.Contains(notes(d), c.note) {
				t.Errorf("no note says %q:\n%s", c.note, notes(d))
			}
			again, err := decide(c.f, c.cfg, d.Memory)
			if err != nil || nics(again) != nics(d) || string(again.Memory.Bytes()) != string(d.Memory.Bytes()) {
				t.Errorf("a second look wants %s (%v), memory\n%s\nbefore\n%s", nics(again), err, again.Memory.Bytes(), d.Memory.Bytes())
			}
		})
	}
}

func TestMemory(t *testing.T) {
	f := backendtest.NetplanNetworkd(257)
	f.Machine.BootID = "boot-1"
	d, err := decide(f, backends.Config{}, backends.Memory{})
	if err != nil {
		t.Fatal(err)
	}
	mem, err := backends.ParseMemory(d.Memory.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	add := func(f *facts.Facts, name string, slot int) {
		i := backendtest.Add(f, name, backendtest.Wire{Addr4: fmt.Sprintf("192.168.%d.5/24", 100+slot), GW4: fmt.Sprintf("192.168.%d.1", 100+slot), Proto4: 16, Metric4: 100, Slot: slot})
		f.Networkd.Links[i] = facts.NetworkdLink{Admin: "configured", Network: "/run/systemd/network/10-netplan-" + name + ".network"}
	}
	check := func(name, boot, want string, mem backends.Memory, change func(*facts.Facts)) backends.Memory {
		t.Helper()
		f := backendtest.NetplanNetworkd(257)
		f.Machine.BootID = boot
		change(f)
		d, err := decide(f, backends.Config{}, mem)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := nics(d); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		return d.Memory
	}
	check("nothing new", "boot-2", "enp0s3 1000/1000, enp0s8 10/10", mem, func(*facts.Facts) {})
	later := check("a card in a slot before the others, added while off", "boot-2", "enp0s3 1000/1000, enp0s8 10/10, enp0s2 11/11", mem, func(f *facts.Facts) { add(f, "enp0s2", 2) })
	check("it is remembered", "boot-3", "enp0s3 1000/1000, enp0s8 10/10, enp0s2 11/11", later, func(f *facts.Facts) { add(f, "enp0s2", 2) })
	plugged := check("plugged into the running machine", "boot-1", "enp0s3 1000/1000, enp0s8 10/10, enp0s9 1001/1001", mem, func(f *facts.Facts) { add(f, "enp0s9", 9) })
	check("it stays behind after a reboot", "boot-9", "enp0s3 1000/1000, enp0s8 10/10, enp0s9 1001/1001", plugged, func(f *facts.Facts) { add(f, "enp0s9", 9) })
	f = backendtest.NetplanNetworkd(257)
	f.Machine.BootID = "boot-1"
	add(f, "enp0s9", 9)
	five := uint32(5)
	ruled, err := decide(f, backends.Config{NICs: []backends.NICRule{{Match: backends.Match{Name: "enp0s9"}, RouteMetric: &five}}}, mem)
	if err != nil {
		t.Fatal(err)
	}
	if got := nics(ruled); got != "enp0s3 1000/1000, enp0s8 10/10, enp0s9 5/5" {
		t.Errorf("plugged in, and a rule names it: %s", got)
	}
	check("the rule is taken away", "boot-1", "enp0s3 1000/1000, enp0s8 10/10, enp0s9 1001/1001", ruled.Memory, func(f *facts.Facts) { add(f, "enp0s9", 9) })
	check("USB is always plugged in", "boot-2", "enp0s3 1000/1000, enp0s8 10/10, enx1 1001/1001", mem, func(f *facts.Facts) {
		add(f, "enx1", 9)
		f.Links[3].Bus = "usb"
	})
	check("udev saw it within the first minutes of this boot", "boot-1", "enp0s3 1000/1000, enp0s8 10/10, enp0s9 11/11", mem, func(f *facts.Facts) {
		add(f, "enp0s9", 9)
		f.Links[3].Udev["USEC_INITIALIZED"] = "4512345"
	})
	check("a cloned box: same slots, other MACs", "boot-2", "enp0s3 1000/1000, enp0s8 10/10", mem, func(f *facts.Facts) {
		for i := range f.Links[1:] {
			f.Links[i+1].MAC, f.Links[i+1].PermMAC = "08:00:27:ff:00:01", fmt.Sprintf("08:00:27:ff:00:%02x", i)
		}
	})
	check("the card was moved to another slot and renamed", "boot-2", "enp0s3 1000/1000, enp5s0 10/10", mem, func(f *facts.Facts) {
		f.Links[2].Name, f.Links[2].Udev["ID_PATH"] = "enp5s0", "pci-0000:05:00.0"
	})

	quiet := func(f *facts.Facts) { // enp0s3 has no lease yet
		f.Addrs = slices.DeleteFunc(f.Addrs, func(a facts.Address) bool { return a.Link == 2 && a.Prefix.Addr().Is4() })
		f.Routes = slices.DeleteFunc(f.Routes, func(r facts.Route) bool { return r.Link == 2 && !r.Dst.Addr().Is6() })
	}
	check("it was behind NAT, and has no lease yet", "boot-2", "enp0s3 1000/1000, enp0s8 10/10", mem, quiet)
	check("the same alone", "boot-2", "", mem, func(f *facts.Facts) {
		quiet(f)
		f.Links = f.Links[:2]
	})
	check("nobody knows that it was", "boot-2", "", backends.Memory{}, quiet)
	check("it is in another network now", "boot-2", "", mem, func(f *facts.Facts) {
		for i := range f.Addrs {
			if a := &f.Addrs[i]; a.Link == 2 && a.Prefix.Addr().Is4() {
				a.Prefix = netip.MustParsePrefix("192.168.5.7/24")
			}
		}
	})

	if _, err := backends.ParseMemory([]byte(`{"version": 99}`)); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a newer memory was taken: %v", err)
	}
	if _, err := backends.ParseMemory([]byte(`{`)); err == nil {
		t.Error("a broken memory was taken")
	}
	if m, err := backends.ParseMemory(nil); err != nil || len(m.NICs) != 0 {
		t.Errorf("an empty memory: %v %v", m, err)
	}
}

// The kinds of machines that the memory must be stable on: any order of links and any
// subset of NICs gives the NICs that stay the metrics they had.
func TestMetricsNeverMove(t *testing.T) {
	build := func(slots []int, boot string) *facts.Facts {
		f := backendtest.NetplanNetworkd(257)
		f.Machine.BootID = boot
		for _, s := range slots {
			i := backendtest.Add(f, fmt.Sprintf("enp%ds0", s), backendtest.Wire{Addr4: fmt.Sprintf("192.168.%d.5/24", 100+s), GW4: fmt.Sprintf("192.168.%d.1", 100+s),
				Proto4: 16, Metric4: 100, Slot: s, MAC: fmt.Sprintf("08:00:27:00:01:%02x", s)})
			f.Networkd.Links[i] = facts.NetworkdLink{Admin: "configured", Network: "/run/systemd/network/10-netplan-x.network"}
		}
		return f
	}
	mem, had := backends.Memory{}, map[string]uint32{}
	for boot, slots := range [][]int{{20, 12}, {20, 12, 11}, {11, 20}, {10, 11, 12, 13, 20}, {20}, {14, 20, 12}} {
		d, err := decide(build(slots, fmt.Sprint(boot)), backends.Config{}, mem)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[uint32]string{}
		for _, n := range d.NICs {
			if m, ok := had[n.Link.Name]; ok && m != *n.Metric4 {
				t.Errorf("boot %d: %s went from %d to %d", boot, n.Link.Name, m, *n.Metric4)
			}
			if o, ok := seen[*n.Metric4]; ok {
				t.Errorf("boot %d: %s and %s share %d", boot, o, n.Link.Name, *n.Metric4)
			}
			had[n.Link.Name], seen[*n.Metric4] = *n.Metric4, n.Link.Name
		}
		mem = d.Memory
	}
	if len(had) != 8 {
		t.Errorf("%d NICs were seen, want 8: %v", len(had), had)
	}
}

func TestConflict(t *testing.T) {
	f := backendtest.NM("1.52.1")
	f.Networkd.Daemon = facts.Daemon{Installed: true, Running: true, Version: "257"}
	f.Networkd.Links[3] = facts.NetworkdLink{Admin: "configured", Network: "/etc/systemd/network/20-wired.network"}
	d, err := decide(f, backends.Config{}, backends.Memory{})
	var c *backends.ConflictError
	if !errors.As(err, &c) || len(c.Owners) != 1 || c.Owners[0].Link != "enp0s8" || len(d.NICs) != 0 {
		t.Fatalf("got %v, %v", d.NICs, err)
	}
	if !strings.Contains(err.Error(), "enp0s8 is configured by networkmanager (NetworkManager runs and manages it with profile \"Wired connection 1\"") ||
		!strings.Contains(err.Error(), " and networkd (networkd runs and has it configured by /etc/systemd/network/20-wired.network)") {
		t.Errorf("unclear: %v", err)
	}
	d, err = decide(f, backends.Config{NICs: []backends.NICRule{{Match: backends.Match{Name: "enp0s8"}, Manage: no()}}}, backends.Memory{})
	if err != nil || nics(d) != "enp0s3 1000/1000" {
		t.Errorf("a NIC that is not written stops the plan: %s, %v", nics(d), err)
	}
}

func TestClashOnThisMachine(t *testing.T) {
	f := backendtest.NetplanNetworkd(257)
	_, err := decide(f, backends.Config{NICs: []backends.NICRule{{Match: backends.Match{Name: "enp*"}, RouteMetric: u32(5)}}}, backends.Memory{})
	if err == nil || !strings.Contains(err.Error(), "cannot give enp0s3 and enp0s8 the same IPv4 metric 5") {
		t.Errorf("got %v", err)
	}
}

func TestConfigProblems(t *testing.T) {
	c := backends.Config{NATMetric: 5, DNS: "drop", NICs: []backends.NICRule{
		{Match: backends.Match{Name: "en[", MAC: "08:00:27", Role: "lan"}, RouteMetric: u32(0)},
		{RouteMetric: u32(9)},
		{Match: backends.Match{MAC: "08:00:27:AA:BB:CC"}, RouteMetric: u32(7)},
		{Match: backends.Match{Name: "enp0s8"}, DHCP4Overrides: backends.Overrides{RouteMetric: u32(7)}, Manage: no()},
		{Match: backends.Match{Name: "enp0s9"}, Role: "wan", DNS: "last", DHCP4: no(), DHCP6: no(), BringUp: yes()},
		{Match: backends.Match{MAC: "08-00-27-aa-bb-cc"}, RouteMetric: u32(7)},
	}}
	var got []string
	for _, p := range c.Problems() {
		got = append(got, p.Path)
	}
	want := []string{"dns", "nat-metric", "nics[0].match.name", "nics[0].match.macaddress", "nics[0].match.role", "nics[0].route-metric",
		"nics[1].route-metric", "nics[3].dhcp4-overrides.route-metric", "nics[3]", "nics[4].role", "nics[4].dns", "nics[4].bring-up"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v\n%v", got, want, c.Problems())
	}
	ok := backends.Config{NATMetric: 2000, FirstMetric: 20, DNS: "keep", NICs: []backends.NICRule{
		{Match: backends.Match{Name: "enp*", Role: facts.RoleNAT}, DHCP4Overrides: backends.Overrides{RouteMetric: u32(7)}, DHCP6Overrides: backends.Overrides{RouteMetric: u32(8)}},
		{Match: backends.Match{Name: "enp0s8"}, RouteMetric: u32(4294967295)},
	}}
	if p := ok.Problems(); len(p) != 0 {
		t.Errorf("problems in a good configuration: %v", p)
	}
}

func TestPlanOnly(t *testing.T) {
	for want, change := range map[string]func(*facts.Machine){
		"mounted image": func(m *facts.Machine) { m.Offline = true },
		"WSL":           func(m *facts.Machine) { m.WSL = true },
		"chroot":        func(m *facts.Machine) { m.Chroot = true },
		"container":     func(m *facts.Machine) { m.Container, m.Init = "docker", "other" },
	} {
		f := backendtest.Box()
		if got := backends.PlanOnly(f); got != "" {
			t.Errorf("a plain machine: %s", got)
		}
		change(&f.Machine)
		if m := f.Machine; m.Container != "" {
			lxc := backendtest.Box()
			if lxc.Machine.Container = "lxc"; backends.PlanOnly(lxc) != "" {
				t.Errorf("a container with an init of its own is a system of its own: %s", backends.PlanOnly(lxc))
			}
		}
		if got := backends.PlanOnly(f); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
