package wireguard

import (
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

// The smallest way to an endpoint counts, by its family, and nothing is guessed.
func TestPathMTU(t *testing.T) {
	p := netip.MustParsePrefix
	f := &facts.Facts{Links: []facts.Link{{Index: 2, Name: "eth0", MTU: 1500, Up: true, Carrier: true}, {Index: 3, Name: "ppp0", MTU: 1492, Up: true, Carrier: true}, {Index: 4, Name: "wg0", MTU: 1420, Up: true, Carrier: true}},
		Routes: []facts.Route{
			{Dst: p("0.0.0.0/0"), Link: 2, Table: 254, Type: "unicast"}, {Dst: p("::/0"), Link: 2, Table: 254, Type: "unicast"},
			{Dst: p("198.51.100.0/24"), Link: 3, Table: 254, Type: "unicast"}, {Dst: p("203.0.113.0/24"), Link: 2, Table: 254, Type: "unicast", MTU: 1400},
			{Dst: p("192.0.2.0/24"), Link: 4, Table: 254, Type: "unicast"},
			{Dst: p("0.0.0.0/0"), Link: 4, Table: 15800, Type: "unicast"},
		}, Rules: []facts.Rule{{Family: 4, Priority: 0, Table: 255, Action: "lookup"}, {Family: 4, Priority: 25301, Table: 15800, Action: "lookup", Mark: 7, Mask: 0xff, Invert: true}, {Family: 4, Priority: 32766, Table: 254, Action: "lookup"},
			{Family: 6, Priority: 32766, Table: 254, Action: "lookup"}}}
	resolved := map[string][]netip.Addr{"both.example.org": {netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("9.9.9.9")}}
	for _, tt := range []struct {
		endpoints []string
		port      uint16
		want      int
	}{
		{[]string{"9.9.9.9:1"}, 0, 1440},
		{[]string{"9.9.9.9:1"}, 51820, 1440},
		{[]string{"[2001:db8::9]:1"}, 0, 1420},
		{[]string{"9.9.9.9:1", "[2001:db8::9]:1"}, 0, 1420},
		{[]string{"198.51.100.9:1"}, 0, 1432},
		{[]string{"203.0.113.9:1", "9.9.9.9:1"}, 0, 1340},
		{[]string{"both.example.org:1"}, 0, 1420},
		{[]string{"nowhere.example.org:1"}, 0, 1420}, // by the way out
		{[]string{"192.0.2.9:1"}, 0, 1420},           // a way into itself tells nothing
		{[]string{"198.51.100.9:1", ""}, 51820, 1420},
	} {
		i := Interface{ListenPort: tt.port, Peers: map[string]Peer{}}
		for n, e := range tt.endpoints {
			i.Peers[string(rune('a'+n))] = Peer{Endpoint: e}
		}
		pl := planner{Input: Input{Facts: f, Resolved: resolved, Marks: map[string]uint32{"wg0": 7}}}
		if got := pl.mtu("wg0", i, []netip.Prefix{p("fd00::1/64")}); got != tt.want {
			t.Errorf("%v, port %d: %d, want %d", tt.endpoints, tt.port, got, tt.want)
		}
	}
}
