package lab

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// VMOpts says what a virtual machine has.
type VMOpts struct {
	Config  Config        // ready network configuration for both NICs, default BothNICs
	Overlay Overlay       // more files, they win over Config's
	Binary  string        // a host file that becomes /usr/local/bin/provision
	Memory  string        // default "1G"
	Timeout time.Duration // of one boot, default 3 min: an emulated one takes 10 to 20 s on an idle host
}

// VMNICs are the NICs of every virtual machine, with the names that VirtualBox's have: QEMU's user networks, which lead nowhere
// outside. The provider has .2, the name server .3; the guest is leased .15; in IPv6 the provider advertises itself as ::2.
var VMNICs = [2]NICOpts{
	{Name: "enp0s3", MAC: "08:00:27:00:76:03", Net4: "10.0.2.0/24", Net6: "2001:db8::/64"},
	{Name: "enp0s8", MAC: "08:00:27:00:76:08", Net4: "192.168.76.0/24", Net6: "2001:db8:1::/64"},
}

// VM is a root that runs in QEMU, with Debian's kernel, udev and its own disk. The CPU is emulated: it is 10 to 20 times slower
// than a Machine, and needs no support by the host.
type VM struct {
	// BootTime is how long the last boot took.
	BootTime time.Duration

	t     testing.TB
	opts  VMOpts
	share string
	qemu  *proc
	out   *os.File
	line  net.Conn // the agent's serial line
	hmp   net.Conn // QEMU's monitor
	up    chan struct{}

	mu   sync.Mutex
	next int
	wait map[string]chan struct{}
}

// BootVM boots the root in a virtual machine and returns when multi-user.target is up. What it writes is lost when the test ends.
func BootVM(t testing.TB, root string, o VMOpts) *VM {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Minute
	}
	if o.Memory == "" {
		o.Memory = "1G"
	}
	v := &VM{t: t, opts: o, share: t.TempDir(), up: make(chan struct{}, 8), wait: map[string]chan struct{}{}}
	t.Cleanup(v.close)
	if err := v.start(root); err != nil {
		t.Fatalf("lab: cannot start a virtual machine: %v", err)
	}
	v.awaitUp(t)
	return v
}

func (v *VM) start(root string) error {
	image, err := script("rootfs", "--image", RootName(root))
	if err != nil {
		return err
	}
	initramfs, err := script("initramfs")
	if err != nil {
		return err
	}
	if err := v.fillShare(root); err != nil {
		return err
	}
	args := []string{"qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", v.opts.Memory,
		"-nodefaults", "-no-user-config", "-display", "none",
		"-kernel", filepath.Join(filepath.Dir(initramfs), "vmlinux"), "-initrd", initramfs,
		// The other way of a reset is slower, and a panic must not stand still.
		"-append", "console=ttyS0 reboot=t panic=-1 mitigations=off no_timer_check quiet systemd.unit=lab.target systemd.mask=serial-getty@ttyS0.service",
		"-serial", "file:" + v.file("console"), "-serial", "unix:" + v.file("agent.sock") + ",server=on,wait=off",
		"-monitor", "unix:" + v.file("hmp.sock") + ",server=on,wait=off",
		"-drive", "file=" + image + ",if=virtio,format=raw,snapshot=on", "-device", "virtio-rng-pci",
		"-virtfs", "local,path=" + v.share + ",mount_tag=lab,security_model=none,multidevs=remap"}
	for i, n := range VMNICs {
		slot, _ := strings.CutPrefix(n.Name, "enp0s")
		args = append(args, "-netdev", fmt.Sprintf("user,id=n%d,net=%s,ipv6-net=%s", i, n.Net4, n.Net6),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=n%d,romfile=,addr=%s,mac=%s", i, slot, n.MAC))
	}
	if v.out, err = os.Create(v.file("qemu")); err != nil {
		return err
	}
	attr := dieWithParent()
	attr.Cloneflags = syscall.CLONE_NEWNET // user networking then reaches the guest and nothing else
	if v.qemu, err = start(v.out, attr, nil, args...); err != nil {
		return err
	}
	if v.line, err = v.dial("agent.sock"); err != nil {
		return err
	}
	if v.hmp, err = v.dial("hmp.sock"); err != nil {
		return err
	}
	go v.listen()
	return nil
}

func (v *VM) file(name string) string { return filepath.Join(v.share, name) }

func (v *VM) dial(name string) (net.Conn, error) {
	for end := time.Now().Add(runLimit); ; {
		c, err := net.Dial("unix", v.file(name))
		if err == nil {
			return c, nil
		}
		select {
		case <-v.qemu.done:
			said, _ := os.ReadFile(v.file("qemu"))
			return nil, fmt.Errorf("qemu ended: %w: %s", v.qemu.err, said)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			return nil, err
		}
	}
}

// fillShare puts the agent and the files for the disk into the share.
func (v *VM) fillShare(root string) error {
	dir, err := scriptDir()
	if err != nil {
		return err
	}
	if err := copyFile(filepath.Join(dir, "agent"), v.file("agent")); err != nil {
		return err
	}
	files, err := configFiles(root, v.opts.Config, VMNICs[:])
	if err != nil {
		return err
	}
	all := Overlay{}
	for _, o := range []Overlay{files, v.opts.Overlay} {
		for p, f := range o {
			all[p] = f
		}
	}
	if v.opts.Binary != "" {
		b, err := os.ReadFile(v.opts.Binary)
		if err != nil {
			return err
		}
		all["/usr/local/bin/provision"] = File{Content: string(b), Mode: 0o755}
	}
	out, err := os.Create(v.file("overlay.tar"))
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	for p, f := range all {
		if f.Mode == 0 {
			f.Mode = 0o644
		}
		h := &tar.Header{Name: strings.TrimPrefix(p, "/"), Mode: int64(f.Mode.Perm()), Size: int64(len(f.Content)), Typeflag: tar.TypeReg, ModTime: time.Now()}
		if f.Link != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.Link, 0
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f.Content)); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Close(), out.Close())
}

