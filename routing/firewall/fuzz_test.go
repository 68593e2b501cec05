package firewall_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/firewall"
)

// dice draws parts of policies from bytes, so that the fuzzer decides.
type dice struct{ bytes []byte }

func (d *dice) n(most int) int {
	if len(d.bytes) == 0 {
		return 0
	}
	b := d.bytes[0]
	d.bytes = d.bytes[1:]
	return int(b) % most
}

func pick[T any](d *dice, of ...T) T { return of[d.n(len(of))] }

func some[T any](d *dice, of ...T) []T {
	var out []T
	for range d.n(4) {
		out = append(out, pick(d, of...))
	}
	return out
}

// policy makes one that is often right, and often nearly so.
func (d *dice) policy(free string) (firewall.Policy, intent.Set) {
	zones := firewall.Zones{}
	for i, name := range []string{"inside", "outside", "vpn", free} {
		if d.n(4) == 0 && i > 1 {
			continue
		}
		z := firewall.Zone{Interfaces: []string{pick(d, "usb0", "eth1", "a*", free), fmt.Sprintf("x%d", i)}, Side: pick(d, "", "", "inside", "outside", free),
			Masquerade: d.n(2) == 0, MasqueradeIPv6: pick(d, "", "", "auto", "yes", "no"), Input: pick(d, "", "allow", "deny", "reject"),
			Forward: pick(d, "", "", "allow", "deny", "reject"), AntiSpoofing: d.n(3) == 0, MSS: pick[uint16](d, 0, 0, 1300, 65535)}
		if d.n(3) == 0 {
			no := false
			z.Management, z.Log = &no, &no
		}
		zones[name] = z
	}
	addrs := []string{"any", "10.0.0.0/8", "192.0.2.1", "192.0.2.0/31", "2001:db8::/32", "fd00::/48", "fd00:1::1", "g", "h", "192.0.2.1-192.0.2.9", "2001:db8::1-2001:db8::ffff", "224.0.0.251", "ff02::fb", "0.0.0.0/0", "::/0", free}
	ports := []string{"any", "tcp", "udp/53", "dns", "ssh", "tcp/80-90", "tcp/80,443", "icmp", "icmpv6", "ping", "icmp/8", "gre", "proto/41", "tcp/1-65535", "udp/65535", free}
	p := firewall.Policy{Zones: zones, Groups: firewall.Groups{"g": some(d, addrs...), "h": {"192.0.2.7", "2001:db8::7"}}}
	c := &p.Firewall
	c.Ping, c.OwnTraffic, c.OtherInterfaces = pick(d, "", "no", "inside", "any"), pick(d, "", "allow", "listed"), pick(d, "", "deny", "allow")
	c.MSSClamp, c.LogLimit = pick(d, "", "auto", "no"), pick(d, "", "1/second", "1000000/hour", free)
	if c.OwnTraffic == "listed" {
		c.OwnServices = some(d, ports...)
	}
	if d.n(4) == 0 {
		g := uint16(d.n(256))
		c.LogGroup = &g
	}
	c.Management = firewall.Management{From: some(d, addrs...), Services: some(d, ports...)}
	for range d.n(7) {
		c.Rules = append(c.Rules, firewall.Rule{
			SourceInterface: pick(d, "", "any", "inside", "outside", "vpn", "self", "x0", "usb0", free), Source: some(d, addrs...),
			DestinationInterface: pick(d, "", "any", "inside", "outside", "vpn", "self", "x1", "usb0", free), Destination: some(d, addrs...),
			NATSource:      pick(d, "", "", "", "", "auto", "no", "192.0.2.7", "192.0.2.7, 2001:db8::7", "192.0.2.7-192.0.2.9", "2001:db8:9::/48", free),
			NATDestination: pick(d, "", "", "", "", "no", "10.0.0.2", "10.0.0.2:8080", "10.0.0.2, 2001:db8::2", "self:53", "fd00:9::/48", "[2001:db8::2]:81", free),
			Port:           some(d, ports...), Action: pick(d, "allow", "deny", "reject", "allow"), Log: d.n(3) == 0, Note: pick(d, "", "note", free),
		})
	}
	in := intent.Set{}
	if d.n(2) == 0 {
		in.Members = []intent.Member{{Zone: pick(d, "vpn", "inside", free), Interfaces: []string{pick(d, "wg0", "usb0", free)}, Joins: d.n(2) == 0}}
		in.Services = []intent.Service{{Name: free, Interfaces: some(d, "usb0", "a*"), Proto: pick(d, "udp", "tcp", free), Ports: some[uint16](d, 53, 67, 67), Multicast: d.n(2) == 0, Family: pick(d, 0, 4, 6),
			From: some(d, netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("0.0.0.0/0"))}}
		in.Forwards = []intent.Forward{{From: "inside", To: pick(d, "outside", "vpn", ""), Interfaces: some(d, "usb0", "a*"), Destinations: some(d, netip.MustParsePrefix("10.8.0.0/16"), netip.MustParsePrefix("fd08::/32")), NAT: pick(d, "", "yes", "auto", "no"), Why: free}}
		in.Endpoints = []intent.Endpoint{{Tunnel: free, Proto: pick(d, "udp", "41", free), Addr: pick(d, netip.Addr{}, netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("::ffff:203.0.113.1"), netip.MustParseAddr("2001:db8::9")), Port: pick[uint16](d, 0, 51820)}}
	}
	return p, in
}

