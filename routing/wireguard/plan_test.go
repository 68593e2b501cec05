package wireguard

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/wireguard"
)

func mustKey(s string) wireguard.Key {
	k, err := wireguard.ParseKey(s)
	if err != nil {
		panic(err)
	}
	return k
}

func machine() *facts.Facts {
	return &facts.Facts{
		Links:  []facts.Link{{Index: 2, Name: "eth0", ARPHRD: 1, MTU: 1492, Up: true}, {Index: 3, Name: "eth1", ARPHRD: 1, MTU: 9000, Up: true}},
		Addrs:  []facts.Address{{Link: 3, Prefix: netip.MustParsePrefix("192.168.7.1/24"), Scope: "global"}},
		Routes: []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2, Table: 254, Type: "unicast"}},
	}
}

func text(r Result) string {
	var b strings.Builder
	for _, w := range r.Desired.Wants {
		b.WriteString(w.Ref.String())
		for _, k := range slices.Sorted(mapKeys(w.Attrs)) {
			v := w.Attrs[k]
			if strings.HasSuffix(k, "-key") && v != "" {
				v = "***"
			}
			if v != "" {
				fmt.Fprintf(&b, " %s=%s", k, v)
			}
		}
		b.WriteByte('\n')
	}
	for _, m := range r.Intents.Members {
		fmt.Fprintf(&b, "member %s %v joins=%v manage=%s\n", m.Zone, m.Interfaces, m.Joins, m.Manage)
	}
	for _, s := range r.Intents.Services {
		fmt.Fprintf(&b, "service %s %s %v\n", s.Name, s.Proto, s.Ports)
	}
	for _, f := range r.Intents.Forwards {
		fmt.Fprintf(&b, "forward %s>%s %v to %v nat=%s\n", f.From, f.To, f.Interfaces, f.Destinations, f.NAT)
	}
	for _, e := range r.Intents.Endpoints {
		fmt.Fprintf(&b, "endpoint %s %s %s %d mark=%x\n", e.Tunnel, e.Proto, e.Addr, e.Port, e.Mark)
	}
	for _, n := range r.Named {
		fmt.Fprintf(&b, "named %s %s %s:%d\n", n.Device, n.Peer, n.Host, n.Port)
	}
	for _, n := range r.Desired.Notes {
		fmt.Fprintf(&b, "note %s %s\n", n.Level, n.Subject)
	}
	fmt.Fprintf(&b, "full %v\n", r.Full)
	return b.String()
}

func mapKeys(a provision.Attrs) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range a {
			if !yield(k) {
				return
			}
		}
	}
}

