package killswitch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// whole is a machine on which everything holds.
func whole() Observation {
	return Observation{Unreachable4: true, Unreachable6: true, Forwarding4: true, Forwarding6: true,
		Tunnel: TunnelState{Present: true, Up: true, Fresh: true}, Synchronised: true,
		Uplinks: []Uplink{{Name: "wlan0", Wifi: true, SSID: "Home", Encrypted: true, DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}}}
}

// words are actions, one each, without the learnt sets' emptying at the start.
func words(actions []Action) string {
	var out []string
	for _, a := range actions {
		switch {
		case a.Do == Clear:
			out = append(out, "clear "+a.Set)
		case a.Do == Add:
			out = append(out, fmt.Sprintf("add %s %q %s", a.Set, strings.TrimRight(string(a.Key), "\x00"), a.Timeout))
		case a.Do == Log:
			out = append(out, "log "+a.Text)
		default:
			out = append(out, a.String())
		}
	}
	return strings.Join(out, "\n")
}

func TestDecide(t *testing.T) {
	home := Config{Tunnel: "wg0", Arm: "untrusted", Trusted: []Trust{{SSID: "Home"}}, NTP: []string{"192.0.2.123"}}
	always := Config{Tunnel: "wg0", Window: "5m"}
	armed := State{Status: Armed, clean: true, done: []uint16{53, 123}, closed: 99 * time.Second}
	with := func(s State, f func(*State)) State { f(&s); return s }
	const now = 100 * time.Second
	for _, tc := range []struct {
		name   string
		c      Config
		s      State
		edit   func(*Observation)
		ask    Ask
		status Status
		notes  string
		want   string
	}{
		{"boot, nothing there yet", always, State{}, func(o *Observation) {
			*o = Observation{Missing: []string{"the table inet provision is not there"}}
		}, Ask{}, Broken, "there is no wg0: nothing gets out", `
put the guard in place
put the unreachable IPv4 route in place
put the unreachable IPv6 route in place
log kill switch is broken: the table inet provision is not there; the unreachable IPv4 route is not there; the unreachable IPv6 route is not there`},
		{"boot, somebody turned forwarding on", always, State{}, func(o *Observation) {
			*o = Observation{Missing: []string{"the table inet provision is not there"}, Forwarding4: true, Forwarding6: true, Unreachable4: true, Unreachable6: true}
		}, Ask{}, Broken, "there is no wg0: nothing gets out", `
turn IPv4 forwarding off
turn IPv6 forwarding off
put the guard in place
log kill switch is broken: the table inet provision is not there`},
		{"seen in place, forwarding goes on", always, State{Status: Broken}, func(o *Observation) {
			o.Forwarding4, o.Forwarding6, o.Tunnel, o.Synchronised = false, false, TunnelState{}, false
		}, Ask{}, Armed, "there is no wg0: nothing gets out", `
clear guard-open
clear guard-done
clear guard-self
clear guard-window
clear guard-client4
clear guard-client6
clear guard-portal4
clear guard-portal6
turn IPv4 forwarding on
turn IPv6 forwarding on
log kill switch is armed`},
		{"all quiet", always, armed, nil, Ask{}, Armed, "", ""},
		{"without IPv6", always, armed, func(o *Observation) { o.NoIPv6, o.Unreachable6, o.Forwarding6 = true, false, false }, Ask{}, Armed, "", ""},
		{"the tunnel goes", always, armed, func(o *Observation) { o.Tunnel = TunnelState{} }, Ask{}, Armed, "there is no wg0: nothing gets out", `
clear guard-done
add guard-done "\x00{" 10m0s`},
		{"its peer is silent", always, armed, func(o *Observation) { o.Tunnel.Fresh = false }, Ask{}, Armed, "no peer of wg0 was heard for three minutes", `
clear guard-done
add guard-done "\x00{" 10m0s`},
		{"the clock is lost", home, armed, func(o *Observation) { o.Synchronised, o.Uplinks = false, nil }, Ask{}, Armed,
			"armed because there is no way out; the clock is not synchronised: 192.0.2.123 may be asked outside the tunnel", `
clear guard-done
add guard-done "\x005" 10m0s
lead what goes to 192.0.2.123 around the tunnel`},
		{"the ruleset was flushed", always, armed, func(o *Observation) { o.Missing = []string{"a", "b", "c", "d", "e"} }, Ask{}, Broken, "", `
turn IPv4 forwarding off
turn IPv6 forwarding off
put the guard in place
log kill switch is broken: a; b; c; and 2 more`},
		{"a route was flushed", always, armed, func(o *Observation) { o.Unreachable6 = false }, Ask{}, Broken, "", `
turn IPv4 forwarding off
turn IPv6 forwarding off
put the unreachable IPv6 route in place
log kill switch is broken: the unreachable IPv6 route is not there`},
		{"a rule was deleted", always, armed, func(o *Observation) { o.Rules = []string{"the rule to table 80 is not there"} }, Ask{}, Broken, "", `
turn IPv4 forwarding off
turn IPv6 forwarding off
put the policy rules in place
log kill switch is broken: the rule to table 80 is not there`},
		{"opened for an hour", always, armed, nil, Ask{Open: true, For: time.Hour, Who: "uid 0"}, Open, "", `
log kill switch: opened by uid 0 for 1h0m0s
add guard-open "wlan0" 1m30s
lead everything around the tunnel
log kill switch is open: by choice`},
		{"opened, ends before its lease", always, with(armed, func(s *State) { s.Status, s.OpenUntil, s.Reasons = Open, now+10*time.Second, []string{"by choice"} }), func(o *Observation) { o.Detours.All = true }, Ask{}, Open, "", `
add guard-open "wlan0" 10s`},
		{"the hour is over", always, with(armed, func(s *State) { s.Status, s.OpenUntil, s.open = Open, now, []string{"wlan0"} }), func(o *Observation) { o.Detours.All = true }, Ask{}, Armed, "", `
log kill switch: the time it was opened for is over
clear guard-open
lead nothing around the tunnel
log kill switch is armed`},
		{"closed by hand", always, with(armed, func(s *State) { s.Status, s.OpenUntil, s.open = Open, forever, []string{"wlan0"} }), func(o *Observation) { o.Detours.All = true }, Ask{Close: true}, Armed, "", `
log kill switch: closed
clear guard-open
lead nothing around the tunnel
log kill switch is armed`},
		{"opened while the guard is gone", always, armed, func(o *Observation) { o.Missing = []string{"chain guard-post is not there"} }, Ask{Open: true}, Broken, "", `
log kill switch: opened until it is closed or the machine restarts
turn IPv4 forwarding off
turn IPv6 forwarding off
put the guard in place
lead everything around the tunnel
log kill switch is broken: chain guard-post is not there`},
		{"trusted Wi-Fi", home, armed, nil, Ask{}, Open, "", `
add guard-open "wlan0" 1m30s
lead everything around the tunnel
log kill switch is open: every way out is trusted`},
		{"the same name without encryption", home, with(armed, func(s *State) {
			s.Status, s.Reasons, s.open, s.renew = Open, []string{"every way out is trusted"}, []string{"wlan0"}, now
		}),
			func(o *Observation) { o.Uplinks[0].Encrypted, o.Detours.All = false, true }, Ask{}, Armed, `armed because the Wi-Fi "Home" of wlan0 has a trusted name but no encryption`, `
clear guard-open
lead nothing around the tunnel
log kill switch is armed`},
		{"one of two is not trusted", home, armed, func(o *Observation) { o.Uplinks = append(o.Uplinks, Uplink{Name: "usb1"}) }, Ask{}, Armed, "armed because usb1 is not in the list", ""},
		{"renewed", home, with(armed, func(s *State) {
			s.Status, s.Reasons, s.open, s.renew = Open, []string{"every way out is trusted"}, []string{"wlan0"}, now-lease/3
		}), func(o *Observation) { o.Detours.All = true }, Ask{}, Open, "", `
add guard-open "wlan0" 1m30s`},
		{"a window for both", always, armed, nil, Ask{Window: true, Self: true, Client: netip.MustParseAddr("10.55.0.2"), For: time.Hour}, Armed, "a portal's window is open for this machine and 10.55.0.2, 5m0s more", `
add guard-self "wlan0" 5m0s
add guard-window "wlan0" 5m0s
add guard-portal4 "\xc0\x00\x025" 5m0s
add guard-client4 "\n7\x00\x02" 5m0s
log kill switch: a window of 5m0s for this machine and 10.55.0.2 by wlan0: name servers of the network, and TCP to 80, 443
lead this machine's packets and what goes to 192.0.2.53 around the tunnel`},
		{"a window for nobody", always, armed, nil, Ask{Window: true}, Armed, "", `
log kill switch: no window: it has to be for this machine or for a client`},
		{"a window to nowhere", always, armed, func(o *Observation) { o.Uplinks = nil }, Ask{Window: true, Self: true}, Armed, "", `
log kill switch: no window: there is no way out`},
		{"a window without a guard", always, armed, func(o *Observation) { o.Missing = []string{"x"} }, Ask{Window: true, Self: true}, Broken, "", `
turn IPv4 forwarding off
turn IPv6 forwarding off
put the guard in place
log kill switch: no window: the guard is not in place
log kill switch is broken: x`},
		{"a window ends", always, with(armed, func(s *State) { s.Window = Window{Until: now, Self: true} }), func(o *Observation) { o.Detours.Own = true }, Ask{}, Armed, "", `
log kill switch: the window for this machine is closed
clear guard-self
clear guard-window
clear guard-client4
clear guard-client6
clear guard-portal4
clear guard-portal6
lead nothing around the tunnel`},
		{"a window goes with the table", always, with(armed, func(s *State) { s.Window = Window{Until: now + time.Minute, Client: netip.MustParseAddr("fd00::2")} }), func(o *Observation) { o.Missing = []string{"x"} }, Ask{}, Broken, "", `
turn IPv4 forwarding off
turn IPv6 forwarding off
put the guard in place
log kill switch: the window for fd00::2 is gone with the table
log kill switch is broken: x`},
		{"a detour of before", always, armed, func(o *Observation) { o.Detours.All = true }, Ask{}, Armed, "", `
lead nothing around the tunnel`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := whole()
			if tc.edit != nil {
				tc.edit(&o)
			}
			s, actions := tc.c.Decide(tc.s, o, tc.ask, now)
			if got := words(actions); got != strings.TrimPrefix(tc.want, "\n") {
				t.Errorf("got\n%s", got)
			}
			if s.Status != tc.status || strings.Join(s.Notes, "; ") != tc.notes {
				t.Errorf("is %s, notes %q", s.Status, s.Notes)
			}
		})
	}
}

