package wireguard

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
	"github.com/provision-net/provision/provision/resource/route"
)

const lane, direct = 15800, 0x1000000

// after are the facts when a plan has been applied: its routes, the networks of its addresses, and the
// rules and the table of a full tunnel wg0.
func after(t *testing.T, in Input, c Config, wants []provision.Want) *facts.Facts {
	t.Helper()
	f := *in.Facts
	index := map[string]int{}
	for n, name := range sortedKeys(c) {
		index[name] = 10 + n
		f.Links = append(f.Links, facts.Link{Index: 10 + n, Name: name, Up: true})
		for _, text := range c[name].Addresses {
			f.Routes = append(f.Routes, facts.Route{Dst: netip.MustParsePrefix(text).Masked(), Link: 10 + n, Table: 254, Type: "unicast"})
		}
	}
	for _, w := range wants {
		if w.Kind != route.Kind {
			continue
		}
		k, err := route.Parse(w.Name)
		if err != nil {
			t.Fatal(err)
		}
		f.Routes = append(f.Routes, facts.Route{Dst: k.Dst, Link: index[strings.TrimPrefix(k.Dev, "name:")], Table: max(k.Table, 254), Metric: k.Metric, Type: "unicast"})
	}
	for _, family := range []int{4, 6} {
		if in.Tables["wg0"] != 0 {
			f.Routes = append(f.Routes, facts.Route{Dst: route.Any(family), Link: index["wg0"], Table: lane, Type: "unicast"})
			f.Rules = append(f.Rules, facts.Rule{Family: family, Priority: 10, Table: 254, Action: "lookup", Suppresses: true},
				facts.Rule{Family: family, Priority: 11, Invert: true, Mark: direct, Mask: 0xff000000, Table: lane, Action: "lookup"})
		}
		f.Rules = append(f.Rules, facts.Rule{Family: family, Priority: 32766, Table: 254, Action: "lookup"})
	}
	return &f
}

// leaves follows what a peer of a device is sent until it leaves by something else than a tunnel.
func leaves(f *facts.Facts, c Config, device, peer string, marks map[string]uint32) bool {
	for range 20 {
		host, _, _ := SplitEndpoint(c[device].Peers[peer].Endpoint, false)
		to, err := netip.ParseAddr(host)
		if err != nil {
			return true // it calls
		}
		r := fib.Lookup(f, fib.Query{Dst: to, Mark: marks[device]})
		l, _ := f.LinkByIndex(r.Link)
		if !c.Has(l.Name) {
			return true
		}
		if device, peer = l.Name, holder(c[l.Name], to); peer == "" {
			return false
		}
	}
	return false
}

