package killswitch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/route"
)

// lab is a client, a box that it is plugged into, the network that the box is guest in, and the far
// end of its tunnel. The tunnel is a veth pair: this kernel need not know WireGuard, and the guard
// goes by the name.
type lab struct {
	*testing.T
	client, box, net, far *nstest.NS
	out, end              *capture // on the network's and on the tunnel's far side
	in                    Input
	res                   nft.Resource
	n                     int
	asked                 []Action       // what Do was asked for, in order
	stop                  int            // the process dies before this action; 0 never
	each                  func(a Action) // after each action
	uplinks               []Uplink
	tunnel                TunnelState
	synchronised          bool
	now                   time.Duration
}

const (
	labMark, labMask = 0x2a0000, 0xff0000
	target4, target6 = "192.0.2.80", "2001:db8:80::80" // somewhere on the internet, by either way
	endpoint4        = "203.0.113.7"
	endpoint6        = "2001:db8:7::7"
	portalDNS4       = "198.51.100.1"
)

func newLab(t *testing.T, edit func(*Config)) *lab {
	t.Helper()
	l := &lab{T: t, client: nstest.New(t), box: nstest.New(t), net: nstest.New(t), far: nstest.New(t)}
	for _, ns := range []*nstest.NS{l.client, l.box, l.net, l.far} {
		ns.Sh("sysctl -qw net.ipv6.conf.all.accept_dad=0\nsysctl -qw net.ipv6.conf.default.accept_dad=0\nsysctl -qw net.ipv6.conf.default.accept_ra=0\nsysctl -qw net.ipv4.conf.all.rp_filter=0\nsysctl -qw net.ipv4.conf.default.rp_filter=0")
	}
	l.box.Pair("usb0", l.client, "eth0")
	l.box.Pair("wlan0", l.net, "up0")
	address := func(ns *nstest.NS, dev string, n int, addrs ...string) {
		ns.Sh(fmt.Sprintf("ip link set %s address 02:00:00:00:00:%02x", dev, n))
		for _, a := range addrs {
			ns.Sh("ip addr add " + a + " dev " + dev)
		}
	}
	address(l.client, "eth0", 1, "10.55.0.2/24", "10.55.0.3/24", "fd55::2/64")
	address(l.box, "usb0", 2, "10.55.0.1/24", "fd55::1/64")
	address(l.box, "wlan0", 3, "198.51.100.2/24", "2001:db8:1::2/64")
	address(l.net, "up0", 4, "198.51.100.1/24", "2001:db8:1::1/64")
	// Neighbours are known, so that a packet leaves when it is sent or never.
	know := func(ns *nstest.NS, dev string, n int, addrs ...string) {
		for _, a := range addrs {
			ns.Sh(fmt.Sprintf("ip neigh replace %s lladdr 02:00:00:00:00:%02x dev %s nud permanent", a, n, dev))
		}
	}
	know(l.client, "eth0", 2, "10.55.0.1", "fd55::1")
	know(l.box, "usb0", 1, "10.55.0.2", "10.55.0.3", "fd55::2")
	know(l.box, "wlan0", 4, "198.51.100.1", "2001:db8:1::1")
	l.client.Sh("ip route add default via 10.55.0.1\nip -6 route add default via fd55::1")
	l.box.Sh("ip route add default via 198.51.100.1 dev wlan0\nip -6 route add default via 2001:db8:1::1 dev wlan0")
	l.out = newCapture(t, l.net, "up0")
	l.tunnelUp()
	l.rulesUp()
	c := Config{Tunnel: "wg0", Inside: []string{"usb0"}, BootstrapDNS: []string{"192.0.2.53"}, NTP: []string{"192.0.2.123"}, LocalDNS: "off", Window: "10m"}
	if edit != nil {
		edit(&c)
	}
	if p := c.Problems(); p != nil {
		t.Fatal(p)
	}
	l.in = Input{Config: c, Table: 80, Mark: labMark, Mask: labMask,
		Intents: intent.Set{Endpoints: []intent.Endpoint{{Tunnel: "wg0", Proto: "udp", Addr: netip.MustParseAddr(endpoint4), Port: 51820, Mark: labMark},
			{Tunnel: "wg0", Proto: "udp", Addr: netip.MustParseAddr(endpoint6), Port: 51820, Mark: labMark}}}}
	l.uplinks = []Uplink{{Name: "wlan0", Wifi: true, SSID: "Cafe", DNS: []netip.Addr{netip.MustParseAddr(portalDNS4)}}}
	l.tunnel = TunnelState{Present: true, Up: true, Fresh: true}
	if out, err := l.box.Try("nft list tables"); err != nil {
		t.Skipf("skipped: nft cannot be used: %v %s", err, out)
	}
	return l
}

