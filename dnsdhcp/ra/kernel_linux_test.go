package ra_test

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/ra"
	"github.com/provision-net/provision/dnsdhcp/socket"
	"github.com/provision-net/provision/dnsdhcp/trace"
	"github.com/provision-net/provision/provision/host/nstest"
)

// bed is a router and a host, joined by a cable, each in a namespace of its own; ours advertises on lan0, and the
// kernel of the host listens on eth0.
type bed struct {
	t            *testing.T
	router, host *nstest.NS
	adv          *ra.Advertiser
	stop         func()

	mu      sync.Mutex
	entries []trace.Entry
}

func (b *bed) Record(e trace.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
}

func (b *bed) recorded(reason string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if e.Reason == reason {
			n++
		}
	}
	return n
}

// newBed makes the two machines; run starts the advertiser.
func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, router: nstest.New(t), host: nstest.New(t)}
	// Without duplicate address detection tests are faster by seconds; one below has it.
	b.router.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1")
	b.host.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=1 net.ipv6.conf.default.accept_ra_rt_info_max_plen=64 net.ipv6.conf.default.accept_ra_rtr_pref=1")
	return b
}

func (b *bed) cable() {
	b.t.Helper()
	b.router.Pair("lan0", b.host, "eth0")
}

func (b *bed) run(c ra.Config, up ra.Uplink) {
	b.t.Helper()
	if err := c.Validate(); err != nil {
		b.t.Fatal(err)
	}
	clk := clock.System()
	var w *link.Watcher
	var err error
	b.router.Do(func() { w, err = link.Watch(link.Config{Clock: clk}) })
	if err != nil {
		b.t.Fatal(err)
	}
	b.adv = ra.New(ra.Options{
		Name: "lan0", Clock: clk, Recorder: b,
		Listen: func(l link.Link) (conn ra.Conn, err error) {
			b.router.Do(func() { conn, err = socket.ListenRA(l) })
			return conn, err
		},
	})
	b.adv.Configure(c)
	b.adv.SetUplink(up)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	advertise, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.adv.Run(advertise) }()
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			b.t.Errorf("watcher: %v", err)
		}
	})
	wg.Go(func() {
		s := w.Subscribe(false)
		defer s.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.C():
				for _, c := range s.Next().Links {
					switch {
					case c.Link.Name != "lan0":
					case c.Kind == link.Removed:
						b.adv.Update(link.Link{Name: "lan0"})
					default:
						b.adv.Update(c.Link)
					}
				}
			}
		}
	})
	b.stop = sync.OnceFunc(func() {
		end()
		select {
		case err := <-ended:
			if err != nil {
				b.t.Errorf("advertiser: %v", err)
			}
		case <-time.After(5 * time.Second):
			b.t.Error("the advertiser does not end")
		}
	})
	b.t.Cleanup(func() {
		b.stop()
		cancel()
		wg.Wait()
	})
}

// until asks the host again and again what command prints, and wants all words in it.
func (b *bed) until(command string, words ...string) {
	b.t.Helper()
	b.within(10*time.Second, command, func(out string) bool {
		for _, w := range words {
			if not, ok := strings.CutPrefix(w, "!"); ok == strings.Contains(out, not) && ok || !ok && !strings.Contains(out, w) {
				return false
			}
		}
		return true
	}, strings.Join(words, ", "))
}

func (b *bed) within(d time.Duration, command string, good func(string) bool, want string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(d)
	for {
		out := b.host.Sh(command)
		if good(out) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			b.mu.Lock()
			defer b.mu.Unlock()
			b.t.Fatalf("%s: want %s, got\n%s\n%+v", command, want, out, b.entries)
		}
	}
}

