package dnsdhcp

// Config is the "serve" slice of the configuration file: what is served on which links. The tags help, default and
// enum are for the reference page and the JSON Schema. Durations are written 90s, 45m, 12h, 7d or infinite.
type Config struct {
	Domain  string    `yaml:"domain" default:"lan" help:"local domain: names of clients and hosts end in it (dnsmasq: domain, local)"`
	Links   []Rule    `yaml:"links" help:"links that are served; the one that names an interface decides, else the first whose pattern fits; interfaces may come and go at any time"`
	Relayed []Relayed `yaml:"relayed" help:"networks behind DHCP relay agents (RFC 2131 section 4.1, giaddr)"`
	Hosts   []Host    `yaml:"hosts" help:"reservations and names of single machines (dnsmasq: dhcp-host, host-record)"`
	DNS     DNS       `yaml:"dns" help:"the name server for all links"`
	Leases  Leases    `yaml:"leases" help:"what is written about leases"`
	Metrics string    `yaml:"metrics" help:"address and port, on loopback, where counters are served for Prometheus, such as 127.0.0.1:9153; without it only on the control socket"`
}

// Match says which interfaces a rule is for.
type Match struct {
	Name string `yaml:"name" help:"name of the interface, may be a pattern such as usb*"`
	MAC  string `yaml:"macaddress" help:"present MAC address of the interface: with it only what has both the name and the address is served"`
}

// Rule is what is served on the links it matches.
type Rule struct {
	Match         Match    `yaml:"match" help:"which interfaces"`
	Router        string   `yaml:"router" default:"none" help:"who is announced as the way out: none (clients keep their own), split (only the routes below), full (this machine; in IPv6 as long as it has a way out itself), or another router's IPv4 address (dnsmasq: option:router)"`
	Routes        []string `yaml:"routes" help:"networks of both families that are reached through this machine, such as 10.8.0.0/16; announced with router split and full (options 121 and 249, RFC 4191)"`
	NameServers   []string `yaml:"name-servers" default:"self" help:"name servers that are announced: self, addresses, or none (dnsmasq: option:dns-server)"`
	Search        []string `yaml:"search" help:"domains to search; default is the local domain (dnsmasq: option:domain-search)"`
	NTPServers    []string `yaml:"ntp-servers" help:"time servers that are announced: self or addresses"`
	MTU           uint16   `yaml:"mtu" help:"MTU that clients shall use on the link, at least 576, for IPv6 at least 1280; default: not announced"`
	CaptivePortal string   `yaml:"captive-portal" help:"https URI of the captive portal's API (RFC 8910)"`
	DHCP4         DHCP4    `yaml:"dhcp4" help:"DHCPv4 server"`
	RA            RA       `yaml:"ra" help:"router advertisements"`
	DHCP6         DHCP6    `yaml:"dhcp6" help:"stateless DHCPv6 server (RFC 8415 section 6.1)"`
	DNS           LinkDNS  `yaml:"dns" help:"name server for the clients of this link"`
	MDNS          MDNS     `yaml:"mdns" help:"this machine's own name in multicast DNS (RFC 6762)"`
}

