package packet

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/nft"
)

const printFacts = "PACKET_TEST_PRINT_FACTS"

// TestMain lets the test binary run itself inside a namespace to read its facts.
func TestMain(m *testing.M) {
	if os.Getenv(printFacts) != "" {
		f, err := facts.Gatherer{}.Gather(context.Background())
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// lab is a router r between a (on lan0) and b (on wan0), with a second way out, wan1.
type lab struct {
	t       *testing.T
	r, a, b *nstest.NS
	facts   *facts.Facts
	fences  uint16
	ports   uint16
	known   map[string]bool
	tap     int
}

// judge is a table that stands behind all others and writes down what has passed, and from
// where to where. Our packets are known by their TTL.
const judge = `table inet judge {
	set out4 { type ifname . ipv4_addr . ipv4_addr . mark . inet_service . inet_service; size 4096; flags dynamic; }
	set ping-out4 { type ifname . ipv4_addr . ipv4_addr . mark; size 4096; flags dynamic; }
	set out6 { type ifname . ipv6_addr . ipv6_addr . mark . inet_service . inet_service; size 4096; flags dynamic; }
	set ping-out6 { type ifname . ipv6_addr . ipv6_addr . mark; size 4096; flags dynamic; }
	set in4 { type ifname . ipv4_addr . ipv4_addr . mark . inet_service . inet_service; size 4096; flags dynamic; }
	set ping-in4 { type ifname . ipv4_addr . ipv4_addr . mark; size 4096; flags dynamic; }
	set in6 { type ifname . ipv6_addr . ipv6_addr . mark . inet_service . inet_service; size 4096; flags dynamic; }
	set ping-in6 { type ifname . ipv6_addr . ipv6_addr . mark; size 4096; flags dynamic; }
	chain out { type filter hook postrouting priority 1000; policy accept;
		ip ttl 76-77 meta l4proto { tcp, udp } add @out4 { oifname . ip saddr . ip daddr . meta mark . th sport . th dport }
		ip ttl 76-77 meta l4proto { icmp, ipv6-icmp } add @ping-out4 { oifname . ip saddr . ip daddr . meta mark }
		ip6 hoplimit 76-77 meta l4proto { tcp, udp } add @out6 { oifname . ip6 saddr . ip6 daddr . meta mark . th sport . th dport }
		ip6 hoplimit 76-77 meta l4proto { icmp, ipv6-icmp } add @ping-out6 { oifname . ip6 saddr . ip6 daddr . meta mark }
	}
	chain in { type filter hook input priority 1000; policy accept;
		ip ttl 76-77 meta l4proto { tcp, udp } add @in4 { iifname . ip saddr . ip daddr . meta mark . th sport . th dport }
		ip ttl 76-77 meta l4proto { icmp, ipv6-icmp } add @ping-in4 { iifname . ip saddr . ip daddr . meta mark }
		ip6 hoplimit 76-77 meta l4proto { tcp, udp } add @in6 { iifname . ip6 saddr . ip6 daddr . meta mark . th sport . th dport }
		ip6 hoplimit 76-77 meta l4proto { icmp, ipv6-icmp } add @ping-in6 { iifname . ip6 saddr . ip6 daddr . meta mark }
	}
}
`

func newLab(t *testing.T) *lab {
	t.Helper()
	for _, tool := range []string{"nft", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: no %s; install nftables and iproute2", tool)
		}
	}
	l := &lab{t: t, r: nstest.New(t), a: nstest.New(t), b: nstest.New(t), fences: 20000, ports: 30000, known: map[string]bool{}}
	for _, n := range []*nstest.NS{l.r, l.a, l.b} {
		// On one processor packets are received in the order in which they were sent.
		n.Do(func() {
			var all, one unix.CPUSet
			if unix.SchedGetaffinity(0, &all) != nil {
				return
			}
			for cpu := range 1024 {
				if all.IsSet(cpu) {
					one.Set(cpu)
					_ = unix.SchedSetaffinity(0, &one)
					return
				}
			}
		})
		n.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0\nsysctl -qw net.ipv6.conf.all.accept_dad=0\nsysctl -qw net.ipv6.conf.default.router_solicitations=0\nsysctl -qw net.ipv6.conf.default.addr_gen_mode=1")
	}
	l.a.Pair("eth0", l.r, "lan0")
	l.b.Pair("eth0", l.r, "wan0")
	l.b.Pair("eth1", l.r, "wan1")
	l.r.Sh(`sysctl -qw net.ipv4.ip_forward=1
		sysctl -qw net.ipv6.conf.all.forwarding=1
		ip addr add 10.55.0.1/24 dev lan0
		ip addr add 192.0.2.1/24 dev wan0
		ip addr add 198.51.100.1/24 dev wan1
		ip addr add fd55::1/64 dev lan0 nodad
		ip addr add 2001:db8:2::1/64 dev wan0 nodad
		ip addr add 2001:db8:51::1/64 dev wan1 nodad
		ip route add default via 192.0.2.254
		ip route add 203.0.113.0/24 via 198.51.100.254
		ip route add unreachable 203.0.114.0/24
		ip route add default via 198.51.100.254 table 77
		ip rule add fwmark 0x10/0xf0 lookup 77 priority 100
		ip rule add fwmark 0x20/0xf0 prohibit priority 101
		ip -6 route add default via 2001:db8:2::254
		ip -6 route add default via 2001:db8:51::254 table 77
		ip -6 rule add fwmark 0x10/0xf0 lookup 77 priority 100`)
	l.a.Sh("ip addr add 10.55.0.2/24 dev eth0\nip route add default via 10.55.0.1\nip addr add fd55::2/64 dev eth0 nodad\nip -6 route add default via fd55::1")
	l.b.Sh("ip addr add 192.0.2.254/24 dev eth0\nip route add default via 192.0.2.1\nip route add 192.0.2.77 via 192.0.2.1\nip route add 192.0.2.9 via 192.0.2.1\nip addr add 2001:db8:2::254/64 dev eth0 nodad\nip -6 route add default via 2001:db8:2::1")
	l.load(judge)
	// The ends say nothing by themselves: an ICMP error would change the flow that it speaks of.
	for _, n := range []*nstest.NS{l.a, l.b} {
		n.Sh("nft add table inet mute\nnft add chain inet mute in { type filter hook input priority 0 ; policy drop ; }")
	}
	var err error
	l.r.Do(func() { l.tap, err = openTap() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l.tap) })
	// Neighbours are known for good: rules may drop the packets that would find them.
	l.r.Sh("ip link set lan0 address 02:00:00:00:00:01\nip link set wan0 address 02:00:00:00:00:02")
	l.a.Sh("ip neigh replace 10.55.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent\nip neigh replace fd55::1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent")
	l.b.Sh("ip neigh replace 192.0.2.1 lladdr 02:00:00:00:00:02 dev eth0 nud permanent\nip neigh replace 2001:db8:2::1 lladdr 02:00:00:00:00:02 dev eth0 nud permanent")
	l.facts = factsOf(t, l.r)
	return l
}

