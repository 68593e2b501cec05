// Package wireguard plans WireGuard devices: from what the configuration and the folder of commands
// say to devices, peers, addresses and routes, and to what the firewall and the server have to know.
//
// The package is pure: facts, configuration and the text of key files go in, wants and intents come
// out. Its rooms are key (making keys), addressing (address plans), conf (files of wg-quick) and qr.
package wireguard

// Folder holds what commands add, mode 0700: NAME.yaml is one interface (EncodeInterface), and
// NAME/PEER.yaml one of its peers (EncodePeer), each of mode 0600 with its keys inline, so that a
// key and what it belongs to come and go in one rename. NAME/ may stand beside an interface of the
// configuration file.
const Folder = "/etc/provision/wireguard.d"

// Config is the key "wireguard" of the slice "routing": interfaces by name.
type Config map[string]Interface

// Interface is one WireGuard device.
type Interface struct {
	PrivateKey     string   `yaml:"private-key" help:"the private key in base64, as wg genkey prints it; better private-key-file"`
	PrivateKeyFile string   `yaml:"private-key-file" help:"file of mode 0600 with the private key, such as /etc/provision/wireguard/wg0.key"`
	Addresses      []string `yaml:"addresses" help:"addresses of this machine in the tunnel with the length of its network, such as 10.97.98.1/24 and fd12:3456:789a:1::1/64"`
	ListenPort     uint16   `yaml:"listen-port" help:"UDP port, 51820 by custom; the firewall is opened for it. Default: any free one, for machines that nobody calls"`
	FwMark         uint32   `yaml:"fwmark" help:"packet mark of what the tunnel itself sends; default: what a full tunnel or a kill switch needs"`
	MTU            uint16   `yaml:"mtu" help:"largest packet in the tunnel in bytes; default: what the path to the peers leaves"`
	Zone           string   `yaml:"zone" help:"zone of the firewall that the interface is in; default: vpn where peers come to this machine, none else"`
	Management     *bool    `yaml:"management" help:"peers may manage this machine (routing.firewall.management), where the configuration does not write the zone; default: as in any zone inside"`
	Reach          []string `yaml:"reach" help:"what peers reach through this machine: internet (every way out), peers (each other), or zones by name"`
	NAT            string   `yaml:"nat" enum:"auto,yes,no" default:"auto" help:"hide peers behind this machine's address on the way out: auto (IPv4, and of IPv6 what the internet cannot answer), yes, or no (their addresses are routed to this machine)"`
	Route          string   `yaml:"route" enum:"none,split,full" default:"split" help:"what this machine sends by the tunnel: none (its own network only), split (the allowed-ips of its peers), or full (everything)"`
	Metric         uint32   `yaml:"metric" help:"metric of the routes of split"`
	DNS            []string `yaml:"dns" help:"name servers that are asked while the tunnel is up"`
	Domains        []string `yaml:"domains" help:"domains that they are asked for; default: all with route full, none else; a leading ~ only routes questions, without it the domain is also searched"`
	LANAccess      string   `yaml:"lan-access" help:"interface of a LAN on which this machine answers for its peers (proxy ARP and NDP), so that they are reached there without routes"`
	PublicEndpoint string   `yaml:"public-endpoint" help:"where peers find this machine, as host or host:port; it stands in the files that are made for them"`
	// Peers are the other ends, by a name of one's own.
	Peers map[string]Peer `yaml:"peers" help:"the other ends, by a name of your choice"`
}

// Peer is one other end.
type Peer struct {
	PublicKey           string   `yaml:"public-key" help:"its public key, as wg pubkey prints it"`
	PresharedKey        string   `yaml:"preshared-key" help:"a secret that both ends have beside their keys, as wg genpsk prints it"`
	PresharedKeyFile    string   `yaml:"preshared-key-file" help:"file of mode 0600 with the preshared key"`
	AllowedIPs          []string `yaml:"allowed-ips" help:"addresses behind the peer: what goes to it, and what may come from it. One machine has its own /32 and /128"`
	Endpoint            string   `yaml:"endpoint" help:"where it is called, as host:port, 192.0.2.1:51820 or [2001:db8::1]:51820; without it the peer has to call"`
	PersistentKeepalive uint16   `yaml:"persistent-keepalive" default:"0" help:"seconds between packets that keep a way through NAT open, 25 by custom; 0 is none"`
	Nested              bool     `yaml:"nested" default:"false" help:"allowed-ips of other peers lie within those of this one, and win there"`
	// Client is what a command that made the peer knows of its side.
	Client *Client `yaml:"client" help:"the peer's own side, for the file or QR code that is made for it"`
}

// Client is the other side of a peer: what stands in the configuration that is made for it.
type Client struct {
	PrivateKey          string   `yaml:"private-key" help:"its private key; only where it was asked to be kept (--keep-key)"`
	Addresses           []string `yaml:"addresses" help:"its addresses; default: the single ones of allowed-ips"`
	AllowedIPs          []string `yaml:"allowed-ips" help:"what it sends to this machine; default: everything"`
	DNS                 []string `yaml:"dns" help:"name servers it asks, and domains it searches, or none: it keeps those it has. Default: this machine's addresses in the tunnel"`
	MTU                 uint16   `yaml:"mtu" help:"its largest packet in bytes; default: its program's own choice"`
	Endpoint            string   `yaml:"endpoint" help:"where it finds this machine, if not at public-endpoint"`
	PersistentKeepalive uint16   `yaml:"persistent-keepalive" default:"0" help:"its keepalive in seconds; 25 where it is behind NAT"`
}

// NoDNS as the only entry of Client.DNS: the peer goes on asking whom it asks without the tunnel.
const NoDNS = "none"

// AsksNobody reports whether a peer gets no name servers from here.
func (c Client) AsksNobody() bool { return len(c.DNS) == 1 && c.DNS[0] == NoDNS }

// Words of Interface.Route and Interface.Reach.
const (
	RouteNone  = "none"
	RouteSplit = "split"
	RouteFull  = "full"

	ReachInternet = "internet"
	ReachPeers    = "peers"
)

// DefaultZone is the zone of interfaces that peers come to.
const DefaultZone = "vpn"

// Problem is something wrong in the configuration. Path is relative to the key "wireguard":
// "wg0.peers.phone.allowed-ips[0]". No text has a private or preshared key in it.
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// FirewallZone is the zone that the interface is in, empty for none.
func (i Interface) FirewallZone() string {
	if i.Zone == "" && (i.ListenPort != 0 || len(i.Reach) > 0) && i.Route != RouteFull {
		return DefaultZone
	}
	return i.Zone
}