// tunnelUp makes the tunnel as whoever owns it does: device, addresses, default route of table 80.
func (l *lab) tunnelUp() {
	l.Helper()
	l.box.Pair("wg0", l.far, "far0")
	l.box.Sh("ip link set wg0 address 02:00:00:00:00:05\nip addr add 10.66.0.2/24 dev wg0\nip addr add fd66::2/64 dev wg0\n" +
		"ip route add default via 10.66.0.1 dev wg0 table 80\nip -6 route add default via fd66::1 dev wg0 table 80\n" +
		"ip neigh replace 10.66.0.1 lladdr 02:00:00:00:00:06 dev wg0 nud permanent\nip neigh replace fd66::1 lladdr 02:00:00:00:00:06 dev wg0 nud permanent")
	l.far.Sh("ip link set far0 address 02:00:00:00:00:06\nip addr add 10.66.0.1/24 dev far0\nip addr add fd66::1/64 dev far0")
	l.end = newCapture(l.T, l.far, "far0")
}

func (l *lab) tunnelGone() { l.Helper(); l.box.Sh("ip link del wg0") }

var labRules = []string{"pref 30 lookup main suppress_prefixlength 0 protocol 158", "pref 40 not fwmark 0x2a0000/0xff0000 lookup 80 protocol 158"}

func (l *lab) rulesUp() {
	l.Helper()
	for _, f := range []string{"-4", "-6"} {
		for _, r := range labRules {
			l.box.Sh("ip " + f + " rule add " + r)
		}
	}
}

func (l *lab) rulesGone() {
	l.Helper()
	for _, f := range []string{"-4", "-6"} {
		l.box.Sh("ip " + f + " rule flush protocol 158")
	}
}

// Observe implements World.
func (l *lab) Observe(ctx context.Context) (Observation, error) {
	o := Observation{Uplinks: l.uplinks, Tunnel: l.tunnel, Synchronised: l.synchronised}
	var have *nft.Table
	var err error
	l.box.Do(func() { have, err = nft.Dump(ctx, nft.OwnFamily, nft.OwnTable) })
	if err != nil {
		return o, err
	}
	if have == nil {
		have = &nft.Table{}
	}
	o.Missing = Missing(Guard(l.in), *have)
	read := func(command string) string {
		out, e := l.box.Try(command)
		if e != nil && !strings.Contains(out, "does not exist") {
			err = e
		}
		return out
	}
	for i, w := range LastRoutes(l.in) {
		l.box.Do(func() {
			have, e := route.Resource{}.Get(ctx, w.Name)
			if e != nil {
				err = e
			}
			if i == 0 {
				o.Unreachable4 = have != nil
			} else {
				o.Unreachable6 = have != nil
			}
		})
	}
	var detours []DetourRule
	for _, f := range []string{"-4", "-6"} {
		rules := read("ip " + f + " rule show")
		if !strings.Contains(rules, "suppress_prefixlength 0") || !strings.Contains(rules, "lookup 80") {
			o.Rules = append(o.Rules, "rules of ip "+f+" are not there")
		}
		family := 4
		if f == "-6" {
			family = 6
		}
		for line := range strings.Lines(rules) {
			pref, rest, _ := strings.Cut(strings.TrimSpace(line), ":\tfrom all ")
			if pref != "20" && pref != "21" && pref != "22" {
				continue
			}
			r := DetourRule{Family: family, OwnOnly: strings.Contains(rest, "iif lo ")}
			if to, ok := strings.CutPrefix(rest, "to "); ok {
				r.To, _ = parsePrefix(strings.Fields(to)[0])
			}
			detours = append(detours, r)
		}
	}
	o.Detours = DetoursOf(detours)
	o.Forwarding4 = strings.TrimSpace(read("cat /proc/sys/net/ipv4/ip_forward")) != "0"
	o.Forwarding6 = strings.TrimSpace(read("cat /proc/sys/net/ipv6/conf/all/forwarding")) != "0"
	return o, err
}

type killed struct{}

func (killed) Error() string { return "killed" }

// Do implements World.
func (l *lab) Do(ctx context.Context, a Action) error {
	l.asked = append(l.asked, a)
	if l.stop != 0 && len(l.asked) >= l.stop {
		panic(killed{}) // not even forwarding is turned off any more
	}
	var err error
	try := func(script string) {
		if _, e := l.box.Try(script); e != nil && err == nil {
			err = e
		}
	}
	value := "0"
	if a.On {
		value = "1"
	}
	switch a.Do {
	case Forward:
		if a.Family == 4 {
			try("sysctl -qw net.ipv4.ip_forward=" + value)
		} else {
			try("sysctl -qw net.ipv6.conf.all.forwarding=" + value)
		}
	case Table:
		w := nft.Own(Guard(l.in), "kill switch")
		l.box.Do(func() {
			var have provision.Attrs
			if have, err = l.res.Get(ctx, w.Name); err == nil {
				err = l.res.Set(ctx, w.Name, have, w.Attrs)
			}
		})
	case Route:
		w := LastRoutes(l.in)[a.Family/6]
		l.box.Do(func() {
			var have provision.Attrs
			if have, err = (route.Resource{}).Get(ctx, w.Name); err == nil {
				err = route.Resource{}.Set(ctx, w.Name, have, w.Attrs)
			}
		})
	case Rules:
		l.rulesGone()
		l.rulesUp()
	case Clear:
		l.box.Do(func() {
			var have *nft.Table
			if have, err = nft.Dump(ctx, nft.OwnFamily, nft.OwnTable); err != nil || have == nil {
				return
			}
			for _, s := range have.Sets {
				if s.Name == a.Set {
					err = l.res.Forget(ctx, nft.OwnFamily, nft.OwnTable, a.Set, s.Elements)
				}
			}
		})
	case Add:
		l.box.Do(func() { err = l.res.Learn(ctx, nft.OwnFamily, nft.OwnTable, a.Set, []nft.Element{a.Element()}) })
	case Around:
		for _, f := range []string{"-4", "-6"} {
			for pref := 20; pref <= 22; {
				if _, e := l.box.Try(fmt.Sprintf("ip %s rule del pref %d", f, pref)); e != nil {
					pref++
				}
			}
		}
		for _, r := range a.Detours.Rules() {
			line := fmt.Sprintf("ip -%d rule add pref %d lookup main protocol 158", r.Family, 20+r.Offset())
			if r.OwnOnly {
				line += " iif lo"
			}
			if r.To.IsValid() {
				line += " to " + r.To.String()
			}
			try(line)
		}
	case Log:
		l.Logf("log: %s", a.Text)
	}
	if l.each != nil {
		l.each(a)
	}
	return err
}

