//go:build lab && linux

package serve

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// difference is one that is as it should be: in these cases ("*": all) this part of the answer (the key before "=", or "kind") may
// differ from this other server's.
type difference struct{ server, cases, part, why string }

var differences = []difference{
	{"dnsmasq", "*", "siaddr", "it names itself as the next server, also where nothing is booted (RFC 2131 section 4.3.1: only if there is one)"},
	{"kea", "*", "size", "it does not pad to the 300 bytes of BOOTP, which some relays and clients want"},
	{"kea", "*", "opt28", "it has no broadcast address unless configured"},
	{"kea", "*", "to", "with raw sockets it sends no broadcast frame for the broadcast flag"},
	{"dnsmasq", "*", "opt61", "it does not echo the client identifier (RFC 6842)"},
	{"dnsmasq", "*", "opt58", "it takes a random bit off the times of a renewal"},
	{"dnsmasq", "*", "opt59", "it takes a random bit off the times of a renewal"},
	{"kea", "*", "opt12", "it sends a reserved name also unasked"},
	{"dnsmasq", "*", "opt28", "it sends the broadcast address also unasked"},
	{"kea", "*", "opt15", "it sends the domain also unasked"},
	{"dnsmasq", "discover, nothing asked for", "opt108", "RFC 8925 section 3.3: not to who has not asked for it"},
	{"kea", "discover, nothing asked for", "opt26", "without a list it sends only what it thinks basic; ours sends what is configured, as dnsmasq"},
	{"kea", "discover, nothing asked for", "opt42", "as above"},
	{"kea", "discover, nothing asked for", "opt119", "as above"},
	{"dnsmasq", "discover, relayed with option 82", "opt3", "it guesses that the relay agent is the router; ours is told"},
	{"kea", "discover, relayed with option 82", "opt3", "it has one router for all networks here; ours is told for each"},
	{"dnsmasq", "request, relayed with option 82", "opt3", "as above"},
	{"kea", "request, relayed with option 82", "opt3", "as above"},
	{"dnsmasq", "selecting, another server", "kind", "a REQUEST to another server is none of ours to refuse (RFC 2131 section 4.3.2); dnsmasq does with dhcp-authoritative"},
	{"dnsmasq", "selecting, what was not offered", "kind", "only what was offered can be selected"},
	{"kea", "selecting, what was not offered", "kind", "only what was offered can be selected"},
	{"kea", "selecting, another subnet's address", "kind", "a NAK makes the client begin anew at once; Kea leaves it waiting"},
	{"kea", "rebinding, another subnet", "kind", "a NAK makes the client begin anew at once; Kea leaves it waiting"},
	{"kea", "renewing, another subnet", "dst", "a NAK is broadcast (RFC 2131 section 4.1): the client's address is not of this network"},
	{"dnsmasq", "renewing, unknown", "kind", "the address is free and the network ours alone, so the client keeps it: a lost lease file costs nothing"},
	{"dnsmasq", "init-reboot, unknown", "kind", "the address is free and the network ours alone, so the client keeps it: a lost lease file costs nothing"},
	{"kea", "init-reboot, unknown", "kind", "as with dnsmasq"},
	{"kea", "init-reboot, another subnet, relayed", "flags", "the relay agent has to broadcast a NAK (RFC 2131 section 4.3.2)"},
	{"dnsmasq", "selecting, an old address in ciaddr", "ciaddr", "an ACK echoes ciaddr (RFC 2131, table 3)"},
	{"kea", "selecting, an old address in ciaddr", "dst", "the client is not at that address any more, and asked for a broadcast"},
	{"kea", "inform", "opt1", "the mask was asked for"},
	{"kea", "release, and again", "yiaddr", "ours remembers who had it"},
	{"kea", "release, and again", "dst", "ours remembers who had it"},
	{"kea", "a reply", "kind", "a server hears requests only"},
	{"dnsmasq", "an option longer than the packet", "kind", "what is cut off is not answered"},
	{"kea", "an option longer than the packet", "kind", "what is cut off is not answered"},
	{"dnsmasq", "*", "flags", "it sets the broadcast flag in a NAK without a relay agent; RFC 2131, table 3, echoes it"},
}

