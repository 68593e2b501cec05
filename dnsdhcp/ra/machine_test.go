package ra

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// world drives a machine through virtual time.
type world struct {
	t     *testing.T
	m     *Machine
	start clock.Instant
	now   clock.Instant
	log   []sentAt
}

type sentAt struct {
	at clock.Instant
	Send
}

// newWorld uses half of each random range.
func newWorld(t *testing.T) *world {
	start := clock.Instant(time.Hour)
	return &world{t: t, m: NewMachine(func(d time.Duration) time.Duration { return d / 2 }), start: start, now: start}
}

// run lets d pass and returns what was sent in it.
func (w *world) run(d time.Duration) []sentAt {
	w.t.Helper()
	end := w.now.Add(d)
	from := len(w.log)
	for steps := 0; ; steps++ {
		if steps > 1_000_000 {
			w.t.Fatalf("at %v the machine does not come to rest: wake %v", w.now, w.m.Wake())
		}
		for _, s := range w.m.Poll(w.now) {
			w.log = append(w.log, sentAt{w.now, s})
		}
		next := w.m.Wake()
		if next > end {
			break
		}
		if next < w.now {
			w.t.Fatalf("the machine wakes in the past: %v, now %v", next, w.now)
		}
		w.now = next
	}
	w.now = end
	return w.log[from:]
}

// times tells when things were sent, since the start, and to whom if not to all.
func (w *world) times(list []sentAt) string {
	var out []string
	for _, s := range list {
		at := fmt.Sprint(time.Duration(s.at - w.start))
		if s.To != allNodes {
			at += ">" + s.To.String()
		}
		out = append(out, at)
	}
	return strings.Join(out, " ")
}

func (w *world) wantTimes(list []sentAt, want string) {
	w.t.Helper()
	if got := w.times(list); got != want {
		w.t.Errorf("sent at %s\nwant    %s", got, want)
	}
}

// lastMessage is what was sent last.
func (w *world) lastMessage() Message {
	w.t.Helper()
	if len(w.log) == 0 {
		w.t.Fatal("nothing was sent")
	}
	return w.log[len(w.log)-1].Message
}

func testConfig() Config {
	c := Default()
	return c
}

func addr(at clock.Instant, s string, preferred, valid time.Duration) link.Addr {
	return link.Addr{Prefix: netip.MustParsePrefix(s), Preferred: preferred, Valid: valid, At: at}
}

var ll = link.Addr{Prefix: netip.MustParsePrefix("fe80::1/64"), Preferred: Infinite, Valid: Infinite}

func usb0(addrs ...link.Addr) link.Link {
	return link.Link{Name: "usb0", Index: 7, MAC: []byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Up: true, Carrier: true, Addrs: append([]link.Addr{ll}, addrs...)}
}

var static = addr(0, "fd00:0:0:1::1/64", Infinite, Infinite)

// started is a world that has sent its first burst and rests.
func started(t *testing.T, c Config, l link.Link, u Uplink) *world {
	w := newWorld(t)
	w.m.SetUplink(w.now, u)
	w.m.SetConfig(w.now, c)
	w.m.SetLink(w.now, l)
	w.run(time.Minute)
	return w
}

func TestFirstAdvertisements(t *testing.T) {
	w := newWorld(t)
	w.m.SetConfig(w.now, testConfig())
	w.wantTimes(w.run(time.Second), "") // no link yet
	tentative := ll
	tentative.Tentative = true
	l := usb0()
	l.Addrs = []link.Addr{tentative}
	w.m.SetLink(w.now, l)
	w.wantTimes(w.run(time.Second), "") // nobody's address yet
	w.m.SetLink(w.now, usb0(static))
	w.wantTimes(w.run(1000*time.Second), "2s 18s 34s 7m14s 13m54s")
	whys := []string{}
	for _, s := range w.log {
		whys = append(whys, s.Why)
		if s.Src != ip("fe80::1") {
			t.Errorf("from %v", s.Src)
		}
	}
	if want := []string{"initial", "initial", "initial", "periodic", "periodic"}; !slices.Equal(whys, want) {
		t.Errorf("because %v, want %v", whys, want)
	}
}

// A host that tries its USB link before it uses it: nothing is sent into the try, and who solicits is answered soon.
func TestLinkIsTried(t *testing.T) {
	on, off := usb0(static), usb0(static)
	off.Carrier = false
	w := started(t, testConfig(), off, Uplink{})
	w.log, w.start = nil, w.now
	for range 3 {
		w.m.SetLink(w.now, on)
		w.wantTimes(w.run(4*time.Millisecond), "")
		w.m.SetLink(w.now, off)
		w.wantTimes(w.run(4*time.Millisecond), "")
	}
	w.m.SetLink(w.now, on)
	w.wantTimes(w.run(time.Second), "124ms")
}

