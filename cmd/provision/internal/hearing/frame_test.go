package hearing

import (
	"encoding/binary"
	"net"
	"net/netip"
	"reflect"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/provision-net/provision/gadget/verdict"
)

func udp4(from, to uint16, payload []byte) []byte {
	b := make([]byte, 28, 28+len(payload))
	b[0], b[9] = 0x45, protoUDP
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(payload)))
	binary.BigEndian.PutUint16(b[20:], from)
	binary.BigEndian.PutUint16(b[22:], to)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	return append(b, payload...)
}

func ip6(next byte, body []byte) []byte {
	b := make([]byte, 40, 40+len(body))
	b[0], b[6] = 0x60, next
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	return append(b, body...)
}

func message(t testing.TB, mods ...dhcpv4.Modifier) []byte {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 1})}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.ToBytes()
}

func TestParse(t *testing.T) {
	discover := message(t, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover), dhcpv4.WithOption(dhcpv4.OptClassIdentifier("MSFT 5.0")),
		dhcpv4.WithOption(dhcpv4.OptHostName("laptop")), dhcpv4.WithGeneric(dhcpv4.OptionParameterRequestList, []byte{1, 3, 6}))
	ack := message(t, dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithReply(&dhcpv4.DHCPv4{}), dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 2)), dhcpv4.WithMessageType(dhcpv4.MessageTypeAck))
	ack[0] = 2
	release := message(t, dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease))
	named := message(t, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithGeneric(dhcpv4.OptionFQDN, []byte("\x04\x00\x00\x06laptop\x04home\x00")))
	plain := message(t, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithGeneric(dhcpv4.OptionFQDN, []byte("\x00\x00\x00laptop.home")))
	solicit := append([]byte{0, 1, 2, 35, 0, 12, 0, 0, 1, 0, 0, 0}, 0, 6, 0, 4, 0, 23, 0, 24)
	for name, tt := range map[string]struct {
		kind  uint16
		frame []byte
		out   bool
		want  Heard
		ok    bool
	}{
		"discover":            {etherIPv4, udp4(68, 67, discover), false, Heard{Spoke: true, Seen: verdict.Seen{Options4: []byte{1, 3, 6}, Vendor: "MSFT 5.0", Hostname: "laptop"}}, true},
		"padded":              {etherIPv4, append(udp4(68, 67, release), 0, 0, 0), false, Heard{Spoke: true, Released: true}, true},
		"our own question":    {etherIPv4, udp4(68, 67, discover), true, Heard{}, false},
		"ack":                 {etherIPv4, udp4(67, 68, ack), true, Heard{Leased: netip.MustParseAddr("10.0.0.2")}, true},
		"ack of somebody":     {etherIPv4, udp4(67, 68, ack), false, Heard{}, false},
		"name as labels":      {etherIPv4, udp4(68, 67, named), false, Heard{Spoke: true, Seen: verdict.Seen{Hostname: "laptop"}}, true},
		"name as text":        {etherIPv4, udp4(68, 67, plain), false, Heard{Spoke: true, Seen: verdict.Seen{Hostname: "laptop"}}, true},
		"dns":                 {etherIPv4, udp4(40000, 53, discover), false, Heard{}, false},
		"short":               {etherIPv4, udp4(68, 67, discover[:100]), false, Heard{}, false},
		"router solicitation": {etherIPv6, ip6(protoICMPv6, []byte{133, 0, 0, 0, 0, 0, 0, 0}), false, Heard{Spoke: true, Seen: verdict.Seen{Routers: true}}, true},
		"advertisement":       {etherIPv6, ip6(protoICMPv6, []byte{134, 0, 0, 0, 0, 0, 0, 0}), false, Heard{}, false},
		"solicit":             {etherIPv6, ip6(protoUDP, solicit), false, Heard{Spoke: true, Seen: verdict.Seen{Options6: []uint16{23, 24}}}, true},
		"arp":                 {0x0806, make([]byte, 28), false, Heard{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Parse(tt.kind, tt.frame, tt.out)
			if ok != tt.ok || !ok && !reflect.DeepEqual(got, Heard{}) && ok {
				t.Fatalf("got %+v, %v", got, ok)
			}
			if ok && (got.Spoke != tt.want.Spoke || got.Leased != tt.want.Leased || got.Released != tt.want.Released || string(got.Seen.Options4) != string(tt.want.Seen.Options4) ||
				got.Seen.Vendor != tt.want.Seen.Vendor || got.Seen.Hostname != tt.want.Seen.Hostname || !reflect.DeepEqual(got.Seen.Options6, tt.want.Seen.Options6) || got.Seen.Routers != tt.want.Seen.Routers) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// FuzzParse: whatever a host sends, reading it ends.
func FuzzParse(f *testing.F) {
	f.Add(uint16(etherIPv4), udp4(68, 67, message(f, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover))), false)
	f.Add(uint16(etherIPv6), ip6(protoICMPv6, []byte{133, 0, 0, 0, 0, 0, 0, 0}), false)
	f.Fuzz(func(t *testing.T, kind uint16, frame []byte, out bool) {
		if h, ok := Parse(kind, frame, out); ok && !h.Spoke && !h.Leased.IsValid() {
			t.Errorf("nothing was heard in %x: %+v", frame, h)
		}
	})
}