// listen reads what the agent says.
func (v *VM) listen() {
	lines := bufio.NewScanner(v.line)
	for lines.Scan() {
		word := strings.Fields(lines.Text())
		switch {
		case len(word) == 1 && word[0] == "up":
			v.up <- struct{}{}
		case len(word) == 2 && word[0] == "done":
			v.mu.Lock()
			if c := v.wait[word[1]]; c != nil {
				close(c)
				delete(v.wait, word[1])
			}
			v.mu.Unlock()
		}
	}
}

func (v *VM) awaitUp(t testing.TB) {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-v.up:
			v.BootTime = time.Since(begin)
			return
		case <-v.qemu.done:
			t.Fatalf("lab: the virtual machine ended: %v\n%s", v.qemu.err, tail(v.Console(), 40))
		case <-tick.C:
			if text := v.Console(); strings.Contains(text, "Kernel panic") || strings.Contains(text, "lab: no ") {
				t.Fatalf("lab: the virtual machine cannot boot\n%s", tail(text, 60))
			}
			if time.Since(begin) > v.opts.Timeout {
				t.Fatalf("lab: the virtual machine does not come up within %v\n%s", v.opts.Timeout, tail(v.Console(), 40))
			}
		}
	}
}

// Run runs a program in the virtual machine. If ctx ends first, exit is -1; the program is not killed.
func (v *VM) Run(ctx context.Context, name string, args ...string) (stdout, stderr string, exit int) {
	id, done, err := v.send(name, args)
	if err != nil {
		return "", err.Error(), -1
	}
	select {
	case <-done:
	case <-v.qemu.done:
		return "", "the virtual machine has ended", -1
	case <-ctx.Done():
		return v.read(id + ".out"), v.read(id+".err") + ctx.Err().Error(), -1
	}
	exit, err = strconv.Atoi(strings.TrimSpace(v.read(id + ".rc")))
	if err != nil {
		return v.read(id + ".out"), v.read(id+".err") + "no exit status: " + err.Error(), -1
	}
	return v.read(id + ".out"), v.read(id + ".err"), exit
}

// send hands a command to the agent.
func (v *VM) send(name string, args []string) (string, chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next++
	id, done := "c"+strconv.Itoa(v.next), make(chan struct{})
	words := []string{"exec"}
	for _, a := range append([]string{name}, args...) {
		words = append(words, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	if err := os.WriteFile(v.file(id+".cmd"), []byte(strings.Join(words, " ")+"\n"), 0o600); err != nil {
		return "", nil, err
	}
	v.wait[id] = done
	_, err := fmt.Fprintln(v.line, id)
	return id, done, err
}

func (v *VM) read(name string) string {
	b, _ := os.ReadFile(v.file(name))
	return string(b)
}

// MustRun is Run for what has to succeed within two minutes; it returns standard output.
func (v *VM) MustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, msg, exit := v.Run(ctx, name, args...)
	if exit != 0 {
		t.Fatalf("%s %s: exit status %d\n%s%s", name, strings.Join(args, " "), exit, out, msg)
	}
	return out
}

// Reboot restarts the virtual machine in good order and returns when it is up again. Its disk stays.
func (v *VM) Reboot(t testing.TB) {
	t.Helper()
	if _, _, err := v.send("systemctl", []string{"reboot"}); err != nil {
		t.Fatalf("lab: %v", err)
	}
	v.awaitUp(t)
}

// PowerCut resets the virtual machine at once: what it has not synced to its disk is lost. It returns when it is up again.
func (v *VM) PowerCut(t testing.TB) {
	t.Helper()
	v.HMP(t, "system_reset")
	v.awaitUp(t)
}

// HMP gives a command to QEMU's human monitor, for example "set_link n1 off" to pull the second NIC's cable, or device_add.
func (v *VM) HMP(t testing.TB, command string) {
	t.Helper()
	if _, err := fmt.Fprintln(v.hmp, command); err != nil {
		t.Fatalf("lab: qemu's monitor: %v", err)
	}
}

// Digest lists paths, types, owners, modes, link targets and contents below dir; two equal digests mean two equal trees.
func (v *VM) Digest(t testing.TB, dir string) string {
	t.Helper()
	return v.MustRun(t, "/bin/sh", "-c", `cd "$0" && find . -printf '%p %y %u:%g %m %l\n' | sort && find . -type f -print0 | sort -z | xargs -0r sha256sum`, dir)
}

// Console is what the kernel and systemd have printed.
func (v *VM) Console() string { return v.read("console") }

func (v *VM) close() {
	if v.qemu == nil {
		return
	}
	if v.t.Failed() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		out, _, _ := v.Run(ctx, "journalctl", "-b", "--no-pager", "-n", "100")
		v.t.Logf("console:\n%s\njournal:\n%s", tail(v.Console(), 30), out)
	}
	v.qemu.stop(syscall.SIGKILL)
	for _, c := range []net.Conn{v.line, v.hmp} {
		if c != nil {
			c.Close()
		}
	}
	v.out.Close()
}
