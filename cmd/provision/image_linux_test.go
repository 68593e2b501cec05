package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
)

// image is a mounted root: what is installed (dpkg's status and the programs), the
// network configuration, and a configuration that calls its NICs by name.
type image struct {
	name    string
	status  string            // packages and versions
	files   map[string]string // path to text; programs are executable
	modes   map[string]fs.FileMode
	written []string // what apply makes or changes, state and memory left out
	foreign string   // one of them, whole ours, that somebody else changes
}

const namedNICs = `version: 1
network:
  nics:
    - match: {name: eth0}
      role: nat
    - match: {name: eth1}
`

func images() []image {
	return []image{
		{
			name:   "ifupdown",
			status: "ifupdown 0.8.41\nisc-dhcp-client 4.4.3-P1-2\n",
			files: map[string]string{
				"/sbin/ifup": "", "/sbin/dhclient": "", "/etc/sysctl.d/10-other.conf": "kernel.printk = 4\n",
				"/etc/network/interfaces": "# kept  \nsource /etc/network/interfaces.d/*\n\nauto eth0\niface eth0 inet dhcp\n\tpre-up  true\n\nauto eth1\niface eth1 inet dhcp\n",
			},
			written: []string{"/etc/network/interfaces", "/etc/sysctl.d/90-provision.conf"},
			foreign: "/etc/sysctl.d/90-provision.conf",
		},
		{
			name:   "networkd",
			status: "systemd 252.39-1~deb12u2\n",
			files: map[string]string{
				"/usr/lib/systemd/systemd-networkd":                                        "",
				"/etc/systemd/network/10-lan.network":                                      "[Match]\nName=eth0\n[Network]\nDHCP=yes\n",
				"/etc/systemd/network/20-lan.network":                                      "[Match]\nName=eth1\n[Network]\nDHCP=yes\n",
				"/etc/systemd/system/multi-user.target.wants/systemd-networkd.service -> ": "/lib/systemd/system/systemd-networkd.service",
			},
			written: []string{"/etc/systemd/network/10-lan.network.d/90-provision.conf", "/etc/systemd/network/20-lan.network.d/90-provision.conf"},
		},
		{
			name:   "NetworkManager",
			status: "network-manager 1.42.4-1\n",
			files: map[string]string{
				"/usr/sbin/NetworkManager":                                               "",
				"/etc/NetworkManager/NetworkManager.conf":                                "[main]\nplugins=keyfile\n",
				"/etc/NetworkManager/system-connections/a.nmconnection":                  "[connection]\nid=a\nuuid=1dd4c2ee-7a3a-4e0c-9d6a-7b0f1a1f3a01\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n",
				"/etc/NetworkManager/system-connections/b.nmconnection":                  "[connection]\nid=b\nuuid=1dd4c2ee-7a3a-4e0c-9d6a-7b0f1a1f3a02\ntype=ethernet\ninterface-name=eth1\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n",
				"/etc/systemd/system/multi-user.target.wants/NetworkManager.service -> ": "/lib/systemd/system/NetworkManager.service",
			},
			modes:   map[string]fs.FileMode{"/etc/NetworkManager/system-connections/a.nmconnection": 0o600, "/etc/NetworkManager/system-connections/b.nmconnection": 0o600},
			written: []string{"/etc/NetworkManager/conf.d/90-provision.conf"},
		},
	}
}

