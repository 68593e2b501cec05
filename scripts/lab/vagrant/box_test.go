//go:build lab && linux

package vagrant

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// boxes is the Vagrantfile of a machine that a box is made of, and of two machines of that box: %s are the plugin, and the form of the
// provisioner.
//
// The first line is for vagrant-lxc 1.4.3, which looks for lxc.rootfs in a container's configuration to package it; since LXC 2.1 the key
// is lxc.rootfs.path, and `vagrant package` ends with a NoMethodError.
const boxes = `require "vagrant-lxc/driver"
Vagrant::LXC::Driver.prepend(Module.new { def rootfs_path = base_path.join("rootfs") })
require %q

Vagrant.configure("2") do |config|
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider :lxc do |v|
    v.backingstore = "dir"
    {1 => "br-lan", 2 => "br-only"}.each do |n, bridge|
      {type: "veth", link: bridge, flags: "up", name: "eth#{n}"}.each { |k, value| v.customize "net.#{n}.#{k}", value }
    end
    # The kernel of a container's host may have no WireGuard; the device is then a process, and needs this.
    v.customize "mount.entry", "/dev/net/tun dev/net/tun none bind,create=file"
    v.customize "cgroup2.devices.allow", "c 10:200 rwm"
  end
  {builder: "lab", one: "clone", two: "clone"}.each do |name, box|
    config.vm.define(name, primary: name == :builder, autostart: name == :builder) { |m| m.vm.box = box.to_s }
  end
%s
  config.vm.provision "shell", name: "server", inline: <<~SH
    set -e
    provision wireguard init --endpoint vpn.example.org
    until provision status >/dev/null 2>&1; do sleep 0.1; done
  SH
end
`

// identity prints what tells a machine from others, a line each. The DUID is what networkd tells DHCP servers (RFC 4361), after the four
// bytes that tell its NICs apart; the server's own one follows its name in the journal, as the 18 bytes of a DUID-UUID (RFC 6355).
const identity = `sudo sh -c '
echo machine-id $(cat /etc/machine-id)
echo key $(sed -n "s/^ *private-key: *//p" /etc/provision/wireguard.d/wg0.yaml)
echo ULA $(ip -6 -o addr show dev wg0 | grep -o "fd[0-9a-f:]*/[0-9]*")
echo DUID $(sed -n "s/^CLIENTID=ff........//p" /run/systemd/netif/leases/* | sort -u)
echo server $(tr "\n" n < /var/lib/provision/serve/leases.journal | LC_ALL=C grep -ao "dhcp6/duid.\{18\}" | tail -c 19 | od -An -tx1 | tr -d " \n")
echo ledger $(ls /var/lib/provision/engine/ledger)
'`

// A box that `vagrant package` makes of a machine with keys, a ledger and a server's memory, in both forms of the provisioner: two machines
// of it are neither that machine nor each other, and are right by themselves.
func TestBox(t *testing.T) {
	minutes(t, "boxes that are made of machines")
	plugin, err := filepath.Abs("../../../vagrant/lib/vagrant-provision.rb")
	if err != nil {
		t.Fatal(err)
	}
	of := box(t, "bookworm-netplan+openssh-server+sudo")
	for name, form := range map[string]string{
		"plugin": "  config.vm.provision :provision, program: __dir__, file: \"provision.yaml\"",
		"shell":  command(t, "", os.Environ(), binary, "hook", "vagrant"),
	} {
		t.Run(name, func(t *testing.T) { testBox(t, fmt.Sprintf(boxes, plugin, form), of) })
	}
}

// served is a configuration with a server on the host-only NIC.
const served = `version: 1
serve:
  domain: lab.lan
  links:
    - match: {name: eth2}
      router: none
`