func TestPlan(t *testing.T) {
	in := Input{Facts: machine(), Resolved: map[string][]netip.Addr{"office.example.org": {netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("192.0.2.7")}}}
	for name, tt := range map[string]struct {
		in           Input
		config, want string
	}{
		"server": {in, server, `wireguard:wg0 listen-port=51820 owner=provision private-key=***
address:name:wg0 10.97.98.1/24
address:name:wg0 fd12:3456:789a:1::1/64 flags=nodad
link:name:wg0 mtu=1412 up=true
wireguard-peer:wg0 ` + keyB + ` allowed-ips=10.97.98.2/32, fd12:3456:789a:1::2/128
wireguard-peer:wg0 ` + keyC + ` allowed-ips=10.20.0.0/16, 10.97.98.3/32 endpoint=[2001:db8::7]:51820 persistent-keepalive=25
wireguard-endpoints:wg0 endpoints=` + keyC + ` office.example.org:51820 [2001:db8::7]:51820
route:inet table 254 10.20.0.0/16 dev name:wg0 proto=158
member vpn [wg0] joins=true manage=
service wireguard udp [51820]
forward vpn> [wg0] to [] nat=auto
endpoint wg0 udp 2001:db8::7 51820 mark=0
endpoint wg0 udp 192.0.2.7 51820 mark=0
named wg0 site office.example.org:51820
full []
`},
		"client, name not known, measured": {Input{Facts: machine(), Marks: map[string]uint32{"wg0": 0x10000}, MTU: map[string]int{"wg0": 1280}}, `
wg0: {private-key: PRIV, addresses: [10.9.0.5/32], route: full, peers: {exit: {public-key: KEYB, allowed-ips: [0.0.0.0/0, "::/0"], endpoint: "vpn.example.org:51820"}, near: {public-key: KEYC, allowed-ips: [10.20.0.0/16], endpoint: "192.0.2.9:1"}}}`,
			`wireguard:wg0 fwmark=0x10000 owner=provision private-key=***
address:name:wg0 10.9.0.5/32
link:name:wg0 mtu=1280 up=true
wireguard-peer:wg0 ` + keyB + ` allowed-ips=0.0.0.0/0, ::/0
wireguard-peer:wg0 ` + keyC + ` allowed-ips=10.20.0.0/16 endpoint=192.0.2.9:1
wireguard-endpoints:wg0 endpoints=` + keyC + ` 192.0.2.9:1
` + keyB + ` vpn.example.org:51820
route:inet table 254 10.20.0.0/16 dev name:wg0 proto=158
endpoint wg0 udp 192.0.2.9 1 mark=10000
named wg0 exit vpn.example.org:51820
note info routing.wireguard.wg0.peers.exit.endpoint
full [wg0]
`},
		"no routes, unmanaged, everything": {in, `
wg0: {private-key: PRIV, addresses: [192.168.7.200/24], listen-port: 1, management: false, zone: guests, reach: [internet, peers, lan], nat: "no", route: none, mtu: 1300, fwmark: 7, peers: {x: {public-key: KEYB, allowed-ips: [0.0.0.0/0, 10.20.0.0/16]}}}`,
			`wireguard:wg0 fwmark=0x7 listen-port=1 owner=provision private-key=***
address:name:wg0 192.168.7.200/24
link:name:wg0 mtu=1300 up=true
wireguard-peer:wg0 ` + keyB + ` allowed-ips=0.0.0.0/0, 10.20.0.0/16
member guests [wg0] joins=true manage=no
service wireguard udp [1]
forward guests> [wg0] to [] nat=no
forward guests>guests [wg0] to [192.168.7.0/24] nat=no
forward guests>lan [wg0] to [] nat=no
note warning routing.wireguard.wg0.addresses
full []
`},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, tt.config)
			r, err := Plan(tt.in, c)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(r); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			if again, err := Plan(tt.in, c); err != nil || !reflect.DeepEqual(r, again) {
				t.Error("the second plan is another one")
			}
		})
	}
	if r, err := Plan(in, nil); err != nil || len(r.Desired.Wants) > 0 {
		t.Error(r, err)
	}
	if _, err := Plan(in, config(t, "wg0: {}")); err == nil || !strings.Contains(err.Error(), "routing.wireguard.wg0.private-key-file: is missing") {
		t.Error(err)
	}
}

// TestUnknownMTU: without a way out nothing is known about the path.
func TestUnknownMTU(t *testing.T) {
	p := planner{Input: Input{Facts: &facts.Facts{}}}
	if n := p.mtu("wg0", Interface{}, nil); n != 1280 {
		t.Error(n)
	}
	p.Facts = machine()
	p.Facts.Links[0].MTU = 1300 // a mobile network: 1220 is too little for IPv6 inside
	if n := p.mtu("wg0", Interface{}, []netip.Prefix{netip.MustParsePrefix("fd00::1/64")}); n != 1280 {
		t.Error(n)
	}
	if n := p.mtu("wg0", Interface{}, []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}); n != 1220 {
		t.Error(n)
	}
}

