package routing

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/routing/packet"
)

const (
	keyA = "QEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	keyB = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
)

const wgServer = `
wireguard:
  wg0:
    private-key: ` + keyA + `
    addresses: [10.97.98.1/24, "fd12:3456:789a:1::1/64"]
    listen-port: 51820
    management: false
    reach: [internet]
    peers: {phone: {public-key: ` + keyB + `, allowed-ips: [10.97.98.2/32, "fd12:3456:789a:1::2/128"]}}
`

// A device comes after the firewall that lets it in, its peers after it, and all of it is back after a
// boot, in this order.
func TestWireGuardInThePlan(t *testing.T) {
	for name, zones := range map[string]string{"no zones": "", "zones": "zones: {outside: {interfaces: [eth0], masquerade: true}}\n"} {
		t.Run(name, func(t *testing.T) {
			f := machine("eth0", "wg0")
			f.Routes = []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2, Table: 254, Type: "unicast"}, {Dst: netip.MustParsePrefix("::/0"), Link: 2, Table: 254, Type: "unicast"},
				{Dst: netip.MustParsePrefix("10.97.98.0/24"), Link: 3, Table: 254, Type: "unicast"}, {Dst: netip.MustParsePrefix("fd12:3456:789a:1::/64"), Link: 3, Table: 254, Type: "unicast"}}
			for own, link := range map[string]int{"192.0.2.1/24": 2, "2001:db8::1/64": 2, "10.97.98.1/24": 3} {
				p := netip.MustParsePrefix(own)
				f.Addrs = append(f.Addrs, facts.Address{Link: link, Prefix: p, Scope: "global"})
				f.Routes = append(f.Routes, facts.Route{Dst: netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), Link: link, Table: 255, Type: "local"})
			}
			for _, family := range []int{4, 6} {
				f.Rules = append(f.Rules, facts.Rule{Family: family, Priority: 0, Table: 255, Action: "lookup"}, facts.Rule{Family: family, Priority: 32766, Table: 254, Action: "lookup"})
			}
			r, err := Plan(Input{Facts: f, Units: units}, config(t, zones+wgServer))
			if err != nil {
				t.Fatal(err)
			}
			order := []string{"nft", "wireguard:wg0", "address:name:wg0 10.97.98.1/24", "address:name:wg0 fd12", "link:name:wg0", "wireguard-peer:wg0 " + keyB}
			for _, wants := range []struct {
				name string
				at   func(string) int
			}{{"desired", func(s string) int { return at(r.Desired.Wants, s) }}, {"kept", func(s string) int { return at(r.Kept, s) }}} {
				last := -1
				for _, o := range order {
					n := wants.at(o)
					if n <= last {
						t.Errorf("%s: %s is at %d, what has to be there before it at %d", wants.name, o, n, last)
					}
					last = n
				}
			}
			for _, want := range []string{"global net.ipv4.ip_forward", "global net.ipv6.conf.all.forwarding"} {
				if at(r.Desired.Wants, want) < 0 {
					t.Errorf("%s is not wanted", want)
				}
			}
			f.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
			for i := range f.Links {
				f.Links[i].Sysctl["ipv4.forwarding"] = "1"
			}
			w := packet.World{Facts: f, Tables: []nft.Table{*r.Table}}
			a := netip.MustParseAddr
			for _, p := range []struct {
				what   string
				packet packet.Packet
				passes bool
			}{
				{"the outer packet", packet.Packet{In: "eth0", From: a("198.51.100.9"), To: a("192.0.2.1"), Proto: "udp", Sport: 4000, Dport: 51820}, true},
				{"a peer to the internet", packet.Packet{In: "wg0", From: a("10.97.98.2"), To: a("9.9.9.9"), Proto: "tcp", Sport: 4000, Dport: 443}, true},
				{"the same by IPv6", packet.Packet{In: "wg0", From: a("fd12:3456:789a:1::2"), To: a("2620:fe::fe"), Proto: "tcp", Sport: 4000, Dport: 443}, true},
				{"a peer to another", packet.Packet{In: "wg0", From: a("10.97.98.2"), To: a("10.97.98.3"), Proto: "tcp", Sport: 4000, Dport: 443}, false},
				{"a peer that would manage", packet.Packet{In: "wg0", From: a("10.97.98.2"), To: a("10.97.98.1"), Proto: "tcp", Sport: 4000, Dport: 22}, false},
				{"the internet to a peer", packet.Packet{In: "eth0", From: a("198.51.100.9"), To: a("10.97.98.2"), Proto: "tcp", Sport: 4000, Dport: 443}, false},
			} {
				if got := packet.Explain(w, p.packet); got.Passes() != p.passes {
					t.Errorf("%s: passes is %v: %+v", p.what, got.Passes(), got)
				}
			}
			// Peers reach each other, and whoever is not of the tunnel's network, only when it is said.
			r, err = Plan(Input{Facts: f, Units: units}, config(t, zones+strings.Replace(wgServer, "[internet]", "[peers]", 1)))
			if err != nil {
				t.Fatal(err)
			}
			w.Tables = []nft.Table{*r.Table}
			for to, passes := range map[string]bool{"10.97.98.3": true, "fd12:3456:789a:1::3": true, "9.9.9.9": false} {
				from := a("10.97.98.2")
				if a(to).Is6() {
					from = a("fd12:3456:789a:1::2")
				}
				if got := packet.Explain(w, packet.Packet{In: "wg0", From: from, To: a(to), Proto: "tcp", Sport: 4000, Dport: 443}); got.Passes() != passes {
					t.Errorf("with reach: [peers], %s: passes is %v: %+v", to, got.Passes(), got)
				}
			}
		})
	}
}

