package firewall

import "github.com/provision-net/provision/routing/match"

// services are names for traffic, as in /etc/services (IANA's registry), which a small image
// may not have.
func services() map[string][]traffic {
	tcp := func(ports ...uint16) traffic { return traffic{proto: match.TCP, ports: single(ports)} }
	udp := func(ports ...uint16) traffic { return traffic{proto: match.UDP, ports: single(ports)} }
	one := func(ts ...traffic) []traffic { return ts }
	return map[string][]traffic{
		"ssh": one(tcp(22)), "telnet": one(tcp(23)), "smtp": one(tcp(25)), "submission": one(tcp(587)),
		"dns": one(tcp(53), udp(53)), "dns-over-tls": one(tcp(853)), "dhcp": one(udp(67)), "dhcpv6": one(udp(547)), "tftp": one(udp(69)),
		"http": one(tcp(80)), "https": one(tcp(443)), "http3": one(udp(443)),
		"ntp": one(udp(123)), "snmp": one(udp(161)), "syslog": one(udp(514)), "syslog-tls": one(tcp(6514)),
		"imap": one(tcp(143)), "imaps": one(tcp(993)), "ldap": one(tcp(389)), "ldaps": one(tcp(636)),
		"smb": one(tcp(445)), "nfs": one(tcp(2049)), "rsync": one(tcp(873)), "git": one(tcp(9418)),
		"rdp": one(tcp(3389), udp(3389)), "vnc": one(tcp(5900)), "mosh": one(traffic{proto: match.UDP, ports: []match.PortRange{{From: 60000, To: 61000}}}),
		"mysql": one(tcp(3306)), "postgresql": one(tcp(5432)), "mqtt": one(tcp(1883)), "mqtts": one(tcp(8883)), "ipp": one(tcp(631)),
		"mdns": one(udp(5353)), "llmnr": one(tcp(5355), udp(5355)), "ssdp": one(udp(1900)), "netbios": one(udp(137, 138)),
		"wireguard": one(udp(51820)), "openvpn": one(udp(1194)), "ike": one(udp(500, 4500)), "vxlan": one(udp(4789)),
		"kubernetes": one(tcp(6443)), "prometheus": one(tcp(9090)), "node-exporter": one(tcp(9100)),
		"ping":       one(traffic{proto: match.ICMP, types: []uint8{match.EchoRequest}}, traffic{proto: match.ICMPv6, types: []uint8{match.EchoRequest6}}),
		"traceroute": one(traffic{proto: match.UDP, ports: []match.PortRange{{From: 33434, To: 33534}}}),
	}
}

func single(ports []uint16) []match.PortRange {
	var out []match.PortRange
	for _, p := range ports {
		out = append(out, match.PortRange{From: p, To: p})
	}
	return out
}
