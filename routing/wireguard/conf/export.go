package conf

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/provision-net/provision/provision/resource/wireguard"
	config "github.com/provision-net/provision/routing/wireguard"
)

// Keys are those of an interface, read from wherever they are.
type Keys struct {
	Private   wireguard.Key
	Preshared map[string]wireguard.Key // by the peer's name; a peer with a key inline need not be here
}

func (k Keys) of(name string, p config.Peer) wireguard.Key {
	if key, ok := k.Preshared[name]; ok {
		return key
	}
	key, _ := wireguard.ParseKey(p.PresharedKey)
	return key
}

// Export is the file that makes the same tunnel with wg-quick, and what does not fit into one, for
// people. The configuration has no problems.
func Export(i config.Interface, k Keys) (File, []string) {
	f := File{Interface: Interface{PrivateKey: k.Private, ListenPort: i.ListenPort, FwMark: i.FwMark, MTU: i.MTU}}
	f.Interface.Addresses, _ = prefixes(i.Addresses)
	var lost []string
	for _, d := range i.DNS {
		if a, err := netip.ParseAddr(d); err == nil {
			f.Interface.DNS = append(f.Interface.DNS, a)
		}
	}
	for _, d := range i.Domains {
		if d[0] != '~' {
			f.Interface.Search = append(f.Interface.Search, d)
		} else if d != "~." {
			lost = append(lost, "domains: wg-quick asks the tunnel's servers for every name, not for "+d[1:]+" alone")
		}
	}
	if i.Route == config.RouteNone {
		f.Interface.Table = "off"
	}
	if len(i.Reach) > 0 {
		lost = append(lost, "reach, nat: wg-quick has no firewall; forwarding, hiding and the open port are commands there")
	}
	if i.LANAccess != "" {
		lost = append(lost, "lan-access: wg-quick answers for nobody on a LAN")
	}
	for _, name := range sorted(mapKeys(i.Peers)) {
		p := i.Peers[name]
		x := Peer{Name: name, PresharedKey: k.of(name, p), Endpoint: p.Endpoint, PersistentKeepalive: p.PersistentKeepalive}
		x.PublicKey, _ = wireguard.ParseKey(p.PublicKey)
		x.AllowedIPs, _ = prefixes(p.AllowedIPs)
		if i.Route == config.RouteSplit && slices.ContainsFunc(x.AllowedIPs, func(a netip.Prefix) bool { return a.Bits() == 0 }) {
			lost = append(lost, fmt.Sprintf("route: wg-quick sends everything by the tunnel, since %s is allowed everything", name))
		}
		f.Peers = append(f.Peers, x)
	}
	return f, lost
}

// ForPeer is the file of the other side of the peer called name: this machine is its only peer. Private
// is the peer's key, zero where it never left the peer: then the file has none, and says so nowhere.
func ForPeer(i config.Interface, name string, k Keys, private wireguard.Key) (File, error) {
	p, ok := i.Peers[name]
	if !ok {
		return File{}, fmt.Errorf("there is no peer %s", name)
	}
	c := config.Client{}
	if p.Client != nil {
		c = *p.Client
	}
	if private == (wireguard.Key{}) {
		private, _ = wireguard.ParseKey(c.PrivateKey)
	}
	if public, err := wireguard.ParseKey(p.PublicKey); private != (wireguard.Key{}) && (err != nil || private.Public() != public) {
		return File{}, fmt.Errorf("the private key of %s is not that of its public key: `provision wireguard rotate %s` makes new ones", name, name)
	}
	f := File{Interface: Interface{PrivateKey: private, MTU: c.MTU}}
	f.Interface.Addresses, _ = prefixes(c.Addresses)
	if len(c.Addresses) == 0 {
		all, _ := prefixes(p.AllowedIPs)
		f.Interface.Addresses = slices.DeleteFunc(all, func(a netip.Prefix) bool { return !a.IsSingleIP() })
	}
	if len(f.Interface.Addresses) == 0 {
		return File{}, fmt.Errorf("%s has no address of its own in allowed-ips: give it client.addresses", name)
	}
	for _, d := range c.DNS {
		if a, err := netip.ParseAddr(d); err == nil {
			f.Interface.DNS = append(f.Interface.DNS, a)
		} else if !c.AsksNobody() {
			f.Interface.Search = append(f.Interface.Search, d)
		}
	}
	if len(c.DNS) == 0 {
		own, _ := prefixes(i.Addresses)
		for _, a := range own {
			f.Interface.DNS = append(f.Interface.DNS, a.Addr())
		}
	}
	endpoint, err := i.PeersEndpoint(c.Endpoint)
	if err != nil {
		return File{}, err
	}
	server := Peer{PublicKey: k.Private.Public(), PresharedKey: k.of(name, p), Endpoint: endpoint, PersistentKeepalive: c.PersistentKeepalive}
	server.AllowedIPs, _ = prefixes(c.AllowedIPs)
	if len(c.AllowedIPs) == 0 {
		server.AllowedIPs, _ = prefixes([]string{"0.0.0.0/0", "::/0"})
	}
	f.Peers = []Peer{server}
	return f, nil
}

func prefixes(list []string) (out []netip.Prefix, bad error) {
	for n, text := range list {
		p, err := prefix(text)
		if err != nil {
			bad = fmt.Errorf("entry %s: %w", strconv.Itoa(n+1), err)
			continue
		}
		out = append(out, p)
	}
	return out, bad
}

func mapKeys(m map[string]config.Peer) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	return out
}