func TestLinkComesAndGoes(t *testing.T) {
	w := started(t, testConfig(), usb0(static), Uplink{})
	w.log = nil
	w.start = w.now
	down := usb0(static)
	down.Carrier = false
	w.m.SetLink(w.now, down)
	w.wantTimes(w.run(time.Hour), "")
	w.m.SetLink(w.now, usb0(static))
	w.wantTimes(w.run(time.Minute), "1h0m0.1s 1h0m16.1s 1h0m32.1s")
	w.m.SetLink(w.now, link.Link{Name: "usb0"})
	w.wantTimes(w.run(time.Second), "")
	again := usb0(static)
	again.Index = 8
	w.m.SetLink(w.now, again)
	w.wantTimes(w.run(time.Minute), "1h1m1s 1h1m17s 1h1m33s")
	// A link that flaps is still bound by the spacing; one that was made anew is not.
	again.Carrier = false
	w.m.SetLink(w.now, again)
	again.Carrier = true
	w.m.SetLink(w.now, again)
	w.run(0)
	for range 10 {
		again.Carrier = false
		w.m.SetLink(w.now, again)
		w.run(100 * time.Millisecond)
		again.Carrier = true
		w.m.SetLink(w.now, again)
		w.run(100 * time.Millisecond)
	}
	w.wantTimes(w.run(2*time.Second), "1h2m4.2s")
	again.Index = 9
	w.m.SetLink(w.now, again)
	w.wantTimes(w.run(0), "1h2m5s")
}

func TestSolicited(t *testing.T) {
	w := started(t, testConfig(), usb0(static), Uplink{})
	w.log, w.start = nil, w.now
	ask := func(from string) string {
		t.Helper()
		_, reason := w.m.Solicit(w.now, ip(from))
		return reason
	}
	if r := ask("fe80::a"); r != ReasonUnicast {
		t.Error(r)
	}
	if r := ask("fe80::a"); r != ReasonPending {
		t.Error(r)
	}
	if r := ask("fd00:0:0:1::b"); r != ReasonUnicast {
		t.Error(r)
	}
	w.wantTimes(w.run(time.Second), "250ms>fd00:0:0:1::b 250ms>fe80::a")
	// Asked again after a second, one is answered a second after the last answer.
	if r := ask("fe80::a"); r != ReasonUnicast {
		t.Error(r)
	}
	w.wantTimes(w.run(time.Second), "1.25s>fe80::a")
	// Without an address, and from elsewhere: all are told, once.
	for range 100 {
		if r := ask("::"); r != ReasonNoSource {
			t.Error(r)
		}
		if r := ask("2001:db8::1"); r != ReasonOffLink {
			t.Error(r)
		}
	}
	w.wantTimes(w.run(time.Second), "2.25s")
	ask("::")
	w.wantTimes(w.run(5*time.Second), "5.25s") // three seconds after the last one
	for _, s := range w.log {
		if s.Why != BecauseSolicited {
			t.Errorf("%+v", s)
		}
	}
}

func TestSolicitationFlood(t *testing.T) {
	w := started(t, testConfig(), usb0(static), Uplink{})
	w.log, w.start = nil, w.now
	for i := range 10_000 { // ten seconds of a thousand a second, each from another address
		a := ip("fe80::").As16()
		a[14], a[15] = byte(i>>8), byte(i)
		w.m.Solicit(w.now, netip.AddrFrom16(a))
		w.run(time.Millisecond)
		if len(w.m.askers.m) > maxAskers {
			t.Fatalf("%d askers are remembered", len(w.m.askers.m))
		}
	}
	w.run(3 * time.Second)
	all, alone := 0, 0
	for _, s := range w.log {
		if s.To == allNodes {
			all++
		} else {
			alone++
		}
	}
	if all > 5 || all < 3 || alone > 5*maxInWindow {
		t.Errorf("%d to all, %d to one", all, alone)
	}
	// Who asks after it is answered alone again.
	if _, r := w.m.Solicit(w.now, ip("fe80::cafe:1")); r != ReasonUnicast {
		t.Error(r)
	}
}

