package dnsdhcp

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/dnsdhcp/link"
)

// What only the parts can judge is told with the rest, not when everything that they serve stands still.
func TestPartsAreAskedBeforehand(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 60)+".", 4)
	list := []string{long + "a", long + "b", long + "c"}
	for _, tt := range []struct {
		name string
		c    Config
		want string
	}{
		{"renewal after rebinding", Config{Links: []Rule{{Match: Match{Name: "a"}, DHCP4: DHCP4{Options: map[string][]string{"58": {"3000"}, "59": {"100"}}}}}}, "links[0].dhcp4"},
		{"search list for DHCPv6", Config{Links: []Rule{{Match: Match{Name: "a"}, Search: list}}}, "links[0].dhcp6"},
		{"relayed networks overlap", Config{Relayed: []Relayed{{Subnet: "10.9.0.0/24"}, {Subnet: "10.9.0.0/16"}}}, "relayed[1].subnet"},
		{"alias beside other records", Config{DNS: DNS{Records: []Record{{Name: "x", Type: "A", Value: "10.0.0.1"}, {Name: "x", Type: "CNAME", Value: "y"}}}}, "dns"},
		{"option of a host", Config{Hosts: []Host{{Name: "a", MACs: []string{"52:54:00:00:00:01"}, Options: map[string][]string{"no-such": {"x"}}}}}, "hosts[0].options.no-such"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.c.Problems()
			if len(p) != 1 || p[0].Path != tt.want || p[0].Text == "" {
				t.Errorf("%v, want one of %s", p, tt.want)
			}
		})
	}
}

// An address that a name of the configuration stands for is given to nobody else, and none is reserved that a client
// cannot use.
func TestAddressesOfHosts(t *testing.T) {
	c := resolveOK(t, Config{
		Links: []Rule{{Match: Match{Name: "usb0"}}},
		Hosts: []Host{
			{Name: "nas", Addresses: []string{"10.0.0.9", "fd00::9"}},
			{Name: "two", MACs: []string{"52:54:00:00:00:02"}, Address: "10.0.0.2", Addresses: []string{"10.0.0.22"}},
			{Name: "we", MACs: []string{"52:54:00:00:00:03"}, Address: "10.0.0.1"},
			{Name: "net", MACs: []string{"52:54:00:00:00:04"}, Address: "10.0.0.0"},
			{Name: "all", MACs: []string{"52:54:00:00:00:05"}, Address: "10.0.0.255"},
		},
	})
	v := c.plan(c.rules[0], link.Link{Name: "usb0", Index: 2, Up: true, Addrs: addrs("10.0.0.1/24")}, "pi")
	got := map[netip.Addr]bool{}
	for _, a := range v.table.Exclude {
		got[a] = true
	}
	for _, a := range []string{"10.0.0.1", "10.0.0.9", "10.0.0.22"} {
		if !got[netip.MustParseAddr(a)] {
			t.Errorf("%s may be given to anybody", a)
		}
	}
	var reserved []string
	for _, r := range v.table.Reservations {
		if r.Addr.IsValid() {
			reserved = append(reserved, r.Addr.String())
		}
	}
	if strings.Join(reserved, " ") != "10.0.0.2" {
		t.Errorf("reserved: %v", reserved)
	}
	if len(v.notes) != 3 || !strings.Contains(v.notes[0], "serve.hosts[2].address 10.0.0.1 is this machine's own") {
		t.Errorf("notes: %q", v.notes)
	}
}

func TestNamesThatNoClientGets(t *testing.T) {
	c := resolveOK(t, Config{
		Domain: "lab.lan",
		Links:  []Rule{{Match: Match{Name: "usb0"}, MDNS: MDNS{Name: "Pi"}}},
		Hosts:  []Host{{Name: "nas", Address: "10.0.0.9"}, {Name: "printer", MACs: []string{"52:54:00:00:00:02"}, Address: "10.0.0.2"}},
		DNS:    DNS{Records: []Record{{Name: "Git", Type: "CNAME", Value: "nas"}, {Name: "www.example.org", Type: "A", Value: "10.0.0.3"}}},
	})
	refused := c.refusedNames("host")
	for label, want := range map[string]bool{"host": true, "pi": true, "nas": true, "git": true, "printer": false, "www": false, "laptop": false} {
		if refused(label) != want {
			t.Errorf("%s is refused: %v", label, !want)
		}
	}
}

func TestDescriptionsOfHosts(t *testing.T) {
	c := resolveOK(t, Config{Hosts: []Host{
		{MACs: []string{"52:54:00:00:00:01"}, Ignore: true},
		{Name: "a", MACs: []string{"52:54:00:00:00:02"}, Ignore: true, Address: "10.0.0.2"},
	}})
	for i, want := range []string{
		"the configuration (serve.hosts[0]) has its DHCP requests ignored",
		"the configuration (serve.hosts[1]) gives it the address 10.0.0.2, the name a and has its DHCP requests ignored",
	} {
		if got := c.hosts[i].describe(); got != want {
			t.Errorf("%q", got)
		}
	}
}

func TestNamesByMAC(t *testing.T) {
	c := resolveOK(t, Config{Hosts: []Host{
		{Name: "a", MACs: []string{"52:54:00:00:00:01", "52:54:00:00:00:02"}, Address: "10.0.0.2"},
		{MACs: []string{"52:54:00:00:00:03"}, Address: "10.0.0.3"},
	}})
	got := namesOfMACs(c.hosts)
	if len(got) != 2 || got["RT\x00\x00\x00\x01"] != "a" || got["RT\x00\x00\x00\x02"] != "a" {
		t.Errorf("%q", got)
	}
}