// DHCP4 is a link's DHCPv4 server.
type DHCP4 struct {
	Enabled       *bool               `yaml:"enabled" default:"true" help:"serve DHCPv4"`
	Subnet        string              `yaml:"subnet" help:"network that addresses are given from; default is that of the interface's first address"`
	Pools         []string            `yaml:"pools" help:"ranges such as 10.0.0.100-10.0.0.199; default is the whole subnet but what is ours (dnsmasq: dhcp-range)"`
	Exclude       []string            `yaml:"exclude" help:"addresses and ranges that are never given"`
	LeaseTime     string              `yaml:"lease-time" default:"1h" help:"how long a lease lasts"`
	MinLeaseTime  string              `yaml:"min-lease-time" default:"2m" help:"shortest lease that a client may ask for"`
	MaxLeaseTime  string              `yaml:"max-lease-time" help:"longest lease that a client may ask for; default is lease-time"`
	Identity      string              `yaml:"identity" enum:"auto,mac,client-id" default:"auto" help:"what tells clients apart: auto (the client identifier, or the MAC address where one is missing), mac, client-id"`
	Authoritative *bool               `yaml:"authoritative" default:"true" help:"refuse what clients remember of other networks, so that they ask anew at once (dnsmasq: dhcp-authoritative)"`
	RapidCommit   bool                `yaml:"rapid-commit" default:"false" help:"give a lease in two packets to who asks for that (RFC 4039); only where no other server answers"`
	ConflictProbe *bool               `yaml:"conflict-probe" default:"true" help:"ask the link by ARP before an address is offered that nobody known has used (dnsmasq: no-ping is the opposite)"`
	Broadcast     bool                `yaml:"force-broadcast" default:"false" help:"answer by broadcast also to clients that did not ask for it (dnsmasq: dhcp-broadcast)"`
	IPv6Only      string              `yaml:"ipv6-only" help:"let clients that can do without IPv4 do so for this long, at least 5m (option 108, RFC 8925)"`
	FloodLimit    uint16              `yaml:"flood-limit" default:"10" help:"requests a second that one client may make"`
	Options       map[string][]string `yaml:"options" help:"further options by name or number, values as text, hex:… for raw bytes; a ! behind the name sends it also unasked (dnsmasq: dhcp-option, dhcp-option-force)"`
	Boot          Boot                `yaml:"boot" help:"network boot"`
}

// Boot is network boot: PXE, iPXE and UEFI HTTP.
type Boot struct {
	Server string            `yaml:"server" help:"TFTP server's address; default is this machine"`
	File   string            `yaml:"file" help:"boot file or URL for clients that no entry below is for (dnsmasq: dhcp-boot)"`
	Arch   map[string]string `yaml:"arch" help:"boot file or URL by architecture (RFC 4578, IANA): bios, efi-x86, efi-x64, efi-arm, efi-arm64, efi-riscv64, efi-x64-http, efi-arm64-http, or a number"`
	IPXE   string            `yaml:"ipxe" help:"boot file or URL for clients that are iPXE already"`
}

// RA is a link's router advertisements. Without prefixes those of the interface's own addresses are announced.
type RA struct {
	Enabled     *bool    `yaml:"enabled" default:"true" help:"send router advertisements"`
	Prefixes    []Prefix `yaml:"prefixes" help:"prefixes for stateless configuration; default is each /64 that the interface has an address of"`
	MinInterval string   `yaml:"min-interval" help:"shortest time between unsolicited advertisements; default is a third of max-interval"`
	MaxInterval string   `yaml:"max-interval" default:"10m" help:"longest time between unsolicited advertisements, 4s to 30m"`
	Lifetime    string   `yaml:"lifetime" help:"how long clients may use this machine as router, whether it has a way out itself or not; default is three times max-interval while it has one; 0s never"`
	Preference  string   `yaml:"preference" enum:"low,medium,high" default:"medium" help:"preference among several routers (RFC 4191)"`
	HopLimit    uint8    `yaml:"hop-limit" default:"64" help:"hop limit that clients shall use"`
	Managed     bool     `yaml:"managed" default:"false" help:"tell clients that another server gives addresses by DHCPv6"`
	PREF64      string   `yaml:"pref64" help:"NAT64 prefix (RFC 8781), such as 64:ff9b::/96"`
}

// Prefix is one prefix that is announced.
type Prefix struct {
	Prefix     string `yaml:"prefix" help:"the prefix, such as fd00:1234::/64"`
	OnLink     *bool  `yaml:"on-link" default:"true" help:"addresses of the prefix are on the link"`
	Autonomous *bool  `yaml:"autonomous" default:"true" help:"clients make addresses of it themselves (SLAAC)"`
	Valid      string `yaml:"valid-lifetime" default:"24h" help:"how long addresses of it may be used"`
	Preferred  string `yaml:"preferred-lifetime" default:"4h" help:"how long they are used for new connections"`
}

