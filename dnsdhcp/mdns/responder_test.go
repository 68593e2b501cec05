package mdns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// bench is a Responder on a link of two families with a clock.
type bench struct {
	*Responder
	t     testing.TB
	now   clock.Instant
	notes []trace.Entry
}

func (b *bench) Record(e trace.Entry) { b.notes = append(b.notes, e) }

func (b *bench) reason() string {
	if len(b.notes) == 0 {
		return ""
	}
	return b.notes[len(b.notes)-1].Reason
}

func state(addrs ...string) State {
	s := State{Up: true}
	for _, a := range addrs {
		p := netip.MustParsePrefix(a)
		s.Addrs = append(s.Addrs, link.Addr{Prefix: p})
		s.Machine = append(s.Machine, p.Addr())
	}
	return s
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, now: clock.Instant(time.Hour)}
	r, err := New(Config{Link: "usb0", Name: "pi", Services: []Service{SSH(22)}, Trace: b, Rand: func(time.Duration) time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	b.Responder = r
	return b
}

// up brings it to running, three seconds later.
func up(t testing.TB) *bench {
	b := newBench(t)
	b.Link(b.now, state("10.0.0.1/24", "fe80::1/64"))
	b.pass(4 * time.Second)
	if !b.Ready() || b.Next() != clock.Never {
		t.Fatal("not running")
	}
	return b
}

// pass lets time go by and returns what was sent, with the time of each.
func (b *bench) pass(d time.Duration) (out []string) {
	end := b.now.Add(d)
	for b.Next() <= end {
		b.now = max(b.now, b.Next())
		before := b.Next()
		for _, m := range b.Wake(b.now) {
			out = append(out, fmt.Sprintf("%dms %s", b.now.Sub(clock.Instant(time.Hour)).Milliseconds(), text(b.t, m)))
		}
		if b.Next() == before {
			b.t.Fatal("does not go on")
		}
	}
	b.now = end
	return out
}

func rrText(rr dns.RR) string {
	h := *rr.Header()
	flush := ""
	if h.Class&flushBit != 0 {
		flush = "!"
	}
	c := dns.Copy(rr)
	c.Header().Class &^= flushBit
	f := strings.Fields(c.String())
	return fmt.Sprintf("%s %s%s %d %s", h.Name, f[3], flush, h.Ttl, strings.Join(f[4:], " "))
}

// text is a message in one line. It goes through the codec, as a receiver would have it.
func text(t testing.TB, d Datagram) string {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(d.Data); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "> %s", d.Peer)
	if m.Id != 0 {
		fmt.Fprintf(&b, " id %d", m.Id)
	}
	for _, q := range m.Question {
		qu := ""
		if q.Qclass&flushBit != 0 {
			qu = "?"
		}
		fmt.Fprintf(&b, " [%s %s%s]", q.Name, dns.TypeToString[q.Qtype], qu)
	}
	for i, s := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		if len(s) > 0 {
			b.WriteString(" " + []string{"an", "ns", "ar"}[i])
		}
		for _, rr := range s {
			b.WriteString(" {" + rrText(rr) + "}")
		}
	}
	return b.String()
}

type option func(*dns.Msg, *Datagram)

func qu(m *dns.Msg, _ *Datagram) {
	for i := range m.Question {
		m.Question[i].Qclass |= flushBit
	}
}
func truncated(m *dns.Msg, _ *Datagram) { m.Truncated = true }

func from(peer string) option {
	return func(_ *dns.Msg, d *Datagram) { d.Peer = netip.MustParseAddrPort(peer) }
}

func to(local string) option {
	return func(_ *dns.Msg, d *Datagram) { d.Local = netip.MustParseAddr(local) }
}

