package firewall_test

import (
	"fmt"
	"testing"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/firewall"
)

// thousand is a policy of 1,000 rules as offices have them: sources and destinations of both
// families, ports, some logs, some published servers.
func thousand() firewall.Policy {
	p := firewall.Policy{
		Zones: firewall.Zones{"inside": {Interfaces: []string{"eth1", "eth2"}}, "dmz": {Interfaces: []string{"eth3"}}, "outside": {Interfaces: []string{"eth0"}, Masquerade: true}},
		Groups: firewall.Groups{"office": {"10.0.0.0/16", "10.2.0.0/16", "2001:db8::/48"},
			"servers": {"192.0.2.1", "192.0.2.3", "192.0.2.17-192.0.2.40", "2001:db8:1::/64", "2001:db8:3::/64"}},
	}
	zone := []string{"inside", "dmz", "outside"}
	for i := range 1000 {
		r := firewall.Rule{SourceInterface: zone[i%3], DestinationInterface: zone[(i+1)%3], Action: "allow", Note: fmt.Sprintf("service %d", i)}
		switch i % 5 {
		case 0:
			r.Source, r.Destination = []string{"office"}, []string{fmt.Sprintf("192.0.%d.%d", 3+i/250, i%250), fmt.Sprintf("2001:db8:4::%x", i)}
			r.Port = []string{fmt.Sprintf("tcp/%d", 1000+i)}
		case 1:
			r.Source, r.Destination, r.Port = []string{fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)}, []string{"servers"}, []string{"tcp/80", "tcp/443", "udp/443"}
		case 2:
			r.Source, r.Port, r.Log = []string{fmt.Sprintf("172.16.%d.%d", i/250, i%250)}, []string{fmt.Sprintf("udp/%d", 2000+i)}, true
		case 3:
			r.Destination, r.Port, r.Action = []string{fmt.Sprintf("198.18.%d.%d", i/250, i%250)}, []string{"tcp/22", fmt.Sprintf("tcp/%d-%d", 3000+i, 3010+i)}, "reject"
		case 4:
			r.Destination, r.NATDestination, r.Port = []string{"192.0.2.250"}, fmt.Sprintf("10.9.%d.%d:80", i/250, i%250+1), []string{fmt.Sprintf("tcp/%d", 10000+i)}
		}
		p.Firewall.Rules = append(p.Firewall.Rules, r)
	}
	return p
}

func TestThousandRules(t *testing.T) {
	table := compile(t, thousand(), intent.Set{})
	longest := ""
	n := map[string]int{}
	for _, c := range table.Chains {
		n[c.Name] = len(c.Rules)
		if len(c.Rules) > n[longest] {
			longest = c.Name
		}
	}
	t.Logf("%d rules in %s, the longest of %d chains; %d sets", n[longest], longest, len(n), len(table.Sets))
	if n["forward"] > 20 || n["input"] > 40 {
		t.Errorf("every packet meets %d rules of forward, %d of input", n["forward"], n["input"])
	}
}

// BenchmarkCompile is the time from the policy to the table, 1,000 rules.
func BenchmarkCompile(b *testing.B) {
	p := thousand()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := firewall.Compile(p, intent.Set{}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
