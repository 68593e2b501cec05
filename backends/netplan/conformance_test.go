package netplan

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/backends/networkmanager"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
)

func TestConformance(t *testing.T) {
	var machines []backendtest.Machine
	for _, version := range []int{247, 249, 252, 255, 257, 262} {
		machines = append(machines, backendtest.Machine{Name: fmt.Sprint(version),
			Facts: func() *facts.Facts { return backendtest.NetplanNetworkd(version) }, Lossless: version >= 248})
	}
	machines = append(machines, backendtest.Machine{Name: "one id for both NICs", Lossless: true, Facts: func() *facts.Facts {
		f := backendtest.NetplanNetworkd(252)
		for p := range f.Files {
			delete(f.Files, p)
		}
		at := unit.RunDir + "/10-netplan-all-en.network"
		backendtest.Put(f, "/etc/netplan/50-cloud-init.yaml", "network:\n  version: 2\n  ethernets:\n    all-en:\n      match: {name: \"en*\"}\n      dhcp4: true\n      dhcp6: true\n", 0o600)
		backendtest.Put(f, at, rendered("Name=en*", "yes", 100), 0o640)
		f.Netplan.Generated = []string{at}
		for i, n := range f.Networkd.Links {
			n.Network = at
			f.Networkd.Links[i] = n
		}
		return f
	}})
	for _, version := range []string{"1.42.4", "1.52.1", "1.58.1"} {
		nm := func(yaml string) func() *facts.Facts {
			return func() *facts.Facts {
				f := backendtest.NetplanNM(version)
				backendtest.Put(f, "/etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=keyfile\n", 0o644)
				if yaml != "" {
					backendtest.Put(f, "/etc/netplan/01-nm.yaml", yaml, 0o600)
				}
				return f
			}
		}
		head := "network:\n  version: 2\n  renderer: NetworkManager\n  ethernets:\n"
		machines = append(machines,
			backendtest.Machine{Name: "NM " + version, Facts: nm(""), Lossless: true},
			backendtest.Machine{Name: "NM " + version + " explicit", Lossless: true, Facts: nm(head +
				"    enp0s3: {dhcp4: true, dhcp6: true, dhcp4-overrides: {route-metric: 50}, dhcp6-overrides: {route-metric: 51}}\n    enp0s8: {dhcp4: true, dhcp6: true}\n")},
			backendtest.Machine{Name: "NM " + version + " dhcp4 only", Lossless: true, Facts: nm(head + "    enp0s3: {dhcp4: true}\n    enp0s8: {dhcp4: true}\n")},
		)
	}
	backendtest.Run(t, backendtest.Suite{
		New:       func() backends.Backend { return New(networkmanager.New()) },
		Machines:  machines,
		LazyKinds: []string{daemon.KindNetplanGenerate, daemon.KindNMReload}, // no daemon does anything at once
		Settle:    settle,
	})
}

// settle is what the generator writes and networkd then reports.
func settle(f *facts.Facts, d provision.Desired) {
	if len(d.Triggers) == 0 {
		return
	}
	for p := range f.Files {
		if generated(p) {
			delete(f.Files, p)
		}
	}
	f.Netplan.Generated, f.Netplan.Files = nil, nil
	tree := netdef.ReadTree(f, false)
	f.Netplan.Files = tree.Files
	for _, id := range tree.IDs {
		if id.Renderer == netdef.RendererNM {
			continue
		}
		p := path.Join(unit.RunDir, netdef.NetworkFile(id.Name))
		s := id.Settings()
		dhcp := map[[2]bool]string{{true, true}: "yes", {true, false}: "ipv4", {false, true}: "ipv6"}[[2]bool{s.DHCP4, s.DHCP6}]
		metric, _, _ := s.Networkd()
		var match []string
		for _, e := range id.MatchEntries() {
			match = append(match, e.Key+"="+e.Value)
		}
		backendtest.Put(f, p, rendered(strings.Join(match, "\n"), dhcp, int(metric)), 0o640)
		f.Netplan.Generated = append(f.Netplan.Generated, p)
	}
	t := unit.ReadTree(f, false)
	for i, n := range f.Networkd.Links {
		l, _ := f.LinkByIndex(i)
		if a := t.Applied(l); a != nil {
			n.Network = a.Path
			f.Networkd.Links[i] = n
		}
	}
}