func rr(t testing.TB, s string) dns.RR {
	t.Helper()
	x, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func knows(t testing.TB, s string) option {
	return func(m *dns.Msg, _ *Datagram) { m.Answer = append(m.Answer, rr(t, s)) }
}

func wants(t testing.TB, s string) option {
	return func(m *dns.Msg, _ *Datagram) { m.Ns = append(m.Ns, rr(t, s)) }
}

func packet(t testing.TB, m *dns.Msg, opts ...option) Datagram {
	t.Helper()
	d := Datagram{Peer: netip.MustParseAddrPort("10.0.0.9:5353"), Local: Group4.Addr()}
	for _, o := range opts {
		o(m, &d)
	}
	if d.Peer.Addr().Is6() && d.Local == Group4.Addr() {
		d.Local = Group6.Addr()
	}
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	d.Data = wire
	return d
}

// ask sends one question ("name TYPE") and returns what is sent at once.
func (b *bench) ask(q string, opts ...option) (out []string) {
	b.t.Helper()
	m := new(dns.Msg)
	if q != "" {
		name, typ, _ := strings.Cut(q, " ")
		m.Question = []dns.Question{{Name: name, Qtype: dns.StringToType[typ], Qclass: dns.ClassINET}}
	}
	for _, d := range b.Receive(b.now, packet(b.t, m, opts...)) {
		out = append(out, text(b.t, d))
	}
	return out
}

// say is another responder's answer.
func (b *bench) say(s string, opts ...option) (out []string) {
	b.t.Helper()
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}, Answer: []dns.RR{rr(b.t, s)}}
	for _, d := range b.Receive(b.now, packet(b.t, m, opts...)) {
		out = append(out, text(b.t, d))
	}
	return out
}

func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const (
	arpa4 = "1.0.0.10.in-addr.arpa."
	arpa6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa."
	hostA = "{pi.local. A! 120 10.0.0.1}"
	host6 = "{pi.local. AAAA! 120 fe80::1}"
	srv   = "{pi._ssh._tcp.local. SRV! 120 0 0 22 pi.local.}"
	txt   = `{pi._ssh._tcp.local. TXT! 4500 ""}`
	ptr   = "{_ssh._tcp.local. PTR 4500 pi._ssh._tcp.local.}"
	meta  = "{_services._dns-sd._udp.local. PTR 4500 _ssh._tcp.local.}"
	all   = hostA + " {" + arpa4 + " PTR! 120 pi.local.} " + host6 + " {" + arpa6 + " PTR! 120 pi.local.} " + srv + " " + txt + " " + ptr + " " + meta
)

func TestProbeAndAnnounce(t *testing.T) {
	b := newBench(t)
	if b.Next() != clock.Never {
		t.Error("does something without a link")
	}
	same(t, "up", nil)
	if out := b.Link(b.now, state("10.0.0.1/24", "fe80::1/64")); out != nil {
		t.Error(out)
	}
	probe := " [pi.local. ANY?] [pi._ssh._tcp.local. ANY?] ns {pi.local. A 120 10.0.0.1} {pi.local. AAAA 120 fe80::1}" +
		` {pi._ssh._tcp.local. SRV 120 0 0 22 pi.local.} {pi._ssh._tcp.local. TXT 4500 ""}`
	var want []string
	for _, at := range []string{"0ms", "250ms", "500ms"} {
		want = append(want, at+" > 224.0.0.251:5353"+probe, at+" > [ff02::fb]:5353"+probe)
	}
	for _, at := range []string{"750ms", "1750ms"} {
		want = append(want, at+" > 224.0.0.251:5353 an "+all, at+" > [ff02::fb]:5353 an "+all)
	}
	same(t, "all", b.pass(time.Minute), want...)
}

func TestSilentWhileProbing(t *testing.T) {
	b := newBench(t)
	b.Link(b.now, state("10.0.0.1/24"))
	same(t, "answer", b.ask("pi.local. A"))
	if b.reason() != ReasonProbing {
		t.Error(b.reason())
	}
}

func TestAnswers(t *testing.T) {
	denyHost := "{pi.local. NSEC! 120 pi.local. A AAAA}"
	g := "> 224.0.0.251:5353 an "
	for q, want := range map[string]string{
		"pi.local. A":                       g + hostA + " ar " + host6,
		"PI.Local. AAAA":                    g + host6 + " ar " + hostA,
		"pi.local. ANY":                     g + hostA + " " + host6,
		"pi.local. HTTPS":                   g + denyHost,
		"pi.local. NSEC":                    g + denyHost,
		"pi._ssh._tcp.local. SRV":           g + srv + " ar " + hostA + " " + host6,
		"pi._ssh._tcp.local. TXT":           g + txt,
		"pi._ssh._tcp.local. A":             g + "{pi._ssh._tcp.local. NSEC! 4500 pi._ssh._tcp.local. TXT SRV}",
		arpa4 + " PTR":                      g + "{" + arpa4 + " PTR! 120 pi.local.}",
		arpa6 + " PTR":                      g + "{" + arpa6 + " PTR! 120 pi.local.}",
		"other.local. A":                    "",
		"_ssh._tcp.local. A":                "",
		"x.pi.local. A":                     "",
		"pi. A":                             "",
		"9.0.0.10.in-addr.arpa. PTR":        "",
		"_services._dns-sd._udp.local. TXT": "",
	} {
		b := up(t)
		if got := strings.Join(b.ask(q), "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", q, got, want)
		}
		if (want == "") != (b.reason() == ReasonNotOurs) {
			t.Errorf("%s: %s", q, b.reason())
		}
	}
}

