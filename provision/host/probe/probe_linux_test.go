package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"golang.org/x/sys/unix"
)

// Two devices, and the host with these addresses is behind the second one, to which the better
// default route does not lead.
func TestThroughADevice(t *testing.T) {
	in, far, blind := nstest.New(t), nstest.New(t), nstest.New(t)
	in.Pair("eth0", blind, "peer0")
	in.Pair("eth1", far, "peer1")
	in.Sh(`ip addr add 10.0.0.2/24 dev eth0
		ip addr add 2001:db8:0::2/64 dev eth0 nodad
		ip addr add 10.0.1.2/24 dev eth1
		ip addr add 2001:db8:1::2/64 dev eth1 nodad
		ip route add default via 10.0.0.1 dev eth0 metric 10
		ip route add default via 10.0.1.1 dev eth1 metric 20
		ip -6 route add default via 2001:db8:0::1 dev eth0 metric 10
		ip -6 route add default via 2001:db8:1::1 dev eth1 metric 20`)
	// Both answer pings and resets at their own address; only the second is the far host.
	blind.Sh("ip addr add 10.0.0.1/24 dev peer0\nip addr add 2001:db8:0::1/64 dev peer0 nodad")
	far.Sh("ip addr add 10.0.1.1/24 dev peer1\nip addr add 2001:db8:1::1/64 dev peer1 nodad\nip addr add 192.0.2.9/32 dev lo\nip addr add 2001:db8:9::9/128 dev lo nodad")
	for _, addr := range []string{"192.0.2.9", "2001:db8:9::9"} {
		serve(t, far, addr)
	}
	run := func(f func(context.Context) error) (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		in.Do(func() { err = f(ctx) })
		return err
	}
	quick := func(f func(context.Context) error) error {
		return run(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			return f(ctx)
		})
	}
	for _, text := range []string{"192.0.2.9", "2001:db8:9::9"} {
		a := netip.MustParseAddr(text)
		for _, p := range []struct {
			name string
			ask  func(ctx context.Context, device string) error
		}{
			{"echo", func(ctx context.Context, device string) error { return Echo(ctx, Through{Device: device}, a) }},
			{"tcp", func(ctx context.Context, device string) error {
				return TCP(ctx, Through{Device: device}, netip.AddrPortFrom(a, 443))
			}},
			{"dns", func(ctx context.Context, device string) error {
				return DNS(ctx, Through{Device: device}, netip.AddrPortFrom(a, 53))
			}},
		} {
			if err := run(func(ctx context.Context) error { return p.ask(ctx, "eth1") }); err != nil {
				t.Errorf("%s %s through eth1: %v", p.name, a, err)
			}
			begin := time.Now()
			if err := quick(func(ctx context.Context) error { return p.ask(ctx, "eth0") }); !errors.Is(err, ErrSilent) && !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) {
				t.Errorf("%s %s through eth0: %v", p.name, a, err)
			}
			if took := time.Since(begin); took > 900*time.Millisecond {
				t.Errorf("%s %s through eth0 took %v", p.name, a, took)
			}
			for _, device := range []string{"", "eth7", "lo"} {
				if err := quick(func(ctx context.Context) error { return p.ask(ctx, device) }); err == nil {
					t.Errorf("%s %s through %q is answered", p.name, a, device)
				}
			}
		}
		if err := run(func(ctx context.Context) error { return TCP(ctx, Through{Device: "eth1"}, netip.AddrPortFrom(a, 444)) }); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("a closed port: %v", err)
		}
		if err := run(func(ctx context.Context) error { return DNS(ctx, Through{Device: "eth1"}, netip.AddrPortFrom(a, 54)) }); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("no server: %v", err)
		}
		if err := run(func(ctx context.Context) error { return DNS(ctx, Through{Device: "eth1"}, netip.AddrPortFrom(a, 55)) }); err == nil || errors.Is(err, ErrSilent) {
			t.Errorf("a server that fails: %v", err)
		}
	}
}

// Only packets with a mark have a way out.
func TestMark(t *testing.T) {
	in, far := nstest.New(t), nstest.New(t)
	in.Pair("eth1", far, "peer1")
	in.Sh(`ip addr add 10.0.1.2/24 dev eth1
		ip addr add 2001:db8:1::2/64 dev eth1 nodad
		ip route add default via 10.0.1.1 dev eth1 table 7
		ip -6 route add default via 2001:db8:1::1 dev eth1 table 7
		ip rule add fwmark 0x2a table 7
		ip -6 rule add fwmark 0x2a table 7`)
	// Without a route IPv4 takes the host for a neighbour (net/ipv4/route.c
	// ip_route_output_key_hash_rcu): it must not answer.
	far.Sh("sysctl -q -w net.ipv4.conf.peer1.arp_ignore=1")
	far.Sh("ip addr add 10.0.1.1/24 dev peer1\nip addr add 2001:db8:1::1/64 dev peer1 nodad\nip addr add 192.0.2.9/32 dev lo\nip addr add 2001:db8:9::9/128 dev lo nodad")
	for _, addr := range []string{"192.0.2.9", "2001:db8:9::9"} {
		serve(t, far, addr)
		a := netip.MustParseAddr(addr)
		for _, mark := range []uint32{0, 0x2a} {
			var errs [3]error
			in.Do(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				by := Through{Device: "eth1", Mark: mark}
				errs = [3]error{Echo(ctx, by, a), TCP(ctx, by, netip.AddrPortFrom(a, 443)), DNS(ctx, by, netip.AddrPortFrom(a, 53))}
			})
			for i, err := range errs {
				if (err == nil) != (mark != 0) {
					t.Errorf("%s, mark %#x: %d: %v", a, mark, i, err)
				}
			}
		}
	}
}

// serve listens on TCP 443, and answers queries on UDP 53 after one with a wrong id, on 55 with
// SERVFAIL.
func serve(t *testing.T, ns *nstest.NS, addr string) {
	t.Helper()
	ns.Do(func() {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, "443"))
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
		for port, code := range map[string]byte{"53": 0, "55": 2} {
			c, err := net.ListenPacket("udp", net.JoinHostPort(addr, port))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				b := make([]byte, 512)
				for {
					n, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					b[2] |= 0x80
					b[3] |= code
					b[0]++
					_, _ = c.WriteTo(b[:n], from)
					b[0]--
					_, _ = c.WriteTo(b[:n], from)
				}
			}()
		}
	})
}
