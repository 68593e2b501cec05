package netplan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/resource/file"
)

// runnerFunc is a host.Runner.
type runnerFunc func(c host.Command) (host.Output, error)

func (f runnerFunc) Run(_ context.Context, c host.Command) (host.Output, error) { return f(c) }

func wanting(p, content string) provision.Desired {
	return provision.Desired{Wants: []provision.Want{file.Want(p, []byte(content), 0o600, "test")}}
}

const ours = "/etc/netplan/90-provision.yaml"

func TestCheckRunsNothingForNothing(t *testing.T) {
	text := backends.Marker + "\nnetwork: {version: 2}\n"
	f := treeOf(cloud, "network: {version: 2}\n", ours, text)
	never := runnerFunc(func(c host.Command) (host.Output, error) {
		t.Errorf("ran %q", c.Argv)
		return host.Output{}, nil
	})
	for _, d := range []provision.Desired{wanting(ours, text), {Wants: []provision.Want{file.Want(ours, []byte(text), 0o600, ""), file.Want("/etc/x", nil, 0o600, "")}}} {
		if err := Check(context.Background(), never, f, d); err != nil {
			t.Error(err)
		}
	}
}

func TestCheckCopies(t *testing.T) {
	f := treeOf(cloud, "network: {version: 2} # secret\n", "/run/netplan/x.yaml", "a", "/etc/other.yaml", "b", "/etc/netplan/x.yml", "c", ours, backends.Marker+"\nold\n")
	var seen []string
	r := runnerFunc(func(c host.Command) (host.Output, error) {
		root := c.Argv[3]
		var files []string
		err := filepath.WalkDir(root, func(p string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				b, _ := os.ReadFile(p)
				info, _ := e.Info()
				files = append(files, fmt.Sprintf("%s %o %q", strings.TrimPrefix(p, root), info.Mode().Perm(), b))
			}
			return err
		})
		seen = append(seen, fmt.Sprintf("%s %v", strings.Join(c.Argv[:3], " "), files))
		if c.Timeout <= 0 || c.Env[0] != "SYSTEMD_OFFLINE=1" {
			t.Errorf("timeout %v, environment %q", c.Timeout, c.Env)
		}
		t.Cleanup(func() {
			if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the scratch directory stays: %v", err)
			}
		})
		return host.Output{}, err
	})
	if err := Check(context.Background(), r, f, wanting(ours, "new")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`netplan generate --root-dir [/etc/netplan/50-cloud-init.yaml 600 "network: {version: 2} # secret\n" /etc/netplan/90-provision.yaml 600 "# written by provision; ` + "`provision revert`" + ` removes it\nold\n" /run/netplan/x.yaml 600 "a"]`,
		`netplan generate --root-dir [/etc/netplan/50-cloud-init.yaml 600 "network: {version: 2} # secret\n" /etc/netplan/90-provision.yaml 600 "new" /run/netplan/x.yaml 600 "a"]`,
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("saw\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

func TestCheckErrors(t *testing.T) {
	f := treeOf(cloud, "network: {version: 2}\n")
	says := func(code int, text string) runnerFunc {
		return func(host.Command) (host.Output, error) { return host.Output{Code: code, Stderr: []byte(text)}, nil }
	}
	for name, c := range map[string]struct {
		r    host.Runner
		f    *facts.Facts
		want string
	}{
		"silent":  {says(3, ""), f, "broken already, before any change; repair it first: netplan says: exit status 3 without a word"},
		"missing": {runnerFunc(func(host.Command) (host.Output, error) { return host.Output{}, os.ErrNotExist }), f, "cannot run \"netplan generate\" to check the configuration: file does not exist"},
		"masked":  {says(0, ""), &facts.Facts{Files: map[string]facts.File{cloud: {Text: "x", Masked: true}}}, "secrets were blanked"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(context.Background(), c.r, c.f, wanting(ours, "new"))
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
			plan := backends.Marker + "\nnetwork: {version: 2, ethernets: {eth0: {dhcp4-overrides: {route-metric: 1000}, dhcp6-overrides: {route-metric: 1000}}}}\n"
			for name, c := range map[string]struct{ tree, plan, want string }{
				"good":    {good, plan, ""},
				"broken":  {"network:\n  ethernets:\n    eth0:\n      dhcp4: maybe\n", plan, "the netplan configuration is broken already, before any change; repair it first: netplan says: " + cloud + ":4:14: Error in network definition: invalid boolean value 'maybe'"},
				"tab":     {"network:\n\tethernets: {}\n", plan, "repair it first: netplan says: " + cloud + ":2:1: Invalid YAML: tabs are not allowed for indent"},
				"differ":  {good, strings.Replace(plan, "1000", "1001", 1), "cannot use the planned netplan configuration: netplan says: eth0: networkd requires that route-metric has the same value"},
				"planned": {good, "network: {ethernets: {eth0: {dhcp4: 7}}}", "cannot use the planned netplan configuration: netplan says: " + ours + ":1:37: Error in network definition: invalid boolean value '7'"},
			} {
				t.Run(name, func(t *testing.T) {
					before := g.runs
					err := Check(context.Background(), g, treeOf(cloud, c.tree), wanting(ours, c.plan))
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
			made, complaint := g.generate(t, tree)
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
				return Check(context.Background(), g, f, d)
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
