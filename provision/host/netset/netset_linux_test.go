package netset

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host/nstest"
	"golang.org/x/sys/unix"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr  { return netip.MustParseAddr(s) }

func TestReplaceRoute(t *testing.T) {
	ns := nstest.New(t)
	ns.Sh(`ip link add eth0 type veth peer name eth1
		ip link add eth2 type veth peer name eth3
		ip link set eth0 up
		ip link set eth1 up
		ip link set eth2 up
		ip link set eth3 up
		ip addr add 192.0.2.2/24 dev eth0
		ip addr add 2001:db8::2/64 dev eth0 nodad
		ip route add default via 192.0.2.9 table 1000
		ip -6 route add default via 2001:db8::9 table 1000`)
	index := func(name string) (i int) {
		for line := range strings.SplitSeq(ns.Sh("ip -o link"), "\n") {
			if strings.Contains(line, " "+name+"@") {
				for _, c := range line[:strings.Index(line, ":")] {
					i = 10*i + int(c-'0')
				}
			}
		}
		return i
	}
	var c *Conn
	var err error
	ns.Do(func() { c, err = Open() })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eth0, eth2 := index("eth0"), index("eth2")
	for _, r := range []Route{
		{Table: 1000, Dst: pfx("0.0.0.0/0"), Index: eth0, Gateway: addr("192.0.2.1"), Src: addr("192.0.2.2"), Protocol: 158},
		{Table: 1000, Dst: pfx("::/0"), Index: eth0, Gateway: addr("2001:db8::1"), Protocol: 158},
		{Table: 1001, Dst: pfx("10.0.0.1/32"), Index: eth2, Protocol: 158},
		{Table: 1001, Dst: pfx("0.0.0.0/0"), Index: eth2, Gateway: addr("10.0.0.1"), Metric: 20, Protocol: 158},
		{Table: 1001, Dst: pfx("::/0"), Index: eth2, Gateway: addr("fe80:ec2::1"), Metric: 20, Protocol: 158},
		{Table: 1002, Dst: pfx("0.0.0.0/0"), Index: eth2, Gateway: addr("198.51.100.1"), OnLink: true, Protocol: 158},
		{Table: 1003, Dst: pfx("0.0.0.0/0"), Index: eth2, Gateway: addr("fe80::1"), Protocol: 158},
	} {
		for range 2 {
			if err := c.ReplaceRoute(t.Context(), r); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
		}
	}
	got := ns.Sh("ip route show table 1000\nip -6 route show table 1000\nip route show table 1001\nip -6 route show table 1001\nip route show table 1002\nip route show table 1003")
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(got), "\n") {
		lines = append(lines, strings.Join(strings.Fields(strings.TrimSuffix(line, "pref medium")), " "))
	}
	want := []string{
		"default via 192.0.2.1 dev eth0 proto 158 src 192.0.2.2",
		"default via 2001:db8::1 dev eth0 proto 158 metric 1024",
		"default via 10.0.0.1 dev eth2 proto 158 metric 20",
		"10.0.0.1 dev eth2 proto 158 scope link",
		"default via fe80:ec2::1 dev eth2 proto 158 metric 20",
		"default via 198.51.100.1 dev eth2 proto 158 onlink",
		"default via inet6 fe80::1 dev eth2 proto 158",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	ns.Sh("ip link set eth1 down\nip link set eth0 down")
	err = c.ReplaceRoute(t.Context(), Route{Table: 1000, Dst: pfx("0.0.0.0/0"), Index: eth0, Gateway: addr("192.0.2.1")})
	if !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("through a device that is down: %v", err)
	}
	err = c.ReplaceRoute(t.Context(), Route{Table: 1000, Dst: pfx("0.0.0.0/0"), Index: eth2, Gateway: addr("203.0.113.1")})
	if err == nil || !strings.Contains(err.Error(), "the gateway 203.0.113.1 cannot be reached") {
		t.Errorf("by a gateway that is not there: %v", err)
	}
}

func TestProxies(t *testing.T) {
	ns := nstest.New(t)
	ns.Sh("ip link add eth0 type veth peer name eth1\nip link set eth0 up")
	var c *Conn
	var err error
	ns.Do(func() { c, err = Open() })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	index := 0
	for line := range strings.SplitSeq(ns.Sh("ip -o link"), "\n") {
		if strings.Contains(line, " eth0@") {
			index = int(line[0] - '0')
		}
	}
	want := []Neighbour{{index, addr("192.0.2.7")}, {index, addr("2001:db8::7")}}
	for _, n := range append(want, want...) {
		if err := c.AddProxy(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.Proxies(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if out := ns.Sh("ip neigh show proxy\nip -6 neigh show proxy"); !strings.Contains(out, "192.0.2.7 dev eth0") || !strings.Contains(out, "2001:db8::7 dev eth0") {
		t.Errorf("ip sees %q", out)
	}
}
