package lab

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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
	Drives  []string      // host files that become more disks, read-only; the test may write them anew between two boots
	Timeout time.Duration // of one boot, default 3 min: an emulated one takes 10 to 20 s on an idle host
}

// VMNICs are the NICs of every virtual machine, with the names that VirtualBox's have: QEMU's user networks, which lead nowhere
// outside. The provider has .2, the name server .3; the guest is leased .15; in IPv6 the provider advertises itself as ::2.
var VMNICs = [2]NICOpts{
	{Name: "enp0s3", MAC: "08:00:27:00:76:03", Net4: "10.0.2.0/24", Net6: "2001:db8::/64"},
	{Name: "enp0s8", MAC: "08:00:27:00:76:08", Net4: "192.168.76.0/24", Net6: "2001:db8:1::/64"},
}

// spare is the id of the port that Plug uses.
const spare = "spare"

// CPU is the processor that is emulated: Debian's least and a source of random numbers. With "max" the kernel uses page tables of five
// levels, guards of user memory and large vector registers, which all are work for the emulator: a fifth more of its processor time.
const CPU = "qemu64,+rdrand"

// VM is a root that runs in QEMU, with Debian's kernel, udev and its own disk. The CPU is emulated: it is 10 to 20 times slower
// than a Machine, and needs no support by the host.
type VM struct {
	// BootTime is how long the last boot took.
	BootTime time.Duration

	t     testing.TB
	opts  VMOpts
	share string
	argv  []string
	qemu  *proc
	line  net.Conn      // the agent's serial line
	hmp   net.Conn      // QEMU's monitor
	up    chan struct{} // closed when the present boot is up

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
	v := &VM{t: t, opts: o, share: t.TempDir(), wait: map[string]chan struct{}{}}
	t.Cleanup(v.close)
	if err := v.prepare(root); err != nil {
		t.Fatalf("lab: cannot make a virtual machine: %v", err)
	}
	v.boot(t)
	return v
}

// prepare makes what stays the same over reboots: the disk, the share and QEMU's arguments.
func (v *VM) prepare(root string) error {
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
	if _, err := command(context.Background(), "cp", "--sparse=always", "--reflink=auto", image, v.file("disk")); err != nil {
		return err
	}
	// A journal, as installed systems have it: without one a power cut may leave directories that point to inodes never written.
	if _, err := command(context.Background(), "tune2fs", "-O", "has_journal", "-J", "size=8", v.file("disk")); err != nil {
		return err
	}
	v.argv = []string{"qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", CPU, "-smp", "2", "-m", v.opts.Memory,
		"-nodefaults", "-no-user-config", "-display", "none",
		"-kernel", filepath.Join(filepath.Dir(initramfs), "vmlinux"), "-initrd", initramfs,
		// A reset ends QEMU, because a second boot in the same one is four times slower than in a new one. A panic resets.
		"-no-reboot",
		"-append", "console=ttyS0 reboot=t panic=-1 mitigations=off no_timer_check quiet systemd.unit=lab.target systemd.mask=serial-getty@ttyS0.service",
		"-serial", "file:" + v.file("console"), "-serial", "unix:" + v.file("agent.sock") + ",server=on,wait=off",
		"-monitor", "unix:" + v.file("hmp.sock") + ",server=on,wait=off",
		"-drive", "file=" + v.file("disk") + ",if=virtio,format=raw,cache=unsafe", "-device", "virtio-rng-pci",
		"-virtfs", "local,path=" + v.share + ",mount_tag=lab,security_model=none,multidevs=remap",
		// PCI Express devices are plugged into ports, not into the root bus.
		"-device", "pcie-root-port,id=" + spare + ",chassis=1,slot=1,addr=0x10"}
	for _, d := range v.opts.Drives {
		v.argv = append(v.argv, "-drive", "file="+d+",if=virtio,format=raw,readonly=on")
	}
	for i, n := range VMNICs {
		slot, _ := strings.CutPrefix(n.Name, "enp0s")
		v.argv = append(v.argv, "-netdev", fmt.Sprintf("user,id=n%d,net=%s,ipv6-net=%s", i, n.Net4, n.Net6),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=n%d,romfile=,addr=%s,mac=%s", i, slot, n.MAC))
	}
	return nil
}

// boot starts QEMU and waits until multi-user.target is up.
func (v *VM) boot(t testing.TB) {
	t.Helper()
	if err := v.launch(); err != nil {
		t.Fatalf("lab: cannot start a virtual machine: %v", err)
	}
	begin := time.Now()
	select {
	case <-v.up:
		v.BootTime = time.Since(begin)
	case <-v.qemu.done:
		t.Fatalf("lab: the virtual machine ended: %v\n%s", v.qemu.err, tail(v.Console(), 60))
	case <-time.After(v.opts.Timeout):
		t.Fatalf("lab: the virtual machine does not come up within %v\n%s", v.opts.Timeout, tail(v.Console(), 60))
	}
}

func (v *VM) launch() error {
	for _, old := range []string{"agent.sock", "hmp.sock"} {
		_ = os.Remove(v.file(old))
	}
	out, err := os.Create(v.file("qemu"))
	if err != nil {
		return err
	}
	defer out.Close()
	attr := dieWithParent()
	attr.Cloneflags = syscall.CLONE_NEWNET // user networking then reaches the guest and nothing else
	if v.qemu, err = start(out, attr, nil, v.argv...); err != nil {
		return err
	}
	if v.line, err = v.dial("agent.sock"); err != nil {
		return err
	}
	if v.hmp, err = v.dial("hmp.sock"); err != nil {
		return err
	}
	go io.Copy(io.Discard, v.hmp) // its prompt would fill the socket
	v.up = make(chan struct{})
	go v.listen(v.line, v.up)
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

// listen reads what the agent says until the machine goes down.
func (v *VM) listen(line io.Reader, up chan struct{}) {
	lines := bufio.NewScanner(line)
	for lines.Scan() {
		word := strings.Fields(lines.Text())
		switch {
		case len(word) == 1 && word[0] == "up" && up != nil:
			close(up)
			up = nil
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

// MustRun is Run for what has to succeed within five minutes; it returns standard output.
func (v *VM) MustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
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
	select {
	case <-v.qemu.done:
	case <-time.After(v.opts.Timeout):
		t.Fatalf("lab: the virtual machine does not go down\n%s", tail(v.Console(), 40))
	}
	v.hangUp()
	v.boot(t)
}

// PowerCut ends the virtual machine at once: what it has not synced to its disk is lost. It returns when it is up again.
func (v *VM) PowerCut(t testing.TB) {
	t.Helper()
	v.qemu.stop(syscall.SIGKILL)
	v.hangUp()
	v.boot(t)
}

func (v *VM) hangUp() {
	for _, c := range []net.Conn{v.line, v.hmp} {
		if c != nil {
			c.Close()
		}
	}
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
	v.hangUp()
}
