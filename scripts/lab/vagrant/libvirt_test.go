//go:build lab && linux

package vagrant

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// virtual is the Vagrantfile of a virtual machine with three NICs: the one by which vagrant-libvirt comes in (its own NAT network,
// 192.168.121.0/24), a bridged one, and one of a private network. Vagrant itself configures the last two, with files for networkd beside
// the box's netplan. %[1]q is the plugin, %[2]s the lines of `provision hook vagrant`.
const virtual = `require %[1]q

Vagrant.configure("2") do |config|
  config.vm.box = "lab"
  config.vm.define "builder"
  config.vm.network :public_network
  config.vm.network :private_network, type: "dhcp", libvirt__forward_mode: "none"
%[2]s
  config.vm.provision :provision, nat_metric: 2000, program: __dir__
end
`

// kernel is the folder of the lab's kernel.
func kernel(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(command(t, "", os.Environ(), "../kernel"))
}

// newVirtual is a world with a libvirtd, whose machines are those of libvirt.rb, in a folder; the box has a name.
func newVirtual(t *testing.T, dir, name string, env ...string) *shell {
	t.Helper()
	user := t.TempDir()
	of := filepath.Join(user, ".vagrant.d")
	command(t, "", os.Environ(), "mkdir", of)
	command(t, "", os.Environ(), "cp", "libvirt.rb", filepath.Join(of, "Vagrantfile"))
	env = append(env, "KERNEL="+filepath.Join(kernel(t), "vmlinux"), "INITRD="+strings.TrimSpace(command(t, "", os.Environ(), "../initramfs", "./init")))
	file := filepath.Join(t.TempDir(), "lab.box")
	makeBox(t, file, "bookworm-netplan+openssh-server+sudo", "libvirt")
	s := newShell(t, dir, append(homeIn(user), env...), "./libvirt")
	s.must(5*time.Minute, "vagrant box add --name "+name+" "+file)
	return s
}

// A virtual machine under libvirt, with udev and the kernel's own NICs: what Vagrant wrote beside netplan counts, a connection by SSH that
// was there before the provisioner stays, and so do the metrics over a reboot.
func TestLibvirt(t *testing.T) {
	minutes(t, "emulated virtual machines")
	dir := t.TempDir()
	plugin, err := filepath.Abs("../../../vagrant/lib/vagrant-provision.rb")
	if err != nil {
		t.Fatal(err)
	}
	hook := command(t, "", os.Environ(), binary, "hook", "vagrant")
	script := command(t, "", os.Environ(), binary, "hook", "vagrant", "--script")
	vagrantfile := fmt.Sprintf(virtual, plugin, hook)
	for name, text := range map[string]string{"Vagrantfile": vagrantfile, "provision.sh": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	beside(t, dir)
	s := newVirtual(t, dir, "lab")
	if out := s.must(5*time.Minute, "vagrant validate"); !strings.Contains(out, "validated successfully") {
		t.Errorf("validate: %s", out)
	}
	s.must(20*time.Minute, "vagrant up --provider=libvirt --no-tty --no-provision")
	const routes = "ip -4 route show default; "
	before := s.ssh(routes + "ls /etc/systemd/network /etc/netplan; cat /etc/systemd/network/*")
	right(t, before, "eth0 100", "eth1 1024")
	for _, want := range []string{"50-vagrant-eth1.network", "50-vagrant-eth2.network", "01-netcfg.yaml"} {
		if !strings.Contains(before, want) {
			t.Errorf("Vagrant wrote no %s beside netplan: %s", want, before)
		}
	}

	s.connect()
	out := s.must(20*time.Minute, "vagrant provision --no-tty")
	for _, want := range []string{"provision: installed /usr/local/bin/provision", "done and verified", "installed /etc/provision/provision.yaml"} {
		if !strings.Contains(out, want) {
			t.Errorf("provision does not say %q:\n%s", want, out)
		}
	}
	s.disconnect(t)

	out = s.ssh(routes + "ls /etc/netplan; sudo provision verify")
	right(t, out, "eth1 10", "eth0 2000")
	if !strings.Contains(out, "90-provision.yaml") || !strings.Contains(out, "the machine is as it should be") {
		t.Errorf("after provision: %s", out)
	}
	s.must(20*time.Minute, "vagrant reload --no-tty")
	out = s.ssh(routes + "sudo provision plan")
	right(t, out, "eth1 10", "eth0 2000")
	if strings.Contains(out, "clone") || !strings.Contains(out, "nothing to do") {
		t.Errorf("after reload: %s", out)
	}
	s.must(20*time.Minute, "vagrant halt")
	sysprep(t, s)
	s.must(10*time.Minute, "vagrant destroy -f")
}

// sysprep runs the page's line for virt-sysprep on the disk of the machine, which is off, and looks into it. libguestfs boots a small
// machine of its own for that, with the lab's kernel (supermin(1)), and finds programs in the disk to run.
func sysprep(t *testing.T, s *shell) {
	t.Helper()
	kernel := kernel(t)
	modules, err := filepath.Glob(filepath.Join(kernel, "lib/modules/*"))
	if err != nil || len(modules) != 1 {
		t.Fatalf("the lab's kernel has modules in %v (%v)", modules, err)
	}
	const look = `qemu-img convert -O raw /var/lib/libvirt/images/builder.img disk && for f in /etc/netplan /var/lib/provision /etc/provision; do echo "$f:"; debugfs -R "ls -p $f" disk; done; ` +
		`echo machine-id: $(debugfs -R "cat /etc/machine-id" disk 2>/dev/null); rm disk`
	if before := s.must(5*time.Minute, look); !strings.Contains(before, "90-provision.yaml") || !strings.Contains(before, "/engine/") {
		t.Errorf("there is nothing to forget: %s", before)
	}
	s.must(time.Minute, "export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg LIBVIRT_DEFAULT_URI=qemu:///system TMPDIR=$PWD"+
		" SUPERMIN_MODULES="+modules[0]+" SUPERMIN_KERNEL="+filepath.Join(kernel, "boot", "vmlinuz-"+filepath.Base(modules[0])))
	said := s.must(30*time.Minute, readPage(t).line(t, "virt-sysprep "))
	after := s.must(5*time.Minute, look)
	for _, not := range []string{"90-provision.yaml", "/engine/", "/machine/", "/metrics.json/"} {
		if strings.Contains(after, not) {
			t.Errorf("%s is left:\n%s\n%s", not, after, said)
		}
	}
	if !strings.Contains(after, "/01-netcfg.yaml/") || !strings.Contains(after, "/provision.yaml/") || !strings.HasSuffix(after, "machine-id:") {
		t.Errorf("more or less than ours was taken:\n%s\n%s", after, said)
	}
}