func TestSharedAreDelayed(t *testing.T) {
	b := up(t)
	b.c.Rand = func(n time.Duration) time.Duration { return n - 1 }
	same(t, "at once", b.ask("_ssh._tcp.local. PTR"))
	same(t, "too early", b.pass(119*time.Millisecond))
	same(t, "later", b.pass(time.Millisecond), "4119ms > 224.0.0.251:5353 an "+ptr+" ar "+srv+" "+txt+" "+hostA+" "+host6)
	b = up(t)
	b.ask("_ssh._tcp.local. PTR")
	b.ask("_services._dns-sd._udp.local. PTR")
	b.ask("_ssh._tcp.local. PTR")
	same(t, "together, once", b.pass(time.Second), "4020ms > 224.0.0.251:5353 an "+ptr+" "+meta+" ar "+srv+" "+txt+" "+hostA+" "+host6)
}

func TestFamilies(t *testing.T) {
	b := up(t)
	same(t, "IPv6", b.ask("pi.local. A", from("[fe80::9]:5353")), "> [ff02::fb]:5353 an "+hostA+" ar "+host6)
	same(t, "IPv4 is not the same network", b.ask("pi.local. A"), "> 224.0.0.251:5353 an "+hostA+" ar "+host6)
}

func TestRate(t *testing.T) {
	b := up(t)
	if n := len(b.ask("pi.local. A")); n != 1 {
		t.Fatal(n)
	}
	b.now = b.now.Add(time.Second - 1)
	same(t, "again", b.ask("pi.local. A"))
	if b.reason() != ReasonRate {
		t.Error(b.reason())
	}
	b.now = b.now.Add(1)
	if n := len(b.ask("pi.local. A")); n != 1 {
		t.Error(n)
	}
	// A name must be defended sooner.
	b.now = b.now.Add(defenceGap)
	if got := strings.Join(b.ask("pi.local. ANY", wants(t, "pi.local. 120 IN A 10.0.0.9")), ""); !strings.Contains(got, " an "+hostA) {
		t.Error("not defended")
	}
	b.now = b.now.Add(defenceGap - 1)
	if n := len(b.ask("pi.local. ANY", wants(t, "pi.local. 120 IN A 10.0.0.9"))); n != 0 {
		t.Error("defended too often")
	}
}

// An answer that waits is not given when the same has been said meanwhile.
func TestRateOfWaiting(t *testing.T) {
	b := up(t)
	b.ask("pi.local. A", truncated)
	b.pass(100 * time.Millisecond)
	if n := len(b.ask("pi.local. A", from("10.0.0.8:5353"))); n != 1 {
		t.Error(n)
	}
	same(t, "again", b.pass(time.Second))
}

func TestUnicast(t *testing.T) {
	b := up(t)
	same(t, "QU, said lately", b.ask("pi.local. A", qu), "> 10.0.0.9:5353 an "+hostA+" ar "+host6)
	b.now = b.now.Add(31 * time.Second)
	same(t, "QU, said long ago", b.ask("pi.local. A", qu), "> 224.0.0.251:5353 an "+hostA+" ar "+host6)
	same(t, "to our address", b.ask("pi.local. A", to("10.0.0.1")), "> 10.0.0.9:5353 an "+hostA+" ar "+host6)
	sent := 0
	for range 3 * unicastRate {
		sent += len(b.ask("pi.local. A", qu))
	}
	if sent > unicastRate {
		t.Error(sent)
	}
}

