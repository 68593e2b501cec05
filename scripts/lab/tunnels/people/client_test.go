//go:build lab && linux

package people

import (
	"strings"
	"testing"
)

// A phone's file is taken by this program as the client: everything leaves by the tunnel, also through
// its name servers; check says so, and names what goes beside it when somebody takes the rules away or
// asks other name servers. Taken away, nothing is left.
func TestClient(t *testing.T) {
	w := newWorld(t)
	w.box.provision("wireguard", "init", "--endpoint", "vpn.example.org", "--manage", "no")
	file := w.box.provision("wireguard", "add", "laptop")
	laptop := w.phone
	laptop.sh("echo '" + box4 + " vpn.example.org' >> /etc/hosts\nrm -f /etc/resolv.conf\necho 'nameserver 192.0.2.1' > /etc/resolv.conf\nmkdir -p /etc/provision\necho 'version: 1' > /etc/provision/provision.yaml")
	laptop.write("/root/wg0.conf", file)
	before := laptop.sh("ip rule; ip -6 rule; nft list ruleset; cat /proc/sys/net/ipv4/conf/all/src_valid_mark /etc/resolv.conf")
	out := laptop.provision("wireguard", "import", "/root/wg0.conf")
	t.Logf("import says:\n%s", out)
	laptop.pings(host4)
	laptop.pings(host6)
	check := func() (int, string) {
		code, out, errs := laptop.status("wireguard", "check", "--to", host4+","+host6)
		return code, out + errs
	}
	code, said := check()
	for _, want := range []string{"IPv4 way out", "IPv6 way out", "IPv4 source", "IPv4 MTU", "IPv6 MTU", "through the tunnel", "binds to eth0 itself"} {
		if !strings.Contains(said, want) {
			t.Errorf("check does not say %q", want)
		}
	}
	if code != 0 || strings.Contains(said, "leak") {
		t.Errorf("check: status %d\n%s", code, said)
	}
	laptop.provision("plan", "--exit-code")

	laptop.sh("cp /etc/resolv.conf /root/resolv; echo 'nameserver 192.0.2.1' > /etc/resolv.conf")
	if code, said = check(); code != 2 || !strings.Contains(said, "192.0.2.1 (/etc/resolv.conf) is asked by eth0") {
		t.Errorf("a name server beside the tunnel: status %d\n%s", code, said)
	}
	laptop.sh("cp /root/resolv /etc/resolv.conf\nip -6 rule del pref 25301")
	if code, said = check(); code != 2 || !strings.Contains(said, "leaves by eth0 with the address 2001:db8:7::7") {
		t.Errorf("IPv6 beside the tunnel: status %d\n%s", code, said)
	}
	laptop.provision("apply")
	if code, said = check(); code != 0 {
		t.Errorf("applied again: status %d\n%s", code, said)
	}
	laptop.provision("wireguard", "remove", "--interface", "wg0", "--all")
	if after := laptop.sh("ip rule; ip -6 rule; nft list ruleset; cat /proc/sys/net/ipv4/conf/all/src_valid_mark /etc/resolv.conf"); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}
