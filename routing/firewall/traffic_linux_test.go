package firewall_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/intent"
)

// zones of most tests here.
const zonesYAML = `
zones:
  inside: {interfaces: [eth1]}
  outside: {interfaces: [eth0]}
`

// TestTraffic has real packets meet every kind of rule, in one network with one policy after
// another.
func TestTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address(w.client, "e0", "10.0.5.3/24", "fd00:1::3/64")
	address(w.firewall, "eth1", "10.0.5.1/24", "fd00:1::1/64")
	for _, a := range []string{"192.0.2.7", "192.0.2.8", "192.0.2.9"} {
		w.firewall.Sh("ip addr add " + a + "/24 dev eth0")
	}
	w.firewall.Sh("ip -6 addr add 2001:db8:123c:abd::7/64 dev eth0 nodad preferred_lft 0") // never chosen by itself
	w.outside.Sh("ip -6 route add 2001:db8:9::/64 via " + box6)
	for _, n := range []string{"tcp", "udp"} {
		for _, port := range []string{"22", "80", "81", "8080"} {
			for _, h := range []struct {
				ns    *nstest.NS
				addrs []string
			}{{w.firewall, []string{box4, box6, lan4, lan6, "fd00:1::1"}}, {w.server, []string{server4, server6}},
				{w.client, []string{client4, client6, "fd00:1::3"}}, {w.outside, []string{out4, out6}}} {
				for _, a := range h.addrs {
					serve(t, h.ns, n, at(a, port))
				}
			}
		}
	}
	for _, c := range []struct {
		name   string
		policy string
		in     intent.Set
		try    func(l string)
	}{
		{"sides", zonesYAML, intent.Set{}, func(l string) {
			for _, n := range []string{"tcp", "udp"} {
				w.refuses(l, w.client, n, at(lan4, "80"))
				w.refuses(l, w.client, n, at(lan6, "80"))
				w.refuses(l, w.client, n, at(out4, "80"))
				w.refuses(l, w.client, n, at(out6, "80"))
				w.dropped(l, w.outside, n, at(box4, "80"))
				w.dropped(l, w.outside, n, at(server6, "80"))
			}
			w.sees(l, w.client, "tcp", at(lan4, "22"), client4) // management from inside
			w.sees(l, w.client, "tcp", at(lan6, "22"), client6)
			w.dropped(l, w.outside, "tcp", at(box4, "22"))
			w.pings(l, w.client, lan4, true)
			w.pings(l, w.client, lan6, true)
			w.pings(l, w.outside, box4, false)
		}},
		{"verdicts of zones", `
zones:
  inside: {interfaces: [eth1], input: allow, forward: deny, management: false}
  outside: {interfaces: [eth0], input: reject}
firewall: {ping: any}`, intent.Set{}, func(l string) {
			w.sees(l, w.client, "tcp", at(lan6, "22"), client6)
			w.dropped(l, w.client, "tcp", at(out6, "80"))
			w.refuses(l, w.outside, "tcp", at(box6, "80"))
			w.pings(l, w.outside, box4, true)
			w.pings(l, w.outside, box6, true)
		}},
		{"masquerade", `
zones:
  inside: {interfaces: [eth1], forward: allow}
  outside: {interfaces: [eth0], masquerade: true}`, intent.Set{}, func(l string) {
			w.sees(l, w.client, "tcp", at(out4, "80"), box4)
			w.sees(l, w.server, "tcp", at(out6, "80"), server6) // the internet can answer it
			w.from(l, "fd00:1::3", "tcp", at(out6, "80"), box6) // and not this one
		}},
		{"NAT66", `
zones:
  inside: {interfaces: [eth1], forward: allow}
  outside: {interfaces: [eth0], masquerade: true, masquerade-ipv6: "yes"}
firewall:
  rules:
    - {source-interface: inside, source: ["2001:db8:123d:abc::3"], destination-interface: outside, nat-source: "no", action: allow}`, intent.Set{}, func(l string) {
			w.sees(l, w.client, "tcp", at(out6, "80"), client6) // the rule says no before the zone is asked
			w.sees(l, w.client, "tcp", at(out4, "80"), box4)
			w.sees(l, w.server, "tcp", at(out6, "80"), box6)
			w.sees(l, w.server, "udp", at(out4, "80"), box4)
		}},
		{"nat-source", zonesYAML + `
firewall:
  rules:
    - {source-interface: inside, source: [198.51.100.2], destination-interface: outside, nat-source: "192.0.2.8-192.0.2.9", action: allow}
    - {source-interface: inside, source: ["fd00:1::/64"], destination-interface: outside, nat-source: "2001:db8:9::/64", action: allow}
    - {source-interface: inside, destination-interface: outside, nat-source: "192.0.2.7, 2001:db8:123c:abd::7", action: allow, port: [tcp/80]}
    - {source-interface: outside, destination-interface: inside, destination: ["2001:db8:9::/64"], nat-destination: "fd00:1::/64", action: allow}`,
			intent.Set{}, func(l string) {
				w.sees(l, w.client, "tcp", at(out4, "80"), "192.0.2.7")
				w.sees(l, w.server, "tcp", at(out6, "80"), "2001:db8:123c:abd::7")
				if got := ask(w.server, "udp", at(out4, "80"), patience); got != "192.0.2.8" && got != "192.0.2.9" {
					t.Errorf("%s: a range gives %s", l, got)
				}
				w.from(l, "fd00:1::3", "udp", at(out6, "80"), "2001:db8:9::3")   // the host's part stays
				w.sees(l, w.outside, "tcp", at("2001:db8:9::3", "80"), out6)     // and the way back
				w.refuses(l, w.client, "tcp", at(out4, "81"))                    // no rule
				w.dropped(l, w.outside, "tcp", at("2001:db8:123c:abd::7", "80")) // not published
				w.sees(l, w.outside, "udp", at("2001:db8:9::3", "81"), out6)     // the whole prefix is
				w.refuses(l, w.client, "udp", at(out4, "80"))                    // udp is not tcp
				w.from(l, "fd00:1::3", "tcp", at(out6, "81"), "2001:db8:9::3")   // any port
				w.sees(l, w.firewall, "tcp", at(out4, "80"), "192.0.2.2")        // the box itself
			}},
		{"publish", zonesYAML + `
firewall:
  rules:
    - {source-interface: outside, destination-interface: inside, nat-destination: "198.51.100.2:80, [2001:db8:123d:abc::2]:80", port: [tcp/8080, udp/8080], action: allow}`,
			intent.Set{}, func(l string) {
				for _, n := range []string{"tcp", "udp"} {
					w.sees(l, w.outside, n, at(box4, "8080"), out4)
					w.sees(l, w.outside, n, at("192.0.2.9", "8080"), out4) // whichever address there is
					w.sees(l, w.outside, n, at(box6, "8080"), out6)
					w.sees(l, w.client, n, at(box4, "8080"), lan4) // hairpin
					w.sees(l, w.client, n, at(box6, "8080"), lan6)
					w.refuses(l, w.client, n, at(lan4, "8080")) // its own services are not taken
				}
				w.dropped(l, w.outside, "tcp", at(server6, "80")) // only by the published port
				w.dropped(l, w.outside, "tcp", at(box4, "80"))
			}},
		{"publish IPv4 by NAT and IPv6 as it is", zonesYAML + `
firewall:
  rules:
    - {source-interface: outside, destination-interface: inside, destination: [192.0.2.2, "2001:db8:123d:abc::2"], nat-destination: 198.51.100.2, port: [http], action: allow}`,
			intent.Set{}, func(l string) {
				w.sees(l, w.outside, "tcp", at(box4, "80"), out4)
				w.sees(l, w.outside, "tcp", at(server6, "80"), out6)
				w.dropped(l, w.outside, "tcp", at(box6, "80"))
				w.dropped(l, w.outside, "tcp", at(client6, "80"))
				w.dropped(l, w.outside, "tcp", at("192.0.2.9", "80"))
				w.sees(l, w.client, "tcp", at(box4, "80"), lan4)
			}},
		{"redirect", zonesYAML + `
firewall:
  rules:
    - {source-interface: inside, nat-destination: "self:81", port: [tcp/53, udp/53], action: allow}`,
			intent.Set{}, func(l string) {
				w.sees(l, w.client, "tcp", "9.9.9.9:53", client4)
				w.sees(l, w.client, "udp", at(lan4, "53"), client4)
				w.sees(l, w.client, "udp", at(lan6, "53"), client6)
				w.refuses(l, w.client, "tcp", at(lan4, "81")) // not by its own port
			}},
		{"groups, ports and interfaces", zonesYAML + `
groups:
  one: [198.51.100.2, "2001:db8:123d:abc::2"]
  both: [one, 198.51.100.3-198.51.100.3, 203.0.113.0/24]
firewall:
  rules:
    - {source-interface: inside, source: [one], destination-interface: outside, port: [tcp/81], action: deny}
    - {source-interface: inside, source: [both], destination-interface: eth0, port: [80/tcp, tcp/81-100, udp/8080], action: allow, nat-source: auto}
    - {source-interface: eth1, destination-interface: self, port: ["http"], action: allow}`,
			intent.Set{}, func(l string) {
				w.dropped(l, w.server, "tcp", at(out4, "81"))
				w.dropped(l, w.server, "tcp", at(out6, "81"))
				w.sees(l, w.server, "tcp", at(out6, "80"), server6)
				w.sees(l, w.client, "tcp", at(out4, "81"), box4)
				w.sees(l, w.client, "udp", at(out4, "8080"), box4)
				w.refuses(l, w.client, "tcp", at(out6, "81")) // its IPv6 address is in no group
				w.sees(l, w.client, "tcp", at(lan6, "80"), client6)
				w.refuses(l, w.client, "tcp", at(lan4, "81"))
			}},
		{"own traffic", zonesYAML + `
firewall:
  own-traffic: listed
  own-services: [dns, http]
  rules:
    - {source-interface: self, destination-interface: outside, destination: [192.0.2.0/24], port: [tcp/81], action: allow}
    - {source-interface: self, destination-interface: inside, port: [udp/81], action: deny}`,
			intent.Set{}, func(l string) {
				w.sees(l, w.firewall, "tcp", at(out6, "80"), box6)
				w.sees(l, w.firewall, "tcp", at(out4, "81"), box4)
				w.refuses(l, w.firewall, "tcp", at(out6, "81"))
				w.refuses(l, w.firewall, "udp", at(out4, "8080"))
				w.sees(l, w.firewall, "tcp", at(lan4, "8080"), lan4) // to itself always
				w.pings(l, w.firewall, out6, true)
				w.sees(l, w.client, "tcp", at(lan4, "22"), client4) // answers are of known connections
			}},
		{"anti-spoofing", strings.Replace(zonesYAML, "[eth1]", "[eth1], anti-spoofing: true, forward: allow, input: allow", 1), intent.Set{}, func(l string) {
			w.client.Sh("ip addr add 203.0.113.77/32 dev e0\nip -6 addr add 2001:db8:fa::77/128 dev e0 nodad")
			w.from(l, client6, "udp", at(lan6, "80"), client6)
			w.from(l, "203.0.113.77", "udp", at(lan4, "80"), silent)
			w.from(l, "2001:db8:fa::77", "udp", at(lan6, "80"), silent)
			if n := w.counted("spoofed", "anti-spoofing"); n != 2 || !w.logged("203.0.113.77") {
				t.Errorf("%s: %d packets counted, logged %v", l, n, w.logged("203.0.113.77"))
			}
			w.client.Sh("ip addr del 203.0.113.77/32 dev e0\nip -6 addr del 2001:db8:fa::77/128 dev e0")
		}},
		{"interfaces of no zone", "zones: {inside: {interfaces: [eth1]}}", intent.Set{}, func(l string) {
			w.dropped(l, w.outside, "tcp", at(box4, "80"))
			w.refuses(l, w.client, "tcp", at(out6, "80"))
			w.load(read(t, "zones: {inside: {interfaces: [eth1]}}\nfirewall: {other-interfaces: allow}"), intent.Set{})
			w.sees(l, w.outside, "tcp", at(box4, "80"), out4)
			w.dropped(l, w.outside, "tcp", at(client6, "80"))
			w.refuses(l, w.client, "tcp", at(out6, "80"))
		}},
		{"patterns", "zones: {inside: {interfaces: [\"et*\"], input: allow}}", intent.Set{}, func(l string) {
			w.sees(l, w.client, "tcp", at(lan4, "80"), client4)
			w.sees(l, w.outside, "tcp", at(box6, "80"), out6)
		}},
		{"intents", zonesYAML, intent.Set{
			Services: []intent.Service{{Name: "a", Interfaces: []string{"eth1"}, Proto: "tcp", Ports: []uint16{80}, Family: 6},
				{Name: "b", Proto: "udp", Ports: []uint16{80}, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}},
			Forwards:  []intent.Forward{{From: "inside", To: "outside", NAT: "auto", Why: "test"}},
			Endpoints: []intent.Endpoint{{Tunnel: "he", Proto: "41", Addr: netip.MustParseAddr(out4)}},
		}, func(l string) {
			w.sees(l, w.client, "tcp", at(lan6, "80"), client6)
			w.refuses(l, w.client, "tcp", at(lan4, "80"))
			w.sees(l, w.outside, "udp", at(box4, "80"), out4)
			w.dropped(l, w.outside, "udp", at(box6, "80"))
			w.sees(l, w.client, "tcp", at(out4, "81"), box4)
			w.sees(l, w.client, "tcp", at(out6, "81"), client6)
			w.outside.Do(func() { sixInFour(t, box4) })
			if n := w.counted("input", "tunnel he"); n != 1 {
				t.Errorf("%s: %d packets of the tunnel were let in", l, n)
			}
		}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			w.t = t
			w.load(read(t, c.policy), c.in)
			c.try(c.name)
		})
	}
	w.t = t
	t.Run("segments", func(t *testing.T) { segments(t, w) })
	t.Run("reload", func(t *testing.T) { reload(t, w) })
}

