package option

// kind is what an option's value is made of.
type kind uint8

const (
	raw     kind = iota // bytes, only as hex:
	ip                  // one IPv4 address
	ips                 // one or more
	pairs               // pairs of addresses (policy-filter, static-route)
	u8                  // numbers, big endian
	u16                 //
	u32                 //
	i32                 //
	boolean             // one byte, 0 or 1
	flag                // empty
	text                // without NUL
	domain              // text that is a domain name
	domains             // names in DNS encoding (RFC 3397)
	routes              // destination and gateway (RFC 3442)
	uri                 // text that is an absolute URI
	u16s                // list of 16 bit numbers
)

type info struct {
	code uint8
	name string // as dnsmasq calls it, where it has the option
	kind kind
	min  uint32 // smallest number that makes sense
}

// table holds the options of RFC 2132 and later ones that a network may want to give. Those that are the protocol's own
// (requested-address, message-type and so on) have a kind for printing, and own says that nobody may set them.
var table = [...]info{
	{1, "netmask", ip, 0},
	{2, "time-offset", i32, 0},
	{3, "router", ips, 0},
	{4, "time-server", ips, 0},
	{6, "dns-server", ips, 0},
	{7, "log-server", ips, 0},
	{9, "lpr-server", ips, 0},
	{12, "hostname", text, 0},
	{13, "boot-file-size", u16, 0},
	{15, "domain-name", domain, 0},
	{16, "swap-server", ip, 0},
	{17, "root-path", text, 0},
	{18, "extension-path", text, 0},
	{19, "ip-forward-enable", boolean, 0},
	{20, "non-local-source-routing", boolean, 0},
	{21, "policy-filter", pairs, 0},
	{22, "max-datagram-reassembly", u16, 576},
	{23, "default-ttl", u8, 1},
	{26, "mtu", u16, 68},
	{27, "all-subnets-local", boolean, 0},
	{28, "broadcast", ip, 0},
	{31, "router-discovery", boolean, 0},
	{32, "router-solicitation", ip, 0},
	{33, "static-route", pairs, 0},
	{34, "trailer-encapsulation", boolean, 0},
	{35, "arp-timeout", u32, 0},
	{36, "ethernet-encap", boolean, 0},
	{37, "tcp-ttl", u8, 1},
	{38, "tcp-keepalive", u32, 0},
	{40, "nis-domain", text, 0},
	{41, "nis-server", ips, 0},
	{42, "ntp-server", ips, 0},
	{43, "vendor-encap", raw, 0},
	{44, "netbios-ns", ips, 0},
	{45, "netbios-dd", ips, 0},
	{46, "netbios-nodetype", u8, 1},
	{47, "netbios-scope", text, 0},
	{48, "x-windows-fs", ips, 0},
	{49, "x-windows-dm", ips, 0},
	{50, "requested-address", ip, 0},
	{51, "lease-time", u32, 0},
	{52, "option-overload", u8, 0},
	{53, "message-type", u8, 0},
	{54, "server-identifier", ip, 0},
	{55, "parameter-request", raw, 0},
	{56, "message", text, 0},
	{57, "max-message-size", u16, 0},
	{58, "T1", u32, 0},
	{59, "T2", u32, 0},
	{60, "vendor-class", text, 0},
	{61, "client-id", raw, 0},
	{64, "nis+-domain", text, 0},
	{65, "nis+-server", ips, 0},
	{66, "tftp-server", text, 0},
	{67, "bootfile-name", text, 0},
	{68, "mobile-ip-home", ips, 0},
	{69, "smtp-server", ips, 0},
	{70, "pop3-server", ips, 0},
	{71, "nntp-server", ips, 0},
	{74, "irc-server", ips, 0},
	{77, "user-class", raw, 0},
	{80, "rapid-commit", flag, 0},
	{81, "fqdn", raw, 0},
	{82, "agent-info", raw, 0},
	{93, "client-arch", u16s, 0},
	{94, "client-interface-id", raw, 0},
	{97, "client-machine-id", raw, 0},
	{100, "posix-timezone", text, 0},
	{101, "tzdb-timezone", text, 0},
	{108, "ipv6-only", u32, 300}, // RFC 8925 section 3.4: MIN_V6ONLY_WAIT
	{114, "captive-portal", uri, 0},
	{116, "auto-configure", u8, 0},
	{118, "subnet-select", ip, 0},
	{119, "domain-search", domains, 0},
	{120, "sip-server", raw, 0},
	{121, "classless-static-route", routes, 0},
	{124, "vendor-id-class", raw, 0},
	{125, "vendor-id-encap", raw, 0},
	{138, "capwap-ac", ips, 0},
	{150, "tftp-server-address", ips, 0},
	{175, "etherboot", raw, 0},
	{208, "pxelinux-magic", raw, 0},
	{209, "pxelinux-config", text, 0},
	{210, "pxelinux-prefix", text, 0},
	{211, "pxelinux-reboot-time", u32, 0},
	{249, "ms-classless-static-route", routes, 0},
	{252, "wpad", text, 0},
}

// aliases are other words for the same: networkd's, ISC's, and those of the configuration file.
var aliases = map[string]uint8{
	"subnet-mask": 1, "routers": 3, "gateway": 3, "name-servers": 6, "dns-servers": 6, "domain-name-servers": 6, "host-name": 12,
	"domain": 15, "interface-mtu": 26, "broadcast-address": 28, "static-routes": 33, "ntp-servers": 42, "ntp": 42,
	"vendor-encapsulated-options": 43, "tftp-server-name": 66, "boot-file": 67, "bootfile": 67, "timezone": 101, "search": 119,
	"classless-routes": 121, "v6-only-preferred": 108, "wpad-url": 252, "proxy-autodiscovery": 252, "renewal-time": 58,
	"rebinding-time": 59,
}

// own says why an option cannot be set, empty if it can.
func own(code uint8) string {
	switch code {
	case 0, 255:
		return "it has no value"
	case 51:
		return "use lease-time"
	case 80:
		return "use rapid-commit"
	case 50, 52, 53, 54, 55, 57, 61, 81, 82, 118:
		return "it is the protocol's own"
	}
	return ""
}

func known(code uint8) info {
	for i := range table {
		if table[i].code == code {
			return table[i]
		}
	}
	return info{code: code, kind: raw}
}

func lookup(name string) (info, bool) {
	for i := range table {
		if table[i].name == name {
			return table[i], true
		}
	}
	if code, ok := aliases[name]; ok {
		return known(code), true
	}
	return info{}, false
}
