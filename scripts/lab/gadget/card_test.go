//go:build lab && linux

package gadget

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/scripts/lab"
)

// nobody is an account that may nothing but write its own files.
const nobody = 65534

const cardLine = "console=serial0,115200 console=tty1 root=PARTUUID=deadbeef-02 rootfstype=ext4 fsck.repair=yes rootwait\n"

const cardKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5vGmXhJ7KqkH1b4K3n3z8rWvT2lG6xqk1Q0F5pWn9c me@laptop\n"

func sh(t *testing.T, in, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(in)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// card is an image with the layout of Raspberry Pi OS: FAT32 from 4 MiB on, and ext4 behind it, from a directory or empty.
type card struct {
	dir, image string
	boot       int64 // MiB of the first partition
}

func newCard(t *testing.T, size, boot int64, root string, files map[string]string) card {
	t.Helper()
	c := card{t.TempDir(), "", boot}
	c.image = filepath.Join(c.dir, "sd.img")
	fat, ext4 := filepath.Join(c.dir, "fat"), filepath.Join(c.dir, "ext4")
	sh(t, "", "truncate", "-s", fmt.Sprintf("%dM", size), c.image)
	sh(t, fmt.Sprintf("label: dos\nlabel-id: 0xdeadbeef\nstart=8192,size=%dM,type=c\nstart=%d,type=83\n", boot, 8192+boot<<11), "sfdisk", "-q", c.image)
	sh(t, "", "truncate", "-s", fmt.Sprintf("%dM", boot), fat)
	sh(t, "", "mkfs.vfat", "-F", "32", "-n", "BOOTFS", fat)
	for name, text := range files {
		sh(t, text, "mcopy", "-i", fat, "-", "::"+name)
	}
	sh(t, "", "dd", "if="+fat, "of="+c.image, "bs=1M", "seek=4", "conv=notrunc,sparse", "status=none")
	if root != "" {
		sh(t, "", "truncate", "-s", fmt.Sprintf("%dM", size-boot-4), ext4)
		sh(t, "", "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, ext4)
		sh(t, "", "dd", "if="+ext4, "of="+c.image, "bs=1M", fmt.Sprint("seek=", 4+boot), "conv=notrunc,sparse", "status=none")
	}
	if err := errors.Join(os.Remove(fat), os.Chown(c.image, nobody, nobody), os.Chown(c.dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(ext4)
	return c
}

// partition takes one out, for the judges.
func (c card) partition(t *testing.T, skip, count int64) string {
	t.Helper()
	name := filepath.Join(c.dir, fmt.Sprint("part", skip))
	args := []string{"if=" + c.image, "of=" + name, "bs=1M", fmt.Sprint("skip=", skip), "conv=sparse", "status=none"}
	if count > 0 {
		args = append(args, fmt.Sprint("count=", count))
	}
	sh(t, "", "dd", args...)
	return name
}

// files are those of the boot partition, as mtools read them, and fsck.vfat has nothing to say.
func (c card) files(t *testing.T) map[string]string {
	t.Helper()
	sh(t, "", "fsck.vfat", "-n", c.partition(t, 4, c.boot))
	to := filepath.Join(c.dir, "files")
	if err := errors.Join(os.RemoveAll(to), os.Mkdir(to, 0o755)); err != nil {
		t.Fatal(err)
	}
	sh(t, "", "mcopy", "-s", "-n", "-i", c.image+"@@4M", "::", to)
	out := map[string]string{}
	err := filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(to, path)
		out[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// as runs the program as an ordinary account, without any right to mount or to open devices.
func as(t *testing.T, program string, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// mine puts a file where the ordinary account can read it.
func mine(t *testing.T, name string, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	name = filepath.Join(dir, name)
	if err := errors.Join(os.WriteFile(name, data, 0o755), os.Chown(name, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func copied(t *testing.T, from string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	return mine(t, filepath.Base(from), data)
}

// TestCard prepares an image of 2 GB from an ordinary account and takes it back; mtools and fsck.vfat look at each state.
func TestCard(t *testing.T) {
	lab.Need(t, lab.Gadget)
	t.Parallel()
	bin := copied(t, program(t))
	head := make([]byte, 18<<20) // a static program of ARM, as large as ours, that nobody starts here
	copy(head, "\x7fELF\x01\x01\x01")
	binary.LittleEndian.PutUint16(head[18:], 40)
	arm := mine(t, "provision-linux-armv6", head)
	// Some contents that must not be touched, names with all that FAT has included.
	before := map[string]string{"config.txt": "# comment\r\n[cm4]\r\notg_mode=1\r\n[all]\r\nauto_initramfs=1\r\n", "cmdline.txt": cardLine, "kernel.img": strings.Repeat("k", 5<<20), "LICENCE.broadcom": "x", "a long name with blanks.text": "x", "empty": ""}
	c := newCard(t, 2048, 64, "", before)
	if have := c.files(t); !maps.Equal(have, before) {
		t.Fatal("the image is not what it should be")
	}
	password, passphrase := mine(t, "password", []byte("odd \"pa$$ `word\\\n")), mine(t, "passphrase", []byte("hunter2hunter2\n"))
	args := []string{"card", "prepare", c.image, "--program", arm, "--hostname", "zero", "--user", "me", "--password-file", password, "--wifi", "My Home", "--wifi-passphrase-file", passphrase, "--country", "DE"}
	begin := time.Now()
	code, out := as(t, bin, args...)
	took := time.Since(begin)
	if code != 0 {
		t.Fatalf("status %d\n%s", code, out)
	}
	t.Logf("prepared in %s", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("it took %s, which is over 5 s", took)
	}
	now := c.files(t)
	if now["provision"] != string(head) || len(now) < len(before)+8 || !strings.Contains(now["config.txt"], "[all]\r\ndtoverlay=dwc2,dr_mode=peripheral\r\n") {
		t.Errorf("%d files on the card\n%s", len(now), now["config.txt"])
	}
	sum := sh(t, "", "sha256sum", c.partition(t, 0, 4+c.boot))
	if code, out := as(t, bin, args...); code != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("again: status %d\n%s", code, out)
	}
	if sh(t, "", "sha256sum", c.partition(t, 0, 4+c.boot)) != sum {
		t.Error("the second preparation has changed the image")
	}
	if code, out := as(t, bin, "card", "doctor", c.image); code != 0 {
		t.Errorf("doctor: status %d\n%s", code, out)
	}
	// Other secrets, and then none: what the card had before is nowhere in its bytes.
	old := secretsOf(t, now)
	inBytes := func(secrets []string) (found []string) {
		image := readAll(t, c.image)
		for _, s := range secrets {
			if bytes.Contains(image, []byte(s)) {
				found = append(found, s)
			}
		}
		return found
	}
	if found := inBytes(old); len(found) != 2 {
		t.Errorf("of the secrets %q the card has %q", old, found)
	}
	password, passphrase = mine(t, "password", []byte("another\n")), mine(t, "passphrase", []byte("hunter3hunter3\n"))
	if code, out := as(t, bin, "card", "prepare", c.image, "--program", arm, "--hostname", "zero", "--user", "me", "--password-file", password, "--wifi", "My Home", "--wifi-passphrase-file", passphrase, "--country", "DE"); code != 0 {
		t.Errorf("other secrets: status %d\n%s", code, out)
	}
	next := secretsOf(t, c.files(t))
	if found := inBytes(old); len(found) > 0 || len(inBytes(next)) != 2 {
		t.Errorf("other secrets: of the old ones %q are left", found)
	}
	if code, out := as(t, bin, "card", "undo", c.image); code != 0 {
		t.Errorf("undo: status %d\n%s", code, out)
	}
	if found := inBytes(append(old, next...)); len(found) > 0 {
		t.Errorf("after going back the card still has %q", found)
	}
	if have := c.files(t); !maps.Equal(have, before) {
		t.Error("after going back the files are not what they were")
	}
	// A full card, and one that may only be read.
	small := newCard(t, 64, 40, "", map[string]string{"config.txt": "", "cmdline.txt": cardLine, "kernel.img": strings.Repeat("k", 25<<20)})
	sum = sh(t, "", "sha256sum", small.image)
	if code, out := as(t, bin, "card", "prepare", small.image, "--program", arm); code != 1 || !strings.Contains(out, "does not fit") || sh(t, "", "sha256sum", small.image) != sum {
		t.Errorf("full: status %d\n%s", code, out)
	}
	if err := os.Chown(small.image, 0, 0); err != nil {
		t.Fatal(err)
	}
	if code, out := as(t, bin, "card", "prepare", small.image, "--program", arm); code != 1 || !strings.Contains(out, "write-protected") {
		t.Errorf("read only: status %d\n%s", code, out)
	}
}

// secretsOf are the hash of the password and the key of the Wi-Fi on a card.
func secretsOf(t *testing.T, files map[string]string) []string {
	t.Helper()
	var out []string
	for name, text := range files {
		for line := range strings.Lines(text) {
			if _, hash, ok := strings.Cut(line, "me:$6$"); ok && strings.HasSuffix(name, "/account") {
				out = append(out, "$6$"+strings.TrimSpace(hash))
			}
			if key, ok := strings.CutPrefix(line, "psk="); ok && strings.HasSuffix(name, ".nmconnection") {
				out = append(out, strings.TrimSpace(key))
			}
		}
	}
	if len(out) != 2 || len(out[0]) < 64 || len(out[1]) < 64 {
		t.Fatalf("the secrets of the card are %q", out)
	}
	return out
}

// readAll reads what an image has in front of the root file system's partition and beyond, holes as nothing.
func readAll(t *testing.T, image string) []byte {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []byte
	for at := int64(0); ; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if at, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		part := make([]byte, at-from)
		if _, err := f.ReadAt(part, from); err != nil {
			t.Fatal(err)
		}
		out = append(out, part...)
	}
}

// cardReport says how the system is, and ends the guest.
const cardReport = `#!/bin/sh
n=0
until [ "$(cat /sys/class/udc/*/state 2>/dev/null)" = configured ] && systemctl -q is-active provision-serve; do n=$((n + 1)); [ $n -lt 120 ] || break; sleep 1; done
{
echo "lab: host $(cat /proc/sys/kernel/hostname), $(grep 127.0.1.1 /etc/hosts | tr '\t' ' ')"
echo "lab: gadget $(systemctl is-active provision-gadget) $(cat /sys/class/udc/*/function) $(cat /sys/class/udc/*/state)"
echo "lab: serve $(systemctl is-active provision-serve)"
echo "lab: ssh $(systemctl is-enabled ssh)"
echo "lab: shadow $(grep ^me: /etc/shadow)"
echo "lab: keys $(stat -c '%U %a' /home/me/.ssh /home/me/.ssh/authorized_keys | tr '\n' ' ')"
echo "lab: wifi $(stat -c '%U %a' /etc/NetworkManager/system-connections/*)"
echo "lab: config $(stat -c '%U %a' /etc/provision/provision.yaml)"
echo "lab: left $(ls /etc/provision | tr '\n' ' ')"
echo "lab: end"
} | sed 's/$/\r/' > /dev/ttyAMA0
sync; systemctl reboot
`

const cardReportUnit = `[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/usr/local/bin/lab-report
`

// boot starts the card as the firmware does: kernel and command line are those of the card. It ends when the system reboots.
func (c card) start(t *testing.T, zero string, limit time.Duration) (said string, took time.Duration) {
	t.Helper()
	line := strings.TrimSpace(sh(t, "", "mtype", "-i", c.image+"@@4M", "::cmdline.txt"))
	line = strings.NewReplacer("serial0", "ttyAMA0", "console=tty1 ", "").Replace(line)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-arm", "-M", "raspi0", "-accel", "tcg", "-icount", "shift=2,sleep=off", "-kernel", zero+"/vmlinuz", "-dtb", zero+"/dtb", "-initrd", zero+"/initrd",
		"-drive", "if=sd,format=raw,file="+c.image, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-append", line+" panic=-1 quiet initcall_blacklist=bcm2835_power_driver_init")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("the board did not end within %s:\n%s", limit, last(string(out), 40))
	}
	if err != nil {
		t.Fatalf("qemu: %v\n%s", err, last(string(out), 40))
	}
	return string(out), time.Since(begin)
}

// TestCardBoots has a prepared card boot: the first boot sets it up and reboots, after the second the gadget is up on the kernel's own USB
// host, the boot partition is as the first one left it, and so is the root file system but for what a gadget brings that comes up for the
// first time; the third changes nothing but what each boot does.
func TestCardBoots(t *testing.T) {
	lab.Need(t, lab.Gadget)
	lab.Need(t, lab.Raspi0)
	if os.Getenv("PROVISION_LAB_FULL") == "" {
		t.Skip("three boots of systemd on the Pi Zero's one slow processor, over a minute each: PROVISION_LAB_FULL=1 runs it")
	}
	t.Parallel()
	arm := os.Getenv("PROVISION_BINARY_ARMV6")
	if arm == "" {
		arm = filepath.Join(t.TempDir(), "provision-linux-armv6")
		if err := lab.BuildProgram(arm, "GOOS=linux", "GOARCH=arm", "GOARM=6"); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(filepath.Join(scripts(), "zeroroot")).Output()
	if err != nil {
		t.Fatalf("cannot get the Pi Zero's root: %v", err)
	}
	zero := strings.TrimSpace(string(out))
	system := t.TempDir()
	sh(t, "", "tar", "-C", system, "-xf", zero+"/root.tar")
	for name, text := range map[string]string{"usr/local/bin/lab-report": cardReport, "etc/systemd/system/lab.service": cardReportUnit,
		// QEMU's board resets when the watchdog that is to guard the shutdown is started, not when it bites: nothing would be unmounted.
		"etc/systemd/system.conf.d/lab.conf": "[Manager]\nRebootWatchdogSec=0\n"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(system, name)), 0o755), os.WriteFile(filepath.Join(system, name), []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/systemd/system/lab.service", filepath.Join(system, "etc/systemd/system/multi-user.target.wants/lab.service")); err != nil {
		t.Fatal(err)
	}
	c := newCard(t, 512, 128, system, map[string]string{"config.txt": "auto_initramfs=1\n", "cmdline.txt": cardLine})
	code, said := as(t, copied(t, program(t)), "card", "prepare", c.image, "--program", copied(t, arm), "--hostname", "zero", "--user", "me", "--password-file", mine(t, "password", []byte("odd \"pa$$ `word\\\n")),
		"--ssh-key", mine(t, "key.pub", []byte(cardKey)), "--wifi", "My Home", "--wifi-passphrase-file", mine(t, "passphrase", []byte("hunter2hunter2\n")), "--country", "DE", "--old-names")
	if code != 0 {
		t.Fatalf("status %d\n%s", code, said)
	}
	prepared := c.files(t)
	hash := strings.TrimPrefix(strings.TrimSpace(prepared["provision-first-boot.d/account"]), "me:")
	_, psk, _ := strings.Cut(prepared["provision-first-boot.d/provision-wifi-My_Home.f36672c0.nmconnection"], "\npsk=")
	if psk, _, _ = strings.Cut(psk, "\n"); len(psk) != 64 || len(hash) < 90 {
		t.Fatalf("psk %q, hash %q", psk, hash)
	}
	said, took := c.start(t, zero, 30*time.Minute)
	after := c.files(t)
	log := after["provision-first-boot.log"]
	t.Logf("the first boot took %.0f s\n%s\n%s", took.Seconds(), last(said, 10), log)
	if !strings.HasSuffix(log, "Z done\n") || strings.Contains(log, "failed: ") || strings.Contains(log, "cannot ") {
		t.Error("the first boot's log has errors, or does not end")
	}
	if want := strings.TrimSpace(cardLine) + " cfg80211.ieee80211_regdom=DE net.ifnames=0\n"; after["cmdline.txt"] != want {
		t.Errorf("cmdline.txt: %q", after["cmdline.txt"])
	}
	for name := range after {
		if strings.HasPrefix(name, "provision-first-boot.") && name != "provision-first-boot.log" {
			t.Errorf("%s is still on the card", name)
		}
	}
	if raw, err := os.ReadFile(c.partition(t, 4, c.boot)); err != nil || bytes.Contains(raw, []byte(hash)) || bytes.Contains(raw, []byte(psk)) {
		t.Errorf("a secret can still be read on the boot partition: %v", err)
	}
	root := c.root(t)
	said, took = c.start(t, zero, 30*time.Minute)
	t.Logf("the second boot took %.0f s\n%s", took.Seconds(), last(said, 20))
	for _, want := range []string{"host zero, 127.0.1.1 zero", "gadget active provision configured", "serve active", "ssh enabled", "shadow me:" + hash + ":", "keys me 700 me 600", "wifi root 600", "config root 600", "left provision.yaml", "end"} {
		if !strings.Contains(said, "lab: "+want) {
			t.Errorf("the second boot does not say %q", want)
		}
	}
	second := c.root(t)
	for _, l := range changed(root, second, together(everyBoot, gadgetFirst)) {
		t.Errorf("the second boot has changed %s", l)
	}
	_, took = c.start(t, zero, 30*time.Minute)
	t.Logf("the third boot took %.0f s", took.Seconds())
	for _, l := range changed(second, c.root(t), everyBoot) {
		t.Errorf("the third boot has changed %s", l)
	}
	if again := c.files(t); !maps.Equal(again, after) {
		t.Error("the second boot or the third has changed the boot partition")
	}
	sh(t, "", "e2fsck", "-f", "-n", c.partition(t, 4+c.boot, 0))
	// Going back leaves what was there, and the log.
	if code, said := as(t, copied(t, program(t)), "card", "undo", c.image); code != 0 {
		t.Errorf("undo: status %d\n%s", code, said)
	}
	have := c.files(t)
	delete(have, "provision-first-boot.log")
	if want := map[string]string{"config.txt": "auto_initramfs=1\n", "cmdline.txt": cardLine}; !maps.Equal(have, want) {
		t.Errorf("after going back: %q", have)
	}
}