// from asks from one of the client's addresses; the answer may be silence.
func (w *world) from(what, source, network, to, want string) {
	w.t.Helper()
	wait := patience
	if want == silent {
		wait = silence
	}
	var got string
	w.client.Do(func() {
		d := net.Dialer{Timeout: wait}
		if strings.HasPrefix(network, "udp") {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))
		}
		got = talk(d.Dial, network, to, wait)
	})
	if got != want {
		w.t.Errorf("%s: %s from %s to %s: the server sees %s, want %s", what, network, source, to, got, want)
	}
}

// sixInFour sends one packet of protocol 41.
func sixInFour(t *testing.T, to string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 41)
	if err == nil {
		defer unix.Close(fd)
		err = unix.Sendto(fd, make([]byte, 40), 0, &unix.SockaddrInet4{Addr: netip.MustParseAddr(to).As4()})
	}
	if err != nil {
		t.Error(err)
	}
}

// segments has both ends of connections tell what they may send, when the way out is narrower
// than the inside: the firewall lowers it in both directions, in both families.
func segments(t *testing.T, w *world) {
	w.firewall.Sh("ip link set eth0 mtu 1400")
	defer w.firewall.Sh("ip link set eth0 mtu 1500")
	for _, c := range []struct {
		zone, clamp string
		most4       int // bytes of a segment, with the timestamps' 12; 0: not lowered
		most6       int
	}{{"", "auto", 1360, 1340}, {"", "no", 0, 0}, {", mss: 1000", "no", 1000, 1000}} {
		w.load(read(t, strings.NewReplacer("ZONE", c.zone, "CLAMP", c.clamp).Replace(`
zones: {inside: {interfaces: [eth1], forward: allow}, outside: {interfaces: [eth0], forward: allow ZONE}}
firewall: {mss-clamp: "CLAMP"}`)), intent.Set{})
		for _, d := range []struct {
			from, to interface {
				Do(func())
			}
			addr string
			want int
		}{{w.client, w.outside, out6, c.most6}, {w.outside, w.client, client6, c.most6}} {
			want := d.want
			if want == 0 {
				want = 1440
			}
			a, b := maxSegments(t, d.from, d.to, d.addr)
			if a > want || b > want || want == 1440 && (a < 1400 || b < 1400) {
				t.Errorf("mss-clamp %s%s to %s: the ends send %d and %d bytes, want at most %d", c.clamp, c.zone, d.addr, a, b, want)
			}
		}
		if c.most4 > 0 {
			w.outside.Sh("ip route add 198.51.100.0/24 via " + box4)
			if a, b := maxSegments(t, w.outside, w.client, client4); a > c.most4 || b > c.most4 {
				t.Errorf("mss-clamp %s%s: IPv4 ends send %d and %d bytes, want at most %d", c.clamp, c.zone, a, b, c.most4)
			}
			w.outside.Sh("ip route del 198.51.100.0/24 via " + box4)
		}
	}
}

