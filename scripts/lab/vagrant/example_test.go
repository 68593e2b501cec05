//go:build lab && linux

package vagrant

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// example is a world in the folder of an example, which is used as it is: the box that it names is the lab's, the program is where
// Vagrant's user keeps it, and his Vagrantfile is home.rb.
func example(t *testing.T, name string, env ...string) *shell {
	t.Helper()
	user := t.TempDir()
	of := filepath.Join(user, ".vagrant.d")
	command(t, "", os.Environ(), "mkdir", "-p", filepath.Join(of, "provision"))
	command(t, "", os.Environ(), "cp", "home.rb", filepath.Join(of, "Vagrantfile"))
	beside(t, filepath.Join(of, "provision"))
	s := newShell(t, filepath.Join(copyOfExamples(t), "examples", name), append(homeIn(user), env...))
	s.must(2*time.Minute, "vagrant box add --name debian/bookworm64 "+box(t, "bookworm-netplan+openssh-server+sudo"))
	return s
}

// state is what must stay: files with their modes and owners, and what the kernel has. What it learns and forgets by itself is left out.
const state = `find /etc /usr/local /var/lib/provision/engine -type f -exec stat -c "%n %a %u:%g" {} + -exec sha256sum {} +; ls /run/systemd/network; ` +
	`ip -o link | sed "s/ qlen .*//"; ip rule; ip -6 rule; for f in -4 -6; do ip $f -o addr | sed "s/ valid_lft.*//"; ip $f -o route | sed "s/ expires [^ ]*//"; done; ` +
	`grep -H . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv[46]/conf/*/forwarding /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv6/conf/*/accept_ra`

// attach runs a command in a container as root, without SSH, which takes a twentieth of the time.
func (s *shell) attach(machine, command string) string {
	s.t.Helper()
	return s.must(2*time.Minute, "lxc-attach -n $(cat .vagrant/machines/"+machine+"/lxc/id) --clear-env -v PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin -- sh -c "+quote(command))
}

// again provisions once more, and sees that nothing of it has changed anything in the machines, into which look looks.
func (s *shell) again(t *testing.T, look func(machine, command string) string, machines ...string) {
	t.Helper()
	before := map[string]string{}
	for _, m := range machines {
		before[m] = look(m, state)
		if n := strings.Count(before[m], "\n"); n < 200 || !strings.Contains(before[m], "/etc/passwd") {
			t.Fatalf("%s is not seen: %s", m, before[m])
		}
	}
	out := s.must(20*time.Minute, "vagrant provision --no-tty")
	if n := strings.Count(out, "nothing to do: the machine is as it should be"); n != len(machines) {
		t.Errorf("%d of %d machines were as they should be:\n%s", n, len(machines), out)
	}
	for _, m := range machines {
		if gone, come := differ(before[m], look(m, state)); len(gone)+len(come) > 0 {
			t.Errorf("%s: the second time took %q away and brought %q", m, gone, come)
		}
	}
}

// differ returns the lines that only one of the texts has.
func differ(before, after string) (gone, come []string) {
	count := map[string]int{}
	for l := range strings.Lines(before) {
		count[l]++
	}
	for l := range strings.Lines(after) {
		if count[l]--; count[l] < 0 {
			come = append(come, l)
		}
	}
	for l, n := range count {
		if n > 0 {
			gone = append(gone, l)
		}
	}
	return gone, come
}

