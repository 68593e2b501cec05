package firewall_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/intent"
)

// TestRuleSheet has real packets ask every line of the shipped example, in both families.
func TestRuleSheet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.load(ruleSheet(t), intent.Set{})
	for _, port := range []string{"22", "80", "443", "514"} {
		serve(t, w.firewall, "tcp", ":"+port)
		serve(t, w.server, "tcp", ":"+port)
		serve(t, w.client, "tcp", ":"+port)
	}
	serve(t, w.outside, "tcp", ":80")
	serve(t, w.outside, "udp", out4+":53")
	serve(t, w.outside, "udp", at(out6, "53"))
	serve(t, w.outside, "udp", out4+":123")
	for _, a := range []string{server4, server6} {
		serve(t, w.server, "udp", at(a, "514"))
	}

	lines := []struct {
		line string
		try  func(string)
	}{
		{"same host", func(l string) {
			w.sees(l, w.firewall, "tcp", "127.0.0.1:80", "127.0.0.1")
			w.sees(l, w.firewall, "tcp", "[::1]:80", "::1")
			w.sees(l, w.firewall, "tcp", at(lan4, "443"), lan4)
			w.sees(l, w.firewall, "tcp", at(box6, "443"), box6)
		}},
		{"established and related", func(l string) {
			// Port unreachable is about a known connection, and comes back through the NAT.
			w.refuses(l, w.client, "udp", at(out4, "9"))
			w.refuses(l, w.client, "udp", at(out6, "9"))
		}},
		{"noise", func(l string) {
			before := w.counted("input.outside", "rules[4]")
			for _, to := range []string{"255.255.255.255:137", "192.0.2.255:137", "224.0.0.251:5353", "[ff02::fb%o0]:5353"} {
				shout(t, w, to)
			}
			if n := w.counted("input.outside", "rules[4]"); n != before || w.logged(out4) {
				t.Errorf("%s: %d packets came as far as the rules, logged: %v", l, n-before, w.logged(out4))
			}
		}},
		{"manage the firewall", func(l string) {
			w.sees(l, w.server, "tcp", at(lan4, "22"), server4)
			w.sees(l, w.server, "tcp", at(lan6, "22"), server6)
			w.dropped(l, w.client, "tcp", at(lan4, "22"))
			w.dropped(l, w.client, "tcp", at(lan6, "22"))
			w.dropped(l, w.outside, "tcp", at(box4, "22"))
			w.dropped(l, w.outside, "tcp", at(box6, "22"))
			w.dropped(l, w.server, "tcp", at(box4, "22"))
		}},
		{"the firewall's own log", func(l string) {
			w.sees(l, w.firewall, "udp", at(server4, "514"), lan4)
			w.sees(l, w.firewall, "udp", at(server6, "514"), lan6)
		}},
		{"ICMP out", func(l string) {
			w.pings(l, w.client, out4, true) // it has no route to the inside: NAT
			w.pings(l, w.client, out6, true)
			w.pings(l, w.outside, client6, false)
			w.pings(l, w.outside, box4, false)
			w.pings(l, w.outside, box6, false)
			w.pings(l, w.client, lan4, false)
		}},
		{"protect the firewall", func(l string) {
			w.dropped(l, w.outside, "tcp", at(box6, "80"))
			w.dropped(l, w.client, "tcp", at(lan4, "80"))
			w.dropped(l, w.client, "tcp", at(lan6, "80"))
			w.dropped(l, w.client, "tcp", at(box6, "443"))
		}},
		{"web server, IPv4", func(l string) {
			w.sees(l, w.outside, "tcp", at(box4, "80"), out4)
			w.sees(l, w.outside, "tcp", at(box4, "443"), out4)
			w.dropped(l, w.outside, "tcp", at(box4, "514"))
			// From its own side by the public address, and from the firewall itself.
			w.sees(l, w.client, "tcp", at(box4, "80"), lan4)
			w.sees(l, w.firewall, "tcp", at(box4, "80"), box4)
		}},
		{"web server, IPv6", func(l string) {
			w.sees(l, w.outside, "tcp", at(server6, "80"), out6)
			w.sees(l, w.outside, "tcp", at(server6, "443"), out6)
			w.dropped(l, w.outside, "tcp", at(server6, "22"))
			w.dropped(l, w.outside, "tcp", at(client6, "80"))
		}},
		{"outbound, IPv4", func(l string) { w.sees(l, w.client, "tcp", at(out4, "80"), box4) }},
		{"outbound, IPv6", func(l string) { w.sees(l, w.client, "tcp", at(out6, "80"), client6) }},
		{"everything else", func(l string) {
			w.outside.Sh("ip route add 198.51.100.0/24 via " + box4)
			w.dropped(l, w.outside, "tcp", at(client4, "80"))
			w.dropped(l, w.outside, "tcp", at(server4, "80")) // not by the inside's address, though it is published
			if !w.logged(out4) || w.counted("forward.outside.inside", "rules[9]") == 0 {
				t.Errorf("%s: logged %v, counted %d", l, w.logged(out4), w.counted("forward.outside.inside", "rules[9]"))
			}
			w.outside.Sh("ip route del 198.51.100.0/24 via " + box4)
		}},
		{"the firewall's own DNS, NTP and updates", func(l string) {
			w.sees(l, w.firewall, "udp", at(out4, "53"), box4)
			w.sees(l, w.firewall, "udp", at(out6, "53"), box6)
			w.sees(l, w.firewall, "udp", at(out4, "123"), box4)
			w.sees(l, w.firewall, "tcp", at(out4, "80"), box4)
		}},
		{"IPv6 neighbours", func(l string) {
			for _, n := range []interface{ Sh(string) string }{w.firewall, w.client, w.outside} {
				n.Sh("ip -6 neigh flush all")
			}
			w.sees(l, w.client, "tcp", at(out6, "80"), client6)
		}},
	}
	for _, l := range lines {
		t.Run(strings.ReplaceAll(l.line, " ", "-"), func(t *testing.T) {
			w.t = t
			l.try(l.line)
		})
	}
	t.Run("path-MTU", func(t *testing.T) { pathMTU(t, w) })
	t.Run("router-advertisement", func(t *testing.T) { routerAdvertisement(t, w) })
}