func TestTunnelIntoItself(t *testing.T) {
	const wg0 = "wg0: {private-key: PRIV, addresses: [ADDR], ROUTE, peers: {exit: {public-key: KEYB, allowed-ips: [ALLOWED], endpoint: ENDPOINT}}}\n"
	const far = `"203.0.113.9:51820"`
	full := map[string]uint32{"wg0": lane}
	for name, tt := range map[string]struct {
		addr, route, allowed, endpoint string
		tables                         map[string]uint32
		static                         []Way
		refused                        string // empty: it leaves
	}{
		"halves":                      {"10.9.0.5/32", "mtu: 1280", "0.0.0.0/1, 128.0.0.0/1", far, nil, nil, "wg0.peers.exit.allowed-ips: 128.0.0.0/1 holds 203.0.113.9, where peer exit of wg0 is called, so what is sent there would go into the tunnel that it comes from: write route: full"},
		"halves, full":                {"10.9.0.5/32", "route: full", "0.0.0.0/1, 128.0.0.0/1", far, full, nil, ""},
		"one half":                    {"10.9.0.5/32", "mtu: 1280", "0.0.0.0/1", far, nil, nil, ""},
		"halves, on the LAN":          {"10.9.0.5/32", "mtu: 1280", "0.0.0.0/1, 128.0.0.0/1", `"192.168.7.9:51820"`, nil, nil, ""},
		"halves, a name":              {"10.9.0.5/32", "mtu: 1280", "0.0.0.0/1, 128.0.0.0/1", `"vpn.example.org:51820"`, nil, nil, "wg0.route: allowed-ips have both halves of everything, also the address of vpn.example.org"},
		"halves, a name, full":        {"10.9.0.5/32", "route: full", "0.0.0.0/1, 128.0.0.0/1", `"vpn.example.org:51820"`, full, nil, ""},
		"IPv6 halves, a name":         {"fd00::5/128", "mtu: 1280", `"::/1", "8000::/1"`, `"vpn.example.org:51820"`, nil, nil, "write route: full"},
		"its own network":             {"10.9.0.5/32", "mtu: 1280", "203.0.113.0/24", far, nil, nil, "leave 203.0.113.9 out there, or give it a way beside, such as policy: {routes: [{to: 203.0.113.9/32, via: GATEWAY, interface: eth0}]}"},
		"its own network, a way":      {"10.9.0.5/32", "mtu: 1280", "203.0.113.0/24", far, nil, []Way{{Dst: netip.MustParsePrefix("203.0.113.9/32")}}, ""},
		"its own network, full":       {"10.9.0.5/32", "route: full", "0.0.0.0/0, 203.0.113.0/24", far, full, nil, ""},
		"itself":                      {"10.9.0.5/32", "mtu: 1280", "203.0.113.9/32", far, nil, nil, "203.0.113.9/32 holds"},
		"the LAN it is on":            {"10.9.0.5/32", "mtu: 1280", "192.168.7.0/24", `"192.168.7.9:51820"`, nil, nil, "192.168.7.0/24 holds 192.168.7.9"},
		"an address with its network": {"203.0.113.5/24", "mtu: 1280", "10.20.0.0/16", far, nil, nil, "wg0.addresses[0]: 203.0.113.0/24 holds 203.0.113.9"},
		"route: none":                 {"10.9.0.5/32", "route: none", "203.0.113.0/24", far, nil, nil, ""},
		"a static route into it":      {"10.9.0.5/32", "route: none", "0.0.0.0/0", far, nil, []Way{{Dst: netip.MustParsePrefix("203.0.0.0/8"), Device: "wg0"}}, "wg0: 203.0.0.0/8 holds 203.0.113.9, where peer exit of wg0 is called, so what is sent there would go into the tunnel that it comes from: leave the route to it out of policy"},
		"by IPv6":                     {"fd00::5/128", "mtu: 1280", `"2001:db8::/32"`, `"[2001:db8:9::9]:51820"`, nil, nil, "2001:db8::/32 holds 2001:db8:9::9"},
		"by IPv6, full":               {"fd00::5/128", "route: full", `"::/0", "2001:db8::/32"`, `"[2001:db8:9::9]:51820"`, full, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, strings.NewReplacer("ADDR", `"`+tt.addr+`"`, "ROUTE", tt.route, "ALLOWED", tt.allowed, "ENDPOINT", tt.endpoint).Replace(wg0))
			in := Input{Facts: machine(), Tables: tt.tables, Static: tt.static, Marks: map[string]uint32{}}
			in.Facts.Routes = append(in.Facts.Routes, facts.Route{Dst: netip.MustParsePrefix("192.168.7.0/24"), Link: 3, Table: 254, Type: "unicast"}, facts.Route{Dst: netip.MustParsePrefix("::/0"), Link: 2, Table: 254, Type: "unicast"})
			if tt.tables != nil {
				in.Marks["wg0"] = direct
			}
			r, err := Plan(in, c)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("want %q, got %v", tt.refused, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			f := after(t, in, c, r.Desired.Wants)
			for _, s := range tt.static {
				f.Routes = append(f.Routes, facts.Route{Dst: s.Dst, Link: 2, Table: 254, Type: "unicast"})
			}
			if !leaves(f, c, "wg0", "exit", in.Marks) {
				t.Errorf("its packets go into it: %+v", f.Routes)
			}
			for _, w := range r.Desired.Wants {
				if w.Kind == route.Kind && strings.Contains(w.Name, "/1 ") && tt.tables != nil {
					t.Errorf("%s is before the rules of a full tunnel", w.Name)
				}
			}
		})
	}
	// Who gives packets a mark of his own has rules for it: he is only told.
	c := config(t, strings.NewReplacer("ADDR", "10.9.0.5/32", "ROUTE", "fwmark: 7", "ALLOWED", "203.0.113.0/24", "ENDPOINT", far).Replace(wg0))
	if r, err := Plan(Input{Facts: machine()}, c); err != nil || len(r.Desired.Notes) != 1 || !strings.Contains(r.Desired.Notes[0].Text, "rule for the mark 0x7") {
		t.Errorf("%+v %v", r.Desired.Notes, err)
	}
}