// A kill switch knows where its own tunnel sends its packets, and they have the mark that leads beside it.
func TestWireGuardUnderTheSwitch(t *testing.T) {
	text := strings.Replace(guarded, `, endpoints: ["203.0.113.9:51820"]`, "", 1)
	if _, err := Plan(Input{Facts: machine("usb0", "wlan0"), Units: units}, config(t, text)); err == nil || !strings.Contains(err.Error(), "kill-switch.endpoints") {
		t.Fatalf("nothing tells the endpoint: %v", err)
	}
	text += `
wireguard:
  wg0: {private-key: ` + keyA + `, addresses: [10.97.98.5/32], route: full, peers: {exit: {public-key: ` + keyB + `, allowed-ips: [0.0.0.0/0, "::/0"], endpoint: "203.0.113.9:51820"}}}
`
	r, err := Plan(Input{Facts: machine("usb0", "wlan0"), Units: units}, config(t, text))
	if err != nil {
		t.Fatal(err)
	}
	e := r.WireGuard.Intents.Endpoints
	mark := r.Desired.Wants[at(r.Desired.Wants, "wireguard:wg0")].Attrs["fwmark"]
	if len(e) != 1 || e[0].Mark == 0 || e[0].Mark != r.Switch.Input.Mark || mark == "" || mark == "0x0" {
		t.Errorf("endpoints %+v, fwmark %q, the switch's mark is 0x%x", e, mark, r.Switch.Input.Mark)
	}
	device, way, rule := at(r.Desired.Wants, "wireguard:wg0"), at(r.Desired.Wants, "default dev name:wg0"), at(r.Desired.Wants, "rule:")
	if device < 0 || way < device || rule < way {
		t.Errorf("device %d, way %d, rule %d", device, way, rule)
	}
	if n := strings.Count(strings.Join(r.WireGuard.Full, " "), "wg0"); n != 1 {
		t.Error(r.WireGuard.Full)
	}
}

const wgClient = `
wireguard:
  wg0: {private-key: ` + keyA + `, addresses: [10.97.98.5/32], route: full, peers: {exit: {public-key: ` + keyB + `, allowed-ips: [0.0.0.0/0, "::/0", 10.20.0.0/16], endpoint: "203.0.113.9:51820"}}}
`

