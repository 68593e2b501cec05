package killswitch

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
)

func TestMachineProblems(t *testing.T) {
	session := func(local, remote string) facts.Session {
		return facts.Session{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}
	}
	f := &facts.Facts{
		Links: []facts.Link{{Index: 1, Name: "lo"}, {Index: 2, Name: "usb0"}, {Index: 3, Name: "wlan0"}, {Index: 4, Name: "wg0", Kind: "wireguard"}, {Index: 5, Name: "docker0", Kind: "bridge"}, {Index: 6, Name: "eth1"}},
		Addrs: []facts.Address{{Link: 2, Prefix: netip.MustParsePrefix("10.55.0.1/24")}, {Link: 3, Prefix: netip.MustParsePrefix("198.51.100.2/24")}, {Link: 4, Prefix: netip.MustParsePrefix("10.66.0.2/24")},
			{Link: 6, Prefix: netip.MustParsePrefix("10.99.0.1/24")}},
		SSH: []facts.Session{
			session("10.55.0.1:22", "10.55.0.2:50000"),              // from inside
			session("198.51.100.2:22", "198.51.100.7:50000"),        // from the way out's network
			session("198.51.100.2:22", "192.0.2.9:50000"),           // from farther away
			session("[::ffff:198.51.100.2]:22", "192.0.2.10:50000"), // allowed
			session("10.66.0.2:22", "10.77.0.1:50000"),              // through the tunnel
			session("[fe80::1%usb0]:22", "[fe80::2%usb0]:50000"),    // inside, by its zone
			session("10.99.0.1:22", "10.99.0.2:50000"),              // an exempt interface: its own answers are held all the same
			session("127.0.0.1:22", "127.0.0.1:50000"),
		},
	}
	in := inputs()["gadget"]
	in.Config.ManageFrom = []string{"192.0.2.10"}
	in.Config.Exempt = []string{"eth1"}
	var got []string
	for _, s := range Cuts(in, f) {
		got = append(got, s.Remote.Addr().String())
	}
	if want := []string{"198.51.100.7", "192.0.2.9", "10.99.0.2"}; !slices.Equal(got, want) {
		t.Errorf("cuts %q, want %q", got, want)
	}
	var paths []string
	for _, p := range MachineProblems(Input{Config: Config{Tunnel: "wg0"}, Table: 254}, &facts.Facts{}) {
		paths = append(paths, p.Path)
	}
	if want := []string{"tunnel", "inside", "endpoints"}; !slices.Equal(paths, want) {
		t.Errorf("problems of %q, want %q", paths, want)
	}
	f.SSH = nil
	if p := MachineProblems(in, f); p != nil {
		t.Error(p)
	}
	if p := MachineProblems(Input{}, f); p != nil || Notes(Input{}, f) != nil {
		t.Error("problems of a switch that is not there", p)
	}
	var notes []string
	for _, n := range Notes(Input{Config: Config{Tunnel: "wg0"}, Inside: []string{"usb0"}}, f) {
		notes = append(notes, n.Subject)
	}
	if strings.Join(notes, " ") != "docker0 wg0 ntp" {
		t.Errorf("notes of %q", notes)
	}
	r := LastRoutes(in)
	if len(r) != 2 || r[0].Name != "inet table 80 unreachable default metric 4278198272" || r[1].Name != "inet6 table 80 unreachable default metric 4278198272" {
		t.Error(r)
	}
}

// Whatever is written into the configuration and is no problem makes a table that the kernel's
// resource takes and that ends closed.
func FuzzGuard(f *testing.F) {
	f.Add("wg0", "usb*", "eth1", "192.0.2.1:51820", "9.9.9.9", "2001:db8::123", "192.0.2.0/24", uint16(8080), uint32(0x2a0000), uint32(0xff0000))
	f.Add("tun", "a", "b*", "[2001:db8::1]:1", "::ffff:1.2.3.4", "1.2.3.4", "::1/128", uint16(1), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, tunnel, inside, exempt, endpoint, dns, ntp, manage string, port uint16, mark, mask uint32) {
		c := Config{Tunnel: tunnel, Inside: []string{inside}, Exempt: []string{exempt}, Endpoints: []string{endpoint}, BootstrapDNS: []string{dns, ntp}, NTP: []string{ntp}, ManageFrom: []string{manage}, WindowPorts: []uint16{port, port}}
		if !c.Enabled() || c.Problems() != nil {
			return
		}
		g := Guard(Input{Config: c, Mark: mark, Mask: mask})
		if p := g.Problems(); p != nil {
			t.Fatalf("%+v makes a table with problems: %v", c, p)
		}
		if m := Missing(g, g); m != nil {
			t.Fatal(m)
		}
		for _, chain := range g.Chains {
			if chain.Base == nil || chain.Base.Hook == "prerouting" {
				continue
			}
			if last := chain.Rules[len(chain.Rules)-1].Exprs; len(last) != 2 || last[0].Counter == nil || last[1].Reject == nil && last[1].Verdict == nil {
				t.Fatalf("%s of %+v does not end closed", chain.Name, c)
			}
		}
	})
}

// What every event costs: the guard is compiled and compared with what was read.
func BenchmarkMissing(b *testing.B) {
	in := inputs()["gadget"]
	have := Guard(in)
	for b.Loop() {
		if m := Missing(Guard(in), have); len(m) > 0 {
			b.Fatal(m)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	c := Config{Tunnel: "wg0"}
	s, o := State{Status: Armed, clean: true, done: []uint16{53, 123}}, whole()
	for b.Loop() {
		if _, a := c.Decide(s, o, Ask{}, 0); len(a) > 0 {
			b.Fatal(a)
		}
	}
}

// TestSilent: the tunnel's own packets have to be let through, whoever tells where they go.
func TestSilent(t *testing.T) {
	told := intent.Set{Endpoints: []intent.Endpoint{{Tunnel: "wg0", Proto: "udp", Addr: netip.MustParseAddr("192.0.2.1"), Port: 51820}}}
	for _, c := range []struct {
		name    string
		config  Config
		intents intent.Set
		silent  bool
	}{
		{"nobody", Config{Tunnel: "wg0"}, intent.Set{}, true},
		{"an endpoint", Config{Tunnel: "wg0", Endpoints: []string{"192.0.2.1:51820"}}, intent.Set{}, false},
		{"a name server", Config{Tunnel: "wg0", BootstrapDNS: []string{"9.9.9.9"}}, intent.Set{}, false},
		{"an intent", Config{Tunnel: "wg0"}, told, false},
		{"an intent of another tunnel", Config{Tunnel: "wg1"}, told, true},
		{"no switch", Config{}, intent.Set{}, false},
	} {
		if got := c.config.Silent(c.intents); len(got) > 0 != c.silent || c.silent && got[0].Path != "endpoints" {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
