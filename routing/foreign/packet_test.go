package foreign

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	simulator "github.com/provision-net/provision/routing/packet"
)

// machine is the router of the fixtures: lan0 and wan0 with both families.
func machine(s Seen) *facts.Facts {
	f := &facts.Facts{Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}}
	for i, name := range []string{"lan0", "wan0"} {
		index := 90 + i
		for _, d := range s.Devices {
			if d.Name == name {
				index = d.Index
			}
		}
		f.Links = append(f.Links, facts.Link{Index: index, Name: name, Up: true, Carrier: true, ARPHRD: 1,
			Sysctl: map[string]string{"ipv4.forwarding": "1", "ipv6.forwarding": "1", "ipv4.rp_filter": "0"}})
		for _, p := range []string{fmt.Sprintf("10.77.%d.1/24", i), fmt.Sprintf("2001:db8:77:%d::1/64", i)} {
			prefix := netip.MustParsePrefix(p)
			f.Addrs = append(f.Addrs, facts.Address{Link: index, Prefix: prefix, Scope: "global"})
			f.Routes = append(f.Routes, facts.Route{Dst: prefix.Masked(), Link: index, Table: 254, Type: "unicast", Proto: 2, Scope: "link"})
		}
	}
	for _, family := range []int{4, 6} {
		f.Rules = append(f.Rules, facts.Rule{Family: family, Priority: 0, Table: 255, Action: "lookup"}, facts.Rule{Family: family, Priority: 32766, Table: 254, Action: "lookup"})
	}
	return f
}

// The simulator, which knows one packet wholly, and the report, which knows many in part, agree
// wherever the simulator is certain.
func TestAgainstPacket(t *testing.T) {
	certain := 0
	for _, name := range []string{"bookworm-nothing", "bookworm-docker", "bookworm-ufw", "bookworm-firewalld", "bookworm-together", "trixie-docker", "trixie-ufw", "trixie-firewalld"} {
		s := load(t, name)
		w := simulator.World{Facts: machine(s), Tables: s.Tables}
		for _, family := range []int{4, 6} {
			for _, flow := range []Flow{{In: "lan0", Out: "wan0"}, {In: "wan0", Out: "lan0"}, {In: "lan0"}, {In: "wan0"}, {Out: "wan0"}} {
				for _, port := range []uint16{22, 53, 80, 5353} {
					for _, proto := range []string{"tcp", "udp"} {
						flow.Family, flow.Proto, flow.Port = family, proto, port
						r := simulator.Explain(w, sent(flow))
						if !r.Certain {
							continue
						}
						certain++
						want := r.Verdict == simulator.Dropped || r.Verdict == simulator.Rejected
						got := false
						for _, f := range Report(s, []Flow{flow}) {
							got = got || f.Drops == All || f.Drops == Most
						}
						if got != want {
							t.Errorf("%s: %s: dropped %v, the simulator says %s: %s", name, flow, got, r.Verdict, r.Why)
						}
					}
				}
			}
		}
	}
	// Of the flows that meet no rule of iptables with a match of x_tables before their end.
	if certain < 200 {
		t.Errorf("the simulator is certain of %d packets only", certain)
	}
	t.Logf("%d packets", certain)
}

func sent(f Flow) simulator.Packet {
	at := func(dev string, host int) netip.Addr {
		n := map[string]int{"lan0": 0, "wan0": 1}[dev]
		if f.Family == 4 {
			return netip.AddrFrom4([4]byte{10, 77, byte(n), byte(host)})
		}
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:77:%d::%d", n, host))
	}
	p := simulator.Packet{In: f.In, Proto: f.Proto, Dport: f.Port}
	switch f.hook() {
	case "output":
		p.To = at(f.Out, 2)
	case "input":
		p.From, p.To = at(f.In, 2), at(f.In, 1)
	default:
		p.From, p.To = at(f.In, 2), at(f.Out, 2)
	}
	return p
}
