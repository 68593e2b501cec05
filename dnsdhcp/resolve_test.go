package dnsdhcp

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

func TestProblemsAreAllTold(t *testing.T) {
	size, slack := uint32(7), 9.0
	c := Config{
		Domain: "not a domain", Metrics: "0.0.0.0:9153",
		Links: []Rule{
			{},
			{Match: Match{Name: "lo"}},
			{Match: Match{Name: "eth["}},
			{Match: Match{Name: "eth0"}, Router: "maybe", Routes: []string{"10.0.0.1/8"}, NameServers: []string{"none", "9.9.9.9"}, Search: []string{"a b"}, MTU: 100},
			{Match: Match{Name: "eth0"}},
			{Match: Match{Name: "eth1"}, DHCP4: DHCP4{
				Subnet: "10.0.0.0/24", Pools: []string{"10.0.1.1-10.0.1.9", "10.0.0.5-10.0.0.9", "10.0.0.9-10.0.0.20"}, LeaseTime: "1s",
				Options: map[string][]string{"no-such": {"x"}, "router": {"not an address"}}, Boot: Boot{Arch: map[string]string{"pdp11": "x"}}, IPv6Only: "10s",
			}},
			{Match: Match{Name: "eth2", MAC: "nonsense"}, RA: RA{Lifetime: "1h", Prefixes: []Prefix{{Prefix: "10.0.0.0/24"}, {}, {Prefix: "fd00::/64", Valid: "1h", Preferred: "2h"}}, MaxInterval: "1h"}},
			{Match: Match{Name: "eth3"}, DNS: LinkDNS{Filter: []string{"mx"}, Upstreams: []string{"nobody"}, Clients: []string{"10.0.0.1"}}, MDNS: MDNS{Name: "a.b"}},
		},
		Relayed: []Relayed{{Router: "fd00::1"}},
		Hosts: []Host{
			{Name: "a", MACs: []string{"52:54:00:12:34:56"}, Address: "10.0.0.5"},
			{Name: "a", MACs: []string{"52:54:00:12:34:56", "nonsense"}, Address: "10.0.0.5"},
			{Name: "b"}, {Ignore: true}, {MACs: []string{"52:54:00:12:34:57"}}, {ClientIDs: []string{""}, Name: "-"},
		},
		DNS: DNS{
			Upstreams: []string{"9.9.9.9", "9.9.9.9:53", "fe80::1"}, ResolvFile: "resolv.conf", HostsFiles: []string{"hosts"}, CacheSize: &size,
			Routes:  []DNSRoute{{}, {Domains: []string{"x.example", "x.example", "10.0.0.0"}, Upstreams: []string{"10.0.0.1"}, Source: "fd00::1"}},
			Records: []Record{{Name: "x"}, {Name: "x", Type: "A", Value: "fd00::1"}, {Name: "x", Type: "A", Value: "1.2.3.4\n$INCLUDE /etc/shadow"}, {Name: "$INCLUDE", Type: "A", Value: "1.2.3.4"}},
			MinTTL:  "2h",
		},
		Leases: Leases{ExportHosts: "hosts", Slack: &slack},
	}
	got := []string{}
	for _, p := range c.Problems() {
		got = append(got, p.Path)
	}
	want := []string{
		"dns.cache-size", "dns.hosts-files[0]", "dns.min-ttl", "dns.records[0]", "dns.records[1]", "dns.records[2]", "dns.records[3]",
		"dns.resolv-file", "dns.routes[0].domains", "dns.routes[0].upstreams", "dns.routes[1].domains[1]", "dns.routes[1].domains[2]", "dns.routes[1].source",
		"dns.upstreams[1]", "dns.upstreams[2]", "domain",
		"hosts[1].address", "hosts[1].macaddress[0]", "hosts[1].macaddress[1]", "hosts[1].name", "hosts[2]", "hosts[3]", "hosts[4]", "hosts[5]", "hosts[5].client-id[0]", "hosts[5].name",
		"leases.export-hosts", "leases.write-slack",
		"links[0].match.name", "links[1].match.name", "links[2].match.name", "links[3].mtu", "links[3].name-servers[0]", "links[3].router", "links[3].routes", "links[3].routes[0]", "links[3].search[0]",
		"links[4].match.name", "links[5].dhcp4.boot.arch.pdp11", "links[5].dhcp4.ipv6-only", "links[5].dhcp4.lease-time", "links[5].dhcp4.options.no-such", "links[5].dhcp4.options.router",
		"links[5].dhcp4.pools[0]", "links[5].dhcp4.pools[2]",
		"links[6].match.macaddress", "links[6].ra.lifetime", "links[6].ra.max-interval", "links[6].ra.prefixes[0].prefix", "links[6].ra.prefixes[1].prefix", "links[6].ra.prefixes[2].preferred-lifetime",
		"links[7].dns.clients[0]", "links[7].dns.filter[0]", "links[7].dns.upstreams[0]", "links[7].mdns.name",
		"metrics", "relayed[0].router", "relayed[0].subnet",
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("nothing is said about %s", w)
		}
	}
	for i, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("unexpected: %s: %s", g, c.Problems()[i].Text)
		}
	}
}

