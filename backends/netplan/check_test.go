package netplan

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

func wanting(p, content string) provision.Desired {
	return provision.Desired{Wants: []provision.Want{file.Want(p, []byte(content), 0o600, "test")}}
}

const ours = "/etc/netplan/90-provision.yaml"

func TestCheckRunsNothingForNothing(t *testing.T) {
	text := facts.Marker + "\nnetwork: {version: 2}\n"
	f := treeOf(cloud, "network: {version: 2}\n", ours, text)
	never := func(_ context.Context, yaml map[string]string) (map[string]string, error) {
		t.Errorf("generated from %q", yaml)
		return nil, nil
	}
	for _, d := range []provision.Desired{wanting(ours, text), {Wants: []provision.Want{file.Want(ours, []byte(text), 0o600, ""), file.Want("/etc/x", nil, 0o600, "")}}} {
		if err := Check(t.Context(), never, f, d); err != nil {
			t.Error(err)
		}
	}
}

func TestCheckAsksAboutBothTrees(t *testing.T) {
	old := facts.Marker + "\nold\n"
	f := treeOf(cloud, "network: {version: 2} # secret\n", "/run/netplan/x.yaml", "a", "/etc/other.yaml", "b", "/etc/netplan/x.yml", "c", ours, old)
	var seen []map[string]string
	generate := func(_ context.Context, yaml map[string]string) (map[string]string, error) {
		seen = append(seen, yaml)
		return nil, nil
	}
	if err := Check(t.Context(), generate, f, wanting(ours, "new")); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{
		{cloud: "network: {version: 2} # secret\n", ours: old, "/run/netplan/x.yaml": "a"},
		{cloud: "network: {version: 2} # secret\n", ours: "new", "/run/netplan/x.yaml": "a"},
	}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("saw\n%q\nwant\n%q", seen, want)
	}
}

func TestCheckErrors(t *testing.T) {
	fails := func(which int) Generator {
		return func(context.Context, map[string]string) (map[string]string, error) {
			if which--; which == 0 {
				return nil, errors.New("no such key")
			}
			return nil, nil
		}
	}
	f := treeOf(cloud, "network: {version: 2}\n")
	for name, c := range map[string]struct {
		g    Generator
		f    *facts.Facts
		want string
	}{
		"present": {fails(1), f, "broken already, before any change; repair it first: no such key"},
		"planned": {fails(2), f, "cannot use the planned netplan configuration: no such key"},
		"masked":  {fails(0), &facts.Facts{Files: map[string]facts.File{cloud: {Text: "x", Masked: true}}}, "secrets were blanked"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(t.Context(), c.g, c.f, wanting(ours, "new"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestCheckThroughNetplan: netplan's own words about broken trees, with the paths
// that the files really have.
func TestCheckThroughNetplan(t *testing.T) {
	for name, g := range labGenerators(t) {
		t.Run(name, func(t *testing.T) {
			good := "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true, dhcp6: true}\n"
			plan := facts.Marker + "\nnetwork: {version: 2, ethernets: {eth0: {dhcp4-overrides: {route-metric: 1000}, dhcp6-overrides: {route-metric: 1000}}}}\n"
			for name, c := range map[string]struct{ tree, plan, want string }{
				"good":    {good, plan, ""},
				"broken":  {"network:\n  ethernets:\n    eth0:\n      dhcp4: maybe\n", plan, "the netplan configuration is broken already, before any change; repair it first: netplan says: " + cloud + ":4:14: Error in network definition: invalid boolean value 'maybe'"},
				"tab":     {"network:\n\tethernets: {}\n", plan, "repair it first: netplan says: " + cloud + ":2:1: Invalid YAML: tabs are not allowed for indent"},
				"differ":  {good, strings.Replace(plan, "1000", "1001", 1), "cannot use the planned netplan configuration: netplan says: eth0: networkd requires that route-metric has the same value"},
				"planned": {good, "network: {ethernets: {eth0: {dhcp4: 7}}}", "cannot use the planned netplan configuration: netplan says: " + ours + ":1:37: Error in network definition: invalid boolean value '7'"},
			} {
				t.Run(name, func(t *testing.T) {
					before := g.runs
					err := Check(t.Context(), g.generate, treeOf(cloud, c.tree), wanting(ours, c.plan))
					switch {
					case c.want == "" && err != nil:
						t.Error(err)
					case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
						t.Errorf("error %v, want %q", err, c.want)
					case g.runs == before:
						t.Error("netplan was not asked")
					}
				})
			}
		})
	}
}

// TestCheckPending: YAML that was edited and never applied is not carried out along
// the way.
func TestCheckPending(t *testing.T) {
	for name, g := range labGenerators(t) {
		t.Run(name, func(t *testing.T) {
			tree := map[string]string{cloud: "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n    eth1: {dhcp4: true}\n"}
			made, complaint := g.render(t, tree)
			if complaint != "" {
				t.Fatal(complaint)
			}
			f := guest("252", tree, made, map[string]string{"eth0": "eth0", "eth1": "eth1"})
			nic := backends.NIC{Link: f.Links[1], Metric4: ptr(uint32(1000)), Metric6: ptr(uint32(1000)), Why: "test"}
			check := func() error {
				d, err := New(nil).Desire(f, []backends.NIC{nic})
				if err != nil {
					t.Fatal(err)
				}
				return Check(t.Context(), g.generate, f, d)
			}
			if err := check(); err != nil {
				t.Fatal(err)
			}
			put(f, map[string]string{cloud: strings.Replace(tree[cloud], "eth1: {dhcp4: true}", "eth1: {addresses: [10.0.0.9/24]}", 1)})
			if err := check(); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "/run/systemd/network/10-netplan-eth1.network would change") {
				t.Errorf("an edit that waits: %v", err)
			}
			put(f, map[string]string{cloud: tree[cloud] + "    eth9: {dhcp4: true}\n"})
			if err := check(); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "10-netplan-eth9.network") {
				t.Errorf("a new id that waits: %v", err)
			}
		})
	}
}
