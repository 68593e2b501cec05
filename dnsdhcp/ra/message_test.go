package ra

import (
	"encoding/hex"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

// full has every option.
func full() Message {
	return Message{
		HopLimit: 64, Managed: true, Other: true, Preference: High, RouterLifetime: 1800 * time.Second,
		Reachable: 30 * time.Second, Retrans: time.Second,
		SourceMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, MTU: 1492,
		Prefixes: []Prefix{
			{Prefix: pfx("fd00:1:2:3::/64"), OnLink: true, Autonomous: true, Preferred: 45 * time.Minute, Valid: 90 * time.Minute},
			{Prefix: pfx("2001:db8::/64"), OnLink: true, Preferred: 0, Valid: Infinite, PreferredDelegation: true},
		},
		Routes: []Route{
			{Prefix: pfx("fd00::/8"), Preference: Low, Lifetime: time.Hour},
			{Prefix: pfx("2001:db8:0:fff0::/60"), Lifetime: 0},
			{Prefix: pfx("2001:db8::1/128"), Preference: High, Lifetime: Infinite},
			{Prefix: pfx("::/0"), Lifetime: time.Minute},
		},
		DNS:           []DNS{{ip("fd00:1:2:3::1"), 1800 * time.Second}, {ip("fe80::1"), 1800 * time.Second}, {ip("2001:db8::53"), 0}},
		Search:        []Search{{"lab.example", 1800 * time.Second}, {"home.arpa", 1800 * time.Second}},
		NAT64:         []NAT64{{pfx("64:ff9b::/96"), 1800 * time.Second}},
		CaptivePortal: "https://portal.example/api",
	}
}

// golden was checked by hand against the figures of RFC 4861, 4191, 8106, 8781, 8910 and 9762.
var golden = strings.Join([]string{
	"86000000" + "40c80708" + "00007530" + "000003e8", // header: M, O, high; 1800 s, 30 s, 1 s
	"0101" + "020000000001",                           // source link-layer address
	"0501" + "0000" + "000005d4",                      // MTU 1492
	"0304" + "40c0" + "00001518" + "00000a8c" + "00000000" + "fd000001000200030000000000000000",            // 5400 s, 2700 s
	"0304" + "4090" + "ffffffff" + "00000000" + "00000000" + "20010db8000000000000000000000000",            // L and P
	"1802" + "0818" + "00000e10" + "fd00000000000000",                                                      // low
	"1802" + "3c00" + "00000000" + "20010db80000fff0",                                                      // taken back
	"1803" + "8008" + "ffffffff" + "20010db8000000000000000000000001",                                      // high
	"1801" + "0000" + "0000003c",                                                                           // default
	"1905" + "0000" + "00000708" + "fd000001000200030000000000000001" + "fe800000000000000000000000000001", // resolvers
	"1903" + "0000" + "00000000" + "20010db8000000000000000000000053",                                      // one taken back
	"2602" + "0708" + "0064ff9b0000000000000000",                                                           // 225 x 8 s, /96
	"1f04" + "0000" + "00000708" + "036c6162076578616d706c6500" + "04686f6d65046172706100",                 // search, no padding
	"2504" + "68747470733a2f2f706f7274616c2e6578616d706c652f617069" + "00000000",                           // portal
}, "")

func TestPayloadsGolden(t *testing.T) {
	m := full()
	got, err := m.Payloads(1460)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || hex.EncodeToString(got[0]) != golden {
		t.Fatalf("got  %x\nwant %s", got, golden)
	}
}

// TestPayloadsByNDP has the other implementation read what we write.
func TestPayloadsByNDP(t *testing.T) {
	m := full()
	m.Prefixes[1].Valid = time.Hour
	b, err := m.Payloads(1460)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ndp.ParseMessage(b[0])
	if err != nil {
		t.Fatal(err)
	}
	ra := parsed.(*ndp.RouterAdvertisement)
	if ra.CurrentHopLimit != 64 || !ra.ManagedConfiguration || !ra.OtherConfiguration || ra.RouterLifetime != 1800*time.Second ||
		ra.RouterSelectionPreference != ndp.High || ra.ReachableTime != 30*time.Second || ra.RetransmitTimer != time.Second {
		t.Errorf("header: %+v", ra)
	}
	want := []ndp.Option{
		&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: m.SourceMAC},
		&ndp.MTU{MTU: 1492},
		&ndp.PrefixInformation{PrefixLength: 64, OnLink: true, AutonomousAddressConfiguration: true,
			ValidLifetime: 90 * time.Minute, PreferredLifetime: 45 * time.Minute, Prefix: ip("fd00:1:2:3::")},
		&ndp.PrefixInformation{PrefixLength: 64, OnLink: true, ValidLifetime: time.Hour, Prefix: ip("2001:db8::")},
		&ndp.RouteInformation{PrefixLength: 8, Preference: ndp.Low, RouteLifetime: time.Hour, Prefix: ip("fd00::")},
		// A /60 comes back as a /56 with the length of a /60: it drops the last four bits.
		&ndp.RouteInformation{PrefixLength: 60, Prefix: ip("2001:db8:0:ff00::")},
		&ndp.RouteInformation{PrefixLength: 128, Preference: ndp.High, RouteLifetime: ndp.Infinity, Prefix: ip("2001:db8::1")},
		&ndp.RouteInformation{RouteLifetime: time.Minute, Prefix: ip("::")},
		&ndp.RecursiveDNSServer{Lifetime: 1800 * time.Second, Servers: []netip.Addr{ip("fd00:1:2:3::1"), ip("fe80::1")}},
		&ndp.RecursiveDNSServer{Servers: []netip.Addr{ip("2001:db8::53")}},
		&ndp.PREF64{Lifetime: 1800 * time.Second, Prefix: pfx("64:ff9b::/96")},
		&ndp.DNSSearchList{Lifetime: 1800 * time.Second, DomainNames: []string{"lab.example", "home.arpa"}},
		&ndp.CaptivePortal{URI: "https://portal.example/api"},
	}
	for i := range max(len(want), len(ra.Options)) {
		if i >= len(want) || i >= len(ra.Options) || !reflect.DeepEqual(ra.Options[i], want[i]) {
			t.Fatalf("option %d: got %+v\nwant %+v", i, ra.Options[i:], want[i:])
		}
	}
}

