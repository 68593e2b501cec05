//go:build lab && linux

package cloudinit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// vmConfig is config for the NICs of a virtual machine.
var vmConfig = strings.NewReplacer("eth0", lab.VMNICs[0].Name, "eth1", lab.VMNICs[1].Name).Replace(config)

// seedDisk makes a disk of a seed by the guide's own command.
func seedDisk(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/cloud-init.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^genisoimage .*$`).FindString(string(text))
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir = filepath.Dir(dir)
	if out, err := cmd.CombinedOutput(); err != nil || line == "" {
		t.Fatalf("%q: %v\n%s", line, err, out)
	}
	return filepath.Join(cmd.Dir, "seed.iso")
}

// vm is a virtual machine with cloud-init.
type vm struct {
	*lab.VM
	t *testing.T
}

// finished waits for the end of cloud-init, which is after multi-user.target, and checks that it is content and has run us so often.
func (v vm) finished(times int) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 20*time.Minute)
	defer cancel()
	begin := time.Now()
	out, errs, exit := v.Run(ctx, "cloud-init", "status", "--long", "--wait")
	v.t.Logf("multi-user.target after %v, the end of cloud-init %v later", v.BootTime.Round(time.Second), time.Since(begin).Round(time.Second))
	log := v.MustRun(v.t, "cat", "/var/log/cloud-init-output.log")
	if exit != 0 || !strings.Contains(out, "status: done") || !strings.Contains(out, "DataSourceNoCloud [seed=/dev/vdb]") {
		v.t.Errorf("cloud-init: status %d\n%s%s%s", exit, out, errs, log)
	}
	if n := strings.Count(log, applied); n != times {
		v.t.Errorf("it ran %d times in all, not %d\n%s", n, times, log)
	}
}

// right checks that the second NIC wins in both families.
func (v vm) right() {
	v.t.Helper()
	want := fmt.Sprintf("%s 10, %s 1000", lab.VMNICs[1].Name, lab.VMNICs[0].Name)
	for _, family := range []int{4, 6} {
		lab.Await(v.t, 2*time.Minute, func() error {
			var all []string
			for _, r := range v.Defaults(v.t, family) {
				all = append(all, fmt.Sprintf("%s %d", r.Dev, r.Metric))
			}
			if got := strings.Join(all, ", "); got != want {
				return fmt.Errorf("IPv%d: %s, not %s", family, got, want)
			}
			return nil
		})
	}
	v.MustRun(v.t, "provision", "verify")
	v.MustRun(v.t, "provision", "plan", "--exit-code")
}

// etc is /etc without what each boot writes.
func (v vm) etc() lab.Tree {
	v.t.Helper()
	return v.TreeDigest(v.t, "/etc").Without("/etc/resolv.conf", "/etc/machine-id", "/etc/.pwd.lock")
}

// The same as TestCloudInit on a whole machine: Debian's kernel and udev, NICs that udev names, the seed on a disk of its own,
// which is found by its label. There the package is upgraded then, and purged.
func TestCloudInitVM(t *testing.T) {
	if !full {
		t.Skip("skipped: emulated machines boot three times each for it; PROVISION_LAB_FULL=1 (make test-all) runs it")
	}
	lab.Need(t, lab.Packages)
	lab.Need(t, lab.Tier3)
	files := lab.Overlay{}
	for path, f := range settings {
		files[path] = f
	}
	for path, get := range map[string]func() (string, error){"/opt/old.deb": deb, "/opt/next.deb": laterDeb} {
		b, err := os.ReadFile(must(t, get))
		if err != nil {
			t.Fatal(err)
		}
		files[path] = lab.File{Content: string(b)}
	}
	for _, release := range releases {
		t.Run(release, func(t *testing.T) { wholeMachine(t, release, files) })
	}
}

func wholeMachine(t *testing.T, release string, files lab.Overlay) {
	dir := filepath.Join(t.TempDir(), "seed")
	seedInto(t, dir, "--file", "/opt/old.deb", "--time-limit", "9m", "--config", file(t, "provision.yaml", vmConfig))
	v := vm{lab.BootVM(t, root(t, release), lab.VMOpts{Config: lab.NoConfig, Overlay: files, Drives: []string{seedDisk(t, dir)}, Timeout: 20 * time.Minute}), t}
	v.finished(1)
	v.right()
	before := v.etc()

	v.Reboot(t)
	v.finished(1)
	v.right()
	if diff := before.Diff(v.etc()); len(diff) > 0 {
		t.Errorf("the second boot has changed:\n%s", strings.Join(diff, "\n"))
	}

	meta := filepath.Join(dir, "meta-data")
	if err := os.WriteFile(meta, []byte("instance-id: another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seedDisk(t, dir)
	v.Reboot(t)
	v.finished(2)
	v.right()

	v.MustRun(t, "dpkg", "--force-confdef", "-i", "/opt/next.deb")
	if out := v.MustRun(t, "provision", "version"); !strings.Contains(out, "v1.1.0") {
		t.Errorf("not upgraded: %s", out)
	}
	if text, err := v.ReadFile("/etc/provision/provision.yaml"); err != nil || text != vmConfig {
		t.Errorf("the configuration of the user-data is gone (%v):\n%s", err, text)
	}
	v.right()

	v.MustRun(t, "dpkg", "-P", "provision")
	// These are systemd's own, and cloud-init's folder of an instance, which is called what the seed calls it.
	if left := v.MustRun(t, "find", "/", "-xdev", "-iname", "*provision*", "!", "-path", "/usr/lib/tmpfiles.d/provision.conf", "!", "-path", "/var/lib/cloud/instances/provision-*"); left != "" {
		t.Errorf("a purge leaves:\n%s", left)
	}
	v.AwaitDefaults(t, 5*time.Minute, lab.VMNICs[0].Name, lab.VMNICs[1].Name)
	for _, family := range []int{4, 6} {
		for _, r := range v.Defaults(t, family) {
			if r.Metric == 10 || r.Metric == 1000 {
				t.Errorf("purged, there still is %s", r)
			}
		}
	}
}