// Both networks have a router for IPv6, too: after `up` the way out is the second NIC, and Vagrant comes in by the first.
func TestExampleTwoNICs(t *testing.T) {
	minutes(t, "examples in containers")
	s := example(t, "two-nics")
	s.must(time.Minute, `n=0; for b in lxcbr0 br-lan; do n=$((n + 1)); ip addr add fd00:$n::1/64 dev $b nodad
dnsmasq --conf-file=/dev/null --port=0 --interface=$b --bind-interfaces --except-interface=lo --enable-ra --dhcp-range=::,constructor:$b,ra-only --user=root --pid-file=/run/ra-$b.pid --log-facility=/run/ra-$b.log; done`)
	s.must(5*time.Minute, "vagrant up --provider=lxc --no-tty")
	out := s.ssh(`ip -4 route show default; echo ===; for _ in $(seq 100); do [ $(ip -6 route show default | grep -c "^default") -lt 2 ] || break; sleep 0.2; done; ip -6 route show default; echo ===; ` +
		`ip route get 192.0.2.1; ip -6 route get 2001:db8::1; echo $SSH_CONNECTION; sudo provision verify`)
	parts := strings.Split(out, "===")
	if len(parts) != 3 {
		t.Fatal(out)
	}
	right(t, parts[0], "eth1 10", "eth0 1000")
	right(t, parts[1], "eth1 10", "eth0 1000")
	for _, want := range []string{"192.0.2.1 via 192.168.76.1 dev eth1", "2001:db8::1 from :: via fe80::", " dev eth1 proto ra", "10.0.2.2 ", "the machine is as it should be"} {
		if !strings.Contains(parts[2], want) {
			t.Errorf("there is no %q: %s", want, parts[2])
		}
	}
	s.again(t, s.attach, "default")
	s.must(time.Minute, "vagrant destroy -f")
}

// minutes skips what takes some.
func minutes(t *testing.T, why string) {
	t.Helper()
	if !full {
		t.Skip("skipped: " + why + " take minutes; PROVISION_LAB_FULL=1 (make test-all) runs it")
	}
	lab.Need(t, lab.Vagrant)
}

// Each of the five reaches each other over the bridge, whose wires are devices of VXLAN in WireGuard: also when they were provisioned once
// more, and after one has booted again.
func TestExampleOverlay(t *testing.T) {
	minutes(t, "five machines")
	s := example(t, "overlay")
	s.must(15*time.Minute, "vagrant up --provider=lxc --no-tty")
	nodes := []string{"osaka", "paris", "quito", "riga", "sofia"}
	all := func() {
		t.Helper()
		const reach = `for i in 1 2 3 4 5; do n=0; until ping -c 1 -W 1 -n -q 10.97.100.$i > /dev/null 2>&1; do n=$((n + 1)); [ $n -lt 60 ] || { echo "no $i"; break; }; done; done; `
		for i, n := range nodes {
			out := s.attach(n, reach+"ip -o -4 addr show dev br-overlay; provision overlay status; provision verify")
			if strings.Contains(out, "no ") || !strings.Contains(out, fmt.Sprintf("10.97.100.%d/24", i+1)) || !strings.Contains(out, "the machine is as it should be") {
				t.Errorf("%s does not reach all: %s", n, out)
			}
		}
	}
	all()
	// What the example's own words have people ask. A tree of five nodes has four of the ten wires.
	blocked := 0
	for _, n := range nodes {
		out := s.sshTo(n, "sudo provision overlay status")
		blocked += strings.Count(out, "  blocked  ")
		if !strings.Contains(out, "osaka is the root of the tree") || strings.Contains(out, " no ") {
			t.Errorf("%s: %s", n, out)
		}
	}
	if blocked != 6 {
		t.Errorf("%d wires are blocked, not 6", blocked)
	}
	s.again(t, s.attach, nodes...)
	s.must(5*time.Minute, "vagrant reload riga --no-tty --no-provision")
	all()
	s.must(5*time.Minute, "vagrant destroy -f")
}

