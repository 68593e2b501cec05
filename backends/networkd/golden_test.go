package networkd

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "write the golden files anew")

// machine has a NAT NIC eth0 and a bridged NIC eth1, both under networkd.
func machine(version string, files map[string]string, live map[int]string) *facts.Facts {
	nic := func(i int, name string) facts.Link {
		mac := fmt.Sprintf("08:00:27:00:00:%02d", i)
		return facts.Link{Index: i, Name: name, MAC: mac, PermMAC: mac, ARPHRD: 1, Driver: "e1000", Bus: "pci", Up: true, Carrier: true}
	}
	f := &facts.Facts{
		Schema:  facts.SchemaVersion,
		Links:   []facts.Link{{Index: 1, Name: "lo", ARPHRD: 772}, nic(2, "eth0"), nic(3, "eth1")},
		Files:   map[string]facts.File{},
		DNS:     facts.DNS{Owner: "systemd-resolved", ByLink: map[string][]string{"eth0": {"10.0.2.3"}, "eth1": {"192.168.76.1"}}},
		Machine: facts.Machine{Init: "systemd", Root: true},
	}
	f.Networkd.Installed, f.Networkd.Running, f.Networkd.Version = true, true, version
	f.Networkd.Links = map[int]facts.NetworkdLink{1: {Admin: "unmanaged"}}
	for i := 2; i <= 3; i++ {
		f.Networkd.Links[i] = facts.NetworkdLink{Admin: "configured", Network: live[i]}
	}
	for p, text := range files {
		f.Files[p] = facts.File{Mode: 0o644, Text: text}
	}
	return f
}

func metric(m uint32) *uint32 { return &m }

func nat(f *facts.Facts, change ...func(*backends.NIC)) []backends.NIC {
	n := backends.NIC{Link: f.Links[1], Role: facts.RoleNAT, Metric4: metric(1000), Metric6: metric(1000), Why: "nat role"}
	for _, c := range change {
		c(&n)
	}
	return []backends.NIC{n}
}

func TestDesire(t *testing.T) {
	vagrant := map[string]string{
		"/etc/systemd/network/50-vagrant-eth0.network": "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n",
		"/etc/systemd/network/50-vagrant-eth1.network": "[Match]\nName=eth1\n\n[Network]\nDHCP=yes\n",
	}
	live := map[int]string{2: "/etc/systemd/network/50-vagrant-eth0.network", 3: "/etc/systemd/network/50-vagrant-eth1.network"}
	shared := map[string]string{
		"/usr/lib/systemd/network/20-wired.network":          "[Match]\nName=e*\n",
		"/run/systemd/network/20-wired.network":              "# cloud\n[Match]\nName=e*\n[Network]\nDHCP=yes\n[Route]\nDestination=10.9.0.0/16\nGateway=10.0.2.9\n[Route]\nDestination=10.8.0.0/16\nGateway=10.0.2.9\n",
		"/etc/systemd/network/20-wired.network.d/mtu.conf":   "[Link]\nMTUBytes=1400\n",
		"/run/systemd/network/20-wired.network.d/mtu.conf":   "[Link]\nMTUBytes=1300\n",
		"/run/systemd/network/20-wired.network.d/10-ll.conf": "[Network]\nLLMNR=no\n",
	}
	with := func(base map[string]string, add ...string) map[string]string {
		out := map[string]string{}
		for k, v := range base {
			out[k] = v
		}
		for i := 0; i < len(add); i += 2 {
			out[add[i]] = add[i+1]
		}
		return out
	}
	for name, c := range map[string]struct {
		version string
		files   map[string]string
		live    map[int]string
		nic     func(*backends.NIC)
	}{
		"dropin-252":  {version: "252.39-1~deb12u2", files: vagrant, live: live},
		"dropin-257":  {version: "257.13", files: vagrant, live: live},
		"dropin-255":  {version: "255", files: vagrant, live: live},
		"dropin-247":  {version: "247.3-7", files: vagrant, live: live},
		"gap-247":     {version: "247.3-7", files: vagrant, live: live, nic: func(n *backends.NIC) { n.AllowGap = true }},
		"gap-245":     {version: "245", files: vagrant, live: live, nic: func(n *backends.NIC) { n.AllowGap = true }},
		"lazy":        {version: "252", files: vagrant, live: live, nic: func(n *backends.NIC) { n.Lazy = true }},
		"demote-dns":  {version: "252", files: vagrant, live: live, nic: func(n *backends.NIC) { n.DemoteDNS = true }},
		"already":     {version: "252", files: with(vagrant, "/etc/systemd/network/50-vagrant-eth0.network.d/m.conf", "[DHCP]\nRouteMetric=1000\n"), live: live},
		"late-dropin": {version: "252", files: with(vagrant, "/etc/systemd/network/50-vagrant-eth0.network.d/99-user.conf", "[DHCPv4]\nRouteMetric=5\n"), live: live},
		"shared":      {version: "257", files: shared, live: map[int]string{2: "/run/systemd/network/20-wired.network", 3: "/run/systemd/network/20-wired.network"}},
		"shared-veth": {version: "252", files: with(shared, "/etc/systemd/network/00-x.network", "[Match]\nName=x\n"), nic: func(n *backends.NIC) { n.Link.Kind = "veth" }},
		"static": {version: "252", live: live, files: with(vagrant, "/etc/systemd/network/50-vagrant-eth0.network",
			"[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n")},
		"not-read-yet": {version: "252", live: live, files: with(vagrant, "/etc/systemd/network/10-new.network", "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n")},
		"fresh": {version: "252", files: map[string]string{}, nic: func(n *backends.NIC) {
			n.BringUp, n.DHCP4, n.DHCP6, n.Optional = true, true, true, true
			n.Metric4, n.Metric6 = metric(11), metric(11)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := machine(c.version, c.files, c.live)
			if c.nic == nil {
				c.nic = func(*backends.NIC) {}
			}
			nics := nat(f, c.nic)
			f.Links[1] = nics[0].Link
			d, err := New().Desire(f, nics)
			if err != nil {
				t.Fatal(err)
			}
			backendtest.Golden(t, name, backendtest.Text(d), *update)

			// With our files in place the plan must be the same: nothing depends on itself.
			for _, w := range d.Wants {
				if w.Attrs["type"] == "file" {
					f.Files[w.Name] = facts.File{Mode: 0o644, Text: w.Attrs["content"]}
					if strings.HasSuffix(w.Name, ".network") {
						f.Networkd.Links[2] = facts.NetworkdLink{Admin: "configured", Network: w.Name}
					}
				}
			}
			again, err := New().Desire(f, nics)
			if err != nil {
				t.Fatal(err)
			}
			if name != "not-read-yet" && backendtest.Text(again) != backendtest.Text(d) {
				t.Errorf("the second plan differs:\n%s", backendtest.Text(again))
			}
			// And networkd must come to the wanted metrics by reading them.
			a := unit.ReadTree(f, false).Applied(f.Links[1])
			s := ReadSettings(a.Entries, unit.Version(f))
			if len(s.Static) > 0 {
				return
			}
			if s.DHCP4 && s.Metric4.Metric != *nics[0].Metric4 || s.RA && s.Metric6.Metric != *nics[0].Metric6 {
				t.Errorf("networkd would read metrics %v and %v", s.Metric4, s.Metric6)
			}
			if other := unit.ReadTree(f, false).Applied(f.Links[2]); other != nil {
				if s := ReadSettings(other.Entries, unit.Version(f)); s.Metric4.Source != "" || s.Metric6.Source != "" {
					t.Errorf("eth1 changes too: %v %v", s.Metric4, s.Metric6)
				}
			}
		})
	}
}

