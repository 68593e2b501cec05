package facts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
)

// MachineDigest is what stands for a machine-id: machine-id(5) asks that the id itself is not shown around. It is empty for a
// machine that has none yet.
func MachineDigest(id string) string {
	if id == "" || id == "uninitialized" {
		return ""
	}
	sum := sha256.Sum256([]byte("provision machine-id " + id))
	return hex.EncodeToString(sum[:8])
}

// machine says what the network hangs on.
func (r *gathering) machine() {
	m := &r.f.Machine
	m.Root = r.EUID() == 0
	m.Offline = r.offline
	r.osRelease(m)
	m.MachineID = MachineDigest(r.value("/etc/machine-id"))
	if r.offline {
		m.Hostname = r.value("/etc/hostname")
		m.Arch = r.imageArch()
		m.Init = r.imageInit()
		return
	}
	m.Hostname = r.value("/proc/sys/kernel/hostname")
	m.Kernel = r.value("/proc/sys/kernel/osrelease")
	m.BootID = r.value("/proc/sys/kernel/random/boot_id")
	if m.Arch = r.imageArch(); r.t.Live() {
		m.Arch = kernelArch()
	}
	m.Init = r.runningInit()
	m.Vendor = r.value("/sys/class/dmi/id/sys_vendor")
	m.Product = r.value("/sys/class/dmi/id/product_name")
	if m.Vendor == "" {
		m.Board = r.value("/proc/device-tree/model")
		m.Serial = r.serial()
	}
	m.Container = r.container()
	m.WSL = m.Container == "" && wsl(m.Kernel)
	m.Chroot = r.chroot()
	m.Hypervisor = r.hypervisor()
	for _, k := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/disable_ipv6", "net/ipv6/conf/default/ra_defrtr_metric"} {
		if v := r.quiet("/proc/sys/"+k, maxState); v != "" {
			if r.f.Sysctl == nil {
				r.f.Sysctl = map[string]string{}
			}
			r.f.Sysctl[strings.ReplaceAll(k, "/", ".")] = clean(strings.TrimSpace(v))
		}
	}
}

// osRelease reads os-release(5).
func (r *gathering) osRelease(m *Machine) {
	for _, p := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, ok := r.text(p, maxState)
		if !ok {
			continue
		}
		environment(text, func(k, v string) {
			switch k {
			case "ID":
				m.OS = clean(v)
			case "VERSION_ID":
				m.OSVersion = clean(v)
			}
		})
		break
	}
	if m.OS == "" {
		m.OS = "linux" // the default of os-release(5)
	}
}

// runningInit says what process 1 is.
func (r *gathering) runningInit() string {
	comm := r.value("/proc/1/comm")
	switch {
	case comm == "systemd" || r.t.Exists("/run/systemd/system"):
		return "systemd"
	case r.t.Exists("/run/openrc"):
		return "openrc"
	case comm == "init":
		return r.imageInit()
	case comm == "busybox", comm == "linuxrc":
		return "busybox"
	}
	return "other"
}

// imageInit says what /sbin/init of the tree is.
func (r *gathering) imageInit() string {
	if target, err := r.t.Readlink("/sbin/init"); err == nil {
		switch {
		case strings.HasSuffix(target, "/systemd"):
			return "systemd"
		case strings.Contains(target, "busybox"):
			if r.t.Exists("/sbin/openrc") {
				return "openrc"
			}
			return "busybox"
		case strings.Contains(target, "openrc"):
			return "openrc"
		}
		return "other"
	}
	switch {
	case r.t.Exists("/sbin/openrc"):
		return "openrc"
	case r.t.Exists("/sbin/init") && r.t.Exists("/etc/inittab"):
		return "sysvinit"
	}
	return "other"
}

// architectures are the names of elf.h's EM_ numbers that somebody runs Linux on. The package debug/elf would bring decompressors and
// DWARF along.
var architectures = map[int]string{3: "i686", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}

// imageArch is the architecture of the tree's own programs, named as uname(2) does.
func (r *gathering) imageArch() string {
	for _, p := range []string{"/bin/sh", "/usr/bin/env"} {
		b, err := r.t.Head(p, 64)
		if err != nil || len(b) < 20 || !bytes.HasPrefix(b, []byte("\x7fELF")) {
			continue
		}
		order := int(b[18]) | int(b[19])<<8
		if b[5] == 2 /* ELFDATA2MSB */ {
			order = int(b[18])<<8 | int(b[19])
		}
		if name := architectures[order]; name != "" {
			return name
		}
	}
	return ""
}

// container says which container manager runs us. The Container Interface of
// systemd (systemd.io/CONTAINER_INTERFACE) names /run/systemd/container for
// everybody; process 1's environment needs root.
func (r *gathering) container() string {
	if c := r.value("/run/systemd/container"); c != "" {
		return c
	}
	// An image that was built as a container and now boots as a machine still has
	// the marker files, but not the namespaces.
	if !r.initialNamespaces() {
		if r.t.Exists("/.dockerenv") {
			return "docker"
		}
		if r.t.Exists("/run/.containerenv") {
			return "podman"
		}
	}
	for kv := range strings.SplitSeq(r.quiet("/proc/1/environ", maxState), "\x00") {
		if c, ok := strings.CutPrefix(kv, "container="); ok && c != "" {
			return clean(c)
		}
	}
	if r.t.Exists("/dev/lxd/sock") || r.t.Exists("/dev/incus/sock") || r.t.Exists("/dev/.lxc-boot-id") {
		return "lxc"
	}
	// The control groups of process 1 with cgroup v1, or where the namespace of
	// cgroups was not unshared.
	cg := r.quiet("/proc/1/cgroup", maxState)
	for _, c := range []struct{ mark, name string }{
		{"/docker/", "docker"}, {"/docker-", "docker"}, {"/libpod-", "podman"}, {"/lxc/", "lxc"}, {"/lxc.payload", "lxc"}, {"/kubepods", "kubernetes"}, {"/machine.slice/machine-", "systemd-nspawn"},
	} {
		if strings.Contains(cg, c.mark) {
			return c.name
		}
	}
	return ""
}