func TestTrust(t *testing.T) {
	c := Config{Trusted: []Trust{{SSID: "Home"}, {Interface: "eth*"}, {SSID: "Lab", Interface: "wlan1"}}}
	wifi := func(name, ssid string, encrypted bool) Uplink {
		return Uplink{Name: name, Wifi: true, SSID: ssid, Encrypted: encrypted}
	}
	for _, tc := range []struct {
		u    Uplink
		want string
	}{
		{wifi("wlan0", "Home", true), ""},
		{wifi("wlan0", "Home", false), "no encryption"},
		{wifi("wlan0", "Cafe", false), "is open"},
		{wifi("wlan0", "Cafe", true), "not in the list"},
		{wifi("wlan0", "home", true), "not in the list"},
		{wifi("wlan0", "", true), "not known"},
		{wifi("eth9", "Cafe", true), "not in the list"}, // a Wi-Fi, whatever its name
		{wifi("wlan1", "Lab", true), ""},
		{wifi("wlan0", "Lab", true), "not in the list"},
		{Uplink{Name: "eth0"}, ""},
		{Uplink{Name: "usb1"}, "not in the list"},
		{Uplink{Name: "usb1", SSID: "Home", Encrypted: true}, "not in the list"},
	} {
		if got := c.untrusted(tc.u); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%+v: %q, want %q", tc.u, got, tc.want)
		}
	}
}