func TestNothingIsWrongWithLittle(t *testing.T) {
	for _, c := range []Config{
		{},
		{Links: []Rule{{Match: Match{Name: "usb*"}}}},
		{Links: []Rule{{Match: Match{Name: "eth1"}, Router: "full", RA: RA{Lifetime: "30m", PREF64: "64:ff9b::/96"}, CaptivePortal: "https://portal.example/api"}}},
	} {
		if p := c.Problems(); len(p) != 0 {
			t.Errorf("%+v: %v", c, p)
		}
	}
	c := Config{Links: []Rule{{Match: Match{Name: "eth1"}, CaptivePortal: "http://x", RA: RA{PREF64: "64:ff9b::/95"}}}}
	if p := c.Problems(); len(p) == 0 {
		t.Error("an advertisement that cannot be is not told")
	}
}

func addrs(list ...string) []link.Addr {
	var out []link.Addr
	for _, a := range list {
		out = append(out, link.Addr{Prefix: netip.MustParsePrefix(a), Preferred: link.Infinite, Valid: link.Infinite})
	}
	return out
}

func resolveOK(t *testing.T, c Config) *resolved {
	t.Helper()
	var r reader
	out := r.resolve(c)
	if len(r.problems) > 0 {
		t.Fatal(r.problems)
	}
	return out
}

