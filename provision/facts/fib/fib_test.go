package fib

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

// vagrant is a machine with a NAT NIC and a bridged one.
func vagrant() *facts.Facts {
	return &facts.Facts{
		Links: []facts.Link{
			{Index: 1, Name: "lo", ARPHRD: 772, Up: true},
			{Index: 2, Name: "eth0", ARPHRD: 1, Up: true},
			{Index: 3, Name: "eth1", ARPHRD: 1, Up: true},
		},
		Addrs: []facts.Address{
			{Link: 1, Prefix: prefix("127.0.0.1/8"), Scope: "host"},
			{Link: 2, Prefix: prefix("10.0.2.15/24"), Scope: "global"},
			{Link: 3, Prefix: prefix("192.168.76.10/24"), Scope: "global"},
			{Link: 3, Prefix: prefix("2001:db8:76::10/64"), Scope: "global"},
			{Link: 3, Prefix: prefix("fe80::10/64"), Scope: "link"},
		},
		Routes: []facts.Route{
			{Dst: prefix("0.0.0.0/0"), Gateway: addr("10.0.2.2"), Link: 2, Metric: 100, Table: 254, Type: "unicast"},
			{Dst: prefix("0.0.0.0/0"), Gateway: addr("192.168.76.1"), Link: 3, Metric: 200, Table: 254, Type: "unicast"},
			{Dst: prefix("10.0.2.0/24"), Link: 2, Table: 254, Type: "unicast", Scope: "link", Src: addr("10.0.2.15")},
			{Dst: prefix("192.168.76.0/24"), Link: 3, Table: 254, Type: "unicast", Scope: "link", Src: addr("192.168.76.10")},
			{Dst: prefix("::/0"), Gateway: addr("fe80::1"), Link: 3, Metric: 1024, Table: 254, Type: "unicast"},
			{Dst: prefix("10.9.0.0/16"), Metric: 5, Table: 254, Type: "unreachable"},
			{Dst: prefix("0.0.0.0/0"), Gateway: addr("192.168.76.1"), Link: 3, Table: 77, Type: "unicast"},
		},
	}
}

func TestLookup(t *testing.T) {
	f := vagrant()
	ruled := vagrant()
	ruled.Rules = []facts.Rule{
		{Family: 4, Priority: 0, Table: 255, Action: "lookup"},
		{Family: 4, Priority: 10, Table: 254, Action: "lookup", Suppresses: true, Suppress: 0},
		{Family: 4, Priority: 20, From: prefix("192.168.76.10/32"), Table: 77, Action: "lookup"},
		{Family: 4, Priority: 21, Mark: 0xca6c, Mask: 0xffffffff, Action: "prohibit"},
		{Family: 4, Priority: 32766, Table: 254, Action: "lookup"},
	}
	for _, c := range []struct {
		name    string
		f       *facts.Facts
		q       Query
		kind    Kind
		link    int
		gateway string
		src     string
	}{
		{"lowest metric", f, Query{Dst: addr("203.0.113.5")}, Unicast, 2, "10.0.2.2", "10.0.2.15"},
		{"on the link", f, Query{Dst: addr("192.168.76.9")}, Unicast, 3, "", "192.168.76.10"},
		{"bound to a device", f, Query{Dst: addr("203.0.113.5"), Oif: "eth1"}, Unicast, 3, "192.168.76.1", "192.168.76.10"},
		{"itself", f, Query{Dst: addr("10.0.2.15")}, Local, 2, "", "10.0.2.15"},
		{"loopback", f, Query{Dst: addr("127.5.5.5")}, Local, 1, "", "127.0.0.1"},
		{"broadcast", f, Query{Dst: addr("10.0.2.255")}, Broadcast, 2, "", "10.0.2.15"},
		{"unreachable", f, Query{Dst: addr("10.9.1.1")}, Unreachable, 0, "", ""},
		{"IPv6 default", f, Query{Dst: addr("2001:db8:f::5")}, Unicast, 3, "fe80::1", "2001:db8:76::10"},
		{"mapped", f, Query{Dst: addr("::ffff:203.0.113.5")}, Unicast, 2, "10.0.2.2", "10.0.2.15"},
		{"no such device", f, Query{Dst: addr("10.0.2.2"), Oif: "eth9"}, NoRoute, 0, "", ""},
		{"source rule", ruled, Query{Dst: addr("203.0.113.5"), Src: addr("192.168.76.10")}, Unicast, 3, "192.168.76.1", "192.168.76.10"},
		{"source rule does not match unbound", ruled, Query{Dst: addr("203.0.113.5")}, Unicast, 2, "10.0.2.2", "10.0.2.15"},
		{"suppressing rule keeps longer prefixes", ruled, Query{Dst: addr("10.0.2.2"), Src: addr("192.168.76.10")}, Unicast, 2, "", "192.168.76.10"},
		{"rule that refuses", ruled, Query{Dst: addr("203.0.113.5"), Mark: 0xca6c}, Prohibit, 0, "", ""},
	} {
		r := Lookup(c.f, c.q)
		gw, src := "", ""
		if r.Gateway.IsValid() {
			gw = r.Gateway.String()
		}
		if r.Src.IsValid() {
			src = r.Src.String()
		}
		if r.Kind != c.kind || r.Link != c.link || gw != c.gateway || src != c.src {
			t.Errorf("%s: got %s link %d via %q src %q\n%s", c.name, r.Kind, r.Link, gw, src, strings.Join(r.Text(c.f), "\n"))
		}
	}
	if w, ok := Winner(f, addr("198.51.100.1")); !ok || w.Link != 2 {
		t.Errorf("winner: %+v %v", w, ok)
	}
}

func TestTraceNamesLosers(t *testing.T) {
	f := vagrant()
	got := strings.Join(Lookup(f, Query{Dst: addr("203.0.113.5")}).Text(f), "\n")
	want := `   rule 0: from all lookup 255: table 255 has no route to 203.0.113.5
=>     default via 10.0.2.2 dev eth0 metric 100: longest prefix, lowest metric of table 254
       default via 192.168.76.1 dev eth1 metric 200: loses: metric 200 is higher than 100`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