// DHCP6 is a link's stateless DHCPv6 server.
type DHCP6 struct {
	Enabled *bool `yaml:"enabled" default:"true" help:"answer requests for information (name servers, domains) over DHCPv6; says so in router advertisements"`
}

// LinkDNS is the name server as one link's clients see it.
type LinkDNS struct {
	Enabled   *bool    `yaml:"enabled" default:"true" help:"answer DNS queries from the link's own prefixes"`
	Filter    []string `yaml:"filter" help:"record types that are answered as if there were none: a, aaaa (dnsmasq: filter-AAAA)"`
	Upstreams []string `yaml:"upstreams" help:"name servers for this link's queries in place of those for all"`
	OwnNames  *bool    `yaml:"own-names" default:"true" help:"answer what is under dns.own-names with this machine's address on this link; false where clients come in from outside, by a tunnel"`
	Clients   []string `yaml:"clients" help:"further prefixes whose queries are answered on this link; default is only the link's own"`
}

// MDNS is multicast DNS on one link.
type MDNS struct {
	Enabled *bool  `yaml:"enabled" default:"true" help:"answer for NAME.local on this link"`
	Name    string `yaml:"name" help:"the name; default is the host name"`
	SSH     *bool  `yaml:"ssh" default:"true" help:"announce the SSH service"`
}

// Relayed is a network behind a DHCP relay agent.
type Relayed struct {
	Subnet      string   `yaml:"subnet" help:"the network, from which the relay agent's address (giaddr, or its link selection, RFC 3527) is"`
	Router      string   `yaml:"router" default:"none" help:"router to announce: none or an IPv4 address"`
	NameServers []string `yaml:"name-servers" default:"self" help:"name servers that are announced"`
	Search      []string `yaml:"search" help:"domains to search"`
	NTPServers  []string `yaml:"ntp-servers" help:"time servers that are announced"`
	MTU         uint16   `yaml:"mtu" help:"MTU that clients shall use"`
	DHCP4       DHCP4    `yaml:"dhcp4" help:"as for links; the subnet is given above"`
}

// Host is one machine that is known by configuration.
type Host struct {
	Name      string              `yaml:"name" help:"its name in the local domain"`
	MACs      []string            `yaml:"macaddress" help:"its MAC addresses; any of them is enough"`
	ClientIDs []string            `yaml:"client-id" help:"its DHCP client identifiers: text, or bytes as 01:02:03"`
	Address   string              `yaml:"address" help:"IPv4 address that it always gets and nobody else, in or out of the pool"`
	Addresses []string            `yaml:"addresses" help:"further addresses of the name, both families, in DNS only"`
	LeaseTime string              `yaml:"lease-time" help:"its own lease time, which may be infinite"`
	Ignore    bool                `yaml:"ignore" default:"false" help:"never answer its DHCP requests"`
	Options   map[string][]string `yaml:"options" help:"DHCPv4 options for this one machine, as for links"`
}