// initialNamespaces reports whether we live in the PID and UTS namespaces that the
// kernel booted with; their inode numbers are fixed (linux/proc_ns.h).
func (r *gathering) initialNamespaces() bool {
	pid, err1 := r.t.Readlink("/proc/self/ns/pid")
	uts, err2 := r.t.Readlink("/proc/self/ns/uts")
	return err1 == nil && err2 == nil && pid == "pid:[4026531836]" && uts == "uts:[4026531838]"
}

// wsl recognises Microsoft's kernel, as its own tools do.
func wsl(kernel string) bool {
	k := strings.ToLower(kernel)
	return strings.Contains(k, "microsoft") || strings.Contains(k, "wsl")
}

// chroot tells whether our root is not that of process 1. Where only root may
// look, a root directory that is no mount point gives it away.
func (r *gathering) chroot() bool {
	if r.t.Live() {
		a, err1 := os.Stat("/proc/1/root/.")
		b, err2 := os.Stat("/")
		if err1 == nil && err2 == nil {
			return !os.SameFile(a, b)
		}
	}
	info := r.mounts()
	if info == "" {
		return false
	}
	_, _, ok := rootMount(info)
	return !ok
}

// rootMount finds the file system of "/" in mountinfo (proc(5)): its type, its
// options. The last one is on top.
func rootMount(mountinfo string) (fstype, options string, ok bool) {
	n := 0
	for line := range strings.Lines(mountinfo) {
		if n++; n > maxLines {
			break
		}
		f := strings.Fields(line)
		if len(f) < 6 || f[4] != "/" {
			continue
		}
		for i := 6; i+3 < len(f); i++ {
			if f[i] == "-" {
				fstype, options = f[i+1], f[i+3]
				break
			}
		}
		ok = true
	}
	return fstype, options, ok
}

// hypervisor says what the machine runs on, or "none" on bare metal.
func (r *gathering) hypervisor() string {
	m := &r.f.Machine
	bios := r.value("/sys/class/dmi/id/bios_vendor")
	board := r.value("/sys/class/dmi/id/board_vendor")
	if h := dmiHypervisor(m.Vendor, m.Product, bios, board); h != "" {
		if h != "qemu" {
			return h
		}
		// QEMU with or without KVM: only KVM offers its clock.
		if r.kvmClock() {
			return "kvm"
		}
		return "qemu"
	}
	if r.value("/sys/hypervisor/type") == "xen" {
		if strings.Contains(r.quiet("/proc/xen/capabilities", maxState), "control_d") {
			return "none" // the control domain sits on the hardware
		}
		return "xen"
	}
	if wsl(m.Kernel) {
		return "hyperv"
	}
	if c := r.value("/proc/device-tree/hypervisor/compatible"); c != "" {
		switch {
		case strings.Contains(c, "kvm"):
			return "kvm"
		case strings.Contains(c, "xen"):
			return "xen"
		case strings.Contains(c, "vmware"):
			return "vmware"
		}
	}
	if r.t.Exists("/proc/device-tree/fw-cfg@9020000") {
		return "qemu"
	}
	if r.kvmClock() {
		return "kvm"
	}
	cpu, _ := r.t.Head("/proc/cpuinfo", 4096) // the first processor is enough
	for line := range strings.Lines(string(cpu)) {
		if rest, ok := strings.CutPrefix(line, "flags"); ok {
			for _, f := range strings.Fields(rest) {
				if f == "hypervisor" {
					return "other"
				}
			}
		}
	}
	return "none"
}

func (r *gathering) kvmClock() bool {
	return strings.Contains(r.value("/sys/devices/system/clocksource/clocksource0/available_clocksource"), "kvm-clock")
}

// dmiHypervisor knows what hypervisors write into DMI.
func dmiHypervisor(vendor, product, bios, board string) string {
	for _, s := range []string{vendor, product, bios, board} {
		switch {
		case strings.Contains(s, "VirtualBox"), strings.HasPrefix(s, "innotek"):
			return "virtualbox"
		case strings.HasPrefix(s, "VMware"):
			return "vmware"
		case strings.HasPrefix(s, "QEMU"), strings.HasPrefix(s, "Bochs"):
			return "qemu"
		case strings.HasPrefix(s, "KVM"), strings.HasPrefix(s, "Google Compute Engine"), strings.HasPrefix(s, "OpenStack"), strings.HasPrefix(s, "RHEV"), strings.HasPrefix(s, "DigitalOcean"), strings.HasPrefix(s, "Hetzner"):
			return "kvm"
		case strings.HasPrefix(s, "Xen"):
			return "xen"
		case strings.HasPrefix(s, "Parallels"):
			return "parallels"
		case strings.HasPrefix(s, "Apple Virtualization"):
			return "apple"
		case strings.HasPrefix(s, "BHYVE"):
			return "bhyve"
		}
	}
	if vendor == "Microsoft Corporation" && product == "Virtual Machine" {
		return "hyperv"
	}
	if vendor == "Amazon EC2" {
		if strings.Contains(product, ".metal") {
			return "none"
		}
		return "kvm"
	}
	return ""
}
