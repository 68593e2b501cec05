package killswitch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/nft"
)

// through checks that packets of both families come out at the tunnel's far end.
func (l *lab) through(when string) {
	l.Helper()
	l.n++
	last := fmt.Sprintf("through %d", l.n)
	l.client.Do(func() {
		for _, p := range forwarded() {
			_ = p.send()
		}
		_ = probe{kind: "udp", to: target6, port: 7, text: last}.send()
	})
	got := l.end.until(last)
	for _, want := range []string{"udp 10.55.0.2 > 192.0.2.80 9", "tcp 10.55.0.2 > 192.0.2.80 80", "tcp fd55::2 > 2001:db8:80::80 22", "icmp6 fd55::2 > 2001:db8:80::80 128"} {
		if !slices.Contains(got, want) {
			l.Errorf("%s: %s did not go through the tunnel, only %q", when, want, got)
		}
	}
}

// Everything that the issue names, one after the other, on one machine.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	// The negative control: without any layer, and the rules away, all of it leaves.
	l.box.Sh("sysctl -qw net.ipv4.ip_forward=1\nsysctl -qw net.ipv6.conf.all.forwarding=1")
	l.rulesGone()
	control := l.leaks(l.client, forwarded())
	for _, want := range []string{"udp 10.55.0.2 > 192.0.2.80 9", "tcp fd55::2 > 2001:db8:80::80 80", "icmp 10.55.0.2 > 192.0.2.80 8", "udp 10.55.0.2 > 198.51.100.1 53"} {
		if !slices.Contains(control, want) {
			t.Fatalf("%s does not leak where nothing holds it: the test proves nothing; seen %q", want, control)
		}
	}
	if got := l.leaks(l.box, slices.Concat(own(), sly())); len(got) < 10 {
		t.Fatalf("the machine's own packets do not leak where nothing holds them: %q", got)
	}
	l.rulesUp()
	l.tunnelGone()
	l.tunnel = TunnelState{}

	// Boot, the worst: forwarding is on, the way out is up, the tunnel is not, nothing is in place.
	var table, off int
	l.each = func(a Action) {
		switch {
		case a.Do == Forward && !a.On:
			off++
		case a.Do == Table:
			table++
		}
		when := "boot, after: " + a.String()
		if off == 2 {
			if got := l.leaks(l.client, forwarded()); len(got) > 0 {
				t.Errorf("%s: forwarded packets leak: %q", when, got)
			}
		}
		if table > 0 {
			l.closed(when)
		}
	}
	s := l.settle(State{}, Ask{})
	l.each = nil
	if off != 2 || table != 1 || s.Status != Armed {
		t.Fatalf("boot: %+v by %q", s, words(l.asked))
	}
	l.closed("booted, no tunnel")

	l.tunnelUp()
	l.tunnel = TunnelState{Present: true, Up: true, Fresh: true}
	s = l.settle(s, Ask{})
	l.closed("tunnel up")
	l.through("tunnel up")

	l.box.Sh("ip link set wg0 down")
	l.closed("tunnel down")
	l.tunnelGone()
	l.closed("tunnel gone")
	l.tunnelUp()
	l.closed("tunnel back")
	l.through("tunnel back")

	l.rulesGone()
	l.closed("rules deleted")
	s = l.settle(s, Ask{})
	l.closed("rules put back")
	l.through("rules put back")

	l.box.Sh("ip route flush table 80\nip -6 route flush table 80")
	l.closed("routes flushed")
	s = l.settle(s, Ask{})
	l.closed("routes put back")

	// A flushed ruleset: the routes still hold what goes by them, until the guard is back.
	l.box.Sh("ip route add default via 10.66.0.1 dev wg0 table 80\nip -6 route add default via fd66::1 dev wg0 table 80\nnft flush ruleset")
	if got := slices.Concat(l.leaks(l.client, forwarded()), l.leaks(l.box, own())); len(got) > 0 {
		// The network's own name server is on the link: no default route is asked for it.
		if slices.ContainsFunc(got, func(g string) bool { return !strings.Contains(g, "> "+portalDNS4+" ") }) {
			t.Errorf("ruleset flushed: leaks %q", got)
		}
	}
	s = l.settle(s, Ask{})
	if s.Status != Armed {
		t.Errorf("after the flush it is %+v", s)
	}
	l.closed("ruleset put back")
	l.through("ruleset put back")

	// A rule before ours.
	l.box.Sh("nft insert rule inet provision guard-forward accept\nnft insert rule inet provision guard-post accept")
	s = l.settle(s, Ask{})
	l.closed("a foreign rule in the guard")
	l.through("a foreign rule in the guard")

	// Somebody turns forwarding off: it comes back on, because everything is in place.
	l.box.Sh("sysctl -qw net.ipv4.ip_forward=0")
	l.settle(s, Ask{})
	l.through("forwarding put back")
}

