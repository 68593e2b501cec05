package packet

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct {
		in, addr string
		port     uint16
		proto    string
		err      string // part of it
	}{
		{"1.1.1.1:443/tcp", "1.1.1.1", 443, "tcp", ""},
		{"[2001:db8::1]:53/udp", "2001:db8::1", 53, "udp", ""},
		{"10.0.0.1/icmp", "10.0.0.1", 0, "icmp", ""},
		{"10.0.0.1", "10.0.0.1", 0, "icmp", ""},
		{"2001:db8::1", "2001:db8::1", 0, "icmp", ""},
		{"[2001:db8::1]", "2001:db8::1", 0, "icmp", ""},
		{"2001:db8::1/icmpv6", "2001:db8::1", 0, "icmpv6", ""},
		{"1.1.1.1:443", "1.1.1.1", 443, "tcp", ""},
		{"1.1.1.1:443/TCP", "1.1.1.1", 443, "tcp", ""},
		{"::ffff:1.2.3.4", "1.2.3.4", 0, "icmp", ""},
		{"192.0.2.1/41", "192.0.2.1", 0, "41", ""},
		{" 1.1.1.1:53/udp ", "1.1.1.1", 53, "udp", ""},
		{"1.1.1.1/udp", "", 0, "", "needs a port"},
		{"1.1.1.1:53/icmp", "", 0, "", "has no ports"},
		{"1.1.1.1:0/udp", "", 0, "", "is no port"},
		{"1.1.1.1:/udp", "", 0, "", "no port after"},
		{"1.1.1.1:70000", "", 0, "", "is no port"},
		{"example.com:443", "", 0, "", "is no address"},
		{"1.1.1.1:443/", "", 0, "", "no protocol after"},
		{"1.1.1.1:443/quic", "", 0, "", "is no protocol"},
		{"[2001:db8::1:443", "", 0, "", "no ]"},
		{"[2001:db8::1]443", "", 0, "", ":PORT"},
		{"1.1.1.1/icmpv6", "", 0, "", "other family"},
		{"", "", 0, "", "is no address"},
	} {
		got, err := ParseTarget(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "write ADDRESS") {
				t.Errorf("%q: error %v, want one with %q", tt.in, err, tt.err)
			}
			continue
		}
		if err != nil || got.Addr.String() != tt.addr || got.Port != tt.port || got.Proto != tt.proto {
			t.Errorf("%q: %+v, %v", tt.in, got, err)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"1.1.1.1:443/tcp", "[2001:db8::1]:53/udp", "10.0.0.1/icmp", "[::]:", "a:b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTarget(s)
		if err != nil {
			return
		}
		if !got.Addr.IsValid() || got.Proto == "" {
			t.Errorf("%q: %+v", s, got)
		}
		Explain(World{}, got.Packet())
	})
}
