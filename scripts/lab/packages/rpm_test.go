//go:build lab && linux

package packages

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// chrooted runs a script of sh in a copy of a root that is thrown away, as the builder of an image does: without a running
// systemd, in namespaces of its own. Files are given in /tmp/in.
func chrooted(t *testing.T, root string, files map[string]string, script string) string {
	t.Helper()
	return inOverlay(t, root, files, `exec chroot "$R" sh -e -c "$SCRIPT"`, script)
}

func inOverlay(t *testing.T, root string, files map[string]string, run, script string) string {
	t.Helper()
	dir := t.TempDir()
	argv := []string{"-m", "-n", "-p", "-i", "-f", "--kill-child", "bash", "-c", `set -e
mount -t tmpfs -o mode=755 overlay "$1"; mkdir "$1/up" "$1/work" "$1/root"; R=$1/root
mount -t overlay -o "lowerdir=$2,upperdir=$1/up,workdir=$1/work" overlay "$R"
mount -t proc proc "$R/proc"; mount --bind /dev "$R/dev"; mount -t tmpfs tmpfs "$R/tmp"; mkdir "$R/tmp/in"
export SCRIPT=$3 R; shift 3
while [ $# -gt 0 ]; do cp "$2" "$R/tmp/in/$1"; shift 2; done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
` + run, "bash", dir, root, script}
	for name, path := range files {
		argv = append(argv, name, path)
	}
	out, err := exec.Command("unshare", argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// rpm installs, upgrades with an edited configuration kept, and removes; scripts run in the root.
func TestRPM(t *testing.T) {
	t.Parallel()
	old, next := one(t, packages(t, first), "*."+arch("rpm")+".rpm"), one(t, packages(t, later), "*."+arch("rpm")+".rpm")
	for line := range strings.Lines(output(t, "rpm", "-qp", "--requires", old)) {
		if line = strings.TrimSpace(line); line != "/bin/sh" && !strings.HasPrefix(line, "rpmlib(") && !strings.HasPrefix(line, "config(provision)") {
			t.Errorf("it needs %s", line)
		}
	}
	if got := output(t, "rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{SUMMARY}", old); got != "provision 1.0.0 1 "+arch("rpm")+" make a machine's network right and keep it right" {
		t.Errorf("it calls itself %s", got)
	}
	if got := strings.TrimSpace(output(t, "rpm", "-qpc", old)); got != "/etc/provision/provision.yaml" {
		t.Errorf("its configuration is %s", got)
	}
	listed := output(t, "sh", "-c", `rpm2cpio "$0" | cpio -t --quiet`, old)
	for _, name := range append(needed(), "usr/lib/systemd/system/provision.service", "usr/lib/systemd/system-preset/80-provision.preset") {
		if !strings.Contains(listed, "/"+name+"\n") {
			t.Errorf("it has no %s", name)
		}
	}
	// Debian's root knows /bin/sh as dpkg's, so rpm is told not to ask for it.
	out := inOverlay(t, lab.Root(t, "bookworm-base"), map[string]string{"old.rpm": old, "next.rpm": next}, `eval "$SCRIPT"`, `
rpm() { command rpm --root "$R" --dbpath /var/lib/rpm "$@"; }
rpm -i --nodeps "$R/tmp/in/old.rpm"
rpm -V --nodeps provision && echo VERIFIED
chroot "$R" systemctl is-enabled provision-early provision provision-serve | paste -sd' '
echo '# mine' >> "$R/etc/provision/provision.yaml"
rpm -U --nodeps "$R/tmp/in/next.rpm"
tail -1 "$R/etc/provision/provision.yaml"
tail -1 "$R/etc/provision/provision.yaml.rpmnew"
chroot "$R" provision version
rpm -e provision
cd "$R"; find . -xdev -iname '*provision*' ! -path './tmp/*' ! -path ./usr/lib/tmpfiles.d/provision.conf | sed 's/^/left: /' | sort
`)
	for _, want := range []string{"VERIFIED\n", "enabled enabled disabled\n", "# mine\n", newDefault, "v1.1.0"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	var left []string
	for line := range strings.Lines(out) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "left: "); ok {
			left = append(left, filepath.Clean(path))
		}
	}
	// What the user has written stays under rpm's name for it.
	if got := strings.Join(left, " "); got != "etc/provision etc/provision/provision.yaml.rpmnew etc/provision/provision.yaml.rpmsave" &&
		got != "etc/provision etc/provision/provision.yaml.rpmsave" {
		t.Errorf("left: %s\n%s", got, out)
	}
}