// bare takes every layer away and turns forwarding on, as on a machine that has just booted under
// somebody else's configuration.
func (l *lab) bare() {
	l.Helper()
	l.box.Sh("nft flush ruleset\nip route flush table 80\nip -6 route flush table 80\nsysctl -qw net.ipv4.ip_forward=1\nsysctl -qw net.ipv6.conf.all.forwarding=1")
	l.asked, l.stop = nil, 0
}

// The process dies before each of its steps in turn, and does not come back: once forwarding is off
// nothing is forwarded, and once the guard is there nothing of the machine's own leaves either.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.tunnelGone()
	for stop := 1; ; stop++ {
		l.bare()
		l.stop = stop
		l.settle(State{}, Ask{})
		did := l.asked[:min(stop-1, len(l.asked))]
		count := func(verb Verb, on bool) (n int) {
			for _, a := range did {
				if a.Do == verb && a.On == on {
					n++
				}
			}
			return n
		}
		when := fmt.Sprintf("killed after step %d", len(did))
		if count(Forward, false) == 2 {
			if got := l.leaks(l.client, forwarded()); len(got) > 0 {
				t.Errorf("%s: forwarded packets leak: %q", when, got)
			}
		}
		if count(Table, false) > 0 {
			l.closed(when)
		}
		if len(l.asked) < stop {
			if count(Forward, true) != 2 {
				t.Errorf("at the end forwarding is not on: %s", words(did))
			}
			return
		}
		if stop > 30 {
			t.Fatal("it takes more than 30 steps")
		}
	}
}

// Each layer holds by itself, and what nobody holds leaks.
func TestLayersAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, tc := range []struct {
		left                     string
		rules, routes, guard     bool
		forwarding               string
		forwarded, own, byDevice bool // leaks
	}{
		{"the unreachable routes", true, true, false, "1", false, false, true},
		{"the guard", false, false, true, "1", false, false, false},
		{"forwarding off", false, false, false, "0", false, true, true},
		{"nothing", false, false, false, "1", true, true, true},
	} {
		l.bare()
		l.settle(State{}, Ask{})
		if tc.routes {
			l.tunnelGone() // its routes go with it
		}
		if !tc.guard {
			l.box.Sh("nft flush ruleset")
		}
		if !tc.routes {
			l.box.Sh("ip route flush table 80\nip -6 route flush table 80")
		}
		if !tc.rules {
			l.rulesGone()
		}
		l.box.Sh("sysctl -qw net.ipv4.ip_forward=" + tc.forwarding + "\nsysctl -qw net.ipv6.conf.all.forwarding=" + tc.forwarding)
		check := func(what string, got []string, may bool) {
			t.Helper()
			// The network's own name server is on the link: no default route is asked for it.
			got = slices.DeleteFunc(got, func(g string) bool { return tc.routes && strings.Contains(g, "> "+portalDNS4+" ") })
			if (len(got) > 0) != may {
				t.Errorf("left is %s: of %s leaks %q, expected to: %v", tc.left, what, got, may)
			}
		}
		check("what is forwarded", l.leaks(l.client, forwarded()), tc.forwarded)
		check("its own", l.leaks(l.box, own()), tc.own)
		check("its own by device or mark", l.leaks(l.box, sly()), tc.byDevice)
	}
}