func TestDesireErrors(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		files   map[string]string
		nic     func(*backends.NIC)
		want    string
	}{
		"no file":    {"252", nil, nil, "cannot plan for NIC eth0 under systemd-networkd: no .network file fits it"},
		"unmanaged":  {"252", map[string]string{"/etc/systemd/network/1.network": "[Match]\nName=eth0\n[Link]\nUnmanaged=yes\n"}, nil, "/etc/systemd/network/1.network says Unmanaged=yes"},
		"one metric": {"245", map[string]string{"/etc/systemd/network/1.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"}, func(n *backends.NIC) { n.Metric6 = metric(7) }, "one metric for DHCPv4"},
		"broken and shared": {"252", map[string]string{"/etc/systemd/network/1.network": "[Match]\nName=eth*\n[Network]\nDHCP=yes\n[Route\n"}, nil,
			"configures eth1 too and cannot be copied"},
		"first name": {"252", map[string]string{"/etc/systemd/network/!.network": "[Match]\nName=eth*\n[Network]\nDHCP=yes\n"}, nil, "no file name sorts before it"},
	} {
		t.Run(name, func(t *testing.T) {
			f := machine(c.version, c.files, nil)
			if c.nic == nil {
				c.nic = func(*backends.NIC) {}
			}
			d, err := New().Desire(f, nat(f, c.nic))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if len(d.Wants)+len(d.Triggers) > 0 {
				t.Error("wants something in spite of the error")
			}
		})
	}
}

func TestExplain(t *testing.T) {
	f := machine("252", map[string]string{
		"/etc/systemd/network/20-a.network":                     "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n[DHCP]\nRouteMetric=100\n",
		"/usr/lib/systemd/network/20-a.network":                 "[Match]\nName=*\n",
		"/etc/systemd/network/20-a.network.d/90-provision.conf": facts.Marker + "\n[DHCPv4]\nRouteMetric=1000\n",
		"/etc/systemd/network/80-all.network":                   "[Match]\nName=eth*\n[Network]\nDHCP=yes\n",
	}, nil)
	var b strings.Builder
	for _, r := range New().Explain(f, f.Links[1], "") {
		fmt.Fprintf(&b, "%s = %s at %s (%s)\n", r.Key, r.Value, r.Source, r.Note)
	}
	backendtest.Golden(t, "explain", b.String(), *update)
}