// shout sends one datagram to everybody on the outside.
func shout(t *testing.T, w *world, to string) {
	t.Helper()
	w.outside.Do(func() {
		lc := net.ListenConfig{Control: broadcast}
		a, err := net.ResolveUDPAddr("udp", to)
		if err == nil {
			var c net.PacketConn
			if c, err = lc.ListenPacket(t.Context(), "udp", map[bool]string{true: out4 + ":0", false: "[::]:0"}[a.IP.To4() != nil]); err == nil {
				_, err = c.WriteTo([]byte("anybody?"), a)
				c.Close()
			}
		}
		if err != nil {
			t.Errorf("cannot send to %s: %v", to, err)
		}
	})
}

// pathMTU sends more than one packet through a path that narrows behind the firewall: that works
// only if "packet too big" comes back through it, for IPv4 through the NAT too.
func pathMTU(t *testing.T, w *world) {
	w.outside.Sh("ip link set o1 mtu 1300")
	const size = 200_000
	for _, far := range []string{far4, far6} {
		got := make(chan int64, 1)
		w.far.Do(func() {
			l, err := net.Listen("tcp", at(far, "80"))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a connection of the kernel's has deadlines
				n, _ := io.Copy(io.Discard, c)
				got <- n
			}()
		})
		w.client.Do(func() {
			c, err := net.DialTimeout("tcp", at(far, "80"), patience)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a connection of the kernel's has deadlines
			if _, err := c.Write(make([]byte, size)); err != nil {
				t.Error(err)
			}
		})
		select {
		case n := <-got:
			if n != size {
				t.Errorf("%s got %d of %d bytes", far, n, size)
			}
		case <-time.After(patience):
			t.Errorf("%s: the connection hangs", far)
		}
		if out := w.client.Sh("ip route get " + far); !strings.Contains(out, "mtu 1300") {
			t.Errorf("%s: the client never learnt the path's MTU, so this shows nothing: %s", far, out)
		}
	}
}
