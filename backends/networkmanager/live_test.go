//go:build lab && linux

package networkmanager

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/scripts/lab"
)

const handMade = "[connection]\nid=nat\nuuid=11111111-1111-4111-8111-111111111111\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\nroute-metric=50\n\n[ipv6]\nmethod=auto\nroute-metric=60\n"

// TestLive carries out what the backend plans, under the real NetworkManager: the
// metrics reach the kernel in both families, only by that, and streams over the first
// NIC do not stall.
func TestLive(t *testing.T) {
	lab.Need(t, lab.Tier2)
	for _, root := range []string{"bookworm-nm", "trixie-nm"} {
		for _, c := range []struct {
			name string
			opts lab.BootOpts
			nics []string // that have an address before
		}{
			{"auto-default profiles", lab.BootOpts{}, []string{"eth0", "eth1"}},
			{"metrics in the profile", lab.BootOpts{Overlay: lab.Overlay{etcProfiles + "nat.nmconnection": {Content: handMade, Mode: 0o600}}}, []string{"eth0", "eth1"}},
			{"one profile for both NICs", lab.BootOpts{Config: lab.NoConfig, Overlay: lab.Overlay{etcProfiles + "nat.nmconnection": {Mode: 0o600,
				Content: strings.Replace(handMade, "interface-name=eth0", "multi-connect=3", 1)}}}, []string{"eth0", "eth1"}},
			{"new NIC without auto-default", lab.BootOpts{Config: lab.OnlyEth0}, []string{"eth0"}},
		} {
			t.Run(root+"/"+c.name, func(t *testing.T) {
				w := lab.NewWorld(t, lab.WorldOpts{})
				m := lab.Boot(t, lab.Root(t, root), w, c.opts)
				m.AwaitDefaults(t, 20*time.Second, c.nics...)
				f := look(t, m)
				d, err := desire(t, f, nil)
				if err != nil {
					t.Fatal(err)
				}
				s := lab.Streams(t, w, lab.StreamOpts{})
				s.Mark("apply")
				carryOut(t, m, d)
				lab.Await(t, 20*time.Second, func() error {
					prune(t, m)
					return reached(m)
				})
				<-time.After(5 * time.Second) // one advertisement and any late commit
				if err := reached(m); err != nil {
					t.Errorf("not for long: %v", err)
				}
				s.Require(t, 100*time.Millisecond)
				s.Stop()
			})
		}
	}
}

// look is as much of the facts as this backend needs, read from the machine.
func look(t *testing.T, m *lab.Machine) *facts.Facts {
	f := backendtest.Box()
	f.Machine.Container, f.Machine.Hypervisor = "systemd-nspawn", "virtualbox"
	f.NM.Daemon = facts.Daemon{Installed: true, Running: true, Version: strings.TrimSpace(m.MustRun(t, "NetworkManager", "--version"))}
	backendtest.Add(f, "eth0", backendtest.Wire{Kind: "veth", Addr4: "10.0.2.15/24", GW4: "10.0.2.2", DNS: "10.0.2.3", Proto4: facts.ProtoDHCP, Metric4: 100})
	eth1 := backendtest.Wire{Kind: "veth"}
	if m.Global("eth1", 4) != "" {
		eth1 = backendtest.Wire{Kind: "veth", Addr4: "192.168.76.15/24", GW4: "192.168.76.2", Proto4: facts.ProtoDHCP, Metric4: 101}
	}
	backendtest.Add(f, "eth1", eth1)
	for i, name := range []string{"eth0", "eth1"} {
		uuid := strings.TrimSpace(m.MustRun(t, "nmcli", "-g", "GENERAL.CON-UUID", "device", "show", name))
		f.NM.Devices[i+2] = facts.NMDevice{Managed: "managed", UUID: uuid}
	}
	for _, dir := range []string{etcProfiles, runProfiles, confDirs()[2] + "/"} {
		for _, name := range strings.Split(m.MustRun(t, "ls", "-1", dir), "\n") {
			if name == "" {
				continue
			}
			text, err := m.ReadFile(dir + name)
			if err != nil {
				t.Fatal(err)
			}
			backendtest.Put(f, dir+name, text, 0o600)
			if dir != etcProfiles && dir != runProfiles {
				continue
			}
			k, err := parse([]byte(text))
			if err != nil {
				t.Fatalf("%s%s: %v", dir, name, err)
			}
			p := facts.NMProfile{Path: dir + name}
			p.ID, _, _ = k.Get("connection", "id")
			p.UUID, _, _ = k.Get("connection", "uuid")
			p.Type, _, _ = k.Get("connection", "type")
			p.Interface, _, _ = k.Get("connection", "interface-name")
			f.NM.Profiles = append(f.NM.Profiles, p)
		}
	}
	return f
}

