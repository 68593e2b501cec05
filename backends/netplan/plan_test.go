package netplan

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "write the golden files anew")

// nmPlanner stands for the networkmanager backend and shows what it was asked.
type nmPlanner struct{}

func (nmPlanner) Desire(_ *facts.Facts, nics []backends.NIC) (provision.Desired, error) {
	var d provision.Desired
	for _, n := range nics {
		show := func(m *uint32) string {
			if m == nil {
				return "-"
			}
			return fmt.Sprint(*m)
		}
		d.Notes = append(d.Notes, provision.Note{Level: "info", Subject: n.Link.Name,
			Text: fmt.Sprintf("handed to NetworkManager's planner with metrics %s and %s, bring up %v", show(n.Metric4), show(n.Metric6), n.BringUp)})
	}
	return d, nil
}

func (nmPlanner) Explain(*facts.Facts, facts.Link, string) []backends.Reason { return nil }

// guest is a machine whose netplan tree has been generated and is in use: made are
// the generated files, live the id that each NIC uses.
func guest(version string, tree, made map[string]string, live map[string]string) *facts.Facts {
	f := world()
	f.Links[1].Sysctl = map[string]string{"ipv6.accept_ra": "1", "ipv6.ra_defrtr_metric": "1024"}
	f.DNS = facts.DNS{Owner: "systemd-resolved", ByLink: map[string][]string{"eth0": {"10.0.2.3"}, "eth1": {"192.168.76.1"}}}
	f.Networkd.Running, f.Networkd.Version = true, version
	put(f, tree)
	put(f, made)
	for _, l := range f.Links[1:] {
		if id := live[l.Name]; id != "" {
			f.Networkd.Links[l.Index] = facts.NetworkdLink{Admin: "configured", Network: unit.RunDir + "/" + netdef.NetworkFile(id)}
		}
	}
	return f
}

func rendered(match string, dhcp string, metric int) string {
	s := "[Match]\n" + match + "\n\n[Network]\nDHCP=" + dhcp + "\nLinkLocalAddressing=ipv6\n"
	if metric > 0 {
		s += fmt.Sprintf("\n[DHCP]\nRouteMetric=%d\nUseMTU=true\n", metric)
	}
	return s
}

const cloud = "/etc/netplan/50-cloud-init.yaml"