// A full tunnel without a kill switch: rules of both families, a family that it does not carry is held,
// its own packets have the mark of its lane, and the reverse path filter looks with it.
func TestFullTunnel(t *testing.T) {
	f := machine("eth0")
	f.Routes = []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2, Table: 254, Type: "unicast"}, {Dst: netip.MustParsePrefix("192.0.2.0/24"), Link: 2, Table: 254, Type: "unicast"},
		{Dst: netip.MustParsePrefix("192.0.2.1/32"), Link: 2, Table: 255, Type: "local"}}
	f.Addrs = []facts.Address{{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.1/24"), Scope: "global"}}
	for _, family := range []int{4, 6} {
		f.Rules = append(f.Rules, facts.Rule{Family: family, Priority: 0, Table: 255, Action: "lookup"}, facts.Rule{Family: family, Priority: 32766, Table: 254, Action: "lookup"})
	}
	f.SSH = []facts.Session{{Local: netip.MustParseAddrPort("192.0.2.1:22"), Remote: netip.MustParseAddrPort("198.51.100.9:50000")}, {Local: netip.MustParseAddrPort("192.0.2.1:22"), Remote: netip.MustParseAddrPort("192.0.2.9:50000")}}
	r, err := Plan(Input{Facts: f, Units: units}, config(t, wgClient))
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, o := range []string{"nft:", "wireguard:wg0", "address:name:wg0 10.97.98.5/32", "link:name:wg0", "wireguard-peer:wg0", "route:inet table 254 10.20.0.0/16 dev name:wg0",
		"sysctl:global net.ipv4.conf.all.src_valid_mark", "route:inet table 15800 unreachable default", "route:inet6 table 15800 unreachable default", "route:inet table 15800 default dev name:wg0", "rule:inet", "rule:inet6"} {
		n := at(r.Desired.Wants, o)
		if n <= last {
			t.Errorf("%s is at %d, what has to be there before it at %d", o, n, last)
		}
		if at(r.Kept, o) < 0 {
			t.Errorf("%s is not back after a boot", o)
		}
		last = n
	}
	if at(r.Desired.Wants, "route:inet6 table 15800 default dev") >= 0 {
		t.Error("IPv6 goes into a tunnel that has no address for it")
	}
	if mark := r.Desired.Wants[at(r.Desired.Wants, "wireguard:wg0")].Attrs["fwmark"]; mark != "0x1000000" {
		t.Errorf("the tunnel's own packets have the mark %q", mark)
	}
	if len(r.Cuts) != 1 || !strings.Contains(r.Cuts[0].Why, "198.51.100.9") || !strings.Contains(r.Cuts[0].Why, "reply-primary") {
		t.Errorf("sessions that would be lost: %v", r.Cuts)
	}
	again, err := Plan(Input{Facts: f, Units: units}, config(t, wgClient+"policy: {per-nic-replies: true, reply-primary: true}\n"))
	if err != nil || len(again.Cuts) > 0 {
		t.Errorf("with replies by their NIC: %v %v", again.Cuts, err)
	}
	if _, err := Plan(Input{Facts: f, Units: units}, config(t, strings.Replace(wgClient, "route: full", "route: full, fwmark: 7", 1))); err == nil || !strings.Contains(err.Error(), "leave fwmark out") {
		t.Errorf("a mark that leads into the tunnel: %v", err)
	}
	split, err := Plan(Input{Facts: f, Units: units}, config(t, strings.Replace(wgClient, "route: full", "route: split", 1)))
	if err != nil || at(split.Desired.Wants, "rule:") >= 0 || at(split.Desired.Wants, "10.20.0.0/16 dev name:wg0") < 0 || split.Table != nil || at(split.Desired.Wants, "sysctl:") >= 0 {
		t.Errorf("split: %v %v", split.Desired.Wants, err)
	}
}

// On a LAN the machine answers for peers that have an address there, forwards for them, and lets both
// sides through where there are zones.
func TestLANAccess(t *testing.T) {
	f := machine("eth0", "br0")
	f.Addrs = []facts.Address{{Link: 3, Prefix: netip.MustParsePrefix("192.168.7.1/24"), Scope: "global"}, {Link: 3, Prefix: netip.MustParsePrefix("fd07::1/64"), Scope: "global"}}
	text := `
wireguard:
  wg0: {private-key: ` + keyA + `, addresses: [10.97.98.1/24], listen-port: 51820, lan-access: br0, peers: {phone: {public-key: ` + keyB + `, allowed-ips: [192.168.7.200/32, "fd07::200", 10.97.98.2]}}}
`
	for name, zones := range map[string]string{"no zones": "", "zones": "zones: {home: {interfaces: [br0]}, outside: {interfaces: [eth0], masquerade: true}}\n"} {
		r, err := Plan(Input{Facts: f, Units: units}, config(t, zones+text))
		if err != nil {
			t.Fatal(name, err)
		}
		p := r.WireGuard.Proxies
		if len(p) != 1 || p[0].Interface != "br0" || len(p[0].Addresses) != 2 {
			t.Errorf("%s: answered for: %+v", name, p)
		}
		if at(r.Desired.Wants, "net.ipv4.ip_forward") < 0 {
			t.Errorf("%s: nothing is forwarded", name)
		}
		if i := at(r.Desired.Wants, "192.168.7.200/32 dev name:wg0"); i < 0 {
			t.Errorf("%s: no route to the peer", name)
		}
		if i := at(r.Desired.Wants, "kernel.json"); i < 0 || !strings.Contains(r.Desired.Wants[i].Attrs["content"], "192.168.7.200") {
			t.Errorf("%s: the watch does not learn of it", name)
		}
		if zones == "" {
			continue
		}
		f := machine("eth0", "br0", "wg0")
		f.Addrs = []facts.Address{{Link: 3, Prefix: netip.MustParsePrefix("192.168.7.1/24"), Scope: "global"}, {Link: 4, Prefix: netip.MustParsePrefix("10.97.98.1/24"), Scope: "global"}}
		f.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		for i := range f.Links {
			f.Links[i].Sysctl["ipv4.forwarding"] = "1"
		}
		f.Routes = []facts.Route{{Dst: netip.MustParsePrefix("192.168.7.0/24"), Link: 3, Table: 254, Type: "unicast"}, {Dst: netip.MustParsePrefix("192.168.7.200/32"), Link: 4, Table: 254, Type: "unicast"}}
		f.Rules = []facts.Rule{{Family: 4, Priority: 32766, Table: 254, Action: "lookup"}}
		w := packet.World{Facts: f, Tables: []nft.Table{*r.Table}}
		a := netip.MustParseAddr
		for _, x := range []packet.Packet{{In: "wg0", From: a("192.168.7.200"), To: a("192.168.7.9"), Proto: "tcp", Sport: 4000, Dport: 445}, {In: "br0", From: a("192.168.7.9"), To: a("192.168.7.200"), Proto: "tcp", Sport: 4000, Dport: 445}} {
			if got := packet.Explain(w, x); !got.Passes() {
				t.Errorf("from %s: %+v", x.In, got)
			}
		}
	}
	r, err := Plan(Input{Facts: f, Units: units}, config(t, strings.Replace(text, "lan-access: br0", "lan-access: eth0", 1)))
	if err != nil || len(r.WireGuard.Proxies) > 0 || !strings.Contains(r.WireGuard.Desired.Notes[0].Text, "no peer has an address") {
		t.Errorf("a LAN without their addresses: %+v %v", r.WireGuard.Desired.Notes, err)
	}
}

const besideHE = `
tunnels: {he6: {remote: 203.0.113.41, address: "2001:db8:41::2/64", routed: ["2001:db8:42::/64"], lan: [{interface: lan0}]}}
`

// A tunnel of protocol 41 beside what everything else leaves by: its own packets have the mark of what
// no tunnel takes and leave for its server, with a kill switch as well, which judges what goes into it.
func TestSixInFourBesideATunnel(t *testing.T) {
	a := netip.MustParseAddr
	for name, text := range map[string]string{"full tunnel": wgClient, "kill switch": guarded, "its own kill switch": strings.NewReplacer("wg0", "he6", `, endpoints: ["203.0.113.9:51820"]`, "").Replace(guarded)} {
		t.Run(name, func(t *testing.T) {
			f := machine("usb0", "wlan0", "wg0", "he6", "lan0")
			for own, link := range map[string]int{"192.0.2.1/24": 3, "10.97.98.5/32": 4, "2001:db8:41::2/64": 5, "2001:db8:42::1/64": 6} {
				p := netip.MustParsePrefix(own)
				f.Addrs = append(f.Addrs, facts.Address{Link: link, Prefix: p, Scope: "global"})
				f.Routes = append(f.Routes, facts.Route{Dst: netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), Link: link, Table: 255, Type: "local"},
					facts.Route{Dst: p.Masked(), Link: link, Table: 254, Type: "unicast"})
			}
			f.Routes = append(f.Routes, facts.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 3, Table: 254, Type: "unicast"}, facts.Route{Dst: netip.MustParsePrefix("::/0"), Link: 5, Table: 254, Type: "unicast"})
			r, err := Plan(Input{Facts: f, Units: units}, config(t, text+besideHE))
			if err != nil {
				t.Fatal(err)
			}
			hex := r.Desired.Wants[at(r.Desired.Wants, "sit:he6")].Attrs["fwmark"]
			mark, err := strconv.ParseUint(strings.TrimPrefix(hex, "0x"), 16, 32)
			if err != nil || mark == 0 {
				t.Fatalf("its packets have the mark %q", hex)
			}
			table := uint32(15800)
			way := 4
			if name == "its own kill switch" {
				way = 5
				if at(r.Desired.Wants, "route:inet table 15800 default dev") >= 0 {
					t.Error("IPv4 goes into a tunnel that takes none")
				}
			}
			// As it is when all of that is there, also for what the tunnel carries.
			for _, family := range []int{4, 6} {
				everything := route.Any(family)
				f.Routes = append(f.Routes, facts.Route{Dst: everything, Link: way, Table: table, Type: "unicast"})
				f.Rules = append(f.Rules, facts.Rule{Family: family, Priority: 0, Table: 255, Action: "lookup"}, facts.Rule{Family: family, Priority: 5100, Table: 254, Action: "lookup", Suppresses: true},
					facts.Rule{Family: family, Priority: 5101, Invert: true, Mark: uint32(mark), Mask: 0xff000000, Table: table, Action: "lookup"}, facts.Rule{Family: family, Priority: 32766, Table: 254, Action: "lookup"})
			}
			w := packet.World{Facts: f}
			if r.Table != nil {
				w.Tables = []nft.Table{*r.Table}
			}
			for _, x := range []struct {
				what string
				packet.Packet
				dev string // empty: it does not leave
			}{
				{"its own", packet.Packet{To: a("203.0.113.41"), Proto: "41", Mark: uint32(mark)}, "wlan0"},
				{"another server's", packet.Packet{To: a("203.0.113.42"), Proto: "41", Mark: uint32(mark)}, map[string]string{"full tunnel": "wlan0"}[name]},
				{"without its mark, by the device", packet.Packet{To: a("203.0.113.41"), Proto: "41", Out: "wlan0"}, map[string]string{"full tunnel": "wlan0"}[name]},
				{"IPv6 of this machine", packet.Packet{To: a("2620:fe::fe"), Proto: "tcp", Dport: 443}, f.Links[way-1].Name},
				{"IPv6 of this machine into it, by the device", packet.Packet{From: a("2001:db8:41::2"), To: a("2620:fe::fe"), Proto: "tcp", Dport: 443, Out: "he6"}, map[string]string{"full tunnel": "he6", "its own kill switch": "he6"}[name]},
				{"IPv4 of this machine beside", packet.Packet{To: a("9.9.9.9"), Proto: "udp", Dport: 53, Out: "wlan0"}, map[string]string{"full tunnel": "wlan0"}[name]},
			} {
				got := packet.Explain(w, x.Packet)
				if got.Passes() != (x.dev != "") || got.Passes() && got.Dev != x.dev {
					t.Errorf("%s: by %q, want %q: %+v", x.what, got.Dev, x.dev, got)
				}
			}
		})
	}
}
