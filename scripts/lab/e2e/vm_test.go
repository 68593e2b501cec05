//go:build lab && linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/scripts/lab"
)

// The NICs of a virtual machine (lab.VMNICs): the first is behind QEMU's user network 10.0.2.0/24.
const (
	natNIC     = "enp0s3"
	bridgedNIC = "enp0s8"
)

// vmWait bounds what an emulated machine takes for a lease, an advertisement or a daemon's restart on a busy host.
const vmWait = 90 * time.Second

// vmSystem is the program on a virtual machine.
type vmSystem struct {
	*lab.VM
	root string
}

func bootVM(t *testing.T, root string, o lab.VMOpts) vmSystem {
	t.Helper()
	lab.Need(t, lab.Tier3)
	if o.Binary == "" {
		o.Binary = binary
	}
	begin := time.Now()
	v := vmSystem{lab.BootVM(t, lab.Root(t, root), o), root}
	t.Logf("%s is up after %v, of which the boot took %v", root, time.Since(begin).Round(time.Second), v.BootTime.Round(time.Second))
	return v
}

// must runs the program and fails the test unless it ends with the wanted status.
func (v vmSystem) must(t *testing.T, code int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	begin := time.Now()
	out, msg, got := v.Run(ctx, "provision", args...)
	t.Logf("provision %s: status %d after %v", strings.Join(args, " "), got, time.Since(begin).Round(10*time.Millisecond))
	if got != code {
		t.Fatalf("provision %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, msg)
	}
	if msg != "" {
		t.Logf("provision %s says: %s", strings.Join(args, " "), msg)
	}
	return out
}

func (v vmSystem) mustJSON(t *testing.T, code int, into any, args ...string) {
	t.Helper()
	out := v.must(t, code, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("provision %s printed no JSON: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (v vmSystem) apply(t *testing.T) outcome {
	t.Helper()
	var o outcome
	v.mustJSON(t, 0, &o, "apply")
	return o
}

// routes is the set of "dev metric" of a family's default routes, the winner first.
func (v vmSystem) routes(t *testing.T, family int) string {
	t.Helper()
	var all []string
	for _, r := range v.Defaults(t, family) {
		all = append(all, fmt.Sprintf("%s %d", r.Dev, r.Metric))
	}
	return strings.Join(slices.Compact(all), ", ")
}

// awaitRoutes waits until the default routes of both families are those, and no others.
func (v vmSystem) awaitRoutes(t *testing.T, want string) {
	t.Helper()
	for _, family := range []int{4, 6} {
		lab.Await(t, vmWait, func() error {
			if got := v.routes(t, family); got != want {
				return fmt.Errorf("the IPv%d default routes are %q, want %q", family, got, want)
			}
			return nil
		})
	}
}

// await waits until the NICs have addresses of both families and, where the manager makes one for each, default routes.
func (v vmSystem) await(t *testing.T, nics ...string) {
	t.Helper()
	lab.Await(t, vmWait, func() error {
		for _, family := range []int{4, 6} {
			routes := v.routes(t, family) + ","
			for _, n := range nics {
				if v.Global(t, n, family) == "" {
					return fmt.Errorf("%s has no IPv%d address", n, family)
				}
				// dhclient makes one IPv4 default route for all NICs.
				if !strings.Contains(routes, n+" ") && !(family == 4 && strings.Contains(v.root, "ifupdown")) {
					return fmt.Errorf("%s has no IPv%d default route: %s", n, family, routes)
				}
			}
		}
		return nil
	})
}

// etc is the digest of /etc without what the system itself rewrites at each lease or boot.
func (v vmSystem) etc(t *testing.T) string {
	t.Helper()
	var keep []string
	for line := range strings.SplitSeq(v.Digest(t, "/etc"), "\n") {
		if strings.HasPrefix(line, ". ") || strings.Contains(line, "./resolv.conf") || strings.Contains(line, "./machine-id") {
			continue
		}
		keep = append(keep, line)
	}
	return strings.Join(keep, "\n")
}

// differingLines says in which lines two digests differ, "" if in none.
func differingLines(a, b string) string {
	was, is := strings.Split(a, "\n"), strings.Split(b, "\n")
	var diff []string
	for _, line := range was {
		if !slices.Contains(is, line) {
			diff = append(diff, "- "+line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			diff = append(diff, "+ "+line)
		}
	}
	return strings.Join(diff, "\n")
}

// detection is the part of detect's JSON that the tests read.
type detection struct {
	Machine struct {
		Hypervisor, Vendor, Product, Container string
		Systemd                                int
	}
	NICs []struct {
		Name, MAC, Driver, Left string
		Owner                   struct{ Owner, Renderer string }
		Role                    struct {
			Role     string
			Score    int
			Evidence []string
		}
		BringUp bool `json:"bring_up"`
	}
	Conflicts, Problems []string
}

// vmRoots are those of the default run and of the full matrix. An emulated CPU takes ten seconds for each run of netplan's Python,
// so the default run has none.
func vmRoots() []string {
	if full {
		return []string{"bookworm-netplan", "bookworm-nm", "bookworm-ifupdown", "trixie-netplan", "trixie-nm", "trixie-ifupdown"}
	}
	return []string{"bookworm-nm"}
}

// turn skips a test of the default run on every other day: an emulated machine takes three minutes of the processor for either.
func turn(t *testing.T, which int64) {
	t.Helper()
	if day := time.Now().Unix() / 86400; !full && day%2 != which {
		t.Skip("skipped: it is the other test's day; PROVISION_LAB_FULL=1 (make test-all) runs both")
	}
}

// The main job on a whole machine: Debian's kernel, udev's names, virtio NICs with PCI paths, real reboots.
func TestVMBridgedNICWins(t *testing.T) {
	turn(t, 0)
	for _, root := range vmRoots() {
		t.Run(root, func(t *testing.T) {
			v := bootVM(t, root, lab.VMOpts{})
			v.await(t, natNIC, bridgedNIC)
			etc, before := v.etc(t), v.routes(t, 4)+" | "+v.routes(t, 6)
			t.Logf("before: %s", before)
			judgeDetection(t, v)
			judgeFacts(t, v)
			v.must(t, 2, "plan", "--exit-code")
			if diff := differingLines(etc, v.etc(t)); diff != "" {
				t.Fatalf("detect and plan changed /etc:\n%s", diff)
			}

			const after = bridgedNIC + " 10, " + natNIC + " 1000"
			first := v.apply(t)
			t.Logf("apply: %d writes, triggers %v", first.Result.Writes, first.Result.Triggers)
			v.awaitRoutes(t, after)
			if second := v.apply(t); second.Result.Writes != 0 {
				t.Errorf("the second apply wrote: %+v", second.Result)
			}
			v.must(t, 0, "verify")
			applied := v.etc(t)

			v.Reboot(t)
			t.Logf("reboot: %v", v.BootTime.Round(time.Second))
			v.awaitRoutes(t, after)
			v.must(t, 0, "plan", "--exit-code")
			v.must(t, 0, "verify")
			if diff := differingLines(applied, v.etc(t)); diff != "" {
				t.Errorf("/etc changed over the reboot:\n%s", diff)
			}

			v.must(t, 0, "revert")
			if diff := differingLines(etc, v.etc(t)); diff != "" {
				t.Errorf("revert left /etc different:\n%s", diff)
			}
			if !full { // /etc is byte for byte what the first boot found
				return
			}
			v.Reboot(t)
			v.await(t, natNIC, bridgedNIC)
			lab.Await(t, vmWait, func() error {
				if got := v.routes(t, 4) + " | " + v.routes(t, 6); !sameSet(got, before) {
					return fmt.Errorf("after revert and a reboot the default routes are %s, before %s", got, before)
				}
				return nil
			})
			v.must(t, 2, "plan", "--exit-code")
		})
	}
}

// sameSet compares two lists of default routes of both families: of equal metrics either may stand first.
func sameSet(a, b string) bool {
	norm := func(s string) string {
		var out []string
		for part := range strings.SplitSeq(s, " | ") {
			list := strings.Split(part, ", ")
			slices.Sort(list)
			out = append(out, strings.Join(list, ", "))
		}
		return strings.Join(out, " | ")
	}
	return norm(a) == norm(b)
}

// judgeDetection looks at what only a machine with a firmware and a PCI bus can show.
func judgeDetection(t *testing.T, v vmSystem) {
	t.Helper()
	var d detection
	v.mustJSON(t, 0, &d, "--detect")
	text := v.must(t, 0, "--detect", "-v")
	t.Logf("detect:\n%s", text)
	if d.Machine.Hypervisor != "qemu" || d.Machine.Vendor != "QEMU" || d.Machine.Container != "" {
		t.Errorf("detect takes the machine for %+v", d.Machine)
	}
	owner := map[string]string{"netplan": "netplan", "nm": "networkmanager", "ifupdown": "ifupdown"}[strings.SplitN(v.root, "-", 2)[1]]
	roles := map[string]string{natNIC: "nat", bridgedNIC: "bridged"}
	for _, n := range d.NICs {
		want, ours := roles[n.Name]
		if !ours {
			continue
		}
		delete(roles, n.Name)
		if n.Role.Role != want || n.Driver != "virtio_net" || n.Owner.Owner != owner {
			t.Errorf("detect takes %s for %+v, want role %s, driver virtio_net, owner %s", n.Name, n, want, owner)
		}
		if n.Name == natNIC {
			for _, e := range []string{"10.0.2.0/24 with gateway 10.0.2.2", "guest address 10.0.2.15", "qemu", "the first NIC by slot"} {
				if !strings.Contains(strings.Join(n.Role.Evidence, "\n"), e) {
					t.Errorf("the evidence for %s lacks %q: %v", n.Name, e, n.Role.Evidence)
				}
			}
		}
	}
	if len(roles) > 0 {
		t.Errorf("detect does not list %v", roles)
	}
	systemd := v.MustRun(t, "systemctl", "--version")
	if !strings.HasPrefix(systemd, fmt.Sprintf("systemd %d ", d.Machine.Systemd)) {
		t.Errorf("detect says systemd %d, systemctl says %s", d.Machine.Systemd, systemd)
	}
}

// judgeFacts loads what a bug report would carry: the NICs with their bus and driver are there, their addresses are not.
func judgeFacts(t *testing.T, v vmSystem) {
	t.Helper()
	text := v.must(t, 0, "facts", "--anonymise")
	f, err := facts.Load(strings.NewReader(text))
	if err != nil {
		t.Errorf("what facts --anonymise prints cannot be loaded: %v", err)
		return
	}
	for _, n := range lab.VMNICs {
		if strings.Contains(strings.ToLower(text), n.MAC) {
			t.Errorf("facts --anonymise prints the MAC address %s", n.MAC)
		}
		l, ok := f.LinkByName(n.Name)
		if !ok || l.Driver != "virtio_net" || l.PermMAC == "" || !strings.HasPrefix(l.Udev["ID_PATH"], "pci-0000:00:") || l.Udev["USEC_INITIALIZED"] == "" {
			t.Errorf("the facts of %s: %+v", n.Name, l)
		}
	}
	if f.Machine.Systemd == 0 || f.Machine.Vendor != "QEMU" || !f.Machine.Root {
		t.Errorf("the facts of the machine: %+v", f.Machine)
	}
}