func carryOut(t *testing.T, m *lab.Machine, d provision.Desired) {
	for _, w := range d.Wants {
		if w.Attrs[file.AttrType] != file.TypeFile {
			continue
		}
		if w.Attrs[file.AttrMode] == "" && !strings.HasPrefix(path.Dir(w.Name)+"/", etcProfiles) {
			t.Fatalf("an edit of %s", w.Name)
		}
		mode := fs.FileMode(0o600)
		if w.Attrs[file.AttrMode] == "0644" {
			mode = 0o644
		}
		m.WriteFile(t, w.Name, w.Attrs[file.AttrContent], mode)
	}
	for _, tr := range d.Triggers {
		switch tr.Do.Kind {
		case daemon.KindNMRestart:
			m.MustRun(t, "systemctl", "restart", "NetworkManager.service")
		case daemon.KindNMReloadConnections:
			m.MustRun(t, "nmcli", "connection", "reload")
			if tr.Do.Args["selectors"] != "" {
				lab.Await(t, 10*time.Second, func() error {
					if _, msg, exit := m.Run(t.Context(), "nmcli", "device", "connect", strings.TrimPrefix(tr.Do.Args["selectors"], "name:")); exit != 0 {
						return fmt.Errorf("cannot activate: %s", msg)
					}
					return nil
				})
			}
		default:
			t.Fatalf("no way here for %s", tr.Do.Kind)
		}
	}
	if !slices.ContainsFunc(d.Wants, func(w provision.Want) bool { return w.Name == ConfPath || strings.HasPrefix(w.Name, etcProfiles) }) {
		t.Fatalf("nothing is wanted: %+v", d.Notes)
	}
}

// wanted are the policy's metrics for this world.
var wanted = map[string]uint32{"eth0": 1000, "eth1": 10}

// prune does what the resource daemon-route-metric does: once a route with the wanted
// metric is there, the others go.
func prune(t *testing.T, m *lab.Machine) {
	for _, family := range []int{4, 6} {
		for name, metric := range wanted {
			var old []lab.Route
			there := false
			for _, r := range m.Defaults(family) {
				if r.Dev == name {
					if there = there || r.Metric == int(metric); r.Metric != int(metric) {
						old = append(old, r)
					}
				}
			}
			for _, r := range old {
				if there {
					m.MustRun(t, "ip", "-"+strconv.Itoa(family), "route", "del", "default", "dev", name, "metric", strconv.Itoa(r.Metric))
				}
			}
		}
	}
}

func reached(m *lab.Machine) error {
	for _, family := range []int{4, 6} {
		seen := map[string]bool{}
		for _, r := range m.Defaults(family) {
			if r.Metric != int(wanted[r.Dev]) {
				return fmt.Errorf("IPv%d default by %s has metric %d, want %d", family, r.Dev, r.Metric, wanted[r.Dev])
			}
			seen[r.Dev] = true
		}
		if len(seen) != 2 {
			return fmt.Errorf("IPv%d defaults by %v only", family, seen)
		}
	}
	return nil
}
