package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

// An image on which apply has worked forgets who it is: files of other programs are as before apply, nothing of the state is left, and
// what is said to be forgotten is what went. A dry run says the same and changes nothing, a second run finds nothing.
func TestGeneralize(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root: the files that are written belong to root")
	}
	for _, im := range images() {
		t.Run(im.name, func(t *testing.T) {
			root := im.unpack(t)
			outside := filepath.Join(t.TempDir(), "outside")
			put(t, outside, "not the image's")
			before := snapshot(t, root)
			if code, out := command(t, "apply", "--root", root); code != 0 {
				t.Fatalf("apply: %d: %s", code, out)
			}
			bakedOff(t, root)
			// What identifies this machine, and what does not.
			for path, text := range map[string]string{
				"/etc/machine-id":                               "0123456789abcdef0123456789abcdef\n",
				"/var/lib/dbus/machine-id":                      "0123456789abcdef0123456789abcdef\n",
				"/var/lib/dhcp/dhclient.eth0.leases":            "lease {}",
				"/var/lib/NetworkManager/internal-1-eth0.lease": "x",
				"/var/lib/NetworkManager/secret_key":            "x",
				"/var/lib/NetworkManager/NetworkManager.state":  "stays",
				"/var/lib/provision/serve/leases/journal":       "x",
				"/var/lib/provision/clock":                      "x",
				"/etc/provision/wireguard.d/wg0.yaml":           "private-key: x",
				"/etc/provision/wireguard.d/wg0/phone.yaml":     "public-key: x",
				"/etc/provision/wifi.d/home.yaml":               "ssid: home",
				"/etc/ssh/ssh_host_ed25519_key":                 "x",
				"/var/lib/dhcpcd/duid":                          "x",
				"/var/lib/dhcpcd/no-lease":                      "stays",
			} {
				put(t, filepath.Join(root, path), text)
			}
			if err := os.Symlink(outside, filepath.Join(root, "/var/lib/dhcp/dhclient.leases")); err != nil {
				t.Fatal(err)
			}
			full := snapshot(t, root)

			dry := generalize(t, root, "--dry-run")
			if d := differences(full, snapshot(t, root)); len(d) > 0 {
				t.Fatalf("the dry run changed %v", d)
			}
			done := generalize(t, root)
			dry.DryRun = false
			if a, b := paths(dry.Forgot), paths(done.Forgot); !slices.Equal(a, b) {
				t.Errorf("the dry run spoke of\n%v\nand these were forgotten:\n%v", a, b)
			}
			if rest, err := os.ReadDir(filepath.Join(root, "/var/lib/provision")); err != nil || len(rest) > 0 {
				t.Errorf("left of the state: %v (%v)", rest, err)
			}
			var kept []string
			for _, d := range differences(before, snapshot(t, root)) {
				if info, err := os.Lstat(filepath.Join(root, d)); err != nil || !info.IsDir() {
					kept = append(kept, d)
				}
			}
			// Beside what was not there before apply: the id that the next boot makes anew.
			if want := []string{"/etc/machine-id", "/etc/provision/wifi.d/home.yaml", "/etc/ssh/ssh_host_ed25519_key", "/var/lib/NetworkManager/NetworkManager.state", "/var/lib/dhcpcd/no-lease"}; !slices.Equal(kept, want) {
				t.Errorf("differs from before apply: %v, want %v", kept, want)
			}
			if b, err := os.ReadFile(filepath.Join(root, "/etc/machine-id")); err != nil || len(b) > 0 {
				t.Errorf("the machine-id is %q (%v)", b, err)
			}
			if b, err := os.ReadFile(outside); err != nil || string(b) != "not the image's" {
				t.Errorf("a file outside the image: %q (%v)", b, err)
			}
			for _, want := range append(im.written, "/etc/machine-id", "/var/lib/provision/engine", "/etc/provision/wireguard.d/wg0.yaml", "/etc/provision/wireguard.d/wg0") {
				if !slices.Contains(paths(done.Forgot), want) {
					t.Errorf("%s was not said to be forgotten: %v", want, paths(done.Forgot))
				}
			}
			for _, want := range []string{"/etc/provision/provision.yaml", "/etc/provision/wifi.d/home.yaml", "/etc/ssh/ssh_host_ed25519_key"} {
				if !slices.Contains(paths(done.Stays), want) {
					t.Errorf("%s stays and was not said to: %v", want, paths(done.Stays))
				}
			}
			if again := generalize(t, root); len(again.Forgot) > 0 {
				t.Errorf("the second time forgot %v", paths(again.Forgot))
			}
		})
	}
}

// What somebody else has changed since is theirs: it stays, and is named.
func TestGeneralizeLeavesWhatOthersChanged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root: the files that are written belong to root")
	}
	im := images()[0]
	root := im.unpack(t)
	if code, out := command(t, "apply", "--root", root); code != 0 {
		t.Fatalf("apply: %d: %s", code, out)
	}
	bakedOff(t, root)
	put(t, filepath.Join(root, im.foreign), "mine now\n")
	r := generalize(t, root)
	if !slices.Contains(paths(r.Stays), im.foreign) || slices.Contains(paths(r.Forgot), im.foreign) {
		t.Errorf("forgot %v, stays %v", paths(r.Forgot), paths(r.Stays))
	}
	if b, err := os.ReadFile(filepath.Join(root, im.foreign)); err != nil || string(b) != "mine now\n" {
		t.Errorf("%q (%v)", b, err)
	}
}

// What was baked into an image is for whatever machine it will be, and stays.
func TestGeneralizeKeepsWhatWasBaked(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root: the files that are written belong to root")
	}
	root := images()[0].unpack(t)
	if code, out := command(t, "apply", "--root", root); code != 0 {
		t.Fatalf("apply: %d: %s", code, out)
	}
	before := snapshot(t, root)
	put(t, filepath.Join(root, "/var/lib/provision/serve/duid"), "x")
	r := generalize(t, root)
	if d := differences(before, snapshot(t, root)); len(d) > 0 {
		t.Errorf("changed: %v", d)
	}
	if got, want := paths(r.Forgot), []string{"/var/lib/provision/serve"}; !slices.Equal(got, want) {
		t.Errorf("forgot %v, want %v", got, want)
	}
	if code, out := command(t, "plan", "--exit-code", "--root", root); code != 0 {
		t.Errorf("the image is not as it was baked: %d: %s", code, out)
	}
	if !slices.Contains(paths(r.Stays), "/var/lib/provision/baked") {
		t.Errorf("stays %v", paths(r.Stays))
	}
}

// bakedOff makes of an image a machine that has lived: its own applies count.
func bakedOff(t *testing.T, root string) {
	t.Helper()
	if err := os.Remove(filepath.Join(root, "/var/lib/provision/baked")); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	return code, out.String() + errs.String()
}

func generalize(t *testing.T, root string, args ...string) agent.Generalization {
	t.Helper()
	code, out := command(t, append([]string{"generalize", "--root", root, "-o", "json"}, args...)...)
	var r agent.Generalization
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&r); code != 0 || err != nil {
		t.Fatalf("generalize: status %d, %v: %s", code, err, out)
	}
	return r
}

func paths(things []agent.Thing) []string {
	var out []string
	for _, t := range things {
		out = append(out, t.Path)
	}
	slices.Sort(out)
	return out
}
