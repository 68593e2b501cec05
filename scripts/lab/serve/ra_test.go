//go:build lab && linux

package serve

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

var (
	prefixA = netip.MustParsePrefix("fd55::/64")
	prefixB = netip.MustParsePrefix("fd56::/64")
)

// advertising is a configuration with router advertisements for these prefixes, and the DNS server that they name.
func advertising(prefixes ...netip.Prefix) bed.Config {
	c := dhcp(55)
	c.Router, c.NameServer = true, true
	c.RA = &bed.RA{Prefixes: prefixes, Interval: 4 * time.Second, Preferred: 30 * time.Minute, Valid: time.Hour, Router: true, DNS: true}
	c.DNS = &bed.DNS{Domain: "lab.lan"}
	if _, ok := ours.(bed.Dnsmasq); ok {
		c.RA.Preferred = c.RA.Valid // it has one lifetime for both
	}
	return c
}

// uplink gives the server's namespace a way out, without which it is nobody's router.
func uplink(t *testing.T, s *bed.Segment) {
	t.Helper()
	for _, c := range []string{"ip link add up0 type veth peer name up1", "ip link set up0 up", "ip link set up1 up",
		"ip addr add 192.0.2.1/24 dev up0", "ip addr add 2001:db8:5::1/64 dev up0 nodad", "ip route add default via 192.0.2.2",
		"ip -6 route add default via 2001:db8:5::2", "sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1"} {
		if _, err := s.Server.Exec(strings.Fields(c)...); err != nil {
			t.Fatal(err)
		}
	}
}

// advertisement parses a captured router advertisement.
func advertisement(t *testing.T, p bed.Packet) *ndp.RouterAdvertisement {
	t.Helper()
	m, err := ndp.ParseMessage(p.Payload)
	if err != nil {
		t.Fatalf("cannot parse the advertisement: %v", err)
	}
	if p.HopLimit != 255 || !p.Src.Addr().IsLinkLocalUnicast() {
		t.Errorf("the advertisement has hop limit %d and source %v", p.HopLimit, p.Src.Addr())
	}
	return m.(*ndp.RouterAdvertisement)
}

func isRA(p bed.Packet) bool { return p.ICMP6 == 134 }

// tool is a foreign program that prints for as long as it runs.
type tool struct {
	*lab.Daemon
	lines chan string
}

func startTool(t *testing.T, ns *lab.NetNS, argv ...string) *tool {
	t.Helper()
	r, w := io.Pipe()
	d, err := ns.Start(w, argv...)
	if err != nil {
		t.Fatal(err)
	}
	c := &tool{d, make(chan string, 1000)}
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			select {
			case c.lines <- s.Text():
			default:
			}
		}
	}()
	t.Cleanup(func() { d.Stop(syscall.SIGKILL); w.Close() })
	return c
}

// until reads lines up to one with mark.
func (c *tool) until(t *testing.T, d time.Duration, mark string) string {
	t.Helper()
	var said strings.Builder
	timeout := time.After(d)
	for {
		select {
		case l := <-c.lines:
			said.WriteString(l + "\n")
			if strings.Contains(l, mark) {
				return said.String()
			}
		case <-timeout:
			t.Fatalf("after %v there is no %q in:\n%s", d, mark, said.String())
		}
	}
}

