package dhcpprobe

import (
	"net"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var (
	testMAC = net.HardwareAddr{8, 0, 0x27, 1, 2, 3}
	testXID = [4]byte{1, 2, 3, 4}
)

// reply wraps an answer as a server would send it.
func reply(t testing.TB, mods ...dhcpv4.Modifier) []byte {
	t.Helper()
	req, err := discover(testMAC, testXID)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dhcpv4.FromBytes(req[28:])
	if err != nil {
		t.Fatal(err)
	}
	base := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer),
		dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 15)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 2, 2))),
		dhcpv4.WithLeaseTime(3600),
	}
	r, err := dhcpv4.NewReplyFromRequest(d, append(base, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	p := append(req[:28:28], r.ToBytes()...)
	p[2], p[3] = byte(len(p)>>8), byte(len(p))
	p[20], p[21], p[22], p[23] = 0, 67, 0, 68
	return p
}

func TestOffered(t *testing.T) {
	o, ok := offered(reply(t), testMAC, testXID)
	if !ok || o.Server.String() != "10.0.2.2" || o.Address.String() != "10.0.2.15" || o.Lease.Seconds() != 3600 {
		t.Errorf("got %+v %v", o, ok)
	}
	for name, p := range map[string][]byte{
		"another transaction": reply(t, dhcpv4.WithTransactionID([4]byte{9})),
		"another client":      reply(t, dhcpv4.WithHwAddr(net.HardwareAddr{8, 0, 0x27, 9, 9, 9})),
		"an ACK":              reply(t, dhcpv4.WithMessageType(dhcpv4.MessageTypeAck)),
		"no address":          reply(t, dhcpv4.WithYourIP(net.IPv4zero)),
		"our own DISCOVER":    func() []byte { p, _ := discover(testMAC, testXID); return p }(),
		"cut short":           reply(t)[:200],
		"nothing":             nil,
	} {
		if o, ok := offered(p, testMAC, testXID); ok {
			t.Errorf("%s: taken for the offer %+v", name, o)
		}
	}
}

func TestDiscoverChecksums(t *testing.T) {
	p, err := discover(testMAC, testXID)
	if err != nil {
		t.Fatal(err)
	}
	if s := sum(p[:20], 0); s != 0xffff {
		t.Errorf("IP checksum: sum is %#x", s)
	}
	if s := sum(p[20:], uint32(sum(p[12:20], uint32(17+len(p)-20)))); s != 0xffff {
		t.Errorf("UDP checksum: sum is %#x", s)
	}
}

func FuzzOffered(f *testing.F) {
	f.Add(reply(f))
	f.Add([]byte{0x45})
	f.Fuzz(func(t *testing.T, p []byte) {
		if o, ok := offered(p, testMAC, testXID); ok && !o.Address.Is4() {
			t.Errorf("offer without IPv4 address: %+v", o)
		}
	})
}