// Peers that are called through others are fine, and in a circle they are refused, on drawn networks: what is planned leaves in
// the end, judged by the routes that it makes, and what is refused would not.
func TestTunnelsInTunnels(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	planned, nested, refused := 0, 0, 0
	for n := range 4000 {
		net := func() string {
			bits := []int{8, 16, 24, 32}[rnd.IntN(4)]
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(rnd.IntN(3)), byte(rnd.IntN(2)), byte(rnd.IntN(2)), byte(rnd.IntN(2))}), bits).Masked().String()
		}
		c := Config{}
		in := Input{Facts: machine(), Marks: map[string]uint32{}}
		if rnd.IntN(2) == 0 {
			in.Tables, in.Marks["wg0"] = map[string]uint32{"wg0": lane}, direct
		}
		for d := range 2 {
			i := Interface{PrivateKey: privA, Addresses: []string{fmt.Sprintf("10.9.%d.1/32", d)}, Peers: map[string]Peer{}}
			for x := range 1 + rnd.IntN(2) {
				k := mustKey(keyB)
				k[0], k[1] = byte(d), byte(x)
				p := Peer{PublicKey: k.String(), AllowedIPs: []string{net()}, Nested: true}
				if rnd.IntN(4) > 0 {
					p.Endpoint = strings.Split(net(), "/")[0] + ":51820"
				}
				i.Peers[fmt.Sprint("p", x)] = p
			}
			if d == 0 && in.Tables != nil {
				i.Route = RouteFull
				p := i.Peers["p0"]
				p.AllowedIPs = append(p.AllowedIPs, "0.0.0.0/0")
				i.Peers["p0"] = p
			}
			c[fmt.Sprint("wg", d)] = i
		}
		if rnd.IntN(3) == 0 {
			in.Facts.Routes = append(in.Facts.Routes, facts.Route{Dst: netip.MustParsePrefix(net()), Link: 3, Table: 254, Type: "unicast", Metric: 100})
		}
		if len(c.Problems()) > 0 {
			continue
		}
		r, err := Plan(in, c)
		wants := r.Desired.Wants
		if err != nil {
			// What it would have wanted.
			p := planner{Input: in}
			for _, name := range sortedKeys(c) {
				p.device(name, c[name])
			}
			wants = p.r.Desired.Wants
		}
		f := after(t, in, c, wants)
		round := false
		for device, i := range c {
			for peer := range i.Peers {
				round = round || !leaves(f, c, device, peer, in.Marks)
			}
		}
		if round != (err != nil) {
			t.Fatalf("draw %d: goes round is %v, refused: %v\n%+v\n%+v", n, round, err, c, f.Routes)
		}
		if err != nil {
			refused++
			continue
		}
		planned++
		for _, i := range c {
			for _, p := range i.Peers {
				host, _, _ := SplitEndpoint(p.Endpoint, false)
				if a, err := netip.ParseAddr(host); err == nil && fib.Lookup(f, fib.Query{Dst: a, Mark: direct}).Link >= 10 {
					nested++
				}
			}
		}
	}
	if planned < 300 || nested < 100 || refused < 300 {
		t.Errorf("%d are planned, with %d in others, %d refused: too few to prove it", planned, nested, refused)
	}
}
