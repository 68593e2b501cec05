package socket

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/dns"
)

// FuzzControl: the kernel writes these, but nothing it writes may lead behind the buffer; what we write ourselves is read
// back.
func FuzzControl(f *testing.F) {
	fr := newFrames()
	fr.source4(0, netip.MustParseAddr("10.0.0.1"), 7)
	f.Add(fr.ctl[0][:])
	fr.source6(1, netip.MustParseAddr("fe80::1"), false, 8)
	f.Add(fr.ctl[1][:])
	f.Fuzz(func(t *testing.T, b []byte) {
		m := message{hop: -1}
		parseControl(b, &m)
		if m.local.Is4In6() || m.local.Zone() != "" {
			t.Errorf("%v", m.local)
		}
		parseName(b)
		if !m.local.IsValid() || m.index <= 0 {
			return
		}
		fr := newFrames()
		n := fr.source6(0, m.local, m.local.Is4(), m.index)
		var back message
		parseControl(fr.ctl[0][:n], &back)
		if back.local != m.local || back.index != m.index {
			t.Errorf("%v %d comes back as %v %d", m.local, m.index, back.local, back.index)
		}
	})
}

// BenchmarkBatch sends and reads datagrams over the loopback, as many at once as a system call takes.
func BenchmarkBatch(b *testing.B) {
	open := func() (*DNS, netip.AddrPort) {
		c, err := ListenDNSAddr(netip.MustParseAddrPort("127.0.0.1:0"), 1)
		if err != nil {
			b.Fatal(err)
		}
		var sa unix.Sockaddr
		_ = c[0].s.raw.Control(func(fd uintptr) { sa, _ = unix.Getsockname(int(fd)) })
		b.Cleanup(func() { _ = c[0].Close() })
		return c[0], netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	}
	from, _ := open()
	to, addr := open()
	out, in := make([]dns.Datagram, maxBatch), make([]dns.Datagram, maxBatch)
	for i := range out {
		out[i] = dns.Datagram{Buf: make([]byte, 64), Peer: addr}
		in[i].Buf = make([]byte, 512)
	}
	binary.NativeEndian.PutUint16(out[0].Buf, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.WriteBatch(out); err != nil {
			b.Fatal(err)
		}
		for all := 0; all < maxBatch; {
			for i := range in {
				in[i].Buf = in[i].Buf[:cap(in[i].Buf)]
			}
			n, err := to.ReadBatch(in)
			if err != nil {
				b.Fatal(err)
			}
			all += n
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxBatch), "ns/datagram")
}