// maxSegments connects and gives what each end may send at once.
func maxSegments(t *testing.T, from, to interface{ Do(func()) }, addr string) (a, b int) {
	t.Helper()
	var l net.Listener
	var err error
	to.Do(func() { l, err = net.Listen("tcp", at(addr, "99")) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var c net.Conn
	from.Do(func() { c, err = net.DialTimeout("tcp", at(addr, "99"), patience) })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return segment(t, c), segment(t, s)
}

func segment(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			var info *unix.TCPInfo
			if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				n = int(info.Snd_mss)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// reload changes the policy under a connection, to one that would not let it begin: it goes on,
// and a new one does not come.
func reload(t *testing.T, w *world) {
	w.t = t
	w.load(read(t, "zones: {inside: {interfaces: [eth1], forward: allow}, outside: {interfaces: [eth0], masquerade: true}}"), intent.Set{})
	for _, a := range []string{out4, out6} {
		var c net.Conn
		var err error
		w.client.Do(func() { c, err = net.DialTimeout("tcp", at(a, "80"), patience) })
		if err != nil {
			t.Fatal(err)
		}
		w.load(read(t, "zones: {inside: {interfaces: [eth1]}, outside: {interfaces: [eth0], masquerade: true}}"), intent.Set{})
		c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a connection of the kernel's has deadlines
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Errorf("%s: the connection did not survive: %v", a, err)
		}
		w.refuses("after the change", w.client, "tcp", at(a, "80"))
		c.Close()
		w.load(read(t, "zones: {inside: {interfaces: [eth1], forward: allow}, outside: {interfaces: [eth0], masquerade: true}}"), intent.Set{})
	}
}
