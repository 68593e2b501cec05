//go:build lab && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// byHand is what somebody has added to the kernel by hand, and how ip(8) shows it.
var byHand = []struct{ add, show, want string }{
	{"-4 route add 198.51.100.0/24 via 10.0.2.2 dev eth0", "-4 route show 198.51.100.0/24", "198.51.100.0/24 via 10.0.2.2 dev eth0"},
	{"-4 route add default via 192.168.76.2 dev eth1 table 200", "-4 route show table 200", "default via 192.168.76.2 dev eth1"},
	{"-4 rule add from 192.168.76.0/24 lookup 200 pref 1000", "-4 rule show pref 1000", "from 192.168.76.0/24 lookup 200"},
	{"-6 route add 2001:db8:aaaa::/48 via fe80::5054:ff:fe12:3502 dev eth0", "-6 route show 2001:db8:aaaa::/48", "2001:db8:aaaa::/48 via fe80::5054:ff:fe12:3502 dev eth0"},
	{"-6 route add default via fe80::5054:ff:fe12:3503 dev eth1 table 201", "-6 route show table 201", "default via fe80::5054:ff:fe12:3503 dev eth1"},
	{"-6 rule add from 2001:db8:1::/64 lookup 201 pref 1001", "-6 rule show pref 1001", "from 2001:db8:1::/64 lookup 201"},
	{"addr add 10.99.0.1/24 dev eth0", "-4 -o addr show dev eth0", "10.99.0.1/24"},
	{"addr add 2001:db8:99::1/64 dev eth1 nodad", "-6 -o addr show dev eth1", "2001:db8:99::1/64"},
}

func addByHand(t *testing.T, m *lab.Machine) {
	t.Helper()
	for _, x := range byHand {
		m.MustRun(t, "ip", strings.Fields(x.add)...)
	}
	stillByHand(t, m, "at first")
}

// stillByHand looks for all of it.
func stillByHand(t *testing.T, m *lab.Machine, when string) {
	t.Helper()
	for _, x := range byHand {
		if out := m.MustRun(t, "ip", strings.Fields(x.show)...); !strings.Contains(out, x.want) {
			t.Errorf("%s \"ip %s\" does not show %q any more, but %q", when, x.show, x.want, out)
		}
	}
}

func foreignRoots() []string {
	if full {
		return roots
	}
	return []string{"bookworm-netplan", "trixie-nm"}
}

// Routes in any table, rules and addresses that somebody added by hand survive, and so does the file that cloud-init wrote.
func TestForeignState(t *testing.T) {
	for _, root := range foreignRoots() {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			_, m := boot(t, root, lab.WorldOpts{}, lab.BootOpts{})
			await(t, m, root, "eth0", "eth1")
			etc := m.TreeDigest(t, "/etc")
			cloud := etc["/etc/netplan/50-cloud-init.yaml"]
			addByHand(t, m)

			explained(t, m, root, false)
			sameOwners(t, m)
			apply(t, m)
			for _, family := range []int{4, 6} {
				awaitWinner(t, m, family, "eth1 metric 10")
			}
			stillByHand(t, m, "after apply")
			if now := m.TreeDigest(t, "/etc")["/etc/netplan/50-cloud-init.yaml"]; now != cloud {
				t.Errorf("50-cloud-init.yaml was %+v, is %+v", cloud, now)
			}
			settled(t, m)
			stillByHand(t, m, "after the second apply")
			explained(t, m, root, true)
			sameOwners(t, m)
			must(t, m, 0, "revert")
			stillByHand(t, m, "after revert")
			sameEtc(t, m, etc.Without(volatile...), "revert")
		})
	}
}

// explained checks that explain names the file that decides eth0's metric.
func explained(t *testing.T, m *lab.Machine, root string, applied bool) {
	t.Helper()
	var reasons []struct{ Key, Value, Source, Note string }
	out := must(t, m, 0, "explain", "eth0", "metric", "-o", "json")
	if err := json.Unmarshal([]byte(out), &reasons); err != nil {
		t.Fatalf("explain printed no JSON: %v\n%s", err, out)
	}
	file, line := "", ""
	switch {
	case strings.Contains(root, "ifupdown"):
		file, line = "/etc/network/interfaces", "iface eth0 inet dhcp"
		if applied {
			line = "metric 1000"
		}
	case strings.HasSuffix(root, "-netplan"):
		file, line = "/etc/netplan/50-cloud-init.yaml", "eth0:" // where it could be said
		if applied {
			file, line = "/etc/netplan/90-provision.yaml", "route-metric: 1000"
		}
	case applied:
		file, line = "/etc/NetworkManager/conf.d/90-provision.conf", "ipv4.route-metric=1000"
	}
	if file == "" {
		// NetworkManager's own default: no file decides.
		if !strings.Contains(out, "100") || !strings.Contains(out, "NetworkManager") {
			t.Errorf("explain does not name NetworkManager's default metric 100: %s", out)
		}
		return
	}
	text, err := m.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for i, l := range strings.Split(text, "\n") {
		if strings.TrimSpace(l) == line {
			at = i + 1
			break
		}
	}
	want := fmt.Sprintf("%s:%d", file, at)
	found := false
	for _, r := range reasons {
		found = found || r.Source == want && (!applied || r.Value == "1000")
	}
	if !found {
		t.Errorf("explain eth0 metric (applied: %v) does not name %s, but\n%s", applied, want, out)
	}
}