// settle runs the switch to its end, or to where it is killed.
func (l *lab) settle(s State, ask Ask) (out State) {
	l.Helper()
	defer func() {
		if r := recover(); r != nil {
			if _, is := r.(killed); !is {
				panic(r)
			}
		}
	}()
	out, err := l.in.Config.Settle(context.Background(), l, s, ask, func() time.Duration { return l.now })
	if err != nil {
		l.Errorf("cannot settle: %v", err)
	}
	return out
}

// forwarded and own are what everybody tries, both families; sly is what no routing table stops.
func forwarded() []probe {
	var out []probe
	for _, to := range []string{target4, target6} {
		out = append(out, probe{kind: "udp", to: to, port: 9}, probe{kind: "tcp", to: to, port: 80}, probe{kind: "tcp", to: to, port: 22}, probe{kind: "ping", to: to}, probe{kind: "udp", to: to, port: 53})
	}
	return append(out, probe{kind: "udp", to: portalDNS4, port: 53}, probe{kind: "udp", to: endpoint4, port: 51820})
}

func own() []probe { return forwarded()[:11] }

func sly() []probe {
	out := []probe{{kind: "udp", to: endpoint4, port: 51820, dev: "wlan0"}} // not the tunnel's own: it has no mark
	for _, p := range own() {
		p.dev = "wlan0"
		out = append(out, p)
		p.dev, p.mark = "", labMark
		out = append(out, p)
	}
	return out
}

// leaks sends probes from a machine and returns what of them left by the network, in words.
func (l *lab) leaks(from *nstest.NS, probes []probe) []string {
	l.Helper()
	l.n++
	last := fmt.Sprintf("last packet %d of %s", l.n, l.Name())
	from.Do(func() {
		for _, p := range probes {
			_ = p.send()
		}
	})
	var err error
	l.box.Do(func() { err = probe{kind: "udp", to: endpoint4, port: 51820, mark: labMark, text: last}.send() })
	if err != nil {
		l.Fatalf("the tunnel's own packets do not leave: %v", err)
	}
	got := l.out.until(last)
	slices.Sort(got)
	return slices.Compact(got)
}

// closed checks that nothing leaves, of what is forwarded and of the machine's own.
func (l *lab) closed(when string) {
	l.Helper()
	if got := l.leaks(l.client, forwarded()); len(got) > 0 {
		l.Errorf("%s: forwarded packets leak: %q", when, got)
	}
	if got := l.leaks(l.box, own()); len(got) > 0 {
		l.Errorf("%s: the machine's own packets leak: %q", when, got)
	}
	if got := l.leaks(l.box, sly()); len(got) > 0 {
		l.Errorf("%s: the machine's own packets leak by device or mark: %q", when, got)
	}
}

// listen opens a port on the box; what it returns says whether somebody has come since.
func (l *lab) listen(network, address string) func() bool {
	l.Helper()
	came := make(chan struct{}, 64)
	var err error
	l.box.Do(func() {
		if network == "tcp" {
			var s net.Listener
			if s, err = net.Listen(network, address); err == nil {
				l.Cleanup(func() { s.Close() })
				go func() {
					for {
						c, err := s.Accept()
						if err != nil {
							return
						}
						c.Close()
						came <- struct{}{}
					}
				}()
			}
			return
		}
		var s net.PacketConn
		if s, err = net.ListenPacket(network, address); err == nil {
			l.Cleanup(func() { s.Close() })
			go func() {
				for {
					if _, _, err := s.ReadFrom(make([]byte, 64)); err != nil {
						return
					}
					came <- struct{}{}
				}
			}()
		}
	})
	if err != nil {
		l.Fatal(err)
	}
	return func() bool {
		select {
		case <-came:
			return true
		case <-time.After(2 * time.Second):
			return false
		}
	}
}