func factsOf(t *testing.T, ns *nstest.NS) *facts.Facts {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), printFacts+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var err error
	ns.Do(func() { err = cmd.Run() })
	if err != nil {
		t.Fatalf("facts: %v: %s", err, errs.String())
	}
	f := new(facts.Facts)
	if err := json.Unmarshal(out.Bytes(), f); err != nil {
		t.Fatal(err)
	}
	return f
}

// openTap hears every IPv4 packet of the namespace.
func openTap() (int, error) {
	const ip = 0x0800
	proto := int(binary.NativeEndian.Uint16([]byte{ip >> 8, ip & 0xff}))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return 0, err
	}
	return fd, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3})
}

// load gives nft a ruleset for the router.
func (l *lab) load(text string) {
	l.t.Helper()
	if err := l.tryLoad(text); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) tryLoad(text string) error {
	var out []byte
	var err error
	l.r.Do(func() {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(strings.ReplaceAll(text, "; } }", "; }\n}")) // nft wants a line's end there
		out, err = cmd.CombinedOutput()
	})
	if err != nil {
		return fmt.Errorf("nft: %v: %s\n%s", err, out, text)
	}
	return nil
}

// world is what the simulator is told: facts and tables as the kernel has them.
func (l *lab) world() World {
	l.t.Helper()
	var tables []nft.Table
	var err error
	l.r.Do(func() { tables, err = nft.DumpAll(context.Background()) })
	if err != nil {
		l.t.Fatal(err)
	}
	w := World{Facts: l.facts}
	for _, t := range tables {
		if t.Name != "judge" {
			w.Tables = append(w.Tables, t)
		}
	}
	return w
}

// seen is what the judge has written down: where it went last, and how it looked then.
type seen struct {
	in           bool
	dev          string
	src, dst     netip.Addr
	mark         uint32
	sport, dport uint16
}

func (s seen) String() string {
	way := "leaves by " + s.dev
	if s.in {
		way = "delivered"
	}
	if s.dev == "" {
		return "lost"
	}
	return fmt.Sprintf("%s as %v %d to %v %d mark %#x", way, s.src, s.sport, s.dst, s.dport, s.mark)
}