// sameOwners checks that an ordinary user sees the same owners and roles as root.
func sameOwners(t *testing.T, m *lab.Machine) {
	t.Helper()
	type nic struct {
		Name  string
		Owner struct{ Owner, Renderer string }
		Role  struct{ Role string }
	}
	type source struct{ Source string }
	var hidden []source
	owners := func(argv ...string) []nic {
		var d struct {
			NICs       []nic
			Unreadable []source
		}
		out := m.MustRun(t, argv[0], argv[1:]...)
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatalf("detect printed no JSON: %v\n%s", err, out)
		}
		hidden = d.Unreadable
		return d.NICs
	}
	root := owners("provision", "--detect", "-o", "json")
	nobody := owners("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "provision", "--detect", "-o", "json")
	if slices.Contains(hidden, source{"/run/NetworkManager/devices"}) {
		// Netplan's generator made the directory, closed to others (0.106): who owns what is said to be unknown, not guessed.
		for i := range nobody {
			if nobody[i].Owner.Owner != "none" {
				t.Errorf("an ordinary user is told that %s is owned by %s, which nothing that is readable says", nobody[i].Name, nobody[i].Owner.Owner)
			}
			nobody[i].Owner = root[i].Owner
		}
	}
	if !slices.Equal(root, nobody) {
		t.Errorf("root sees %+v, an ordinary user sees %+v", root, nobody)
	}
}

// Static configuration stays as it is: the NAT NIC is what moves.
func TestStaticConfiguration(t *testing.T) {
	const eth0 = "      dhcp4: true\n      dhcp6: true\n"
	for _, c := range []struct {
		root    string
		config  lab.Config
		overlay lab.Overlay
		metric  int
		quick   bool
	}{
		{"trixie-netplan", lab.NoConfig, lab.Overlay{"/etc/netplan/10-own.yaml": {Mode: 0o600, Content: "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    eth0:\n" + eth0 +
			"    eth1:\n      addresses: [192.168.76.50/24]\n      routes:\n        - {to: default, via: 192.168.76.2, metric: 40}\n"}}, 40, false},
		{"bookworm-nm", lab.OnlyEth0, lab.Overlay{"/etc/NetworkManager/system-connections/lan.nmconnection": {Mode: 0o600, Content: "[connection]\nid=lan\nuuid=4b1f9f5e-3c53-4f0e-9c6e-7f6d0f9a0099\n" +
			"type=ethernet\ninterface-name=eth1\n\n[ipv4]\nmethod=manual\naddress1=192.168.76.50/24,192.168.76.2\nroute-metric=40\n\n[ipv6]\nmethod=auto\n"}}, 40, false},
		{"trixie-ifupdown", lab.OnlyEth0, lab.Overlay{"/etc/network/interfaces.d/lan": {Content: "auto eth1\niface eth1 inet static\n    address 192.168.76.50/24\n    gateway 192.168.76.2\n    metric 40\n"}}, 40, true},
	} {
		if !c.quick && !full {
			continue
		}
		t.Run(c.root, func(t *testing.T) {
			t.Parallel()
			_, m := boot(t, c.root, lab.WorldOpts{}, lab.BootOpts{Config: c.config, Overlay: c.overlay})
			m.AwaitDefaults(t, 20*time.Second, "eth0")
			awaitMetric(t, m, 4, "eth1", c.metric)
			etc := m.TreeDigest(t, "/etc").Without(volatile...)
			apply(t, m)
			awaitMetric(t, m, 4, "eth0", 1000)
			awaitMetric(t, m, 4, "eth1", c.metric)
			if got := m.Global("eth1", 4); got != "192.168.76.50" {
				t.Errorf("eth1 has %s", got)
			}
			settled(t, m)
			m.Reboot(t)
			m.AwaitDefaults(t, 20*time.Second, "eth0")
			awaitMetric(t, m, 4, "eth0", 1000)
			awaitMetric(t, m, 4, "eth1", c.metric)
			must(t, m, 0, "revert")
			sameEtc(t, m, etc, "revert")
		})
	}
}
