package backends_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/dhcpcd"
	"github.com/provision-net/provision/backends/ifupdown"
	"github.com/provision-net/provision/backends/netplan"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/backends/networkmanager"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

func managers() []backends.Backend {
	nm := networkmanager.New()
	return []backends.Backend{netplan.New(nm), nm, networkd.New(), ifupdown.New(), dhcpcd.New()}
}

// carried is what the machine keeps of a plan: its files, and what was allotted.
func carried(t *testing.T, f *facts.Facts, d provision.Desired) (mem backends.Memory, files map[string]string) {
	t.Helper()
	files = map[string]string{}
	for _, w := range d.Wants {
		text, has := w.Attrs[file.AttrContent]
		if !has || w.Kind != file.Kind && w.Kind != file.SecretKind {
			continue
		}
		files[w.Name] = text
		if w.Name == backends.MemoryPath {
			m, err := backends.ParseMemory([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			mem = m
			continue
		}
		mode := uint64(0o644)
		if m, err := strconv.ParseUint(w.Attrs[file.AttrMode], 8, 32); err == nil {
			mode = m
		}
		backendtest.Put(f, w.Name, text, uint32(mode))
		if strings.HasPrefix(w.Name, "/etc/netplan/") && !slices.Contains(f.Netplan.Files, w.Name) {
			f.Netplan.Files = append(f.Netplan.Files, w.Name)
		}
	}
	return mem, files
}

// A NIC that an apply has brought up looks configured to the next one. It must want the
// same files again, whatever the NIC has got meanwhile: files that are not wanted are
// pruned, and the NIC would go down.
func TestBroughtUpStaysUp(t *testing.T) {
	for _, m := range []struct {
		name  string
		facts func() *facts.Facts
		up    func(f *facts.Facts, i int) // what its manager makes of our files
	}{
		{"netplan", func() *facts.Facts { return backendtest.NetplanNetworkd(257) }, func(f *facts.Facts, i int) {
			f.Networkd.Links[i] = facts.NetworkdLink{Admin: "configured", Network: "/run/systemd/network/10-netplan-enp0s9.network"}
		}},
		{"networkd", func() *facts.Facts { return backendtest.Networkd(257) }, func(f *facts.Facts, i int) {
			f.Networkd.Links[i] = facts.NetworkdLink{Admin: "configured", Network: networkd.NewFile("enp0s9")}
		}},
		{"ifupdown", func() *facts.Facts { return backendtest.Ifupdown("dhclient") }, func(f *facts.Facts, i int) {
			f.Ifupdown.State["enp0s9"] = "enp0s9"
		}},
		{"networkmanager", func() *facts.Facts {
			f := backendtest.NM("1.52.1")
			backendtest.Put(f, "/etc/NetworkManager/NetworkManager.conf", "[main]\nno-auto-default=*\n", 0o644)
			return f
		}, func(f *facts.Facts, i int) {
			p := networkmanager.ProfilePath("enp0s9")
			f.NM.Profiles = append(f.NM.Profiles, facts.NMProfile{ID: "provision-enp0s9", UUID: "u", Type: "ethernet", Interface: "enp0s9", Path: p})
			f.NM.Devices[i] = facts.NMDevice{Managed: "managed", UUID: "u"}
		}},
	} {
		for _, got := range []struct {
			name, addr, gateway string
		}{{"no answer", "", ""}, {"a lease and a router", "192.168.33.5/24", "192.168.33.1"}, {"a lease without a router", "192.168.33.5/24", ""}} {
			t.Run(m.name+"/"+got.name, func(t *testing.T) {
				f := m.facts()
				i := backendtest.Add(f, "enp0s9", backendtest.Wire{Down: true, Slot: 9})
				if m.name == "networkmanager" {
					f.NM.Devices[i] = facts.NMDevice{Managed: "managed"}
				}
				plan := func(mem backends.Memory, cfg backends.Config) (backends.Memory, map[string]string) {
					t.Helper()
					d, _, err := backends.Plan(f, cfg, mem, managers())
					if err != nil {
						t.Fatal(err)
					}
					return carried(t, f, d)
				}
				mem, first := plan(backends.Memory{}, backends.Config{})
				f.Links[i-1].Up, f.Links[i-1].Carrier = true, true
				m.up(f, i)
				if got.addr != "" {
					f.Addrs = append(f.Addrs, facts.Address{Link: i, Prefix: netip.MustParsePrefix(got.addr), Scope: "global", Dynamic: true})
				}
				if got.gateway != "" {
					f.Routes = append(f.Routes, facts.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr(got.gateway), Link: i,
						Metric: 11, Proto: facts.ProtoDHCP, Table: 254, Type: "unicast", Scope: "global"})
				}
				_, second := plan(mem, backends.Config{})
				if a, b := fmt.Sprint(first), fmt.Sprint(second); a != b {
					t.Errorf("the second plan wants other files:\n%s\nthe first:\n%s", b, a)
				}
				// The memory may be lost: its files still say what was brought up.
				_, third := plan(backends.Memory{}, backends.Config{})
				for name := range first {
					if _, still := third[name]; !still {
						t.Errorf("without its memory the plan no longer wants %s", name)
					}
				}
				// Switched off, all that there was for it goes.
				_, off := plan(mem, backends.Config{BringUp: no()})
				for name, text := range off {
					if name != backends.MemoryPath && (strings.Contains(text, "enp0s9") || strings.Contains(name, "enp0s9")) {
						t.Errorf("bring-up is off, and %s still has the NIC:\n%s", name, text)
					}
				}
			})
		}
	}
}