// TestOracle sends the same packets to dnsmasq, to Kea and to ours, and compares the answers part by part.
func TestOracle(t *testing.T) {
	need(t)
	cfg := dhcp(55)
	cfg.Router, cfg.NameServer, cfg.Domain, cfg.Relayed = true, true, "lab.lan", relayedFrom
	cfg.Hosts = []bed.Host{{Name: "printer", MAC: reservedMAC.String(), Addr: at(50)}}
	cfg.Options = []bed.Option{
		{Code: 26, Kea: "interface-mtu", Value: []string{"1400"}},
		{Code: 42, Kea: "ntp-servers", Value: []string{"10.55.0.1"}},
		{Code: 108, Kea: "v6-only-preferred", Value: []string{"1800"}},
		{Code: 119, Kea: "domain-search", Value: []string{"lab.lan", "example.net"}},
	}
	servers := []bed.Server{ours, bed.Dnsmasq{}, bed.Kea{}}
	if _, ok := ours.(bed.Dnsmasq); ok {
		servers = []bed.Server{ours, bed.Kea{}}
	}
	said := make([]map[string][]string, len(servers))
	t.Run("ask", func(t *testing.T) {
		for i, kind := range servers {
			t.Run(kind.Name(), func(t *testing.T) {
				t.Parallel()
				said[i] = script1(t, kind, cfg)
			})
		}
	})
	if t.Failed() {
		return
	}
	used := map[difference]bool{}
	for _, c := range conversations {
		for i, other := range servers[1:] {
			for n, mine := range said[0][c.name] {
				theirs := said[i+1][c.name][n]
				for _, part := range partsThatDiffer(mine, theirs) {
					d, ok := justified(other.Name(), c.name, part)
					used[d] = used[d] || ok
					if ok {
						continue
					}
					text := fmt.Sprintf("%s, answer %d: %s is %s with %s and %s with %s\n  %s\n  %s", c.name, n, part,
						partOf(mine, part), ours.Name(), partOf(theirs, part), other.Name(), mine, theirs)
					if _, ok := ours.(bed.Provision); ok {
						t.Error(text)
					} else {
						t.Log(text) // between two others everything is allowed
					}
				}
			}
		}
	}
	if _, ok := ours.(bed.Provision); ok {
		for _, d := range differences {
			if !used[d] {
				t.Errorf("this difference is on the list and does not exist: %v", d)
			}
		}
	}
}

// script1 plays the whole script to one server.
func script1(t *testing.T, kind bed.Server, cfg bed.Config) map[string][]string {
	s := bed.NewSegment(t)
	s.Start(t, kind, cfg)
	speaker := s.Speaker(t)
	speaker.Own(relay, net.HardwareAddr{2, 0x55, 0, 0, 9, 1})
	speaker.Own(at(20), net.HardwareAddr{2, 0x55, 0, 0, 9, 2})
	answers := map[string][]string{}
	begin := time.Now()
	for i, c := range conversations {
		k := &talker{t: t, s: speaker, cfg: cfg, mac: net.HardwareAddr{2, 0x55, 0, 1, byte(i >> 8), byte(i)}}
		answers[c.name] = c.talk(k)
	}
	t.Logf("%d conversations with %s in %v", len(conversations), kind.Name(), time.Since(begin).Round(time.Millisecond))
	return answers
}

func parts(answer string) map[string]string {
	m := map[string]string{}
	for i, f := range strings.Fields(answer) {
		if k, v, ok := strings.Cut(f, "="); ok {
			m[k] = v
		} else if i == 0 {
			m["kind"] = f
		}
	}
	return m
}

func partOf(answer, part string) string {
	if v, ok := parts(answer)[part]; ok {
		return v
	}
	return "missing"
}

// partsThatDiffer names them; of answers of different kinds only the kind.
func partsThatDiffer(a, b string) []string {
	x, y := parts(a), parts(b)
	if x["kind"] != y["kind"] {
		return []string{"kind"}
	}
	var out []string
	for k, v := range x {
		if w, ok := y[k]; !ok || w != v {
			out = append(out, k)
		}
	}
	for k := range y {
		if _, ok := x[k]; !ok {
			out = append(out, k)
		}
	}
	return out
}

func justified(server, name, part string) (difference, bool) {
	for _, d := range differences {
		if d.server == server && (d.cases == "*" || d.cases == name) && d.part == part {
			return d, true
		}
	}
	return difference{}, false
}
