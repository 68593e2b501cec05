package socket

import (
	"bytes"
	"net/netip"
	"testing"
)

func FuzzParseARP(f *testing.F) {
	f.Add(arpFrame{op: arpReply, senderIP: netip.MustParseAddr("10.0.0.1"), targetIP: netip.MustParseAddr("10.0.0.2")}.append(nil))
	f.Add(arpFrame{op: arpRequest, senderIP: netip.IPv4Unspecified(), targetIP: netip.MustParseAddr("10.0.0.2")}.append(make([]byte, 0, 60)))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseARP(b)
		if !ok {
			return
		}
		if got := a.append(nil); !bytes.Equal(got, b[:arpSize]) {
			t.Errorf("% x comes back as % x", b[:arpSize], got)
		}
		if c := a.claims(); c.IsValid() && !c.Is4() {
			t.Errorf("claims %v", c)
		}
	})
}

func FuzzUDP4(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1, 10, 0, 0, 2, 0, 67, 0, 68}, []byte("payload"))
	f.Fuzz(func(t *testing.T, head, payload []byte) {
		if len(head) < 12 || len(payload) > 1472 {
			return
		}
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte(head)), uint16(head[8])<<8|uint16(head[9]))
		dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte(head[4:])), uint16(head[10])<<8|uint16(head[11]))
		before := []byte("before")
		got := appendUDP4(bytes.Clone(before), src, dst, payload)
		if !bytes.HasPrefix(got, before) || !bytes.HasSuffix(got, payload) || len(got) != len(before)+28+len(payload) {
			t.Fatalf("%x", got)
		}
		frame := append(make([]byte, 14), got[len(before):]...)
		if ip, udp := checksums(frame); !ip || !udp {
			t.Errorf("checksums %v, %v: %x", ip, udp, got)
		}
	})
}

// A sum of zero is sent as 0xffff, for zero says that there is none (RFC 768).
func TestChecksumZero(t *testing.T) {
	src, dst := netip.MustParseAddrPort("10.0.0.1:67"), netip.MustParseAddrPort("10.0.0.2:68")
	const at = ipv4Header + 6
	sum := appendUDP4(nil, src, dst, []byte{0, 0})[at : at+2]
	b := appendUDP4(nil, src, dst, sum)
	if b[at] != 0xff || b[at+1] != 0xff {
		t.Errorf("checksum %x", b[at:at+2])
	}
}
