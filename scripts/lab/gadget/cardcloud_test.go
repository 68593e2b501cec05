//go:build lab && linux

package gadget

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// TestCardCloudInit has the real cloud-init read what is prepared for a release with it: the first boot sets the system up, without a
// reboot, and the second one changes nothing.
func TestCardCloudInit(t *testing.T) {
	lab.Need(t, lab.Gadget)
	lab.Need(t, lab.Tier2)
	t.Parallel()
	releases := []string{"trixie"} // cloud-init 25.1; Raspberry Pi OS has it since trixie
	if os.Getenv("PROVISION_LAB_FULL") != "" {
		releases = append(releases, "bookworm") // 22.4
	}
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			cardCloudInit(t, release)
		})
	}
}

func cardCloudInit(t *testing.T, release string) {
	bin := copied(t, program(t))
	dir := filepath.Dir(mine(t, "config.txt", []byte("auto_initramfs=1\n")))
	for name, text := range map[string]string{"cmdline.txt": cardLine, "meta-data": "instance-id: rpi\n", "user-data": "#cloud-config\n# hostname: x\n", "network-config": "# none\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, name), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 100)
	copy(head, "\x7fELF\x01\x01\x01")
	binary.LittleEndian.PutUint16(head[18:], 40)
	code, said := as(t, bin, "card", "prepare", dir, "--program", mine(t, "provision-linux-armv6", head), "--no-gadget", "--hostname", "zero", "--user", "me", "--password-file", mine(t, "password", []byte("odd \"pa$$ `word\\\n")),
		"--ssh-key", mine(t, "key.pub", []byte(cardKey)), "--wifi", "My Home", "--wifi-passphrase-file", mine(t, "passphrase", []byte("hunter2hunter2\n")), "--country", "DE")
	if code != 0 {
		t.Fatalf("status %d\n%s", code, said)
	}
	const boot = "/boot/firmware/"
	overlay := lab.Overlay{
		// Where a container's cloud-init looks; on a Pi its settings name the boot partition.
		"/var/lib/cloud/seed/nocloud":       {Link: "/boot/firmware"},
		"/etc/cloud/cloud.cfg.d/90-lab.cfg": {Content: "locale: false\ndatasource_list: [NoCloud, None]\n"},
		// The only network that is configured is a Wi-Fi that is not here.
		"/etc/systemd/system/systemd-networkd-wait-online.service": {Link: "/dev/null"},
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if rel == "provision" {
			path = bin // the machine of the lab is no Pi
		}
		text, err := os.ReadFile(path)
		overlay[boot+rel] = lab.File{Content: string(text), Mode: 0o755}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.TrimPrefix(strings.TrimSpace(overlay[boot+"provision-first-boot.d/account"].Content), "me:")
	if len(hash) < 90 {
		t.Fatalf("no hash: %q", hash)
	}
	m := lab.Boot(t, lab.Root(t, release+"-netplan+cloud-init+openssh-server"), lab.NewWorld(t, lab.WorldOpts{}),
		lab.BootOpts{Config: lab.NoConfig, Overlay: overlay, Udevadm: true, Timeout: 4 * time.Minute})
	t.Logf("the first boot took %v", m.BootTime)
	done := func() {
		t.Helper()
		out, msg, _ := m.Run(t.Context(), "timeout", "120", "cloud-init", "status", "--wait", "--long")
		if !strings.Contains(out, "status: done") {
			log, _ := m.ReadFile("/var/log/cloud-init-output.log")
			t.Errorf("cloud-init: %s%s\n%s", out, msg, log)
		}
	}
	done()
	if out, msg, _ := m.Run(t.Context(), "cloud-init", "schema", "--config-file", boot+"user-data"); !strings.Contains(out, "Valid") {
		t.Errorf("cloud-init does not like user-data: %s%s", out, msg)
	}
	log, err := m.ReadFile(boot + "provision-first-boot.log")
	if err != nil || !strings.HasSuffix(log, "Z done\n") || strings.Contains(log, "failed: ") || strings.Contains(log, "cannot ") {
		t.Errorf("the first boot's log: %v\n%s", err, log)
	}
	look := func() {
		t.Helper()
		for command, want := range map[string]string{
			"hostname; grep -c '127.0.1.1.*zero' /etc/hosts":                             "zero\n1\n",
			"grep ^me: /etc/shadow | cut -d: -f2":                                        hash + "\n",
			"id -nG me | tr ' ' '\\n' | grep sudo":                                       "sudo\n",
			"stat -c '%U %a' /home/me/.ssh/authorized_keys; cat ~me/.ssh/auth*":          "me 600\n" + cardKey,
			"stat -c %a /etc/netplan/50-cloud-init.yaml":                                 "600\n",
			"grep -c -e 'My Home' -e password: /etc/netplan/50-cloud-init.yaml":          "2\n",
			"systemctl is-enabled ssh provision-recover":                                 "enabled\nenabled\n",
			"systemctl is-active ssh":                                                    "active\n",
			"provision version >/dev/null && stat -c %a /usr/local/bin/provision":        "755\n",
			"ls /boot/firmware | tr '\\n' ' '":                                           "cmdline.txt config.txt meta-data provision provision-first-boot.log provision-undo.json user-data ",
			"grep -l hunter2 -r /boot/firmware /etc; grep -r -l -F '" + hash + "' /boot": "",
		} {
			out, msg, _ := m.Run(t.Context(), "sh", "-c", command)
			if out != want {
				t.Errorf("%s: %q%s, want %q", command, out, msg, want)
			}
		}
	}
	look()
	before := m.TreeDigest(t, "/boot/firmware")
	m.Reboot(t)
	done()
	look()
	after := m.TreeDigest(t, "/boot/firmware")
	for name, f := range before {
		if after[name] != f {
			t.Errorf("the second boot has changed %s", name)
		}
	}
}