func TestStop(t *testing.T) {
	c := testConfig()
	c.Search, c.Routes, c.NAT64 = []string{"lab.example"}, []Route{{Prefix: pfx("fd00::/48"), Lifetime: Auto}}, []netip.Prefix{pfx("64:ff9b::/96")}
	c.CaptivePortal = Unrestricted
	w := started(t, c, usb0(static), Uplink{true, true})
	if m := w.lastMessage(); m.RouterLifetime != 30*time.Minute || m.Routes[0].Lifetime != 30*time.Minute || m.DNS[0].Lifetime != 30*time.Minute {
		t.Errorf("%+v", m)
	}
	w.log, w.start = nil, w.now
	w.m.Solicit(w.now, ip("fe80::a"))
	w.m.Stop(w.now)
	w.m.SetConfig(w.now, c)
	w.m.SetLink(w.now, usb0(static))
	w.m.SetUplink(w.now, Uplink{})
	w.wantTimes(w.run(time.Hour), "0s 400ms 800ms")
	if !w.m.Done() {
		t.Error("not done")
	}
	for _, s := range w.log {
		m := s.Message
		if m.RouterLifetime != 0 || m.DNS[0].Lifetime != 0 || m.Search[0].Lifetime != 0 || m.Routes[0].Lifetime != 0 ||
			m.NAT64[0].Lifetime != 0 || m.CaptivePortal != "" || s.Why != BecauseFinal {
			t.Errorf("%+v", m)
		}
		if len(m.Prefixes) != 1 || m.Prefixes[0].Valid != 90*time.Minute || m.Prefixes[0].Preferred != 45*time.Minute {
			t.Errorf("prefixes are taken away: %+v", m.Prefixes)
		}
	}
	// Nobody who never heard us needs to be told.
	silent := newWorld(t)
	silent.m.SetConfig(silent.now, c)
	silent.m.Stop(silent.now)
	if !silent.m.Done() || len(silent.run(time.Minute)) > 0 {
		t.Error("a machine without a link says goodbye")
	}
	// Nor who has a link on which nothing has been said yet.
	early := newWorld(t)
	early.m.SetConfig(early.now, c)
	early.m.SetLink(early.now, usb0(static))
	early.m.Stop(early.now)
	if !early.m.Done() || len(early.run(time.Minute)) > 0 {
		t.Error("a machine that has said nothing says goodbye")
	}
	gone := started(t, c, usb0(static), Uplink{})
	gone.log = nil
	gone.m.Stop(gone.now)
	gone.run(0)
	gone.m.SetLink(gone.now, link.Link{Name: "usb0"})
	if !gone.m.Done() || gone.m.Wake() != clock.Never {
		t.Error("waits for a link that is gone")
	}
	gone.m.SetLink(gone.now, usb0(static))
	if !gone.m.Done() || len(gone.run(time.Minute)) > 0 {
		t.Error("begins anew after the end")
	}
}

func TestReloadWithdrawsNothing(t *testing.T) {
	c := testConfig()
	w := started(t, c, usb0(static), Uplink{true, true})
	before := w.lastMessage()
	w.log, w.start = nil, w.now
	w.m.SetConfig(w.now, c)
	w.wantTimes(w.run(time.Minute), "") // nothing new
	c.HopLimit = 63
	w.m.SetConfig(w.now, c)
	w.wantTimes(w.run(time.Minute), "1m0s 1m16s 1m32s")
	before.HopLimit = 63
	for _, s := range w.log {
		if fmt.Sprint(s.Message) != fmt.Sprint(before) {
			t.Errorf("%+v", s.Message)
		}
	}
}

func TestUplink(t *testing.T) {
	c := testConfig()
	w := newWorld(t)
	w.m.SetConfig(w.now, c)
	w.m.SetLink(w.now, usb0(static))
	lifetime := func(want time.Duration) {
		t.Helper()
		if got := w.lastMessage().RouterLifetime; got != want {
			t.Errorf("at %v: router lifetime %v, want %v", time.Duration(w.now-w.start), got, want)
		}
	}
	w.run(time.Minute)
	lifetime(0) // nobody has said yet that there is an uplink
	w.m.SetUplink(w.now, Uplink{true, true})
	w.run(0)
	lifetime(30 * time.Minute) // the first word counts at once
	w.run(time.Minute)
	w.log, w.start = nil, w.now
	// Lost and back within a second: nothing happens.
	w.m.SetUplink(w.now, Uplink{false, true})
	w.run(900 * time.Millisecond)
	w.m.SetUplink(w.now, Uplink{true, true})
	w.wantTimes(w.run(time.Minute), "")
	w.log, w.start = nil, w.now
	w.m.SetUplink(w.now, Uplink{false, true})
	w.wantTimes(w.run(40*time.Second), "1s 17s 33s")
	lifetime(0)
	w.log, w.start = nil, w.now
	// Forwarding that flaps does not hide that the route is back.
	w.m.SetUplink(w.now, Uplink{true, true})
	for i := range 10 {
		w.m.SetUplink(w.now, Uplink{true, i%2 == 1})
		w.run(500 * time.Millisecond)
	}
	w.run(40 * time.Second)
	w.wantTimes(w.log, "5s 21s 37s")
	lifetime(30 * time.Minute)
	// A fixed lifetime does not need a route, but forwarding.
	c.RouterLifetime = 1000 * time.Second
	w.m.SetConfig(w.now, c)
	w.m.SetUplink(w.now, Uplink{false, true})
	w.run(time.Minute)
	lifetime(1000 * time.Second)
	w.m.SetUplink(w.now, Uplink{true, false})
	w.run(time.Minute)
	lifetime(0)
	c.RouterLifetime = 0
	w.m.SetConfig(w.now, c)
	w.m.SetUplink(w.now, Uplink{true, true})
	w.run(time.Minute)
	lifetime(0)
}

