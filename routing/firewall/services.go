package firewall

import "github.com/provision-net/provision/routing/match"

// service knows names for traffic, as in /etc/services (IANA's registry), which a small image
// may not have.
func service(name string) []traffic {
	tcp := func(ports ...uint16) traffic { return traffic{proto: match.TCP, ports: single(ports)} }
	udp := func(ports ...uint16) traffic { return traffic{proto: match.UDP, ports: single(ports)} }
	span := func(from, to uint16) traffic {
		return traffic{proto: match.UDP, ports: []match.PortRange{{From: from, To: to}}}
	}
	one := func(ts ...traffic) []traffic { return ts }
	switch name {
	case "ssh":
		return one(tcp(22))
	case "telnet":
		return one(tcp(23))
	case "smtp":
		return one(tcp(25))
	case "submission":
		return one(tcp(587))
	case "dns":
		return one(tcp(53), udp(53))
	case "dns-over-tls":
		return one(tcp(853))
	case "dhcp":
		return one(udp(67))
	case "dhcpv6":
		return one(udp(547))
	case "tftp":
		return one(udp(69))
	case "http":
		return one(tcp(80))
	case "https":
		return one(tcp(443))
	case "http3":
		return one(udp(443))
	case "ntp":
		return one(udp(123))
	case "snmp":
		return one(udp(161))
	case "syslog":
		return one(udp(514))
	case "syslog-tls":
		return one(tcp(6514))
	case "imap":
		return one(tcp(143))
	case "imaps":
		return one(tcp(993))
	case "ldap":
		return one(tcp(389))
	case "ldaps":
		return one(tcp(636))
	case "smb":
		return one(tcp(445))
	case "nfs":
		return one(tcp(2049))
	case "rsync":
		return one(tcp(873))
	case "git":
		return one(tcp(9418))
	case "rdp":
		return one(tcp(3389), udp(3389))
	case "vnc":
		return one(tcp(5900))
	case "mosh":
		return one(span(60000, 61000))
	case "mysql":
		return one(tcp(3306))
	case "postgresql":
		return one(tcp(5432))
	case "mqtt":
		return one(tcp(1883))
	case "mqtts":
		return one(tcp(8883))
	case "ipp":
		return one(tcp(631))
	case "mdns":
		return one(udp(5353))
	case "llmnr":
		return one(tcp(5355), udp(5355))
	case "ssdp":
		return one(udp(1900))
	case "netbios":
		return one(udp(137, 138))
	case "wireguard":
		return one(udp(51820))
	case "openvpn":
		return one(udp(1194))
	case "ike":
		return one(udp(500, 4500))
	case "vxlan":
		return one(udp(4789))
	case "kubernetes":
		return one(tcp(6443))
	case "prometheus":
		return one(tcp(9090))
	case "node-exporter":
		return one(tcp(9100))
	case "ping":
		return one(traffic{proto: match.ICMP, types: []uint8{match.EchoRequest}}, traffic{proto: match.ICMPv6, types: []uint8{match.EchoRequest6}})
	case "traceroute":
		return one(span(33434, 33534))
	}
	return nil
}

func single(ports []uint16) []match.PortRange {
	var out []match.PortRange
	for _, p := range ports {
		out = append(out, match.PortRange{From: p, To: p})
	}
	return out
}