func TestKeyFiles(t *testing.T) {
	c := config(t, strings.NewReplacer("private-key: PRIV", "private-key-file: /k/wg0.key", "public-key: KEYB", "public-key: KEYB, preshared-key-file: /k/phone.psk").Replace(server))
	if got := c.KeyFiles(); !slices.Equal(got, []string{"/k/phone.psk", "/k/wg0.key"}) {
		t.Fatal(got)
	}
	good := KeyFile{Text: []byte(privA + "\n"), Mode: 0o600}
	for _, tt := range []struct {
		file KeyFile
		text string
	}{
		{good, ""},
		{KeyFile{Text: good.Text, Mode: 0o644}, "others may read /k/wg0.key (mode 0644)"},
		{KeyFile{Text: good.Text, Mode: 0o640}, "chmod 600"},
		{KeyFile{Text: good.Text, Mode: 0o600, UID: 1000}, "belongs to user 1000"},
		{KeyFile{Text: []byte("nonsense"), Mode: 0o600}, "holds no key"},
		{KeyFile{Mode: 0o600}, "it is empty"},
		{KeyFile{Err: fs.ErrNotExist}, "is not there: `provision wireguard init`"},
		{KeyFile{Err: errors.New("input/output error")}, "cannot be read"},
	} {
		in := Input{Facts: machine(), Keys: map[string]KeyFile{"/k/wg0.key": tt.file, "/k/phone.psk": good}}
		r, err := Plan(in, c)
		if tt.text == "" {
			if err != nil || r.Desired.Wants[0].Attrs[wireguard.AttrPrivateKey] != privA || r.Desired.Wants[4].Attrs[wireguard.AttrPresharedKey] != privA {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "nonsense") || len(r.Desired.Wants) > 0 {
			t.Errorf("want %q, got %v", tt.text, err)
		}
	}
	// Who may not read them still sees the plan.
	in := Input{Facts: machine(), Unprivileged: true, Keys: map[string]KeyFile{"/k/wg0.key": {Err: fs.ErrPermission}, "/k/phone.psk": {Err: fs.ErrPermission}}}
	r, err := Plan(in, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range r.Desired.Wants {
		if _, said := w.Attrs[wireguard.AttrPrivateKey]; said || strings.HasSuffix(w.Name, keyB) && w.Attrs[wireguard.AttrPresharedKey] != "" {
			t.Error(w)
		}
		if _, said := w.Attrs[wireguard.AttrPresharedKey]; said && strings.HasSuffix(w.Name, keyB) {
			t.Error("the preshared key would be taken away")
		}
	}
}

// many is an interface with n peers, each with two addresses and a network.
func many(n int) Config {
	peers := make(map[string]Peer, n)
	for i := range n {
		k := mustKey(keyB)
		k[0], k[1] = byte(i), byte(i>>8)
		peers[fmt.Sprintf("peer%d", i)] = Peer{PublicKey: k.String(), AllowedIPs: []string{
			fmt.Sprintf("10.97.%d.%d/32", 98+(i+2)>>8, (i+2)&255), fmt.Sprintf("fd12:3456:789a:1::%x/128", i+2), fmt.Sprintf("10.%d.%d.0/24", 150+i>>8, i&255)}}
	}
	return Config{"wg0": {PrivateKey: privA, Addresses: []string{"10.97.98.1/16", "fd12:3456:789a:1::1/64"}, ListenPort: 51820, Peers: peers}}
}

// best is the shortest of some runs: a busy machine makes single ones longer.
func best(runs int, f func()) time.Duration {
	shortest := time.Hour
	for range runs {
		start := time.Now()
		f()
		shortest = min(shortest, time.Since(start))
	}
	return shortest
}

func TestThousandPeers(t *testing.T) {
	c := many(1000)
	r, err := Plan(Input{Facts: machine()}, c)
	if err != nil || len(r.Desired.Wants) != 4+1000+1000 {
		t.Fatal(len(r.Desired.Wants), err)
	}
	took := best(9, func() { _, _ = Plan(Input{Facts: machine()}, c) })
	t.Logf("a plan of 1,000 peers takes %v", took)
	if took > 100*time.Millisecond {
		t.Errorf("it takes %v", took)
	}
	// The worst case: everybody wants everything. Each is told once.
	for name, p := range c["wg0"].Peers {
		p.AllowedIPs = append(p.AllowedIPs, "10.0.0.0/8")
		c["wg0"].Peers[name] = p
	}
	n := 0
	if took := best(3, func() { n = len(c.Problems()) }); n < 1000 || took > time.Second {
		t.Errorf("%d problems in %v", n, took)
	}
}

func BenchmarkPlan1000(b *testing.B) {
	c, in := many(1000), Input{Facts: machine()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Plan(in, c); err != nil {
			b.Fatal(err)
		}
	}
}