func TestPayloadsRoundTrip(t *testing.T) {
	m := full()
	b, err := m.Payloads(1460)
	if err != nil {
		t.Fatal(err)
	}
	got, reason := Advertisement(Packet{Data: b[0], Src: ip("fe80::1"), HopLimit: 255})
	if reason != "" || !reflect.DeepEqual(got, m) {
		t.Fatalf("%s\ngot  %+v\nwant %+v", reason, got, m)
	}
}

func TestPayloadsSplit(t *testing.T) {
	m := full()
	m.CaptivePortal = "https://portal.example/" + strings.Repeat("a", 600) // ndp could not build it
	for i := range 30 {
		m.Prefixes = append(m.Prefixes, Prefix{
			Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 1, byte(i)}), 64), Autonomous: true, Valid: time.Hour,
		})
	}
	b, err := m.Payloads(1240)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != 2 {
		t.Fatalf("%d messages", len(b))
	}
	var all Message
	for _, p := range b {
		if len(p) > 1240 {
			t.Errorf("%d bytes", len(p))
		}
		got, reason := Advertisement(Packet{Data: p, Src: ip("fe80::1"), HopLimit: 255})
		if reason != "" || got.RouterLifetime != m.RouterLifetime || got.Preference != High {
			t.Errorf("%q %+v", reason, got)
		}
		all.Prefixes = append(all.Prefixes, got.Prefixes...)
		all.CaptivePortal += got.CaptivePortal
	}
	if !reflect.DeepEqual(all.Prefixes, m.Prefixes) || all.CaptivePortal != m.CaptivePortal {
		t.Error("options are lost")
	}
}

func TestHeaderWithoutLifetimeHasMediumPreference(t *testing.T) {
	b, err := (&Message{Preference: Low}).Payloads(1240)
	if err != nil || b[0][5] != 0 {
		t.Fatalf("%x, %v", b, err)
	}
}

func TestLifetimesOnTheWire(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want uint32
	}{
		{0, 0}, {-time.Second, 0}, {1999 * time.Millisecond, 1}, {Infinite, 1<<32 - 1}, {Infinite - 1, 1<<32 - 2},
		{longestFinite, 1<<32 - 2}, {longestFinite + time.Second, 1<<32 - 2},
	} {
		if got := seconds(c.d); got != c.want {
			t.Errorf("%v: %d, want %d", c.d, got, c.want)
		}
	}
	for _, c := range []struct {
		d    time.Duration
		want time.Duration
	}{
		{0, 0}, {time.Second, 8 * time.Second}, {15 * time.Second, 8 * time.Second}, {16 * time.Second, 16 * time.Second},
		{Infinite, maxNAT64Lifetime},
	} {
		b, err := (&Message{NAT64: []NAT64{{pfx("64:ff9b::/96"), c.d}}}).Payloads(1240)
		if err != nil {
			t.Fatal(err)
		}
		m, _ := Advertisement(Packet{Data: b[0], Src: ip("fe80::1"), HopLimit: 255})
		if got := m.NAT64[0].Lifetime; got != c.want {
			t.Errorf("NAT64 %v: %v, want %v", c.d, got, c.want)
		}
	}
}