// TestKernelAccepts: what the host's kernel makes of the advertisements.
func TestKernelAccepts(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBed(t)
	b.cable()
	b.router.Sh("ip addr add fd00:a:b:1::1/64 dev lan0")
	c := ra.Default()
	c.MTU, c.Preference, c.HopLimit = 1400, ra.High, 63
	c.Routes = []ra.Route{{Prefix: netip.MustParsePrefix("fd77::/48"), Preference: ra.Low, Lifetime: 2000 * time.Second}}
	b.run(c, ra.Uplink{Default6: true, Forwarding: true})

	b.until("ip -6 addr show dev eth0", "fd00:a:b:1:", "dynamic", "valid_lft 5", "preferred_lft 2")
	b.until("ip -6 route show", "default via fe80::", "pref high", "mtu 1400", "hoplimit 63", "fd77::/48 via fe80::", "pref low")
	// The kernel's clock of routes: lifetimes are those that were said.
	b.until("ip -6 route show default", "expires 1")
	b.until("ip -6 route show fd77::/48", "expires 1")

	// Without an uplink hosts lose the route within the hysteresis of a second and one advertisement.
	b.adv.SetUplink(ra.Uplink{Forwarding: true})
	b.router.Sh("ip addr add fd00:a:b:2::1/64 dev lan0\nip addr del fd00:a:b:1::1/64 dev lan0")
	b.until("ip -6 route show", "!default", "fd77::/48")
	// A prefix that goes is deprecated, not forgotten.
	b.until("ip -6 addr show dev eth0 to fd00:a:b:2::/64", "fd00:a:b:2:", "!deprecated")
	b.until("ip -6 addr show dev eth0 to fd00:a:b:1::/64", "deprecated", "preferred_lft 0sec")
	// The last words: routes go, addresses stay.
	start := time.Now()
	b.stop()
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("to stop took %v", d)
	}
	b.until("ip -6 route show", "!default", "!fd77::")
	b.until("ip -6 addr show dev eth0", "fd00:a:b:2:", "fd00:a:b:1:")
	if n := b.recorded(ra.ReasonSendFailed); n > 0 {
		t.Errorf("%d advertisements could not be sent", n)
	}
}

// TestKernelRecreatedLink: the link is made only after the start, vanishes and comes back under its name, with duplicate
// address detection on.
func TestKernelRecreatedLink(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBed(t)
	b.router.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=1")
	c := ra.Default()
	c.Prefixes = []ra.Prefix{{Prefix: netip.MustParsePrefix("fd00:a:b:9::/64"), OnLink: true, Autonomous: true, Preferred: time.Hour, Valid: time.Hour}}
	b.run(c, ra.Uplink{})
	select {
	case <-b.adv.Ready():
		t.Error("ready without having been told of the link")
	default:
	}
	for range 2 {
		b.cable()
		b.until("ip -6 addr show dev eth0", "fd00:a:b:9:")
		b.router.Sh("ip link del lan0")
	}
	if n := b.recorded(ra.ReasonSendFailed); n > 0 {
		t.Errorf("%d advertisements could not be sent", n)
	}
}

// TestKernelSolicits: a host that comes up later is answered to what it asks, and alone.
func TestKernelSolicits(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBed(t)
	b.cable()
	b.host.Sh("ip link set eth0 down")
	b.router.Sh("ip addr add fd00:a:b:1::1/64 dev lan0")
	b.run(ra.Default(), ra.Uplink{})
	b.host.Sh("ip link set eth0 up")
	b.until("ip -6 addr show dev eth0", "fd00:a:b:1:")
	// Down and up again: the link has no carrier meanwhile, so that is a burst of its own; ask without one.
	// The answer to the first question may still be on its way.
	alone := func() int { return b.recorded(ra.ReasonUnicast) + b.recorded(ra.ReasonPending) }
	before := alone()
	b.host.Sh("ip -6 addr flush dev eth0 scope global\nsysctl -qw net.ipv6.conf.eth0.disable_ipv6=1\nsysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
	b.within(10*time.Second, "true", func(string) bool { return alone() > before }, "a unicast answer")
	b.until("ip -6 addr show dev eth0", "fd00:a:b:1:")
}

// TestKernelRogue: a second router on the link is noticed.
func TestKernelRogue(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBed(t)
	b.cable()
	b.run(ra.Default(), ra.Uplink{})
	b.within(5*time.Second, "true", func(string) bool { return b.adv.Status().Source.IsValid() }, "a source")
	var l link.Link
	var conn *socket.RA
	var err error
	b.host.Do(func() {
		var w *link.Watcher
		if w, err = link.Watch(link.Config{Clock: clock.System()}); err != nil {
			return
		}
		defer func() { _ = w.Close() }()
		for _, x := range w.Snapshot() {
			if x.Name == "eth0" {
				l = x
			}
		}
		conn, err = socket.ListenRA(l)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	rogue := ra.Message{RouterLifetime: time.Hour, HopLimit: 32, DNS: []ra.DNS{{Addr: netip.MustParseAddr("2001:db8::bad"), Lifetime: time.Hour}}}
	payloads, err := rogue.Payloads(1240)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := conn.Send(payloads[0], l.LinkLocal(), netip.MustParseAddr("ff02::1")); err != nil {
			t.Fatal(err)
		}
	}
	for _, reason := range []string{ra.ReasonOtherRouter, ra.ReasonForeignDNS, ra.ReasonHopLimitDiffers} {
		b.within(5*time.Second, "true", func(string) bool { return b.recorded(reason) == 1 }, reason)
	}
}
