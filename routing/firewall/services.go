package firewall

import "github.com/provision-net/provision/routing/match"

// service knows names for traffic, as in /etc/services (IANA's registry), which a small image
// may not have.
func service(name string) []traffic {
	switch name {
	case "ssh":
		return traffics(tcpTo(22))
	case "telnet":
		return traffics(tcpTo(23))
	case "smtp":
		return traffics(tcpTo(25))
	case "submission":
		return traffics(tcpTo(587))
	case "dns":
		return traffics(tcpTo(53), udpTo(53))
	case "dns-over-tls":
		return traffics(tcpTo(853))
	case "dhcp":
		return traffics(udpTo(67))
	case "dhcpv6":
		return traffics(udpTo(547))
	case "tftp":
		return traffics(udpTo(69))
	case "http":
		return traffics(tcpTo(80))
	case "https":
		return traffics(tcpTo(443))
	case "http3":
		return traffics(udpTo(443))
	case "ntp":
		return traffics(udpTo(123))
	case "snmp":
		return traffics(udpTo(161))
	case "syslog":
		return traffics(udpTo(514))
	case "syslog-tls":
		return traffics(tcpTo(6514))
	case "imap":
		return traffics(tcpTo(143))
	case "imaps":
		return traffics(tcpTo(993))
	case "ldap":
		return traffics(tcpTo(389))
	case "ldaps":
		return traffics(tcpTo(636))
	case "smb":
		return traffics(tcpTo(445))
	case "nfs":
		return traffics(tcpTo(2049))
	case "rsync":
		return traffics(tcpTo(873))
	case "git":
		return traffics(tcpTo(9418))
	case "rdp":
		return traffics(tcpTo(3389), udpTo(3389))
	case "vnc":
		return traffics(tcpTo(5900))
	case "mosh":
		return traffics(udpRange(60000, 61000))
	case "mysql":
		return traffics(tcpTo(3306))
	case "postgresql":
		return traffics(tcpTo(5432))
	case "mqtt":
		return traffics(tcpTo(1883))
	case "mqtts":
		return traffics(tcpTo(8883))
	case "ipp":
		return traffics(tcpTo(631))
	case "mdns":
		return traffics(udpTo(5353))
	case "llmnr":
		return traffics(tcpTo(5355), udpTo(5355))
	case "ssdp":
		return traffics(udpTo(1900))
	case "netbios":
		return traffics(udpTo(137, 138))
	case "wireguard":
		return traffics(udpTo(51820))
	case "openvpn":
		return traffics(udpTo(1194))
	case "ike":
		return traffics(udpTo(500, 4500))
	case "vxlan":
		return traffics(udpTo(4789))
	case "kubernetes":
		return traffics(tcpTo(6443))
	case "prometheus":
		return traffics(tcpTo(9090))
	case "node-exporter":
		return traffics(tcpTo(9100))
	case "ping":
		return traffics(traffic{proto: match.ICMP, types: []uint8{match.EchoRequest}}, traffic{proto: match.ICMPv6, types: []uint8{match.EchoRequest6}})
	case "traceroute":
		return traffics(udpRange(33434, 33534))
	}
	return nil
}

//go:noinline
func single(ports []uint16) []match.PortRange {
	var out []match.PortRange
	for _, p := range ports {
		out = append(out, match.PortRange{From: p, To: p})
	}
	return out
}

// The words of the list above stay calls: made in place, they would be most of its size.
//
//go:noinline
func traffics(ts ...traffic) []traffic { return ts }

//go:noinline
func tcpTo(ports ...uint16) traffic { return traffic{proto: match.TCP, ports: single(ports)} }

//go:noinline
func udpTo(ports ...uint16) traffic { return traffic{proto: match.UDP, ports: single(ports)} }

//go:noinline
func udpRange(from, to uint16) traffic {
	return traffic{proto: match.UDP, ports: []match.PortRange{{From: from, To: to}}}
}