// observe reads the judge's book and empties it.
func (l *lab) observe() seen {
	l.t.Helper()
	t := l.book()
	var out seen
	for _, name := range []string{"out4", "ping-out4", "out6", "ping-out6", "in4", "ping-in4", "in6", "ping-in6"} { // what came in is later than what went out
		for _, s := range t.Sets {
			i := slices.IndexFunc(s.Elements, func(e nft.Element) bool { return !l.known[name+string(e.Key)] })
			if s.Name != name || i < 0 {
				continue
			}
			k := s.Elements[i].Key
			l.known[name+string(k)] = true
			n := 4
			if name[len(name)-1] == '6' {
				n = 16
			}
			out = seen{in: strings.Contains(name, "in4") || strings.Contains(name, "in6"), dev: string(bytes.TrimRight(k[:16], "\x00"))}
			out.src, _ = netip.AddrFromSlice(k[16 : 16+n])
			out.dst, _ = netip.AddrFromSlice(k[16+n : 16+2*n])
			k = k[16+2*n:]
			out.mark = binary.NativeEndian.Uint32(k)
			if len(k) == 12 {
				out.sport, out.dport = binary.BigEndian.Uint16(k[4:]), binary.BigEndian.Uint16(k[8:])
			}
		}
	}
	for _, s := range t.Sets {
		if strings.HasPrefix(s.Name, "ping") && len(s.Elements) > 0 { // pings look alike
			l.forget()
			break
		}
	}
	if out.dev == "lo" && !out.in { // went out to this machine itself, and never came in
		return seen{}
	}
	return out
}

// forget empties the judge's book.
func (l *lab) forget() {
	l.t.Helper()
	clear(l.known)
	var flush strings.Builder
	for _, name := range []string{"out4", "out6", "in4", "in6"} {
		fmt.Fprintf(&flush, "flush set inet judge %s\nflush set inet judge ping-%s\n", name, name)
	}
	l.load(flush.String())
}

func (l *lab) book() *nft.Table {
	l.t.Helper()
	var t *nft.Table
	var err error
	l.r.Do(func() { t, err = nft.Dump(context.Background(), "inet", "judge") })
	if err != nil || t == nil {
		l.t.Fatalf("the judge is gone: %v", err)
	}
	return t
}

// fence waits until a packet that was sent after all others has reached the router: a tap sees
// it before any rule does, and after the kernel has done with those before it.
func (l *lab) fence(from *nstest.NS, to string) {
	l.t.Helper()
	l.fences++
	addr := netip.MustParseAddr(to)
	src := netip.MustParseAddr("10.55.0.2")
	switch from {
	case l.b:
		src = netip.MustParseAddr("192.0.2.254")
	case l.r:
		src = addr
	}
	p := raw(Packet{From: src, To: addr, Proto: "udp", Sport: l.fences, Dport: 60999, TTL: 9}, 0)
	var err error
	if from == l.r {
		l.r.Do(func() { err = sendLoop(p) })
	} else {
		err = l.inject(from, p, addr, 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	buf := make([]byte, 256)
	for {
		n, sa, err := unix.Recvfrom(l.tap, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			l.t.Fatalf("the fence packet from %v never came: %v", src, err)
		}
		ll, _ := sa.(*unix.SockaddrLinklayer)
		if n >= 24 && ll != nil && ll.Pkttype != unix.PACKET_OUTGOING && binary.BigEndian.Uint16(buf[20:]) == l.fences && binary.BigEndian.Uint16(buf[22:]) == 60999 {
			return
		}
	}
}

// send puts a packet on its way as the kernel would meet it, and reports what became of it.
func (l *lab) send(p Packet, seq uint32) seen {
	l.t.Helper()
	from, fence := l.r, "127.0.0.1"
	switch p.In {
	case "lan0":
		from, fence = l.a, "10.55.0.1"
	case "wan0":
		from, fence = l.b, "192.0.2.1"
	}
	// A packet that this machine's own rules drop is refused by the socket.
	if err := l.inject(from, raw(p, seq), p.To, p.Mark); err != nil && from != l.r {
		l.t.Fatalf("cannot send %v: %v", p, err)
	}
	l.fence(from, fence)
	return l.observe()
}

// says is the simulator's answer in the judge's words.
func says(r Result) seen {
	switch r.Verdict {
	case Leaves:
		return seen{dev: r.Dev, src: r.Src, dst: r.Dst, mark: r.Mark, sport: r.Sport, dport: r.Dport}
	case Delivered:
		dev := r.packet.In
		if dev == "" {
			dev = "lo"
		}
		return seen{in: true, dev: dev, src: r.Src, dst: r.Dst, mark: r.Mark, sport: r.Sport, dport: r.Dport}
	}
	return seen{}
}