func TestDesire(t *testing.T) {
	one := map[string]string{cloud: "network:\n  version: 2\n  ethernets:\n    nat:\n      match:\n        macaddress: \"08:00:27:00:00:01\"\n      set-name: eth0\n      dhcp4: true\n      dhcp6: true\n    eth1:\n      dhcp4: true\n"}
	oneMade := map[string]string{
		"/run/systemd/network/10-netplan-nat.network":  rendered("PermanentMACAddress=08:00:27:00:00:01\nName=eth0", "yes", 100),
		"/run/systemd/network/10-netplan-eth1.network": rendered("Name=eth1", "ipv4", 100),
	}
	oneLive := map[string]string{"eth0": "nat", "eth1": "eth1"}
	glob := map[string]string{cloud: "network:\n  version: 2\n  ethernets:\n    all-en:\n      match: {name: \"e*\"}\n      dhcp4: true\n      dhcp6: true\n      dhcp4-overrides: {use-dns: \"no\"}\n      dhcp6-overrides: {use-dns: no}\n      nameservers:\n        addresses: [1.1.1.1, \"2606:4700:4700::1111\"]\n"}
	globMade := map[string]string{"/run/systemd/network/10-netplan-all-en.network": rendered("Name=e*", "yes", 100)}
	globLive := map[string]string{"eth0": "all-en", "eth1": "all-en"}
	nm := map[string]string{cloud: "network:\n  version: 2\n  renderer: NetworkManager\n  ethernets:\n    eth0:\n      dhcp4: true\n      dhcp6: true\n"}
	add := func(base map[string]string, more ...string) map[string]string {
		out := map[string]string{}
		for k, v := range base {
			out[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	fresh := func(n *backends.NIC) {
		n.BringUp, n.DHCP4, n.DHCP6, n.Optional = true, true, true, true
		n.Metric4, n.Metric6 = ptr(uint32(11)), ptr(uint32(11))
	}
	for name, c := range map[string]struct {
		version    string
		tree, made map[string]string
		live       map[string]string
		nic        func(*backends.NIC)
		facts      func(*facts.Facts)
	}{
		"existing-id-252": {version: "252", tree: one, made: oneMade, live: oneLive},
		"existing-id-257": {version: "257", tree: one, made: oneMade, live: oneLive},
		"existing-id-247": {version: "247", tree: one, made: oneMade, live: oneLive},
		"after-boot": {version: "252", tree: add(one, "/etc/netplan/90-provision.yaml", facts.Marker+"\nnetwork: {version: 2, ethernets: {nat: {dhcp4-overrides: {route-metric: 1000}, dhcp6-overrides: {route-metric: 1000}}}}\n"),
			made: add(oneMade, "/run/systemd/network/10-netplan-nat.network", rendered("Name=eth0", "yes", 1000)), live: oneLive},
		"already": {version: "252", tree: add(one, "/etc/netplan/60-x.yaml", "network: {ethernets: {nat: {dhcp4-overrides: {route-metric: 1000}, dhcp6-overrides: {route-metric: 1000}}}}\n"),
			made: add(oneMade, "/run/systemd/network/10-netplan-nat.network", rendered("Name=eth0", "yes", 1000)), live: oneLive},
		"later-file":  {version: "252", tree: add(one, "/etc/netplan/99-user.yaml", "network: {ethernets: {nat: {dhcp4-overrides: {route-metric: 5}, dhcp6-overrides: {route-metric: 5}}}}\n"), made: oneMade, live: oneLive},
		"two-metrics": {version: "252", tree: one, made: oneMade, live: oneLive, nic: func(n *backends.NIC) { n.Metric6 = ptr(uint32(1001)) }},
		"ipv4-only":   {version: "252", tree: one, made: oneMade, live: oneLive, nic: func(n *backends.NIC) { n.Metric6 = nil }},
		"demote-dns":  {version: "252", tree: one, made: oneMade, live: oneLive, nic: func(n *backends.NIC) { n.DemoteDNS = true }},
		"lazy":        {version: "257", tree: one, made: oneMade, live: oneLive, nic: func(n *backends.NIC) { n.Lazy = true }},
		"offline":     {version: "252", tree: one, facts: func(f *facts.Facts) { f.Machine.Offline, f.Networkd.Running = true, false }},
		"accept-ra": {version: "252", live: map[string]string{"eth0": "eth0"},
			tree: map[string]string{cloud: "network:\n  ethernets:\n    eth0: {accept-ra: true, addresses: [10.0.2.15/24], routes: [{to: default, via: 10.0.2.2}]}\n"},
			made: map[string]string{"/run/systemd/network/10-netplan-eth0.network": "[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=ipv6\nAddress=10.0.2.15/24\nIPv6AcceptRA=yes\n[Route]\nDestination=0.0.0.0/0\nGateway=10.0.2.2\n"}},
		"glob":            {version: "252", tree: glob, made: globMade, live: globLive},
		"glob-257":        {version: "257", tree: glob, made: globMade, live: globLive, nic: func(n *backends.NIC) { n.Link.Kind = "veth" }},
		"glob-single":     {version: "252", tree: glob, made: globMade, live: map[string]string{"eth0": "all-en"}, facts: func(f *facts.Facts) { f.Links = f.Links[:2] }},
		"glob-after-boot": {version: "252", tree: glob, made: add(globMade, "/run/systemd/network/10-netplan-a-provision-eth0.network", rendered("PermanentMACAddress=08:00:27:00:00:01", "yes", 1000)), live: map[string]string{"eth0": "a-provision-eth0", "eth1": "all-en"}},
		"fresh":           {version: "252", tree: map[string]string{cloud: "network: {version: 2, ethernets: {eth1: {dhcp4: true}}}\n"}, nic: fresh},
		"fresh-booted":    {version: "252", tree: map[string]string{cloud: "network: {version: 2, ethernets: {eth1: {dhcp4: true}}}\n"}, made: map[string]string{"/run/systemd/network/10-netplan-eth0.network": rendered("PermanentMACAddress=08:00:27:00:00:01", "yes", 11)}, live: map[string]string{"eth0": "eth0"}, nic: fresh},
		"nm":              {tree: nm, facts: underNM},
		"nm-explicit":     {tree: add(nm, "/etc/netplan/60-x.yaml", "network: {ethernets: {eth0: {dhcp4-overrides: {route-metric: 50}}}}\n"), facts: underNM},
		"nm-dhcp4-only":   {tree: map[string]string{cloud: "network: {renderer: NetworkManager, ethernets: {eth0: {dhcp4: true}}}\n"}, facts: underNM},
		"nm-passthrough": {facts: underNM, tree: map[string]string{"/etc/netplan/90-NM-14f59568.yaml": "network:\n  version: 2\n  ethernets:\n    NM-14f59568:\n      renderer: NetworkManager\n      match: {name: eth0}\n      dhcp4: true\n      dhcp6: true\n" +
			"      networkmanager:\n        uuid: \"14f59568\"\n        passthrough:\n          ipv4.route-metric: \"50\"\n          ipv6.route-metric: \"-1\"\n"}},
		"nm-fresh": {tree: map[string]string{cloud: "network: {renderer: NetworkManager}\n"}, facts: underNM, nic: fresh},
	} {
		t.Run(name, func(t *testing.T) {
			f := guest(c.version, c.tree, c.made, c.live)
			if c.facts != nil {
				c.facts(f)
			}
			nic := backends.NIC{Link: f.Links[1], Role: facts.RoleNAT, Metric4: ptr(uint32(1000)), Metric6: ptr(uint32(1000)), Why: "nat role"}
			if c.nic != nil {
				c.nic(&nic)
			}
			f.Links[1] = nic.Link
			d, err := New(nmPlanner{}).Desire(f, []backends.NIC{nic})
			if err != nil {
				t.Fatal(err)
			}
			backendtest.Golden(t, name, backendtest.Text(d), *update)

			// With our files in place, and nothing generated yet, the plan must be the same.
			for _, w := range d.Wants {
				if w.Attrs["type"] == "file" {
					f.Files[w.Name] = facts.File{Mode: 0o600, Text: w.Attrs["content"]}
				}
			}
			again, err := New(nmPlanner{}).Desire(f, []backends.NIC{nic})
			if err != nil {
				t.Fatal(err)
			}
			if backendtest.Text(again) != backendtest.Text(d) {
				t.Errorf("the second plan differs:\n%s", backendtest.Text(again))
			}
		})
	}
}

func underNM(f *facts.Facts) {
	f.Networkd.Running = false
	f.NM.Installed, f.NM.Running, f.NM.Version = true, true, "1.42.4"
}

func TestDesireErrors(t *testing.T) {
	for name, c := range map[string]struct {
		tree string
		nic  func(*backends.NIC)
		want string
	}{
		"broken":       {"network:\n  ethernets:\n\teth0: {}\n", nil, cloud + ":3: cannot parse YAML"},
		"no id":        {"network: {version: 2}\n", nil, "cannot plan for NIC eth0 under netplan: no id of the netplan tree fits it"},
		"they differ":  {"network:\n  ethernets:\n    eth0: {dhcp4: true, dhcp6: true, dhcp4-overrides: {route-metric: 5}}\n", nil, "id eth0: dhcp4-overrides and dhcp6-overrides differ in route-metric (" + cloud + ":3 says 5)"},
		"used":         {"network:\n  ethernets:\n    e: {match: {name: \"e*\"}, dhcp4: true}\n  vlans:\n    v: {id: 5, link: e}\n", nil, "id e (" + cloud + ":3) configures eth1, enp0s8 too and is used by v"},
		"no id before": {"network:\n  ethernets:\n    \"!\": {match: {name: \"e*\"}, dhcp4: true}\n", nil, "no id sorts before it: rename it"},
		"renderer":     {"network:\n  renderer: sysvinit\n  ethernets:\n    eth0: {dhcp4: true}\n", nil, cloud + ":2:13: renderer \"sysvinit\" is neither"},
		"wifi":         {"network: {version: 2}\n", func(n *backends.NIC) { n.BringUp, n.Link.DevType = true, "wlan" }, "needs an access point"},
		"unset":        {"network: {ethernets: {eth0: {dhcp4: true}}}\n", func(n *backends.NIC) { n.Metric4 = ptr(uint32(4294967295)) }, "metric 4294967295 is the same as none"},
		"no NM":        {"network: {renderer: NetworkManager, ethernets: {eth0: {dhcp4: true}}}\n", nil, "no planner for NetworkManager"},
	} {
		t.Run(name, func(t *testing.T) {
			f := guest("252", map[string]string{cloud: c.tree}, nil, nil)
			nic := backends.NIC{Link: f.Links[1], Metric4: ptr(uint32(1000))}
			if c.nic != nil {
				c.nic(&nic)
			}
			d, err := New(nil).Desire(f, []backends.NIC{nic})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if len(d.Wants) > 0 {
				t.Error("wants something in spite of the error")
			}
		})
	}
}

func TestExplain(t *testing.T) {
	f := guest("252", map[string]string{
		cloud:                       "network:\n  version: 2\n  ethernets:\n    all-en:\n      match: {name: \"e*\"}\n      dhcp4: true\n",
		"/run/netplan/60-x.yaml":    "network:\n  ethernets:\n    all-en:\n      dhcp4-overrides:\n        route-metric: 200\n",
		"/etc/netplan/60-x.yaml":    "network: {}\n",
		"/etc/netplan/70-eth0.yaml": "network:\n  ethernets:\n    all-en: {dhcp4-overrides: {route-metric: 300}}\n    eth0: {dhcp4: true}\n",
	}, map[string]string{
		"/run/systemd/network/10-netplan-all-en.network": rendered("Name=e*", "ipv4", 300),
		"/run/systemd/network/10-netplan-eth0.network":   rendered("Name=eth0", "ipv4", 100),
	}, map[string]string{"eth0": "all-en"})
	var b strings.Builder
	for _, r := range New(nil).Explain(f, f.Links[1], "") {
		fmt.Fprintf(&b, "%s = %s at %s (%s)\n", r.Key, r.Value, r.Source, r.Note)
	}
	backendtest.Golden(t, "explain", b.String(), *update)
}