// DNS is the name server for all links.
type DNS struct {
	Upstreams    []string   `yaml:"upstreams" help:"name servers to ask: address, address:port, [address]:port, each may have %interface; default are those of resolv-file (dnsmasq: server)"`
	ResolvFile   string     `yaml:"resolv-file" default:"/etc/resolv.conf" help:"where name servers are read from when no upstreams are given; none for nowhere (dnsmasq: resolv-file, no-resolv)"`
	Routes       []DNSRoute `yaml:"routes" help:"name servers for single domains and networks (dnsmasq: server=/domain/address, rev-server)"`
	Records      []Record   `yaml:"records" help:"records of our own (dnsmasq: address, cname, srv-host, txt-record, mx-host)"`
	OwnNames     []string   `yaml:"own-names" help:"names under which the world knows this machine, such as vpn.example.org: clients of the served links get its address on their link, and so need no way out and back in"`
	HostsFiles   []string   `yaml:"hosts-files" default:"/etc/hosts" help:"files of hosts(5) that are read again when they change (dnsmasq: addn-hosts, no-hosts)"`
	ExpandHosts  *bool      `yaml:"expand-hosts" default:"true" help:"names without a dot in the hosts files are also in the local domain"`
	DomainNeeded *bool      `yaml:"domain-needed" default:"true" help:"names without a dot are never asked upstream"`
	BogusPriv    *bool      `yaml:"bogus-priv" default:"true" help:"reverse names of private networks are never asked upstream (RFC 6303)"`
	Rebind       *bool      `yaml:"rebind-protection" default:"true" help:"answers from upstream must not hold private addresses (dnsmasq: stop-dns-rebind)"`
	RebindAllow  []string   `yaml:"rebind-allow" help:"domains that may (dnsmasq: rebind-domain-ok)"`
	FilterWin2k  bool       `yaml:"filter-win2k" default:"false" help:"drop periodic queries of old Windows that need no answer (dnsmasq: filterwin2k)"`
	CacheSize    *uint32    `yaml:"cache-size" default:"4096" help:"size of the cache in KiB; 0 turns it off"`
	MinTTL       string     `yaml:"min-ttl" default:"0s" help:"answers are kept at least this long, at most 1h (dnsmasq: min-cache-ttl)"`
	MaxTTL       string     `yaml:"max-ttl" default:"24h" help:"answers are kept at most this long (dnsmasq: max-cache-ttl)"`
	Stale        string     `yaml:"stale" default:"24h" help:"how long after its end an answer may be given when no upstream answers (RFC 8767; dnsmasq: use-stale-cache); 0s never"`
	LocalTTL     string     `yaml:"local-ttl" default:"1m" help:"lifetime of local answers (dnsmasq: local-ttl)"`
	RateLimit    uint32     `yaml:"rate-limit" default:"1000" help:"queries a second that one client may make"`
	QueryLog     uint32     `yaml:"query-log" default:"0" help:"how many of the last queries are kept in memory, for provision status --queries"`
}

// DNSRoute sends names to name servers of their own.
type DNSRoute struct {
	Domains   []string `yaml:"domains" help:"domains, and networks (10.8.0.0/16) for their reverse names"`
	Upstreams []string `yaml:"upstreams" help:"name servers to ask, and no others; none: these names are never asked upstream"`
	Interface string   `yaml:"interface" help:"interface that queries leave by, whatever the routes say"`
	Source    string   `yaml:"source" help:"source address of queries"`
	Near      []string `yaml:"near" help:"name servers that are asked at the same time for addresses; their answer counts if every address in it is in near-list, and that of upstreams does otherwise"`
	NearList  string   `yaml:"near-list" help:"the list of routing.lists in which near answers have to lie"`
}

// Record is a DNS record of our own.
type Record struct {
	Name  string `yaml:"name" help:"owner; without a dot in the local domain"`
	Type  string `yaml:"type" help:"A, AAAA, CNAME, TXT, MX, SRV, PTR, CAA, HTTPS ..."`
	Value string `yaml:"value" help:"as in a zone file"`
	TTL   string `yaml:"ttl" help:"lifetime; default is local-ttl"`
}

// Leases is what is written about leases besides the journal.
type Leases struct {
	ExportDnsmasq string   `yaml:"export-dnsmasq" help:"file for old tools in the format of dnsmasq's lease file"`
	ExportHosts   string   `yaml:"export-hosts" help:"file for old tools in the format of hosts(5)"`
	Slack         *float64 `yaml:"write-slack" default:"0.5" help:"share of the lease time by which stable storage runs ahead, so that not each renewal is a write; 0 writes them all; read at the start only"`
	History       uint32   `yaml:"history" default:"10000" help:"how many past leases are kept; read at the start only"`
}
