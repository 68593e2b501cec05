//go:build lab && linux

package vagrant

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

var (
	binary string
	made   string // folder of the boxes that tests share
)

func TestMain(m *testing.M) {
	os.Exit(lab.Main(m, func(dir string) (err error) {
		made = dir
		binary, err = lab.Program(dir)
		return err
	}))
}

// full asks for what takes minutes: boxes that are made of machines, and virtual machines.
var full = os.Getenv("PROVISION_LAB_FULL") != ""

// home is an environment in which Vagrant writes nothing of this host's. vagrant-lxc asks getlogin(3) whom a box belongs to, which
// without a terminal is $USER or nobody.
func home(t *testing.T) []string { return homeIn(t.TempDir()) }

func homeIn(dir string) []string {
	return append(os.Environ(), "USER=root", "HOME="+dir, "VAGRANT_HOME="+filepath.Join(dir, ".vagrant.d"), "VAGRANT_CHECKPOINT_DISABLE=1", "LC_ALL=C.UTF-8")
}

func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// The plugin's own tests, and the gem as Ruby's packager makes it.
func TestPlugin(t *testing.T) {
	lab.Need(t, lab.Vagrant)
	t.Parallel()
	env := append(home(t), "PROVISION="+binary)
	out := command(t, "../../../vagrant", env, "ruby", "-I", "lib", "test/all.rb")
	if m := regexp.MustCompile(`(\d+) runs, \d+ assertions, 0 failures, 0 errors, 0 skips`).FindStringSubmatch(out); m == nil || len(m[1]) < 2 {
		t.Errorf("not all of the plugin's tests ran: %s", out)
	}
	gem := filepath.Join(t.TempDir(), "vagrant-provision.gem")
	command(t, "../../../vagrant", env, "gem", "build", "--quiet", "vagrant-provision.gemspec", "-o", gem)
	files := strings.Fields(command(t, "", env, "sh", "-c", "tar -xOf "+gem+" data.tar.gz | tar -tzf -"))
	for _, want := range []string{"provision.sh", "lib/vagrant-provision.rb", "lib/vagrant-provision/provisioner.rb"} {
		if !slices.Contains(files, want) {
			t.Errorf("%s is not in the gem: %v", want, files)
		}
	}
}

// copyOfExamples is a folder with what the examples need of this one, in which they may keep things.
func copyOfExamples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command(t, "", os.Environ(), "cp", "-r", "../../../vagrant/lib", "../../../vagrant/provision.sh", "../../../vagrant/examples", dir)
	return dir
}

