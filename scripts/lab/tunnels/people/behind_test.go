//go:build lab && linux

package people

import (
	"strings"
	"testing"
)

// Somebody behind the box has no other way out than the tunnel of a provider, whose file was imported;
// when the provider is gone, nothing leaves beside it.
func TestBehindAVPN(t *testing.T) {
	w := newWorld(t)
	provider := w.tablet
	provider.provision("wireguard", "init", "--endpoint", "192.0.2.77", "--manage", "no")
	config := provider.provision("wireguard", "add", "box")
	w.box.write("/etc/provision/provision.yaml", `version: 1
routing:
  zones:
    inside: {interfaces: [lan0]}
    vpn: {interfaces: [wg0], side: outside, masquerade: true}
    outside: {interfaces: [eth0]}
  firewall:
    rules:
    - {source-interface: inside, destination-interface: vpn, action: allow}
  kill-switch:
    tunnel: wg0
    endpoints: ["192.0.2.77:51820"]
`)
	w.box.write("/etc/wireguard/vpn.conf", config)
	w.net.sh(`nft -f - <<'EOF'
table inet seen {
  counter beside { }
  chain frombox { type filter hook prerouting priority -300; iifname "toBox" ip daddr ` + host4 + ` counter name beside; iifname "toBox" ip6 daddr ` + host6 + ` counter name beside; }
}
EOF`)
	w.box.pings(host4)
	if got := w.net.run("nft", "reset", "counter", "inet", "seen", "beside"); strings.Contains(got, "packets 0 ") {
		t.Fatalf("nothing is counted: %s", got)
	}
	w.box.provision("wireguard", "import", "/etc/wireguard/vpn.conf", "--interface", "wg0")
	w.home.pings(host4)
	w.home.pings(host6)
	w.box.pings(host4)
	if got := w.box.run("ip", "route", "get", host4); !strings.Contains(got, "dev wg0") {
		t.Errorf("the box's own way out: %s", got)
	}
	w.box.provision("plan", "--exit-code")
	provider.run("ip", "link", "set", "eth0", "down")
	w.home.silent(host4)
	w.home.silent(host6)
	w.box.run("ip", "link", "del", "wg0")
	w.home.silent(host4)
	w.home.silent(host6)
	w.box.silent(host4)
	if got := w.net.run("nft", "list", "counter", "inet", "seen", "beside"); !strings.Contains(got, "packets 0 ") {
		t.Errorf("beside the tunnel: %s", got)
	}
}