// mended leaves out what the problems name, until there are none.
func mended(t *testing.T, p firewall.Policy) firewall.Policy {
	for range 20 {
		ps := p.Problems()
		if len(ps) == 0 {
			return p
		}
		drop := map[int]bool{}
		for _, x := range ps {
			var i int
			words := strings.Split(x.Path, ".")
			switch {
			case x.Path == "zones":
				p.Zones["inside"] = firewall.Zone{Interfaces: []string{"x0"}}
			case strings.HasPrefix(x.Path, "zones."):
				delete(p.Zones, words[1])
			case strings.HasPrefix(x.Path, "groups."):
				p.Groups[words[1]] = []string{"192.0.2.99", "2001:db8::99"}
			case x.Path == "firewall.log-limit":
				p.Firewall.LogLimit = ""
			case strings.HasPrefix(x.Path, "firewall.own-services"):
				p.Firewall.OwnServices = nil
			case strings.HasPrefix(x.Path, "firewall.management"):
				p.Firewall.Management = firewall.Management{}
			default:
				if _, err := fmt.Sscanf(x.Path, "firewall.rules[%d]", &i); err != nil {
					t.Fatalf("a problem that nothing mends: %+v", x)
				}
				drop[i] = true
			}
		}
		var rules []firewall.Rule
		for i, r := range p.Firewall.Rules {
			if !drop[i] {
				rules = append(rules, r)
			}
		}
		p.Firewall.Rules = rules
	}
	return p
}

// judge compiles: no panic, the same twice, and what comes out is a table that the kernel takes
// and nft can say. It reports whether the policy was right.
func judge(t *testing.T, p firewall.Policy, in intent.Set) (nft.Table, bool) {
	table, _, err := firewall.Compile(p, in, nil)
	again, _, err2 := firewall.Compile(p, in, nil)
	if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() || !reflect.DeepEqual(table, again) {
		t.Fatalf("twice the same is not the same: %v and %v", err, err2)
	}
	if err != nil {
		return table, false
	}
	if ps := p.Problems(); len(ps) > 0 && len(in.Members) == 0 {
		t.Errorf("it compiles with problems: %+v", ps)
	}
	for _, x := range table.Problems() {
		t.Errorf("%v\n%+v", x, p)
	}
	if text, ok := nft.Lines(table); !ok {
		t.Errorf("nft has no words for all of\n%s", text)
	}
	return table, true
}

func FuzzCompile(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		b := make([]byte, 300)
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		f.Add(b, "free text")
	}
	f.Add([]byte{}, "")
	f.Fuzz(func(t *testing.T, b []byte, free string) {
		p, in := (&dice{b}).policy(free)
		judge(t, p, in)
		judge(t, mended(t, p), in)
	})
}

// TestRandomPolicies draws many, and has nft and the kernel judge some of those that are right.
func TestRandomPolicies(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	right, shown := 0, 0
	for range 300 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		p, in := (&dice{b}).policy("vpn")
		table, ok := judge(t, mended(t, p), in)
		if !ok {
			continue
		}
		right++
		if right%10 == 0 && shown < 12 && os.Geteuid() == 0 {
			shown++
			accepted(t, nft.Text(table))
		}
	}
	if right < 100 {
		t.Errorf("only %d of 300 policies were right: draw others", right)
	}
	t.Logf("%d of 300 policies compile, nft took %d of them", right, shown)
}
