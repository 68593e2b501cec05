package names

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/wireguard"
)

func TestServers(t *testing.T) {
	f := &facts.Facts{Links: []facts.Link{{Index: 2, Name: "eth0"}, {Index: 3, Name: "aux0"}, {Index: 4, Name: "wg0"}},
		Routes: []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2, Table: 254, Type: "unicast"}},
		DNS: facts.DNS{Owner: "systemd-resolved", Servers: []string{"127.0.0.53", "10.9.0.1", "192.0.2.53"},
			ByLink: map[string][]string{"wg0": {"10.9.0.1"}, "aux0": {"198.51.100.1"}, "eth0": {"192.168.7.1", "nonsense", "fe80::1"}}}}
	if got := fmt.Sprint(Servers(f, []string{"wg0"})); got != "[192.168.7.1:53 [fe80::1]:53 198.51.100.1:53 192.0.2.53:53]" {
		t.Error(got)
	}
}

func TestLost(t *testing.T) {
	c := wireguard.Config{"wg0": {DNS: []string{"10.9.0.1"}, Peers: map[string]wireguard.Peer{"exit": {Endpoint: "vpn.example.org:1"}}}}
	old := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.9:53")}
	for _, tt := range []struct{ owner, server, want string }{
		{"file", "192.168.7.1", "[192.168.7.1:53]"}, {"file", "10.9.0.1", "[192.0.2.9:53]"}, {"dhclient", "192.168.7.1", "[192.168.7.1:53]"}, {"systemd-resolved", "192.168.7.1", "[]"},
	} {
		f := &facts.Facts{DNS: facts.DNS{Owner: tt.owner, Servers: []string{tt.server}}}
		if got := fmt.Sprint(Lost(f, c, old)); got != tt.want {
			t.Errorf("%v: %s", tt, got)
		}
	}
	if got := Lost(&facts.Facts{DNS: facts.DNS{Servers: []string{"192.168.7.1"}}}, wireguard.Config{"wg0": {}}, nil); got != nil {
		t.Errorf("for nothing: %v", got)
	}
}