func TestNext(t *testing.T) {
	c := Config{}
	for _, tc := range []struct {
		s    State
		want time.Duration
	}{
		{State{}, doneLease / 3},
		{State{open: []string{"wlan0"}, renew: 90 * time.Second}, 20 * time.Second},
		{State{open: []string{"wlan0"}, renew: 0}, 0},
		{State{OpenUntil: 105 * time.Second}, 5 * time.Second},
		{State{Window: Window{Until: 101 * time.Second}, OpenUntil: forever}, time.Second},
		{State{done: []uint16{53}, closed: 0}, 100 * time.Second},
	} {
		if got := c.Next(tc.s, 100*time.Second); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.s, got, tc.want)
		}
	}
}

func TestProblems(t *testing.T) {
	c := Config{Tunnel: "wg*", Inside: []string{"usb*", "", "*"}, Exempt: []string{"usb1", "wg0"}, Endpoints: []string{"vpn.example.com:51820", "192.0.2.1", "[2001:db8::1]:51820"},
		BootstrapDNS: []string{"dns.example", "9.9.9.9"}, NTP: []string{"ff02::101"}, LAN: "maybe", LocalDNS: "x", ManageFrom: []string{"0.0.0.0/0", "192.0.2.1"}, Window: "2h", WindowPorts: []uint16{0},
		Arm: "never", Trusted: []Trust{{}, {SSID: strings.Repeat("x", 33), Interface: "a b"}}}
	var got []string
	for _, p := range c.Problems() {
		got = append(got, p.Path)
	}
	want := []string{"tunnel", "inside[1]", "inside[2]", "exempt[0]", "exempt[1]", "endpoints[0]", "endpoints[1]", "bootstrap-dns[0]", "ntp[0]", "manage-from[0]", "lan", "local-dns", "arm", "window", "window-ports[0]", "trusted[0]", "trusted[1].ssid", "trusted[1].interface", "trusted"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if p := (Config{Inside: []string{"usb0"}}).Problems(); len(p) != 1 || p[0].Path != "tunnel" {
		t.Error(p)
	}
	for name, in := range inputs() {
		if p := in.Config.Problems(); p != nil {
			t.Errorf("%s: %v", name, p)
		}
	}
	if p := (Config{}).Problems(); p != nil {
		t.Error(p)
	}
	if p := (Config{Tunnel: "wg0", Arm: "untrusted"}).Problems(); len(p) != 1 || p[0].Path != "trusted" {
		t.Error(p)
	}
}
