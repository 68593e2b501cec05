package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/forward"
)

// plainConn is the simplest lawful PacketConn: one datagram at a time, on loopback.
type plainConn struct{ *net.UDPConn }

func (c plainConn) ReadBatch(d []Datagram) (int, error) {
	n, from, err := c.ReadFromUDPAddrPort(d[0].Buf)
	if err != nil {
		return 0, err
	}
	d[0].Buf, d[0].Peer = d[0].Buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

func (c plainConn) WriteBatch(d []Datagram) (n int, err error) {
	for _, x := range d {
		if _, e := c.WriteToUDPAddrPort(x.Buf, x.Peer); e != nil {
			err = e
			continue
		}
		n++
	}
	return n, err
}

type plainListener struct{ net.Listener }

func (l plainListener) Accept() (Stream, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return Stream{}, err
	}
	p := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return Stream{Conn: c, Peer: netip.AddrPortFrom(p.Addr().Unmap(), p.Port())}, nil
}

type plainDialer struct{ net.Dialer }

func (d *plainDialer) DialUDP(ctx context.Context, _ forward.Source, to netip.AddrPort) (net.Conn, error) {
	return d.DialContext(ctx, "udp", to.String())
}

func (d *plainDialer) DialTCP(ctx context.Context, _ forward.Source, to netip.AddrPort) (net.Conn, error) {
	return d.DialContext(ctx, "tcp", to.String())
}

// onLoopback runs the whole server on loopback in front of a real upstream and returns the port.
func onLoopback(t *testing.T) int {
	t.Helper()
	var big []string
	for i := range 80 {
		big = append(big, fmt.Sprintf("big.example. 60 IN AAAA 2606:4700::%x", i))
	}
	answer := records(append(big, "world.example. 300 IN A 203.0.114.80", "world.example. 300 IN MX 10 mail.example.", `world.example. 300 IN TXT "a b"`,
		"world.example. 300 IN HTTPS 1 . alpn=h2", "inner.example. 60 IN A 10.0.0.1")...)
	handle := func(tcp bool) miekg.Handler {
		return miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
			m := answer(q, tcp)
			if !tcp {
				m.Truncate(1232)
			}
			w.WriteMsg(m)
		})
	}
	upc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upAddr := upc.LocalAddr().(*net.UDPAddr).AddrPort()
	upl, err := net.Listen("tcp", upAddr.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*miekg.Server{{PacketConn: upc, Handler: handle(false)}, {Listener: upl, Handler: handle(true)}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}

	c := testConfig(t)
	c.Links = []Link{{Name: "lo", Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Own: []netip.Addr{netip.MustParseAddr("10.0.7.1")}}}
	c.Forward.Groups = []forward.Group{{Upstreams: []forward.Upstream{{Addr: upAddr, MixCase: true}}}}
	s := New(c, Options{Clock: bubbleClock{time.Now()}, Dialer: &plainDialer{}})
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	go func() { done <- s.Run(ctx) }()
	go func() { done <- s.ServeUDP(ctx, "lo", 0, plainConn{conn}) }()
	go func() { done <- s.ServeTCP(ctx, "lo", plainListener{l}) }()
	t.Cleanup(func() {
		cancel()
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// TestJudges has foreign clients look at every kind of answer: they complain of what is not in order.
func TestJudges(t *testing.T) {
	cases := []struct {
		args    string // after server and port, for dig; kdig knows the same words where it is used
		want    []string
		digOnly bool
	}{
		{"world.example A", []string{"NOERROR", "203.0.114.80"}, false},
		{"WoRlD.example A", []string{"NOERROR", "203.0.114.80"}, false},
		{"world.example A +tcp", []string{"NOERROR", "203.0.114.80"}, false},
		{"world.example A +dnssec", []string{"NOERROR", "203.0.114.80"}, false},
		{"world.example A +noedns", []string{"NOERROR", "203.0.114.80"}, false},
		{"world.example MX", []string{"NOERROR", "mail.example."}, false},
		{"world.example TXT", []string{"NOERROR", `"a b"`}, false},
		{"world.example TYPE65", []string{"NOERROR"}, false},
		{"world.example SRV", []string{"NOERROR", "SOA"}, false},
		{"none.example A", []string{"NXDOMAIN", "SOA"}, false},
		{"big.example AAAA", []string{"NOERROR", "2606:4700::4f"}, false}, // falls back to TCP
		{"big.example AAAA +ignore", []string{"NOERROR", " tc "}, false},
		{"inner.example A +bufsize=1232", []string{"REFUSED", "Blocked"}, false},
		{"pc.lab.lan A", []string{"NOERROR", "10.0.7.20", " aa "}, false},
		{"pc.lab.lan AAAA", []string{"NOERROR", "SOA"}, false},
		{"nobody.lab.lan A", []string{"NXDOMAIN", "SOA"}, false},
		{"www.lab.lan A", []string{"NOERROR", "world.example.", "203.0.114.80"}, false},
		{"-x 10.0.7.20", []string{"NOERROR", "pc.lab.lan."}, false},
		{"lab.lan SOA", []string{"NOERROR", "SOA"}, false},
		{"world.example ANY +notcp", []string{"NOERROR", "RFC8482"}, true},
		{"version.bind TXT CH", []string{"REFUSED"}, false},
		{"lab.lan AXFR", []string{"failed"}, true},
		{"pc.lab.lan A +edns=1 +noednsneg", []string{"BADVERS"}, true},
		{"pc.lab.lan A +ednsopt=1000:01", []string{"NOERROR", "10.0.7.20"}, true},
		{"pc.lab.lan A +ednsflags=0x40", []string{"NOERROR", "10.0.7.20"}, true},
		{"pc.lab.lan A +opcode=15", []string{"NOTIMP"}, true},
		{"pc.lab.lan A +header-only", []string{"FORMERR"}, true},
		{"pc.lab.lan A +norecurse", []string{"NOERROR", "10.0.7.20"}, false},
		{"world.example A +norecurse", []string{"REFUSED"}, false},
		{"world.example A +subnet=10.0.0.0/8", []string{"NOERROR", "203.0.114.80"}, false},
		{"world.example A +cookie", []string{"NOERROR", "203.0.114.80"}, false},
		{"pc.lab.lan A +keepopen +tcp", []string{"NOERROR", "10.0.7.20"}, false},
	}
	for _, tool := range []string{"dig", "kdig"} {
		t.Run(tool, func(t *testing.T) {
			path, err := exec.LookPath(tool)
			if err != nil {
				t.Skipf("%s is not installed (Debian: bind9-dnsutils, knot-dnsutils)", tool)
			}
			port := onLoopback(t)
			for _, c := range cases {
				if c.digOnly && tool != "dig" {
					continue
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				args := append([]string{"@127.0.0.1", "-p", fmt.Sprint(port)}, strings.Fields(c.args)...)
				out, _ := exec.CommandContext(ctx, path, args...).CombinedOutput()
				cancel()
				text := string(out)
				for _, w := range c.want {
					if !strings.Contains(text, w) && !strings.Contains(text, strings.TrimSpace(w)+";") {
						t.Errorf("%s %s: no %q in\n%s", tool, c.args, w, text)
						break
					}
				}
				for _, w := range []string{"alformed", "mismatch", "WARNING: ID", "WARNING: query", "extra bytes", "reply from unexpected", "timed out", "not found"} {
					if strings.Contains(text, w) {
						t.Errorf("%s %s: %q in\n%s", tool, c.args, w, text)
					}
				}
			}
		})
	}
}