func TestSearchNames(t *testing.T) {
	for _, bad := range []string{"", ".", "a..b", strings.Repeat("a", 64), strings.Repeat("abcdefg.", 32), "a b", "ä.example"} {
		if _, err := appendName(nil, bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	long := strings.TrimSuffix(strings.Repeat("abcdefg.", 31), ".") + "abc"
	m := Message{}
	for range 5 {
		m.Search = append(m.Search, Search{long, time.Hour}, Search{"a.example", time.Hour})
	}
	b, err := m.Payloads(4000)
	if err != nil {
		t.Fatal(err)
	}
	got, reason := Advertisement(Packet{Data: b[0], Src: ip("fe80::1"), HopLimit: 255})
	if reason != "" || !reflect.DeepEqual(got.Search, m.Search) {
		t.Errorf("%s: %v", reason, got.Search)
	}
}

func TestValidate(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(*Config){
		"the longest interval":               func(c *Config) { c.MaxInterval = 3 * time.Second },
		"the shortest interval":              func(c *Config) { c.MinInterval = c.MaxInterval },
		"the router lifetime":                func(c *Config) { c.RouterLifetime = c.MaxInterval - 1 },
		"the preference of the router":       func(c *Config) { c.Preference = 2 },
		"the reachable time":                 func(c *Config) { c.Reachable = 2 * time.Hour },
		"the retransmission time":            func(c *Config) { c.Retrans = -1 },
		"the MTU":                            func(c *Config) { c.MTU = 1279 },
		"must be a /64":                      func(c *Config) { c.Prefixes = []Prefix{{Prefix: pfx("fd00::/60"), Autonomous: true}} },
		"is not one to be announced":         func(c *Config) { c.Prefixes = []Prefix{{Prefix: pfx("fe80::/64")}} },
		"is not an IPv6 network":             func(c *Config) { c.Prefixes = []Prefix{{Prefix: pfx("fd00::1/64")}} },
		"is there twice":                     func(c *Config) { c.Prefixes = []Prefix{{Prefix: pfx("fd00::/64")}, {Prefix: pfx("fd00::/64")}} },
		"is longer than the valid one":       func(c *Config) { c.Interface.Preferred = c.Interface.Valid + time.Second },
		"whole seconds":                      func(c *Config) { c.Interface.Valid++ },
		"name server 192.0.2.1":              func(c *Config) { c.DNS = []netip.Addr{ip("192.0.2.1")} },
		"the lifetime of name servers":       func(c *Config) { c.DNSLifetime = 2 * c.MaxInterval },
		"search domain":                      func(c *Config) { c.Search = []string{"a..b"} },
		"17 routes at most":                  func(c *Config) { c.Routes = make([]Route, 18) },
		"the preference of route fd00::/8":   func(c *Config) { c.Routes = []Route{{Prefix: pfx("fd00::/8"), Preference: 2}} },
		"NAT64 prefix 64:ff9b::/80":          func(c *Config) { c.NAT64 = []netip.Prefix{pfx("64:ff9b::/80")} },
		"the lifetime of NAT64":              func(c *Config) { c.NAT64Lifetime = 65529 * time.Second },
		"the captive portal's URI \"http://": func(c *Config) { c.CaptivePortal = "http://portal.example" },
		"the hysteresis":                     func(c *Config) { c.UplinkUp = -1 },
	} {
		c := Default()
		breakIt(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for longest, want := range map[time.Duration]time.Duration{4: 3, 8: 6, 9: 3, 600: 200, 1800: 600} {
		c := Default()
		c.MaxInterval, c.MinInterval = longest*time.Second, MinIntervalFor(longest*time.Second)
		if err := c.Validate(); err != nil || c.MinInterval != want*time.Second {
			t.Errorf("%v: %v, %v", longest, c.MinInterval, err)
		}
	}
}