func TestLegacy(t *testing.T) {
	id := func(m *dns.Msg, _ *Datagram) { m.Id = 77 }
	for q, want := range map[string]string{
		"pi.local. A":          "> 10.0.0.9:40000 id 77 [pi.local. A] an {pi.local. A 10 10.0.0.1}",
		"Pi.local. ANY":        "> 10.0.0.9:40000 id 77 [Pi.local. ANY] an {pi.local. A 10 10.0.0.1} {pi.local. AAAA 10 fe80::1}",
		"pi.local. MX":         "> 10.0.0.9:40000 id 77 [pi.local. MX] ns {pi.local. NSEC 10 pi.local. A AAAA}",
		"_ssh._tcp.local. PTR": "> 10.0.0.9:40000 id 77 [_ssh._tcp.local. PTR] an {_ssh._tcp.local. PTR 10 pi._ssh._tcp.local.}",
		"other.local. A":       "",
	} {
		b := up(t)
		if got := strings.Join(b.ask(q, from("10.0.0.9:40000"), id), "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", q, got, want)
		}
	}
	b := up(t)
	m := new(dns.Msg).SetQuestion("pi.local.", dns.TypeA)
	out := b.Receive(b.now, packet(t, m, from("10.0.0.9:40000"), to("10.0.0.1")))
	if len(out) != 1 || out[0].Local != netip.MustParseAddr("10.0.0.1") {
		t.Error("the answer comes from another address than was asked")
	}
}

func TestOffLink(t *testing.T) {
	b := up(t)
	for _, peer := range []string{"192.0.2.1:5353", "[2001:db8::1]:5353", "10.0.1.1:40000"} {
		same(t, peer, b.ask("pi.local. A", from(peer)))
		if b.reason() != ReasonOffLink {
			t.Error(peer, b.reason())
		}
		b.say("pi.local. 120 IN A 192.0.2.9", from(peer))
		if !b.Ready() {
			t.Fatal("believed " + peer)
		}
	}
	b.say("pi.local. 120 IN A 10.0.0.9", from("10.0.0.9:40000"))
	if !b.Ready() {
		t.Error("believed a response from another port")
	}
	same(t, "169.254/16 is everywhere", b.ask("pi.local. A", from("169.254.7.7:5353")), "> 224.0.0.251:5353 an "+hostA+" ar "+host6)
}

func TestKnownAnswers(t *testing.T) {
	b := up(t)
	same(t, "half", b.ask("pi.local. A", knows(t, "pi.local. 60 IN A 10.0.0.1")))
	if b.reason() != ReasonKnown {
		t.Error(b.reason())
	}
	same(t, "less", b.ask("pi.local. A", knows(t, "pi.local. 59 IN A 10.0.0.1")), "> 224.0.0.251:5353 an "+hostA+" ar "+host6)
	b = up(t)
	same(t, "other data", b.ask("pi.local. A", knows(t, "pi.local. 120 IN A 10.0.0.2")), "> 224.0.0.251:5353 an "+hostA+" ar "+host6)

	b = up(t)
	same(t, "more follow", b.ask("_ssh._tcp.local. PTR", truncated))
	b.pass(300 * time.Millisecond)
	b.ask("", knows(t, "_ssh._tcp.local. 4500 IN PTR pi._ssh._tcp.local."))
	same(t, "and the answer was among them", b.pass(time.Second))
	b.ask("_ssh._tcp.local. PTR", truncated)
	b.ask("", knows(t, "_ssh._tcp.local. 4500 IN PTR pi._ssh._tcp.local."), from("10.0.0.8:5353"))
	if n := len(b.pass(time.Second)); n != 1 {
		t.Error("somebody else knew it")
	}
}

func TestConflictWhileProbing(t *testing.T) {
	b := newBench(t)
	b.Link(b.now, state("10.0.0.1/24"))
	b.pass(300 * time.Millisecond)
	b.say("pi.local. 120 IN A 10.0.0.1") // the same
	b.say("pi.local. 0 IN A 10.0.0.9")   // goodbye
	b.say("pi2.local. 120 IN A 10.0.0.9")
	b.say("pi.local. 120 IN A 10.0.0.9", from("10.0.0.1:5353")) // our own
	if b.Name() != "pi.local." {
		t.Fatal(b.Name())
	}
	b.say("PI.local. 120 IN AAAA fe80::9")
	if b.Name() != "pi-2.local." {
		t.Fatal(b.Name())
	}
	b.pass(time.Second)
	if !b.Ready() {
		t.Fatal("not ready")
	}
	same(t, "the new name", b.ask("pi._ssh._tcp.local. SRV", qu),
		"> 10.0.0.9:5353 an {pi._ssh._tcp.local. SRV! 120 0 0 22 pi-2.local.} ar {pi-2.local. A! 120 10.0.0.1} {pi-2.local. NSEC! 120 pi-2.local. A}")
	same(t, "the old one", b.ask("pi.local. A"))
	// Only the service is lost.
	b.say("pi._ssh._tcp.local. 120 IN SRV 0 0 22 other.local.")
	if b.Ready() || b.Name() != "pi-2.local." {
		t.Fatal(b.Ready(), b.Name())
	}
	same(t, "the instance is taken back", b.say("pi._ssh._tcp.local. 120 IN SRV 0 0 22 other.local."),
		"> 224.0.0.251:5353 an {_ssh._tcp.local. PTR 0 pi._ssh._tcp.local.}")
	b.pass(4 * time.Second)
	b.ask("_ssh._tcp.local. PTR")
	got := strings.Join(b.pass(time.Second), "\n")
	if !strings.Contains(got, "PTR 4500 pi-2._ssh._tcp.local.") {
		t.Error(got)
	}
}

