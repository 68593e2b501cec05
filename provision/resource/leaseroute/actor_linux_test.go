package leaseroute

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/nstest"
)

// TestActor holds the action against the kernel: two NICs, one default route without
// a metric, and a lease that offers another.
func TestActor(t *testing.T) {
	const noMetric, withMetric = "hostname: box\n", "metric: 10\n"
	for _, c := range []struct {
		name, setup, stanza, lease string
		before, want               string // default routes of eth1
	}{
		{"the offered route is added", "", withMetric, "192.168.76.16", "", "default via 192.168.76.2 proto dhcp metric 10"},
		{"a present one is left alone", "ip route add default via 192.168.76.9 dev eth1 metric 700", withMetric, "192.168.76.16", "", "default via 192.168.76.9 metric 700"},
		{"another address: an old lease", "", withMetric, "192.168.76.99", "", ""},
		{"no metric in the stanza", "", noMetric, "192.168.76.16", "", ""},
		{"the way back", "ip route add default via 192.168.76.2 dev eth1 proto dhcp metric 10", noMetric, "192.168.76.16", "", ""},
		{"the way back, dhclient's own", "ip route add default via 192.168.76.2 dev eth1 metric 10", noMetric, "192.168.76.16", "", "default via 192.168.76.2 metric 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := nstest.New(t)
			ns.Sh(`ip link add eth0 type veth peer name peer0
				ip link add eth1 type veth peer name peer1
				ip link set eth0 up
				ip link set peer0 up
				ip link set eth1 up
				ip link set peer1 up
				ip addr add 10.0.2.15/24 dev eth0
				ip addr add 192.168.76.16/24 dev eth1
				ip route add default via 10.0.2.2 dev eth0`)
			if out, err := ns.Try("ip route add default via 192.168.76.2 dev eth1"); err == nil {
				t.Fatalf("the kernel takes a second default route without a metric: %s", out)
			}
			ns.Sh(c.setup)
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, "var/lib/dhcp"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(root, "run/network"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "run/network/ifstate"), []byte("lo=lo\neth1=lan\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			text := "lease {\n  interface \"eth1\";\n  fixed-address " + c.lease + ";\n  option routers 192.168.76.2;\n}\n"
			if err := os.WriteFile(filepath.Join(root, "var/lib/dhcp/dhclient.eth1.leases"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			fake := host.NewFake(t)
			answer := host.Answer{Output: host.Output{Stdout: []byte(c.stanza)}}
			fake.Answer("ifquery --no-mappings eth1=lan", answer, answer)
			x := &Actor{Runner: fake, Root: root}
			for range 2 { // an action may be repeated
				var err error
				ns.Do(func() { err = x.Do(t.Context(), Add("name:eth1", "eth1", 10)) })
				if err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Join(strings.Fields(ns.Sh("ip -4 route show default dev eth1")), " "); got != c.want {
				t.Errorf("eth1 has %q, want %q", got, c.want)
			}
			if got := strings.Join(strings.Fields(ns.Sh("ip -4 route show default dev eth0")), " "); got != "default via 10.0.2.2" {
				t.Errorf("eth0 has %q", got)
			}
		})
	}
}

func TestActorWithoutDevice(t *testing.T) {
	ns := nstest.New(t)
	var err error
	ns.Do(func() { err = (&Actor{}).Do(t.Context(), Add("name:eth7", "eth7", 10)) })
	if err != nil {
		t.Errorf("a device that is gone: %v", err)
	}
}