// unpack makes the tree below a new folder.
func (im image) unpack(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	var status strings.Builder
	for line := range strings.Lines(im.status) {
		f := strings.Fields(line)
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n\n", f[0], f[1])
	}
	files := maps.Clone(im.files)
	files["/var/lib/dpkg/status"] = status.String()
	files["/etc/os-release"] = "ID=debian\nVERSION_ID=\"12\"\n"
	files["/sbin/init -> "] = "/lib/systemd/systemd"
	files["/etc/provision/provision.yaml"] = namedNICs
	for name, text := range files {
		path, isLink := strings.CutSuffix(name, " -> ")
		p := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if isLink {
			if err := os.Symlink(text, p); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := fs.FileMode(0o644)
		if m, ok := im.modes[path]; ok {
			mode = m
		} else if strings.Contains(path, "bin/") || text == "" {
			mode = 0o755
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	return root
}

// snapshot is everything below root but provision's own state: mode, owner and bytes.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, root)
		if strings.HasPrefix(rel, "/var/lib/provision") {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			text, err = os.Readlink(path)
		case !d.IsDir():
			var b []byte
			b, err = os.ReadFile(path)
			text = string(b)
		}
		if d.IsDir() {
			out[rel] = info.Mode().String()
		} else {
			out[rel] = info.Mode().String() + " " + text
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func differences(a, b map[string]string) []string {
	var out []string
	for k := range a {
		if a[k] != b[k] {
			out = append(out, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// On a mounted image plan writes nothing at all; apply writes files below the root, the
// second one none; verify agrees; revert leaves every byte and mode as it was.
func TestImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	for _, im := range images() {
		t.Run(im.name, func(t *testing.T) {
			root := im.unpack(t)
			before := snapshot(t, root)
			must := func(args ...string) string {
				t.Helper()
				code, out, errs := call(t, append([]string{"--root", root}, args...)...)
				if code != 0 {
					t.Fatalf("%v: status %d, %s%s", args, code, out, errs)
				}
				return out
			}
			must("detect")
			must("explain", "eth0")
			must("plan")
			if d := differences(before, snapshot(t, root)); len(d) > 0 {
				t.Fatalf("plan wrote %v", d)
			}
			if _, err := os.Lstat(filepath.Join(root, "var/lib/provision")); err == nil {
				t.Error("plan made the state directory")
			}
			if code, _, _ := call(t, "--root", root, "plan", "--exit-code"); code != exitDifferences {
				t.Errorf("plan --exit-code: status %d, want 2", code)
			}

			first := outcome(t, must("apply", "-o", "json"))
			if first.Result.Writes == 0 || len(first.Result.Triggers) > 0 {
				t.Errorf("the first apply: %+v", first.Result)
			}
			if !baked(root) {
				t.Error("a machine that starts from the image would not plan before its network comes up")
			}
			after := snapshot(t, root)
			var changed []string
			for _, path := range differences(before, after) {
				if !strings.HasPrefix(after[path], "d") {
					changed = append(changed, path)
				}
			}
			if !slices.Equal(changed, im.written) {
				t.Errorf("apply wrote %v, want %v", changed, im.written)
			}
			if second := outcome(t, must("apply", "-o", "json")); second.Result.Writes != 0 {
				t.Errorf("the second apply writes: %+v", second.Result)
			}
			if out := must("plan"); !strings.Contains(out, "nothing to do") {
				t.Errorf("the plan after the apply: %s", out)
			}
			must("plan", "--exit-code")
			must("verify")

			// Somebody else's change is left and named, and taken back only by force.
			if im.foreign == "" {
				im.goBack(t, root, before, must)
				return
			}
			path := filepath.Join(root, im.foreign)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(text, "# mine\n"...), 0o644); err != nil {
				t.Fatal(err)
			}
			code, out, _ := call(t, "--root", root, "verify")
			if code != exitDifferences || !strings.Contains(out, im.foreign) {
				t.Errorf("verify after a foreign change: status %d, %s", code, out)
			}
			code, out, _ = call(t, "--root", root, "revert")
			if code != exitDifferences || !strings.Contains(out, "changed by somebody else since") {
				t.Errorf("revert after a foreign change: status %d, %s", code, out)
			}
			im.goBack(t, root, before, must)
		})
	}
}

// baked reports whether the image is one whose machines plan before their network comes up.
func baked(root string) bool {
	_, err := os.Lstat(filepath.Join(root, "var/lib/provision/baked"))
	return err == nil
}

// goBack reverts, by force where something is in the way, and rolls an apply back.
func (im image) goBack(t *testing.T, root string, before map[string]string, must func(args ...string) string) {
	t.Helper()
	revert := []string{"revert"}
	if im.foreign != "" {
		revert = append(revert, "--force")
	}
	must(revert...)
	if baked(root) {
		t.Error("reverted, and a machine that starts from the image would plan all the same")
	}
	if d := differences(before, snapshot(t, root)); len(d) > 0 {
		t.Errorf("revert left %v different", d)
	}
	must("apply")
	must("rollback")
	if d := differences(before, snapshot(t, root)); len(d) > 0 {
		t.Errorf("rollback left %v different", d)
	}
	if code, _, errs := call(t, "--root", root, "confirm"); code != exitFailed || !strings.Contains(errs, "no apply waits") {
		t.Errorf("confirm without an apply: status %d, %s", code, errs)
	}
	must("recover")
}

// A wrong configuration is refused before anything is written.
func TestImageWithWrongConfiguration(t *testing.T) {
	root := images()[0].unpack(t)
	file := filepath.Join(root, "etc/provision/provision.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nnetwork:\n  nics:\n    - match: {nam: eth0}\n      route-metric: 0\n    - route-metric: none\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, root)
	for _, args := range [][]string{{"apply"}, {"plan"}, {"detect"}, {"verify"}, {"validate"}, {"explain", "eth0"}} {
		code, out, errs := call(t, append([]string{"--root", root}, args...)...)
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		if code != exitUsage || out != "" || len(lines) != 3 || !strings.Contains(errs, `provision.yaml:4:15: network.nics[0].match.nam: unknown key (did you mean "name"?)`) ||
			!strings.Contains(errs, `provision.yaml:6:21: network.nics[1].route-metric: "none" is not a whole number`) {
			t.Errorf("%v: status %d, %q, %s", args, code, out, errs)
		}
	}
	if d := differences(before, snapshot(t, root)); len(d) > 0 {
		t.Errorf("written in spite of it: %v", d)
	}
	var v struct {
		Valid    bool
		Problems []struct {
			Line, Column int
			Path         string
		}
	}
	code, out, _ := call(t, "validate", file, "-o", "json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitUsage || v.Valid || len(v.Problems) != 2 || v.Problems[0].Line != 4 || v.Problems[1].Column != 21 {
		t.Errorf("validate -o json: status %d, %v, %s", code, err, out)
	}
}

// What leads to this machine's own root is not an image.
func TestRootOfTheMachineIsNoImage(t *testing.T) {
	link := filepath.Join(t.TempDir(), "root")
	if err := os.Symlink("/", link); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"/", "//", "/usr/..", link} {
		code, out, errs := call(t, "--root", root, "facts")
		if code != 0 || strings.Contains(out, `"offline": true`) || !strings.Contains(out, `"name": "lo"`) {
			t.Errorf("--root %s: status %d, %s; taken for an image: %v", root, code, errs, strings.Contains(out, `"offline": true`))
		}
	}
}

type applied struct {
	Result provision.Result `json:"result"`
}

func outcome(t *testing.T, text string) applied {
	t.Helper()
	var a applied
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return a
}