// TestAdvertisements has rdisc6, radvdump and the kernel's own SLAAC judge what is advertised.
func TestAdvertisements(t *testing.T) {
	need(t)
	cfg := advertising(prefixA)
	s := bed.NewSegment(t)
	uplink(t, s)
	host := s.Plug("eth0")
	dump := startTool(t, host, "radvdump")
	wire := s.Capture(t)
	server := s.Start(t, ours, cfg)

	t.Run("rdisc6", func(t *testing.T) {
		said := ""
		lab.Await(t, 10*time.Second, func() error {
			out, err := host.Exec("rdisc6", "-1", "-r", "1", "-w", "1500", "eth0")
			said = out
			return err
		})
		for _, want := range []string{`Hop limit +: +64`, `Prefix +: fd55::/64`, `On-link +: +Yes`, `Autonomous address conf.: +Yes`,
			`Valid time +: +3600`, fmt.Sprintf(`Pref. time +: +%d`, int(cfg.RA.Preferred.Seconds())), `Recursive DNS server +: fd55::1`, `DNS search list +: lab.lan`,
			`Source link-layer address: 02:55:00:00:00:01`, `Router lifetime +: +12 `} {
			if !regexp.MustCompile(want).MatchString(strings.ReplaceAll(said, "\t", " ")) {
				t.Errorf("rdisc6 does not print %q:\n%s", want, said)
			}
		}
	})
	t.Run("radvdump", func(t *testing.T) {
		said := dump.until(t, 15*time.Second, "}; # End of interface definition")
		for _, want := range []string{"AdvDefaultLifetime 12;", "prefix fd55::/64", "AdvValidLifetime 3600;", fmt.Sprintf("AdvPreferredLifetime %d;", int(cfg.RA.Preferred.Seconds())),
			"AdvOnLink on;", "AdvAutonomous on;", "RDNSS fd55::1", "DNSSL lab.lan"} {
			if !strings.Contains(said, want) {
				t.Errorf("radvdump does not print %q:\n%s", want, said)
			}
		}
	})
	t.Run("slaac", func(t *testing.T) {
		lab.Await(t, 15*time.Second, func() error {
			addrs, err := host.Exec("ip", "-6", "addr", "show", "dev", "eth0", "scope", "global")
			if err != nil || !strings.Contains(addrs, "inet6 fd55:") {
				return fmt.Errorf("the kernel has no address of the prefix: %s %v", addrs, err)
			}
			routes, err := host.Exec("ip", "-6", "route", "show", "default")
			if err != nil || !strings.Contains(routes, "proto ra") {
				return fmt.Errorf("the kernel has no default route: %s %v", routes, err)
			}
			return nil
		})
	})
	t.Run("wire", func(t *testing.T) {
		ra := advertisement(t, wire.Await(t, 10*time.Second, 0, "an advertisement to all", func(p bed.Packet) bool {
			return isRA(p) && p.Dst.Addr() == netip.MustParseAddr("ff02::1")
		}))
		if ra.RouterLifetime != 12*time.Second {
			t.Errorf("router lifetime %v", ra.RouterLifetime)
		}
	})
	t.Run("link recreated", func(t *testing.T) {
		unlessDeviates(t, "link recreated")
		s.UnplugServer() // and the capture ends with it
		begin := time.Now()
		s.PlugServer()
		again := s.Capture(t)
		s.Address(cfg.Net, bed.Own6)
		again.Await(t, 10*time.Second, 0, "an advertisement on the new link", func(p bed.Packet) bool {
			return isRA(p) && slices.ContainsFunc(advertisement(t, p).Options, func(o ndp.Option) bool {
				prefix, ok := o.(*ndp.PrefixInformation)
				return ok && prefix.Prefix == prefixA.Addr()
			})
		})
		t.Logf("the new link has its first advertisement after %v", time.Since(begin).Round(time.Millisecond))
	})
	t.Run("a prefix less", func(t *testing.T) {
		onlyOurs(t) // dnsmasq needs the interface's address for it
		two := advertising(prefixA, prefixB)
		server.Configure(t, two)
		_ = server.Signal(syscall.SIGHUP)
		awaitAddr(t, host, "fd56:", false)
		server.Configure(t, cfg)
		_ = server.Signal(syscall.SIGHUP)
		awaitAddr(t, host, "fd56:", true)
	})
	t.Run("stop", func(t *testing.T) {
		unlessDeviates(t, "stop")
		last := s.Capture(t)
		server.Stop(syscall.SIGTERM)
		last.Await(t, 5*time.Second, 0, "an advertisement with router lifetime 0", func(p bed.Packet) bool {
			return isRA(p) && advertisement(t, p).RouterLifetime == 0
		})
		lab.Await(t, 5*time.Second, func() error {
			routes, err := host.Exec("ip", "-6", "route", "show", "default")
			if err != nil || strings.Contains(routes, "proto ra") {
				return fmt.Errorf("the kernel still has its default route: %s %v", routes, err)
			}
			return nil
		})
	})
}

// unlessDeviates skips what another server in our place is known not to do.
func unlessDeviates(t *testing.T, what string) {
	t.Helper()
	if why := deviates[ours.Name()][what]; why != "" {
		t.Skipf("%s: %s", ours.Name(), why)
	}
}

// awaitAddr waits until a host has an address that begins so, deprecated or not.
func awaitAddr(t *testing.T, host *lab.NetNS, begin string, deprecated bool) {
	t.Helper()
	lab.Await(t, 15*time.Second, func() error {
		out, err := host.Exec("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "global")
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, "inet6 "+begin) && strings.Contains(line, "deprecated") == deprecated {
				return nil
			}
		}
		return fmt.Errorf("no address %s with deprecated=%v in:\n%s", begin, deprecated, out)
	})
}