// Each example is what Vagrant takes for a good Vagrantfile.
func TestExamples(t *testing.T) {
	lab.Need(t, lab.Vagrant)
	t.Parallel()
	dir := copyOfExamples(t)
	examples, err := filepath.Glob(filepath.Join(dir, "examples/*/Vagrantfile"))
	if err != nil || len(examples) < 4 {
		t.Fatalf("%v (%v)", examples, err)
	}
	env := home(t)
	for _, e := range examples {
		if out := command(t, filepath.Dir(e), env, "vagrant", "validate"); !strings.Contains(out, "validated successfully") {
			t.Errorf("%s: %s", e, out)
		}
	}
	// And a bad one is refused, with the reason, before any machine is made.
	bad := filepath.Join(dir, "examples/two-nics")
	text, err := os.ReadFile(filepath.Join(bad, "Vagrantfile"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "Vagrantfile"), []byte(strings.Replace(string(text), "nat_metric: 1000", `nat_metric: "low"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("vagrant", "validate")
	cmd.Dir, cmd.Env = bad, env
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "nat_metric is a metric") {
		t.Errorf("%v: %s", err, out)
	}
}

// lines is the Vagrantfile of a machine with three NICs (NAT, bridged, host-only). Before anything of ours Vagrant's own code for
// Debian guests configures the second NIC: it does not see netplan there, and writes a file for networkd beside it. Then come the
// lines of `provision hook vagrant`, and the plugin.
const lines = `require %[2]q
class Networks < Vagrant.plugin("2")
  name "networks"
  provisioner(:networks) do
    Class.new(Vagrant.plugin("2", :provisioner)) do
      def provision
        @machine.guest.capability(:configure_networks, [{interface: 1, type: :dhcp}])
      end
    end
  end
end

Vagrant.configure("2") do |config|
  config.vm.box = "lab"
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider :lxc do |v|
    v.backingstore = "dir"
    {1 => "br-lan", 2 => "br-only"}.each do |n, bridge|
      {type: "veth", link: bridge, flags: "up", name: "eth#{n}"}.each { |k, value| v.customize "net.#{n}.#{k}", value }
    end
  end
  config.vm.provision "vagrant's own", type: :networks, run: "once"
%[1]s
  config.vm.provision :provision, nat_metric: 2000, program: __dir__
end
`

// What a person with a Vagrantfile sees: `up` ends with the bridged NIC as the way out and the connection whole; `provision` again
// changes nothing; `reload` keeps it; what is forgotten before a box is made is gone.
func TestMachine(t *testing.T) {
	lab.Need(t, lab.Vagrant)
	t.Parallel()
	testMachine(t, "bookworm-netplan")
}

func testMachine(t *testing.T, root string) {
	dir := t.TempDir()
	plugin, err := filepath.Abs("../../../vagrant/lib/vagrant-provision.rb")
	if err != nil {
		t.Fatal(err)
	}
	hook := command(t, "", os.Environ(), binary, "hook", "vagrant")
	script := command(t, "", os.Environ(), binary, "hook", "vagrant", "--script")
	// As a checkout on Windows has them.
	for name, text := range map[string]string{"Vagrantfile": fmt.Sprintf(lines, hook, plugin), "provision.sh": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "\n", "\r\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	beside(t, dir)
	s := newShell(t, dir, home(t))
	s.must(2*time.Minute, "vagrant box add --name lab "+box(t, root+"+openssh-server+sudo"))

	if out := s.must(time.Minute, "vagrant validate"); !strings.Contains(out, "validated successfully") {
		t.Errorf("validate: %s", out)
	}
	s.must(5*time.Minute, "vagrant up --provider=lxc --no-tty --no-provision")
	s.connect()
	out := s.must(5*time.Minute, "vagrant provision --no-tty")
	s.disconnect(t)
	for _, want := range []string{"provision: installed /usr/local/bin/provision", "done and verified", "installed /etc/provision/provision.yaml"} {
		if !strings.Contains(out, want) {
			t.Errorf("provision does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\r\n") || strings.Contains(out, "uploading") {
		t.Errorf("carriage returns, or the plugin uploaded what the guest had:\n%s", out)
	}
	const routes = "ip -4 route show default; "
	out = s.ssh(routes + "ls /etc/systemd/network /etc/netplan; ls -d /tmp/provision* 2>/dev/null; sudo provision verify; systemctl is-system-running")
	right(t, out, "eth1 10", "eth0 2000")
	// Vagrant's own file beside netplan is what this is about.
	for _, want := range []string{"50-vagrant-eth1.network", "90-provision.yaml", "the machine is as it should be"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %s: %s", want, out)
		}
	}
	if strings.Contains(out, "/tmp/provision") || !strings.HasSuffix(out, "running") {
		t.Errorf("an upload is left, or the machine is not well: %s", out)
	}

	// Both forms of the provisioner run once more; the first has no provision.yaml to upload, so what the second one wrote stays.
	if out := s.must(3*time.Minute, "vagrant provision --no-tty"); strings.Count(out, "nothing to do: the machine is as it should be") != 2 {
		t.Errorf("the second time changed something:\n%s", out)
	}
	s.must(3*time.Minute, "vagrant reload --no-tty")

	// A disk that came with another machine's state is noticed; the same machine is not taken for one.
	const id = "0123456789abcdef0123456789abcdef"
	look := routes + "sudo provision plan; echo ===; sudo sh -c \"cp /etc/machine-id /root/id; echo " + id + " > /etc/machine-id; provision plan; cp /root/id /etc/machine-id\""
	// What `vagrant package` runs before it makes a box.
	look += "; echo ===; sudo provision generalize >/dev/null; sudo find /etc /var/lib/provision -path '*provision*'; wc -c /etc/machine-id"
	parts := strings.Split(s.ssh(look), "===")
	right(t, parts[0], "eth1 10", "eth0 2000")
	if strings.Contains(parts[0], "clone") {
		t.Errorf("the same machine is taken for a clone: %s", parts[0])
	}
	if !strings.Contains(parts[1], "is this a clone?") || !strings.Contains(parts[1], "provision generalize") {
		t.Errorf("a changed machine-id is not named: %s", parts[1])
	}
	if left := parts[2]; strings.Contains(left, "90-provision") || strings.Contains(left, "/var/lib/provision/") || !strings.Contains(left, "0 /etc/machine-id") {
		t.Errorf("not forgotten: %s", left)
	}
	s.must(time.Minute, "vagrant destroy -f")
}

// right checks which NICs have a default route for IPv4, best first, as "name metric", in what ip-route(8) printed.
func right(t *testing.T, text string, want ...string) {
	t.Helper()
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^default .*dev (\S+) .*metric (\d+)`).FindAllStringSubmatch(text, -1) {
		got = append(got, m[1]+" "+m[2])
	}
	if !slices.Equal(got, want) {
		t.Errorf("default routes %v, want %v\n%s", got, want, text)
	}
}