func TestConflictLater(t *testing.T) {
	b := up(t)
	b.say("pi.local. 120 IN A 10.0.0.9")
	if b.Ready() || b.Name() != "pi.local." {
		t.Fatal("the name is not asked for again")
	}
	b.pass(time.Second)
	if !b.Ready() || b.Name() != "pi.local." {
		t.Fatal("nobody insisted, yet the name is lost")
	}
	b.say("pi.local. 120 IN A 10.0.0.9")
	b.pass(100 * time.Millisecond)
	b.say("pi.local. 120 IN A 10.0.0.9")
	if b.Name() != "pi-2.local." {
		t.Fatal(b.Name())
	}
}

// Who answers every probe cannot make us probe without end at full speed (RFC 6762 section 8.1).
func TestConflictFlood(t *testing.T) {
	b := newBench(t)
	b.Link(b.now, state("10.0.0.1/24"))
	sent := 0
	for range 60_000 / 50 {
		sent += len(b.pass(50 * time.Millisecond))
		b.say(b.Name() + " 120 IN A 10.0.0.9")
	}
	// 15 at once, then one in five seconds.
	if sent > 15+60/5+5 {
		t.Errorf("%d probes in a minute", sent)
	}
	if len(b.conflicts) > conflictLimit {
		t.Error(len(b.conflicts))
	}
}

func TestTiebreak(t *testing.T) {
	for theirs, wins := range map[string]bool{
		"10.0.0.0": true, "10.0.0.1": true, "10.0.0.2": false,
	} {
		b := newBench(t)
		b.Link(b.now, state("10.0.0.1/24"))
		b.pass(300 * time.Millisecond)
		b.ask("pi.local. ANY", wants(t, "pi.local. 120 IN A "+theirs))
		if got := b.Next() <= b.now.Add(probeInterval); got != wins {
			t.Errorf("%s: goes on %v, want %v", theirs, got, wins)
		}
		if b.Name() != "pi.local." {
			t.Error("renamed without need")
		}
	}
	// One record more wins.
	b := newBench(t)
	b.Link(b.now, state("10.0.0.1/24"))
	b.pass(300 * time.Millisecond)
	b.ask("pi.local. ANY", wants(t, "pi.local. 120 IN A 10.0.0.1"), wants(t, "pi.local. 120 IN AAAA fe80::9"))
	if b.Next() != b.now.Add(tiebreakWait) {
		t.Error("did not wait a second")
	}
	same(t, "the example of RFC 6762 section 8.2.1", []string{fmt.Sprint(compareSets(
		[][]byte{data(rr(t, "m. A 169.254.99.200"))}, [][]byte{data(rr(t, "m. A 169.254.200.50"))}))}, "-1")
}

func TestGoodbye(t *testing.T) {
	b := up(t)
	var got []string
	for _, d := range b.Stop() {
		got = append(got, text(t, d))
	}
	bye := strings.NewReplacer("!", "", " 120 ", " 0 ", " 4500 ", " 0 ").Replace(all)
	same(t, "stop", got, "> 224.0.0.251:5353 an "+bye, "> [ff02::fb]:5353 an "+bye)
	same(t, "silence", b.ask("pi.local. A"))
	if b.Next() != clock.Never {
		t.Error("not at rest")
	}
	if out := newBench(t).Stop(); out != nil {
		t.Error("goodbye without a hello")
	}
}