// A window opens what a portal needs, for whom it is meant, and the kernel closes it when nobody is
// there any more.
func TestWindow(t *testing.T) {
	l := newLab(t, nil)
	s := l.settle(State{}, Ask{})
	l.tunnelGone()
	l.tunnel = TunnelState{}
	const open = 1200 * time.Millisecond
	s = l.settle(s, Ask{Window: true, Client: netip.MustParseAddr("10.55.0.2"), For: open})
	start := time.Now()
	got := l.leaks(l.client, forwarded())
	if time.Since(start) > open/2 {
		t.Skip("skipped: this machine is too slow to see a window of 1.2 s")
	}
	if want := []string{"tcp 10.55.0.2 > 192.0.2.80 80", "udp 10.55.0.2 > 198.51.100.1 53"}; !slices.Equal(got, want) {
		t.Errorf("a window for the client lets out %q, want %q", got, want)
	}
	if got := l.leaks(l.box, slices.Concat(own(), sly())); !slices.Equal(got, []string{"udp 198.51.100.2 > 198.51.100.1 53"}) { // for the client's names
		t.Errorf("a window for the client lets out of the machine's own: %q", got)
	}
	if got := l.leaks(l.client, []probe{{kind: "tcp", to: target4, port: 80, from: "10.55.0.3"}, {kind: "udp", to: portalDNS4, port: 53, from: "10.55.0.3"}}); len(got) > 0 {
		t.Errorf("a window for one client lets out of another one: %q", got)
	}
	l.ends(start, open, func() []string { return l.leaks(l.client, forwarded()) })
	l.closed("the client's window is over")

	s.Window = Window{} // the process is another one
	l.settle(s, Ask{Window: true, Self: true, For: open})
	start = time.Now()
	got = l.leaks(l.box, own())
	for _, want := range []string{"tcp 198.51.100.2 > 192.0.2.80 80", "tcp 2001:db8:1::2 > 2001:db8:80::80 80", "udp 198.51.100.2 > 198.51.100.1 53"} {
		if !slices.Contains(got, want) {
			t.Errorf("a window for this machine does not let out %s, only %q", want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("a window for this machine lets out %q", got)
	}
	if got := l.leaks(l.client, forwarded()); len(got) > 0 {
		t.Errorf("a window for this machine lets out of the client: %q", got)
	}
	l.ends(start, open, func() []string { return l.leaks(l.box, own()) })
	l.closed("this machine's window is over")
}

// A window that is asked for again begins anew, in the kernel as well.
func TestWindowIsRenewed(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	s := l.settle(State{}, Ask{})
	left := func() uint64 {
		var have *nft.Table
		var err error
		l.box.Do(func() { have, err = nft.Dump(t.Context(), nft.OwnFamily, nft.OwnTable) })
		if err != nil || have == nil {
			t.Fatal(have, err)
		}
		i := slices.IndexFunc(have.Sets, func(s nft.Set) bool { return s.Name == SetSelf })
		if len(have.Sets[i].Elements) != 1 {
			t.Fatalf("%d elements in %s", len(have.Sets[i].Elements), SetSelf)
		}
		return have.Sets[i].Elements[0].Expires
	}
	s = l.settle(s, Ask{Window: true, Self: true, For: 20 * time.Second})
	if got := left(); got > 20_000 || got < 10_000 {
		t.Errorf("open for 20 s, it is open for %d ms more", got)
	}
	s = l.settle(s, Ask{Window: true, Self: true, For: 5 * time.Minute})
	if got := left(); got > 300_000 || got < 200_000 {
		t.Errorf("opened again for 5 min, it is open for %d ms more", got)
	}
	l.settle(s, Ask{Window: true, Self: true, For: 10 * time.Second})
	if got := left(); got > 10_000 {
		t.Errorf("shortened to 10 s, it is open for %d ms more", got)
	}
}

// ends waits until a window has closed by itself, which it must not long before or after its time.
func (l *lab) ends(start time.Time, open time.Duration, leaks func() []string) {
	l.Helper()
	for len(leaks()) > 0 {
		if time.Since(start) > open+3*time.Second {
			l.Fatalf("it is still open after %s", time.Since(start))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := time.Since(start); got < open/2 {
		l.Errorf("it was open for %s only", got)
	}
}

// Open by choice everything leaves by the way out; closed again nothing does.
func TestOpenByChoice(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	s := l.settle(State{}, Ask{})
	s = l.settle(s, Ask{Open: true, For: time.Hour})
	if s.Status != Open {
		t.Fatalf("it is %+v", s)
	}
	if got := l.leaks(l.client, forwarded()); !slices.Contains(got, "udp fd55::2 > 2001:db8:80::80 9") || !slices.Contains(got, "udp 10.55.0.2 > 192.0.2.80 9") {
		t.Errorf("open by choice lets out only %q", got)
	}
	if got := l.leaks(l.box, own()); len(got) < 8 {
		t.Errorf("open by choice lets out of the machine's own only %q", got)
	}
	if s = l.settle(s, Ask{Close: true}); s.Status != Armed {
		t.Fatalf("it is %+v", s)
	}
	l.closed("closed again")
	l.through("closed again")
}

// The start: while clock and tunnel are not there, exactly the chosen servers may be asked.
func TestStart(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.tunnelGone()
	l.tunnel = TunnelState{}
	servers := []probe{{kind: "udp", to: "192.0.2.53", port: 53}, {kind: "tcp", to: "192.0.2.53", port: 53}, {kind: "udp", to: "192.0.2.123", port: 123},
		{kind: "udp", to: "192.0.2.54", port: 53}, {kind: "udp", to: "192.0.2.124", port: 123}, {kind: "udp", to: "192.0.2.123", port: 53}}
	const dns, tcp, ntp = "udp 198.51.100.2 > 192.0.2.53 53", "tcp 198.51.100.2 > 192.0.2.53 53", "udp 198.51.100.2 > 192.0.2.123 123"
	check := func(when string, want ...string) {
		t.Helper()
		if got := l.leaks(l.box, servers); !slices.Equal(got, want) {
			t.Errorf("%s: %q leave, want %q", when, got, want)
		}
		if got := l.leaks(l.client, []probe{servers[0], servers[2]}); len(got) > 0 {
			t.Errorf("%s: a client may ask them too: %q", when, got)
		}
	}
	s := l.settle(State{}, Ask{})
	check("at the start", tcp, ntp, dns)
	l.synchronised = true
	s = l.settle(s, Ask{})
	check("the clock is right", tcp, dns)
	l.tunnel = TunnelState{Present: true, Up: true, Fresh: true}
	s = l.settle(s, Ask{})
	check("and the tunnel is up")
	l.tunnel.Fresh = false
	s = l.settle(s, Ask{})
	check("its peer is silent", tcp, dns)
	l.synchronised = false
	l.settle(s, Ask{})
	check("the clock is lost", tcp, ntp, dns)
}

// What gives a link its addresses goes on while nothing else does: DHCP of both families by plain
// sockets, and neighbour discovery, without which the endpoint would not be reached.
func TestTheLinkLives(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.settle(State{}, Ask{})
	l.box.Sh("ip neigh flush dev wlan0 nud permanent\nip neigh flush dev wlan0")
	l.box.Do(func() {
		for _, p := range []probe{
			{kind: "udp", to: "255.255.255.255", port: 67, sport: 68, dev: "wlan0"}, {kind: "udp", to: "255.255.255.255", port: 67, sport: 1068, dev: "wlan0"},
			{kind: "udp", to: "255.255.255.255", port: 9, sport: 68, dev: "wlan0"},
			{kind: "udp", to: "ff02::1:2", port: 547, sport: 546, dev: "wlan0"}, {kind: "udp", to: "ff02::1:2", port: 547, sport: 1546, dev: "wlan0"}, {kind: "udp", to: target6, port: 547, sport: 546, dev: "wlan0"},
			{kind: "udp", to: "224.0.0.251", port: 5353, dev: "wlan0"}, {kind: "udp", to: "ff02::fb", port: 5353, dev: "wlan0"},
		} {
			_ = p.send()
		}
	})
	const last = "the endpoint has been found"
	l.box.Do(func() { _ = probe{kind: "udp", to: endpoint6, port: 51820, mark: labMark, text: last}.send() })
	var got []string
	for _, g := range l.out.until(last) {
		kind, rest, _ := strings.Cut(g, " ")
		_, to, _ := strings.Cut(rest, "> ")
		got = append(got, kind+" "+to)
	}
	if want := []string{"udp 255.255.255.255 67", "udp ff02::1:2 547"}; !slices.Equal(got, want) {
		t.Errorf("%q leave, want %q", got, want)
	}
}

// A chain that marks in output reroutes packets after the guard's output chain has seen the tunnel as
// their device: only the chain in postrouting sees where they really go.
func TestReroutedPacketsAreHeld(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.settle(State{}, Ask{})
	l.box.Sh("nft add table inet foreign\nnft add chain inet foreign out { type route hook output priority mangle ; }\nnft add rule inet foreign out udp dport 9 meta mark set 0x2a0000")
	if got := l.leaks(l.box, own()); len(got) > 0 {
		t.Errorf("rerouted packets leak: %q", got)
	}
	l.box.Sh("nft flush chain inet provision guard-post")
	if got := l.leaks(l.box, own()); !slices.Contains(got, "udp 10.66.0.2 > 192.0.2.80 9") {
		t.Errorf("without the chain in postrouting they do not leak: it proves nothing; seen %q", got)
	}
}

// Whom the box answers, and who answers for it.
func TestWhoMayReachTheBox(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) {
		c.LAN, c.LocalDNS, c.ManageFrom = "block", "redirect", []string{"198.51.100.1", "2001:db8:1::/64"}
	})
	l.settle(State{}, Ask{})
	l.net.Sh("ip addr add 198.51.100.9/24 dev up0\nip route add 10.55.0.0/24 via 198.51.100.2")
	ssh, dns4, dns6 := l.listen("tcp", "[::]:22"), l.listen("udp4", "0.0.0.0:53"), l.listen("udp6", "[::]:53")
	for _, tc := range []struct {
		from *nstest.NS
		p    probe
		at   func() bool
		want bool
	}{
		{l.client, probe{kind: "udp", to: "192.0.2.99", port: 53, text: "a"}, dns4, true},
		{l.client, probe{kind: "udp", to: "2001:db8:99::99", port: 53, text: "a"}, dns6, true},
		{l.client, probe{kind: "udp", to: "10.55.0.1", port: 53, text: "a"}, dns4, true},
		{l.client, probe{kind: "tcp", to: "10.55.0.1", port: 22}, ssh, false},
		{l.client, probe{kind: "tcp", to: "fd55::1", port: 22}, ssh, false},
		{l.net, probe{kind: "tcp", to: "198.51.100.2", port: 22}, ssh, true},
		{l.net, probe{kind: "tcp", to: "2001:db8:1::2", port: 22}, ssh, true},
	} {
		var err error
		tc.from.Do(func() { err = tc.p.talk() })
		if got := err == nil && tc.at(); got != tc.want {
			t.Errorf("%s to %s port %d: reached %v (%v), want %v", tc.p.kind, tc.p.to, tc.p.port, got, err, tc.want)
		}
	}
	// From another address of the network the answers do not leave.
	var err error
	l.net.Do(func() { err = probe{kind: "tcp", to: "198.51.100.2", port: 22, from: "198.51.100.9"}.talk() })
	if err == nil {
		t.Error("an address that is not in manage-from reached the box")
	}
	if got := l.leaks(l.box, []probe{{kind: "tcp", to: "198.51.100.1", port: 22, dev: "wlan0"}, {kind: "udp", to: "2001:db8:1::1", port: 9}}); slices.ContainsFunc(got, func(g string) bool { return strings.HasSuffix(g, " 22") || strings.HasSuffix(g, " 9") }) {
		t.Errorf("manage-from lets the box begin: %q", got)
	}
	if out, err := l.client.Try("ping -c1 -W2 10.55.0.1"); err != nil {
		t.Errorf("a client cannot ping the box: %s", out)
	}
}
