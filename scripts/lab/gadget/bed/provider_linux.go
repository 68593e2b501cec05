package bed

import (
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// Where the provider is in the world, and what the Wi-Fi's router sees of who comes out of its tunnel.
const (
	ProviderAddr  = "44.129.0.2"
	ProviderAddr6 = "2001:db8:78::2"
)

// Provider is a VPN provider in the world behind the Wi-Fi, with this program as its server.
type Provider struct {
	*lab.NetNS
	// File is what the provider gives its customer: everything by the tunnel, the world's name server by it as well.
	File string

	t    testing.TB
	wifi *Wifi
}

// NewProvider makes one, and from then on the Wi-Fi's router notes what the gadget sends to anybody else (Beside).
func (w *Wifi) NewProvider(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{NetNS: lab.NewNS(t), t: t, wifi: w}
	Sh(t, fmt.Sprintf("ip link add vpn0 type veth peer name vpn1; ip link set vpn0 netns %d name vpn; ip link set vpn1 netns %d name eth0", w.NS.PID(), p.PID()))
	must := func(n *lab.NetNS, script string) string {
		out, err := n.Call("bash", "-ec", script)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	must(w.NS, `ip addr add 44.129.0.1/24 dev vpn; ip -6 addr add 2001:db8:78::1/64 dev vpn nodad; ip link set vpn up
mount -t proc proc /proc; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
nft -f - <<'END'
table inet beside {
  set four { typeof ip daddr . meta l4proto; flags dynamic; size 100; }
  set six { typeof ip6 daddr . meta l4proto; flags dynamic; size 100; }
  chain seen {
    type filter hook prerouting priority -300
    iifname != "ap" return
    ip daddr `+ProviderAddr+` udp dport 51820 return
    ip6 daddr { fe80::/10, ff02::/16 } return comment "the link's own: nobody forwards it"
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return
    add @four { ip daddr . meta l4proto }
    add @six { ip6 daddr . meta l4proto }
  }
}
END`)
	must(p.NetNS, `dir=$(mktemp -d); cp -a /etc $dir/etc; mount --bind $dir/etc /etc; mount -t proc proc /proc; mount -t tmpfs run /run
mkdir -p /run/openrc $dir/state /var/lib/provision; mount --bind $dir/state /var/lib/provision; rm -rf /etc/provision
ip addr add `+ProviderAddr+`/24 dev eth0; ip -6 addr add `+ProviderAddr6+`/64 dev eth0 nodad; ip link set eth0 up
ip route add default via 44.129.0.1; ip -6 route add default via 2001:db8:78::1
provision wireguard init --endpoint `+ProviderAddr+` --manage no`)
	p.File = must(p.NetNS, "provision wireguard add box --dns "+World4+" 2>/dev/null")
	return p
}

// Up lets the way to the provider's server lead there, or not. Its interfaces stay up: one that goes down loses its IPv6 addresses.
func (p *Provider) Up(up bool) {
	p.t.Helper()
	script := "add table inet gone; add chain inet gone way { type filter hook forward priority 0; policy drop; }"
	if up {
		script = "delete table inet gone"
	}
	if out, err := p.wifi.NS.Call("nft", script); err != nil {
		p.t.Fatal(out, err)
	}
}

// Beside is what the gadget has sent since the last call to others than the provider's server: addresses with their protocols.
func (p *Provider) Beside() []string {
	p.t.Helper()
	var all []string
	for _, set := range []string{"four", "six"} {
		out, err := p.wifi.NS.Call("nft", "list", "set", "inet", "beside", set)
		if err != nil {
			p.t.Fatal(out, err)
		}
		if _, list, ok := strings.Cut(out, "elements = {"); ok {
			list, _, _ = strings.Cut(list, "}")
			all = append(all, strings.Join(strings.Fields(list), " "))
		}
		if out, err := p.wifi.NS.Call("nft", "flush", "set", "inet", "beside", set); err != nil {
			p.t.Fatal(out, err)
		}
	}
	return all
}
