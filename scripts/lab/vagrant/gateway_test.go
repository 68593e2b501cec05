//go:build lab && linux

package vagrant

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The gateway's example on a machine with a kernel of its own: a host of the LAN gets an address of the routed prefix by SLAAC and reaches
// the IPv6 internet through the broker, which is socat(1) with a TUN device, also after the gateway has booted again; from outside nobody
// gets in; a second provision changes nothing.
func TestExampleGatewayVM(t *testing.T) {
	minutes(t, "emulated virtual machines")
	dir := filepath.Join(copyOfExamples(t), "examples", "gateway")
	s := newVirtual(t, dir, "debian/bookworm64")
	beside(t, dir)
	const far, inside = "2001:db8:f::9", "2001:db8:2:0:5054:ff:fe00:5"
	s.must(time.Minute, `echo a key > he.key; sysctl -q -w net.ipv4.ip_forward=1
ip netns add broker; ip link add broker type veth peer name eth0 netns broker; ip addr add 192.0.2.254/24 dev broker; ip link set broker up
ip -n broker addr add 192.0.2.1/24 dev eth0; ip -n broker link set eth0 up; ip -n broker link set lo up; ip -n broker route add default via 192.0.2.254
ip -n broker addr add `+far+`/128 dev lo nodad
ip netns add pc; ip link add pc type veth peer name eth0 netns pc; ip link set pc master br-lan up; ip -n pc link set lo up; ip -n pc link set eth0 address 52:54:00:00:00:05 up`)
	s.must(20*time.Minute, "vagrant up --provider=libvirt --no-tty --no-provision")
	address := strings.TrimSpace(s.ssh("ip -4 -o addr show dev eth1 scope global | sed 's/.* inet \\([^/]*\\).*/\\1/'"))
	s.must(time.Minute, `ip netns exec broker socat TUN,tun-name=he,iff-no-pi,up IP4-DATAGRAM:`+address+`:41 > socat.log 2>&1 &
until ip -n broker -6 addr add 2001:db8:1::1/64 dev he nodad; do sleep 0.1; done; ip -n broker -6 route add 2001:db8:2::/64 dev he`)
	through := func(when string) {
		t.Helper()
		out, status := s.run(2*time.Minute, `for _ in $(seq 60); do ip netns exec pc ping -c 1 -W 1 -n `+far+` && exit=0 && break; exit=1; sleep 0.5; done; ip -n pc -6 addr show dev eth0; ip -n pc -6 route; (exit $exit)`)
		if status != 0 || !strings.Contains(out, "bytes from "+far) || !strings.Contains(out, inside+"/64") {
			t.Errorf("%s the LAN does not get through, status %d: %s\n%s", when, status, out, s.ssh("sudo provision status; sudo provision verify; ip addr; ip -6 route"))
		}
	}
	s.connect()
	out := s.must(20*time.Minute, "vagrant provision --no-tty")
	if !strings.Contains(out, "done and verified") {
		t.Errorf("provision: %s", out)
	}
	s.disconnect(t)
	through("after `up`")
	if key := s.ssh("sudo stat -c '%a %U' /etc/provision/he.key"); key != "600 root" {
		t.Errorf("the key: %s", key)
	}
	// RFC 6092: what is asked for from outside is refused, what is asked for from inside is answered. Who listens is on the LAN's host.
	if out, status := s.run(time.Minute, `ip netns exec pc socat TCP6-LISTEN:8080,fork SYSTEM:'echo here' & echo $! > listener
until ip netns exec pc socat -u TCP6:[::1]:8080,connect-timeout=1 -; do sleep 0.2; done
ip netns exec broker socat -u TCP6:[`+inside+`]:8080,bind=[`+far+`],connect-timeout=3 -; status=$?; kill $(cat listener); (exit $status)`); status == 0 || strings.Count(out, "here") != 1 {
		t.Errorf("from outside the LAN's host is reached, or it does not listen: status %d: %s", status, out)
	}
	s.again(t, func(_, command string) string { return s.ssh("sudo sh -c " + quote(command)) }, "default")
	s.must(20*time.Minute, "vagrant reload --no-tty")
	through("after `reload`")
	if out := s.ssh("sudo provision plan"); !strings.Contains(out, "nothing to do") {
		t.Errorf("after reload: %s", out)
	}
	// The firewall is there before the network, as with Debian's nftables.service; of ours nothing else is.
	chain := s.ssh("sudo systemctl is-system-running --wait; systemd-analyze critical-chain ssh.service --no-pager; systemctl is-active provision-restore")
	if !strings.Contains(chain, "\nssh.service +") || !strings.HasSuffix(chain, "\nactive") || strings.Contains(strings.ReplaceAll(chain, "provision-restore.service", ""), "provision") {
		t.Errorf("sshd waits for us, or this is no chain:\n%s", chain)
	}
	s.must(10*time.Minute, "vagrant destroy -f")
}