func TestAddressesChange(t *testing.T) {
	b := up(t)
	var got []string
	for _, d := range b.Link(b.now, state("10.0.0.1/24", "10.0.0.7/24", "fe80::2/64")) {
		got = append(got, text(t, d))
	}
	bye := " an {pi.local. AAAA 0 fe80::1} {" + arpa6 + " PTR 0 pi.local.}"
	same(t, "taken back", got, "> 224.0.0.251:5353"+bye, "> [ff02::fb]:5353"+bye)
	got = b.pass(3 * time.Second)
	if len(got) != 4 || !strings.Contains(got[0], "{pi.local. A! 120 10.0.0.7}") || !strings.Contains(got[0], "{pi.local. AAAA! 120 fe80::2}") {
		t.Error(strings.Join(got, "\n"))
	}
	if out := b.Link(b.now, state("10.0.0.1/24", "10.0.0.7/24", "fe80::2/64")); out != nil || b.Next() != clock.Never {
		t.Error("the same again is news")
	}
	b.Link(b.now, State{})
	if b.Next() != clock.Never || b.Ready() {
		t.Error("goes on without a link")
	}
	same(t, "down", b.ask("pi.local. A"))
	b.Link(b.now, state("10.0.0.1/24"))
	if b.Ready() || b.Next() == clock.Never {
		t.Error("does not probe after the link came back")
	}
}

func TestPublished(t *testing.T) {
	s := state("10.0.0.1/24", "127.0.0.1/8", "fe80::1/64", "2001:db8::1/64", "2001:db8::2/64", "2001:db8::3/64", "::1/128")
	s.Addrs[4].Temporary = true
	s.Addrs[5].Tentative = true
	if got := fmt.Sprint(published(s)); got != "[10.0.0.1 2001:db8::1 fe80::1]" {
		t.Error(got)
	}
	s = state("2001:db8::1/64")
	s.Addrs[0].Deprecated = true
	if got := fmt.Sprint(published(s)); got != "[2001:db8::1]" {
		t.Error(got)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("10.0.0.%d/24", i+1))
	}
	if n := len(published(state(many...))); n != maxAddrs/2 {
		t.Error(n)
	}
}

func TestNames(t *testing.T) {
	long := &claim{base: strings.Repeat("a", 63), suffix: ".local.", n: 2}
	if l := long.label(); len(l) != 63 || !strings.HasSuffix(l, "a-2") {
		t.Error(l)
	}
	umlauts := &claim{base: strings.Repeat("ü", 31), suffix: "._ssh._tcp.local.", n: 12}
	if l := umlauts.label(); l != strings.Repeat("ü", 30)+"-12" {
		t.Error(l)
	}
	// The form of names is the codec's own.
	r, err := New(Config{Name: "pi", Services: []Service{{Type: "_SSH._tcp", Instance: `Ann's "Pi". \o/ ü;(1)@$`, Port: 1, Text: []string{`a=\"b"`, "u=ü"}}}})
	if err != nil {
		t.Fatal(err)
	}
	r.Link(0, state("10.0.0.1/24"))
	r.Wake(clock.Instant(time.Hour))
	for _, d := range r.probe() {
		var m dns.Msg
		if err := m.Unpack(d.Data); err != nil {
			t.Fatal(err)
		}
		if got, want := dns.CanonicalName(m.Question[1].Name), r.claims[1].fqdn(); got != want {
			t.Errorf("%s comes back as %s", want, got)
		}
		for i, x := range r.claimed(r.claims[1].fqdn()) {
			if back := m.Ns[i+1]; !sameData(x.rr, back) {
				t.Errorf("%s comes back as %s", x.rr, back)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for what, c := range map[string]Config{
		"no name":  {},
		"name":     {Name: "a.b"},
		"reserved": {Name: "localhost"},
		"type":     {Name: "pi", Services: []Service{{Type: "ssh", Port: 1}}},
		"proto":    {Name: "pi", Services: []Service{{Type: "_ssh._sctp", Port: 1}}},
		"letters":  {Name: "pi", Services: []Service{{Type: "_s sh._tcp", Port: 1}}},
		"port":     {Name: "pi", Services: []Service{{Type: "_ssh._tcp"}}},
		"twice":    {Name: "pi", Services: []Service{SSH(22), SSH(23)}},
		"text":     {Name: "pi", Services: []Service{{Type: "_ssh._tcp", Port: 1, Text: []string{strings.Repeat("x", 256)}}}},
		"instance": {Name: "pi", Services: []Service{{Type: "_ssh._tcp", Port: 1, Instance: "a\nb"}}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func netAddrPort(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}