func TestNetworkOnALink(t *testing.T) {
	c := resolveOK(t, Config{
		Domain: "lab.lan",
		Links: []Rule{
			{Match: Match{Name: "usb0"}, Router: "split", Routes: []string{"10.8.0.0/16"}, NameServers: []string{"self", "9.9.9.9"},
				DHCP4: DHCP4{Exclude: []string{"10.55.0.10-10.55.0.19"}, LeaseTime: "infinite"}},
			{Match: Match{Name: "eth*"}, Router: "192.168.1.254", DHCP4: DHCP4{Pools: []string{"192.168.1.100-192.168.1.199"}}},
		},
		Hosts: []Host{
			{Name: "printer", MACs: []string{"52:54:00:12:34:56"}, Address: "10.55.0.4"},
			{Name: "nas", Address: "10.55.0.9"},
		},
		Relayed: []Relayed{{Subnet: "10.9.0.0/24", Router: "10.9.0.1"}},
	})
	n, table, err := c.networkOn(c.ruleFor("usb0", nil), &link.Link{Name: "usb0", Index: 3, Up: true, Addrs: addrs("fd00::1/64", "10.55.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	if n.Name != "usb0" || n.Prefix.String() != "10.55.0.0/24" || n.Router != dhcp4.SplitRouter || n.Lease != dhcp4.Infinite || len(n.DNS) != 2 || n.DNS[0] != unspecified {
		t.Errorf("%+v", n)
	}
	want := []lease.Range{
		{First: netip.MustParseAddr("10.55.0.0"), Last: netip.MustParseAddr("10.55.0.9")},
		{First: netip.MustParseAddr("10.55.0.20"), Last: netip.MustParseAddr("10.55.0.255")},
	}
	if !slices.Equal(table.Pools, want) {
		t.Errorf("pools %v", table.Pools)
	}
	// Ours and the machine's that never asks: nobody gets them. 9.9.9.9 is no matter of this network.
	if len(table.Exclude) != 2 || table.Exclude[0].String() != "10.55.0.1" || table.Exclude[1].String() != "10.55.0.9" {
		t.Errorf("excluded %v", table.Exclude)
	}
	if len(table.Reservations) != 1 || table.Reservations[0].Addr.String() != "10.55.0.4" {
		t.Errorf("reservations %+v", table.Reservations)
	}
	if _, _, err := c.networkOn(c.ruleFor("usb0", nil), &link.Link{Name: "usb0", Index: 3, Up: true, Addrs: addrs("fd00::1/64")}); err != errNoAddress {
		t.Errorf("without an address: %v", err)
	}
	// The address is of another network than the pools.
	if _, _, err := c.networkOn(c.ruleFor("eth7", nil), &link.Link{Name: "eth7", Index: 4, Up: true, Addrs: addrs("10.0.0.1/8")}); err == nil || !strings.Contains(err.Error(), "serve.links[1].dhcp4.pools[0]") {
		t.Errorf("with another address: %v", err)
	}
	n, table, err = c.networkOn(c.ruleFor("eth7", nil), &link.Link{Name: "eth7", Index: 4, Up: true, Addrs: addrs("192.168.1.1/24")})
	if err != nil || n.Router != dhcp4.FullRouter || n.RouterAddr.String() != "192.168.1.254" || !slices.Contains(table.Exclude, n.RouterAddr) {
		t.Errorf("%+v %+v %v", n, table, err)
	}
	handler, tables := c.relayedNetworks()
	if len(handler) != 1 || !handler[0].Relayed || handler[0].RouterAddr.String() != "10.9.0.1" || tables[0].Name != "10.9.0.0/24" {
		t.Errorf("%+v %+v", handler, tables)
	}
}

func TestRuleFor(t *testing.T) {
	c := resolveOK(t, Config{Links: []Rule{{Match: Match{Name: "usb*", MAC: "02:00:00:00:00:09"}}, {Match: Match{Name: "usb1"}}, {Match: Match{Name: "usb1", MAC: "02:00:00:00:00:01"}},
		{Match: Match{Name: "usb0", MAC: "02:00:00:00:00:0A"}}}})
	for _, tt := range []struct{ name, mac, want string }{
		{"usb0", "02:00:00:00:00:0a", "links[3]"},
		{"usb0", "02:00:00:00:00:09", "links[0]"},
		{"usb0", "02:00:00:00:00:01", ""}, // a phone that took the name
		{"usb0", "", "links[3]"},          // away
		{"usb1", "02:00:00:00:00:01", "links[2]"},
		{"usb1", "02:00:00:00:00:02", "links[1]"},
		{"wlan0", "02:00:00:00:00:09", ""},
	} {
		got := ""
		mac, _ := net.ParseMAC(tt.mac)
		if u := c.ruleFor(tt.name, mac); u != nil {
			got = u.at
		}
		if got != tt.want {
			t.Errorf("%s %s: rule %q, want %q", tt.name, tt.mac, got, tt.want)
		}
	}
}

func TestPlanOfALinkThatIsAway(t *testing.T) {
	c := resolveOK(t, Config{Links: []Rule{{Match: Match{Name: "usb0"}}}})
	v := c.plan(c.rules[0], link.Link{}, "pi")
	if v.up || v.dhcp4 || v.dns || v.mdns || len(v.notes) != 0 {
		t.Errorf("%+v", v)
	}
	v = c.plan(c.rules[0], link.Link{Name: "usb0", Index: 2, Up: true, Addrs: addrs("fe80::1/64")}, "pi")
	if !v.up || v.dhcp4 || !v.dns || !v.mdns || len(v.notes) != 1 {
		t.Errorf("%+v", v)
	}
	if len(v.dnsLink.Prefixes) != 0 {
		t.Errorf("queries are taken from %v", v.dnsLink.Prefixes)
	}
	v = c.plan(c.rules[0], link.Link{Name: "usb0", Index: 2, Up: true, Addrs: addrs("fe80::1/64", "10.0.0.1/24", "fd00::1/64")}, "pi")
	if !v.dhcp4 || len(v.dnsLink.Prefixes) != 2 || len(v.learn.Prefixes) != 1 || v.mdnsName != "pi" {
		t.Errorf("%+v", v)
	}
}

func TestReverseZones(t *testing.T) {
	for prefix, want := range map[string][]string{
		"10.0.0.0/8":     {"10.in-addr.arpa"},
		"10.8.0.0/16":    {"8.10.in-addr.arpa"},
		"192.168.4.0/23": {"4.168.192.in-addr.arpa", "5.168.192.in-addr.arpa"},
		"10.0.0.128/26":  nil, // 64 names, see below
		"fd00::/8":       {"d.f.ip6.arpa"},
		"2001:db8::/32":  {"8.b.d.0.1.0.0.2.ip6.arpa"},
		"fd00:8::/30":    {"8.0.0.0.0.0.d.f.ip6.arpa", "9.0.0.0.0.0.d.f.ip6.arpa", "a.0.0.0.0.0.d.f.ip6.arpa", "b.0.0.0.0.0.d.f.ip6.arpa"},
	} {
		got := reverseZones(netip.MustParsePrefix(prefix))
		if want == nil {
			if len(got) != 64 || got[0] != "128.0.0.10.in-addr.arpa" || got[63] != "191.0.0.10.in-addr.arpa" {
				t.Errorf("%s: %v", prefix, got)
			}
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", prefix, got, want)
		}
	}
}

func TestUpstreams(t *testing.T) {
	for text, want := range map[string]string{
		"9.9.9.9":                  "9.9.9.9:53 ",
		"9.9.9.9:5353":             "9.9.9.9:5353 ",
		"9.9.9.9%wg0":              "9.9.9.9:53 wg0",
		"2620:fe::fe":              "[2620:fe::fe]:53 ",
		"[2620:fe::fe]:5353":       "[2620:fe::fe]:5353 ",
		"fe80::1%eth0":             "[fe80::1]:53 eth0",
		"[fe80::1%eth0]:5353":      "[fe80::1]:5353 eth0",
		"fe80::1":                  "",
		"0.0.0.0":                  "",
		"9.9.9.9:0":                "",
		"9.9.9.9%":                 "",
		"9.9.9.9%no/such":          "",
		"dns.example":              "",
		"[2620:fe::fe":             "",
		"::ffff:9.9.9.9":           "",
		"9.9.9.9%waytoolongname00": "",
	} {
		u, ok := parseUpstream(text)
		got := ""
		if ok {
			got = u.Addr.String() + " " + u.Interface
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestRecords(t *testing.T) {
	for _, tt := range []struct {
		in   Record
		want string
	}{
		{Record{Name: "git", Type: "A", Value: "10.0.0.1"}, "git.lab.lan.\t60\tIN\tA\t10.0.0.1"},
		{Record{Name: "git.example.org", Type: "CNAME", Value: "git"}, "git.example.org.\t60\tIN\tCNAME\tgit.lab.lan."},
		{Record{Name: "*.dev", Type: "A", Value: "10.0.0.1", TTL: "5m"}, "*.dev.lab.lan.\t300\tIN\tA\t10.0.0.1"},
		{Record{Name: "_ldap._tcp", Type: "SRV", Value: "0 5 389 dc"}, "_ldap._tcp.lab.lan.\t60\tIN\tSRV\t0 5 389 dc.lab.lan."},
		{Record{Name: "x", Type: "TXT", Value: `"v=1; a b"`}, "x.lab.lan.\t60\tIN\tTXT\t\"v=1; a b\""},
	} {
		c := resolveOK(t, Config{Domain: "lab.lan", DNS: DNS{Records: []Record{tt.in}}})
		if got := c.dns.records[0].String(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestRangesWithout(t *testing.T) {
	r := func(text string) lease.Range {
		var rd reader
		out, ok := rd.pool("", text)
		if !ok {
			t.Fatal(rd.problems)
		}
		return out
	}
	got := without([]lease.Range{r("10.0.0.10-10.0.0.20")}, []lease.Range{r("10.0.0.10"), r("10.0.0.15-10.0.0.16"), r("10.0.0.20-10.0.0.30"), r("10.0.1.0/24")})
	want := []lease.Range{r("10.0.0.11-10.0.0.14"), r("10.0.0.17-10.0.0.19")}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := without([]lease.Range{r("10.0.0.10-10.0.0.20")}, []lease.Range{r("10.0.0.0/24")}); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestAdvertisedLifetimes(t *testing.T) {
	c := resolveOK(t, Config{Links: []Rule{
		{Match: Match{Name: "a"}},
		{Match: Match{Name: "b"}, Router: "full"},
		{Match: Match{Name: "c"}, Router: "full", RA: RA{Lifetime: "0s", MaxInterval: "4s"}},
		{Match: Match{Name: "d"}, Router: "split", Routes: []string{"fd00:8::/32", "10.8.0.0/16"}},
	}})
	if l := c.rules[0].ra.config.RouterLifetime; l != 0 {
		t.Errorf("router: none announces a router for %v", l)
	}
	if l := c.rules[1].ra.config.RouterLifetime; l >= 0 {
		t.Errorf("router: full does not follow the uplink: %v", l)
	}
	if k := c.rules[2].ra.config; k.RouterLifetime != 0 || k.MinInterval != 3*time.Second {
		t.Errorf("%+v", k)
	}
	if k := c.rules[3].ra.config; k.RouterLifetime != 0 || len(k.Routes) != 1 || k.Routes[0].Prefix.String() != "fd00:8::/32" {
		t.Errorf("%+v", k)
	}
}