func testBox(t *testing.T, vagrantfile, of string) {
	dir := t.TempDir()
	script := command(t, "", os.Environ(), binary, "hook", "vagrant", "--script")
	for name, text := range map[string]string{"Vagrantfile": vagrantfile, "provision.sh": script, "provision.yaml": served} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	beside(t, dir)
	s := newShell(t, dir, home(t))
	s.must(2*time.Minute, "vagrant box add --name lab "+of)
	s.must(5*time.Minute, "vagrant up --provider=lxc --no-tty")
	who := []map[string]string{identityOf(t, s, "builder")}

	out := s.must(5*time.Minute, "vagrant package --output clone.box --no-tty")
	for _, want := range []string{"/etc/machine-id", "/etc/provision/wireguard.d/wg0.yaml", "/var/lib/provision/serve", "/var/lib/provision/engine"} {
		if !regexp.MustCompile(`- ` + want + ` `).MatchString(out) {
			t.Errorf("package does not say that %s is forgotten:\n%s", want, out)
		}
	}
	// Vagrant does not look at what bsdtar says, so a box that could not be written is found by nobody but who reads it.
	if files := s.must(time.Minute, "bsdtar -tf clone.box"); !strings.Contains(files, "./rootfs.tar.gz") {
		t.Fatalf("the box has no root: %s", files)
	}
	s.must(time.Minute, "vagrant destroy -f builder")

	s.must(2*time.Minute, "vagrant box add --name clone clone.box && rm clone.box")
	// What the box brings along, before anything of ours runs in its machines.
	s.must(5*time.Minute, "vagrant up one two --provider=lxc --no-tty --no-provision")
	for _, m := range []string{"one", "two"} {
		parts := strings.Split(s.sshTo(m, "cat /etc/machine-id; sudo find /etc/netplan /etc/provision /var/lib/provision; echo ===; sudo provision plan"), "===")
		for _, not := range []string{"90-provision.yaml", "wg0.yaml", "/var/lib/provision/", who[0]["machine-id"]} {
			if strings.Contains(parts[0], not) {
				t.Errorf("%s is born with %s: %s", m, not, parts[0])
			}
		}
		if len(parts) != 2 || !strings.Contains(parts[0], "/etc/provision/provision.yaml") || !strings.Contains(parts[1], "90-provision.yaml") || strings.Contains(parts[1], "clone") {
			t.Errorf("%s: its configuration is gone, or it is taken for another machine: %v", m, parts)
		}
		s.must(5*time.Minute, "vagrant provision --no-tty "+m)
	}
	for _, m := range []string{"one", "two"} {
		who = append(who, identityOf(t, s, m))
		right(t, s.sshTo(m, "ip -4 route show default"), "eth1 10", "eth0 1000")
	}
	for what := range who[0] {
		if what == "ledger" {
			continue
		}
		if a := []string{who[0][what], who[1][what], who[2][what]}; a[0] == a[1] || a[0] == a[2] || a[1] == a[2] {
			t.Errorf("%s: two of builder, one and two are the same: %v", what, a)
		}
	}
	packer(t, s, dir, "one")
	s.must(time.Minute, "vagrant destroy -f")
}

// packer has Debian's Packer run the page's lines in a machine that is up (its builder null), and looks what they did.
func packer(t *testing.T, s *shell, dir, machine string) {
	t.Helper()
	conf := s.must(time.Minute, "vagrant ssh-config "+machine)
	value := func(key string) string {
		m := regexp.MustCompile(`(?m)^ *` + key + ` "?([^"\r\n]+)`).FindStringSubmatch(conf)
		if m == nil {
			t.Fatalf("no %s: %s", key, conf)
		}
		return m[1]
	}
	source := fmt.Sprintf(`source "null" "machine" {
  communicator         = "ssh"
  ssh_host             = %q
  ssh_username         = %q
  ssh_private_key_file = %q
}
`, value("HostName"), value("User"), value("IdentityFile"))
	build := strings.Replace(one(t, readPage(t).blocks["hcl"], "provision generalize"), "build {\n", "build {\n  sources = [\"source.null.machine\"]\n", 1)
	if err := os.WriteFile(filepath.Join(dir, "page.pkr.hcl"), []byte(source+build), 0o600); err != nil {
		t.Fatal(err)
	}
	out := s.must(5*time.Minute, "export CHECKPOINT_DISABLE=1 PACKER_NO_COLOR=1; packer validate page.pkr.hcl && packer build page.pkr.hcl")
	if !strings.Contains(out, "/etc/machine-id") {
		t.Errorf("Packer's provisioner does not say what was forgotten: %s", out)
	}
	if left := s.sshTo(machine, "wc -c < /etc/machine-id; sudo ls /var/lib/provision /etc/provision/wireguard.d || true"); strings.Contains(left, "engine") || strings.Contains(left, "wg0") || !strings.Contains("\n"+left, "\n0") {
		t.Errorf("not forgotten: %s", left)
	}
}

// identityOf asks a machine who it is, all of it.
func identityOf(t *testing.T, s *shell, machine string) map[string]string {
	t.Helper()
	out := s.sshTo(machine, identity)
	who := map[string]string{}
	for _, l := range strings.Split(out, "\n") {
		if what, value, ok := strings.Cut(strings.TrimSpace(l), " "); ok {
			who[what] = value
		}
	}
	var got []string
	for what := range who {
		got = append(got, what)
	}
	slices.Sort(got)
	if want := []string{"DUID", "ULA", "key", "ledger", "machine-id", "server"}; !slices.Equal(got, want) {
		t.Fatalf("%s has %v, want %v:\n%s", machine, got, want, out)
	}
	if len(who["server"]) != len("0004")+32+len("0a") {
		t.Fatalf("%s: the server's DUID is not one of a UUID: %s", machine, who["server"])
	}
	return who
}