// TestGadget: routes to a lab, but no way out is offered to the host.
func TestGadget(t *testing.T) {
	c := testConfig()
	c.Routes = []Route{{Prefix: pfx("fd00:1ab::/32"), Preference: Low, Lifetime: Auto}}
	w := started(t, c, usb0(static), Uplink{Forwarding: true})
	m := w.lastMessage()
	if m.RouterLifetime != 0 || len(m.Routes) != 1 || m.Routes[0] != (Route{pfx("fd00:1ab::/32"), Low, 30 * time.Minute}) {
		t.Errorf("%+v", m)
	}
	w.m.SetUplink(w.now, Uplink{})
	w.run(time.Minute)
	if m := w.lastMessage(); m.Routes[0].Lifetime != 0 {
		t.Errorf("routes lead into a machine that does not forward: %+v", m)
	}
	// A route that is no more is taken back until hosts have forgotten it, not longer.
	w.m.SetUplink(w.now, Uplink{Forwarding: true})
	w.run(time.Minute)
	c.Routes = nil
	w.m.SetConfig(w.now, c)
	w.run(time.Minute)
	if m := w.lastMessage(); len(m.Routes) != 1 || m.Routes[0].Lifetime != 0 {
		t.Errorf("%+v", m.Routes)
	}
	w.run(time.Hour)
	if m := w.lastMessage(); len(m.Routes) != 0 {
		t.Errorf("%+v", m.Routes)
	}
}

func TestMTU(t *testing.T) {
	for _, c := range []struct {
		config uint32
		link   int
		want   uint32
	}{{0, 1500, 0}, {MTUOfLink, 1500, 1500}, {1400, 1500, 1400}, {9000, 1500, 1500}, {MTUOfLink, 1279, 0}, {MTUOfLink, 0, 0}, {1280, 0, 1280}} {
		cfg := testConfig()
		cfg.MTU = c.config
		l := usb0(static)
		l.MTU = c.link
		w := started(t, cfg, l, Uplink{})
		if got := w.lastMessage().MTU; got != c.want {
			t.Errorf("%d on a link of %d: %d, want %d", c.config, c.link, got, c.want)
		}
	}
}

func TestResolver(t *testing.T) {
	temporary := addr(0, "fd00:0:0:1::aaaa/64", Infinite, Infinite)
	temporary.Temporary = true
	tentative := addr(0, "fd00:0:0:1::1/64", Infinite, Infinite)
	tentative.Tentative = true
	for _, c := range []struct {
		addrs []link.Addr
		want  string
	}{
		{nil, "fe80::1"},
		{[]link.Addr{addr(0, "10.0.0.1/24", Infinite, Infinite)}, "fe80::1"},
		{[]link.Addr{addr(0, "2001:db8::1/64", Infinite, Infinite), temporary, tentative}, "2001:db8::1"},
		{[]link.Addr{addr(0, "2001:db8::1/64", Infinite, Infinite), static}, "fd00:0:0:1::1"},
	} {
		w := started(t, testConfig(), usb0(c.addrs...), Uplink{})
		if got := w.lastMessage().DNS; len(got) != 1 || got[0].Addr != ip(c.want) || got[0].Lifetime != 30*time.Minute {
			t.Errorf("%v: %v", c, got)
		}
	}
	// A resolver that is no more ours is taken back at once.
	w := started(t, testConfig(), usb0(static), Uplink{})
	w.m.SetLink(w.now, usb0())
	w.run(3 * time.Second)
	if got := w.lastMessage().DNS; len(got) != 2 || got[0].Addr != ip("fe80::1") || got[1] != (DNS{ip("fd00:0:0:1::1"), 0}) {
		t.Errorf("%v", got)
	}
}

func TestUnsent(t *testing.T) {
	w := newWorld(t)
	w.m.SetConfig(w.now, testConfig())
	w.m.SetLink(w.now, usb0(static))
	w.run(0)
	w.m.Unsent(w.now)
	w.wantTimes(w.run(time.Minute), "3s 19s 35s")
}