// A phone, which is wg-quick with wireguard-go, takes the file that the example's own words have people ask for: it shakes hands with the
// server through the host's forwarded port, gets out by it, and asks it for names.
func TestExampleWireGuard(t *testing.T) {
	minutes(t, "examples in containers")
	s := example(t, "wireguard", "ENDPOINT=192.168.76.1:51820")
	// Who is out there is not to be reached but by the server.
	s.must(time.Minute, `sysctl -q -w net.ipv4.ip_forward=1; ip addr add 198.51.100.9/32 dev lo
nft 'table ip out { chain in { type filter hook prerouting priority raw; iifname br-lan ip daddr 198.51.100.9 drop; }; }'
ip netns add phone; ip link add phone type veth peer name eth0 netns phone; ip link set phone master br-lan up
ip -n phone addr add 192.168.76.50/24 dev eth0; ip -n phone link set eth0 up; ip -n phone link set lo up; ip -n phone route add default via 192.168.76.1`)
	s.must(5*time.Minute, "vagrant up --provider=lxc --no-tty")
	file := s.ssh("sudo provision wireguard add phone 2>/dev/null")
	// There is no resolvconf here that wg-quick could tell the name servers.
	s.must(time.Minute, "umask 077; cat > phone.conf <<'E'\n"+file+"\nE")
	server := strings.TrimSuffix(s.must(time.Minute, "sed -n 's/^DNS = \\([^,]*\\).*/\\1/p' phone.conf; sed -i /^DNS/d phone.conf"), "\n")
	if out := s.must(time.Minute, "! ip netns exec phone ping -c 1 -W 1 -n 198.51.100.9"); !strings.Contains(out, "100% packet loss") {
		t.Errorf("without the tunnel: %s", out)
	}
	out := s.must(time.Minute, "ip netns exec phone sh -c 'wg-quick up ./phone.conf; ping -c 3 -W 5 -n 198.51.100.9; wg show phone'")
	if !strings.Contains(out, "latest handshake: ") || !strings.Contains(out, "bytes from 198.51.100.9") {
		t.Errorf("no handshake: %s", out)
	}
	if out, status := s.run(time.Minute, "ip netns exec phone dig +tries=5 +time=2 @"+server+" localhost"); status != 0 || !strings.Contains(out, "127.0.0.1") {
		t.Errorf("%s does not answer the phone, status %d: %s\n%s", server, status, out, s.attach("default", "journalctl -b -u provision-serve --no-pager | tail"))
	}
	if out := s.ssh("sudo provision wireguard list"); strings.Contains(out, "never") || !strings.Contains(out, "phone") {
		t.Errorf("the server has not seen the phone: %s", out)
	}
	s.again(t, s.attach, "default")
	s.must(5*time.Minute, "vagrant destroy -f")
}

// The gateway shuts nobody out who has come in by Vagrant's NIC, and the key arrives. The device of a 6in4 tunnel is the kernel's: where the
// host has no sit, `provision apply` names that and goes back, and what the tunnel does is shown by package sixinfour, in a guest.
func TestExampleGateway(t *testing.T) {
	minutes(t, "examples in containers")
	s := example(t, "gateway")
	_, without := s.run(time.Minute, "echo a key > he.key; ip link add probe type sit remote 192.0.2.1 local 10.0.2.2 && ip link del probe")
	s.must(5*time.Minute, "vagrant up --provider=lxc --no-tty --no-provision")
	before := s.attach("default", state)
	out, status := s.run(5*time.Minute, "vagrant provision --no-tty")
	if key := s.attach("default", "stat -c '%a %U' /etc/provision/he.key"); key != "600 root" {
		t.Errorf("the key: %s", key)
	}
	if strings.Contains(out, "refused") || (without == 0) != (status == 0) {
		t.Errorf("status %d: %s", status, out)
	}
	if without != 0 {
		if !strings.Contains(out, "gone back to the state before: cannot create sit:he-ipv6") || !strings.Contains(out, "module sit") {
			t.Errorf("it does not say what the kernel lacks, or more than that is wrong: %s", out)
		}
		var left []string
		ours := regexp.MustCompile(`/etc/provision/|/usr/local/bin/provision|/var/lib/provision/`)
		_, come := differ(before, s.attach("default", state))
		for _, l := range come {
			if !ours.MatchString(l) && (strings.Contains(l, " /") || strings.HasPrefix(l, "/") || strings.HasPrefix(l, "default ")) {
				left = append(left, l)
			}
		}
		if len(left) > 0 {
			t.Errorf("after going back there is %q", left)
		}
		t.Log("this kernel has no sit: the tunnel itself is not shown here, but by ./scripts/lab/sixinfour")
	}
	s.must(5*time.Minute, "vagrant destroy -f")
}