// TestOnlyItsLink asks a server for usb0 everything over wlan0 of the same machine, and then over usb0.
func TestOnlyItsLink(t *testing.T) {
	need(t)
	cfg := advertising(prefixA)
	cfg.MDNS = true
	s := bed.NewSegment(t)
	other := lab.NewNS(t)
	for _, c := range []struct {
		ns   *lab.NetNS
		argv string
	}{
		{s.Server, fmt.Sprintf("ip link add wlan0 type veth peer name eth0 netns %d", other.PID())},
		{s.Server, "ip addr add 10.66.0.1/24 dev wlan0"}, {s.Server, "ip addr add fd66::1/64 dev wlan0 nodad"}, {s.Server, "ip link set wlan0 up"},
		{other, "ip addr add 10.66.0.2/24 dev eth0"}, {other, "ip addr add fd66::2/64 dev eth0 nodad"}, {other, "ip link set eth0 up"},
		{other, "ip route add default via 10.66.0.1"},
	} {
		if _, err := c.ns.Exec(strings.Fields(c.argv)...); err != nil {
			t.Fatal(err)
		}
	}
	inside := s.Plug("eth0")
	for _, c := range []string{"ip addr add 10.55.0.20/24 dev eth0", "ip addr add fd55::20/64 dev eth0 nodad"} {
		if _, err := inside.Exec(strings.Fields(c)...); err != nil {
			t.Fatal(err)
		}
	}
	outside := bed.NewCapture(t, other, "eth0")
	s.Start(t, ours, cfg)
	askAll := func(ns *lab.NetNS) {
		// Each fails or not; what counts is the wire.
		_, _ = ns.Exec("rdisc6", "-1", "-r", "2", "-w", "500", "eth0")
		for _, at := range []string{"10.66.0.1", "10.55.0.1", "fd66::1", "fd55::1"} {
			_, _ = ns.Exec("dig", "+time=1", "+tries=1", "@"+at, "lab.lan", "SOA")
		}
		_, _ = ns.Exec("dig", "+time=1", "+tries=1", "-p", "5353", "@224.0.0.251", "gadget.local", "A")
		_, _ = ns.Exec("timeout", "2", "udhcpc", "-f", "-q", "-n", "-t", "2", "-T", "1", "-i", "eth0", "-s", "/bin/true")
	}
	serves := func(p bed.Packet) bool {
		for _, port := range []uint16{53, 67, 547, 5353} {
			if p.Src.Port() == port && p.SrcMAC != "" {
				return true
			}
		}
		return isRA(p)
	}
	own, err := other.Exec("cat", "/sys/class/net/eth0/address")
	if err != nil {
		t.Fatal(err)
	}
	own = strings.TrimSpace(own)
	askAll(other)
	if leaks := outside.Since(0, func(p bed.Packet) bool { return serves(p) && p.SrcMAC != own }); len(leaks) > 0 {
		t.Errorf("the server for %s speaks on wlan0:\n%v", bed.Link, leaks)
	}
	if asked := outside.Since(0, func(p bed.Packet) bool { return p.SrcMAC == own && (p.Dst.Port() == 67 || p.Dst.Port() == 53) }); len(asked) < 3 {
		t.Errorf("only %d questions went out on wlan0", len(asked))
	}
	wire := s.Capture(t)
	askAll(inside)
	for what, is := range map[string]func(bed.Packet) bool{
		"an advertisement": isRA,
		"a DNS answer":     func(p bed.Packet) bool { return p.Src.Port() == 53 },
		"an OFFER":         bed.Is("OFFER"),
	} {
		if len(wire.Since(0, is)) == 0 {
			t.Errorf("on its own link the server gave no %s", what)
		}
	}
}

// TestReload changes the configuration of a running server: no lease is lost, and the router is never withdrawn meanwhile.
func TestReload(t *testing.T) {
	need(t)
	onlyOurs(t)
	cfg := advertising(prefixA)
	s := bed.NewSegment(t)
	uplink(t, s)
	server := s.Start(t, ours, cfg)
	c := newCrowd(s.Speaker(t), cfg)
	for range 10 {
		if _, ok := c.join(c.next(), time.Second); !ok {
			t.Fatal("no lease")
		}
	}
	held := c.takeFresh()
	wire := s.Capture(t)
	for i := range 5 {
		next := cfg
		next.Hosts = []bed.Host{{Name: "printer", MAC: reservedMAC.String(), Addr: at(byte(40 + i))}}
		server.Configure(t, next)
		if err := server.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		k := &talker{t: t, s: c.s, cfg: cfg, mac: reservedMAC}
		lab.Await(t, 5*time.Second, func() error {
			if said := k.ask(discover); !strings.Contains(said, fmt.Sprintf("yiaddr=10.55.0.%d", 40+i)) && k.addr != at(byte(40+i)) {
				return fmt.Errorf("the new reservation is not in force: %s", said)
			}
			return nil
		})
		c.check(held)
	}
	c.verdict(t)
	wire.Await(t, 10*time.Second, 0, "an advertisement", isRA)
	for _, p := range wire.Since(0, isRA) {
		if advertisement(t, p).RouterLifetime == 0 {
			t.Error("a reload withdrew the router")
		}
	}
	if server.PID() == 0 {
		t.Error("the server has ended")
	}
}
