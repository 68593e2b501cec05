package watching

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/routing/watch"
)

// node is a Kubernetes node as Amazon's CNI leaves it, and the network outside: twelve addresses
// on two NICs in one network; the second NIC has a table of its own (2), whose gateway is a host
// route on the link; rules lead there. The router outside is one machine with two legs.
type node struct{ in, out *nstest.NS }

func newNode(t *testing.T) node {
	n := node{nstest.New(t), nstest.New(t)}
	n.in.Pair("eth0", n.out, "leg0")
	n.in.Pair("eth1", n.out, "leg1")
	var in, out strings.Builder
	// Outside: a bridge is the network, its address the router, and behind it is the world.
	fmt.Fprintln(&out, `ip link add vpc type bridge
		ip link set leg0 master vpc
		ip link set leg1 master vpc
		ip link set vpc up
		ip addr add 10.0.0.1/20 dev vpc
		ip addr add 2001:db8:a::1/64 dev vpc nodad
		ip addr add fe80:ec2::1/64 dev vpc nodad
		ip addr add 203.0.113.9/32 dev lo
		ip addr add 2001:db8:ffff::9/128 dev lo nodad
		sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.vpc.rp_filter=0`)
	for i := range 6 {
		fmt.Fprintf(&in, "ip addr add 10.0.0.%d/20 dev eth0\n", 10+i)
		fmt.Fprintf(&in, "ip addr add 2001:db8:a::%d/64 dev eth0 nodad\n", 10+i)
	}
	in.WriteString("ip addr add 10.0.1.20/20 dev eth1 noprefixroute\nip addr add 2001:db8:a::20/64 dev eth1 nodad noprefixroute\n")
	for i := 1; i < 6; i++ {
		fmt.Fprintf(&in, "ip addr add 10.0.1.%d/32 dev eth1\n", 20+i)
		fmt.Fprintf(&in, "ip addr add 2001:db8:a::%d/128 dev eth1 nodad noprefixroute\n", 20+i)
	}
	for i := range 6 {
		fmt.Fprintf(&in, "ip rule add from 10.0.1.%d lookup 2 pref 1536\n", 20+i)
		fmt.Fprintf(&in, "ip -6 rule add from 2001:db8:a::%d lookup 2 pref 1536\n", 20+i)
	}
	in.WriteString(`ip route add default via 10.0.0.1 dev eth0
		ip -6 route add default via fe80:ec2::1 dev eth0
		ip route add 10.0.0.1 dev eth1 scope link table 2
		ip route add default via 10.0.0.1 dev eth1 table 2
		ip -6 route add default via fe80:ec2::1 dev eth1 table 2
		sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth1.rp_filter=1
		sysctl -q -w net.ipv6.conf.eth1.keep_addr_on_down=1 net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2`)
	n.out.Sh(out.String())
	n.in.Sh(in.String())
	return n
}

// serves opens a TCP service on an address of the node and speaks with it from the world.
func (n node) serves(t *testing.T, dst string) {
	t.Helper()
	var l net.Listener
	var err error
	n.in.Do(func() { l, err = net.Listen("tcp", net.JoinHostPort(dst, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = c.Write([]byte("pong"))
			c.Close()
		}
	}()
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(world(dst))}}
	var c net.Conn
	n.out.Do(func() { c, err = d.Dial("tcp", l.Addr().String()) })
	if err != nil {
		t.Errorf("TCP to %s: %v", dst, err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if text, err := io.ReadAll(c); string(text) != "pong" {
		t.Errorf("TCP to %s: %q, %v", dst, text, err)
	}
}

// world is the address outside that speaks with dst.
func world(dst string) string {
	if strings.Contains(dst, ":") {
		return "2001:db8:ffff::9"
	}
	return "203.0.113.9"
}

// reach pings an address of the node from the world outside.
func (n node) reach(dst string) bool {
	_, err := n.out.Try("ping -c 1 -W 0.3 -I " + world(dst) + " " + dst)
	return err == nil
}

func (n node) table(family, table int) string {
	return strings.TrimSpace(n.in.Sh(fmt.Sprintf("ip -%d route show table %d default", family, table)))
}

func eks(t *testing.T) childConfig {
	return childConfig{Watch: watch.Config{Preset: "eks"}, Memory: filepath.Join(t.TempDir(), "watch.json")}
}

func TestEKS(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	all := []string{"10.0.0.15", "10.0.1.20", "10.0.1.25", "2001:db8:a::20", "2001:db8:a::25"}
	rules := n.in.Sh("ip rule\nip -6 rule")
	// Two faults to begin with: a rule whose table has no default route, and a strict filter
	// where the first NIC's address is reached by the second NIC.
	n.in.Sh("ip route del default table 2")
	n.out.Sh("ip route add 10.0.0.15/32 via 10.0.1.20")
	for _, a := range []string{"10.0.1.20", "10.0.0.15"} {
		if n.reach(a) {
			t.Fatalf("%s: this world does not show the fault", a)
		}
	}
	p := start(t, n.in, eks(t))
	p.find(0, "rp_filter", repaired("rp-filter", "eth1"))
	for _, a := range all {
		poll(t, a, func() bool { return n.reach(a) })
	}
	// The fault: a rule whose table lost its default route.
	for i, cmd := range []string{"ip route del default table 2", "ip -6 route del default table 2"} {
		family := []int{4, 6}[i]
		at := p.length()
		n.in.Sh(cmd)
		l, _ := p.find(at, cmd, repaired("tables", fmt.Sprintf("IPv%d table 2", family)))
		t.Logf("%s: %v after the event: %s", cmd, l.After, l.Did)
		if l.After > time.Second {
			t.Errorf("%s: repaired after %v", cmd, l.After)
		}
		if got := n.table(family, 2); !strings.Contains(got, "dev eth1 proto 158") {
			t.Errorf("IPv%d table 2: %q", family, got)
		}
	}
	// The silent one: the link goes down and up, and nothing says that the routes are gone.
	for range 5 {
		at := p.length()
		n.in.Sh("ip link set eth1 down")
		if got := n.table(4, 2); got != "" {
			t.Fatalf("the routes are still there: %q", got)
		}
		n.in.Sh("ip link set eth1 up")
		l, _ := p.find(at, "a flap", repaired("tables", "IPv4 table 2"))
		t.Logf("flap: IPv4 %v after the event: %s", l.After, l.Did)
		if l.After <= 0 || l.After > time.Second {
			t.Errorf("repaired after %v", l.After)
		}
		p.find(at, "a flap", repaired("tables", "IPv6 table 2"))
		for _, a := range all {
			poll(t, a, func() bool { return n.reach(a) })
		}
	}
	for _, a := range all {
		n.serves(t, a)
	}
	if got := n.in.Sh("ip rule\nip -6 rule"); got != rules {
		t.Errorf("the rules were touched:\n%s\nwere\n%s", got, rules)
	}
	if got := n.in.Sh("sysctl -n net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter net.ipv4.conf.lo.rp_filter"); strings.Contains(got, "2") {
		t.Errorf("all, default, lo: %q", got)
	}
	end := p.end()
	for _, j := range end.Status.Jobs {
		// The link may go down between the keeper's look and what it does: that is told, and done when the link is up again.
		if j.Name == "tables" && (j.Acted < 13 || j.Acted > 13+j.Failed || j.Failed > 0 && !strings.Contains(j.LastError, "its device is down")) {
			t.Errorf("tables: %+v", j)
		}
	}
}

// What a watch saw before it was killed its successor knows, even where the table is empty now.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := eks(t)
	c.Watch.Tables.Gateway4, c.Watch.Tables.Gateway6 = "learn", "" // nothing to guess by
	p := start(t, n.in, c)
	p.find(0, "rp_filter", repaired("rp-filter", "eth1"))
	poll(t, "the memory", func() bool {
		text, _ := Memory(c.Memory).Load()
		return strings.Contains(string(text), "IPv6 table 2")
	})
	p.kill()
	n.in.Sh("ip link set eth1 down\nip link set eth1 up")
	if got := n.table(4, 2); got != "" {
		t.Fatalf("the routes are still there: %q", got)
	}
	p = start(t, n.in, c)
	p.find(0, "IPv4", repaired("tables", "IPv4 table 2"))
	p.find(0, "IPv6", repaired("tables", "IPv6 table 2"))
	poll(t, "the way", func() bool { return n.reach("10.0.1.23") && n.reach("2001:db8:a::23") })
	// Counts go on.
	p.kill()
	n.in.Sh("ip route flush table 2")
	c.Once = true
	p = start(t, n.in, c)
	l, _ := p.find(0, "end", func(l line) bool { return l.Msg == "end" })
	for _, j := range l.End.Status.Jobs {
		if j.Name == "tables" && j.Acted < 2 {
			t.Errorf("counts are lost: %+v", j)
		}
	}
	if l.End.Err != "" || !n.reach("10.0.1.20") {
		t.Errorf("once: %s", l.End.Err)
	}
}

// A node whose watch starts when all is lost, without a memory: the rules' addresses tell the
// NIC, and Amazon's convention the gateway.
func TestNothingIsKnown(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.in.Sh("ip link set eth1 down\nip link set eth1 up")
	if n.table(4, 2)+n.table(6, 2) != "" {
		t.Fatal("the routes are still there")
	}
	c := eks(t)
	c.Once = true
	start(t, n.in, c).find(0, "end", func(l line) bool { return l.Msg == "end" })
	for _, a := range []string{"10.0.1.20", "10.0.1.25", "2001:db8:a::22"} {
		if !n.reach(a) {
			t.Errorf("%s cannot be reached: %q %q", a, n.table(4, 2), n.table(6, 2))
		}
	}
}

// Somebody deletes the route again and again: met with patience and a name, not with all of a
// processor.
func TestFight(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	p := start(t, n.in, eks(t))
	p.ready()
	before := p.status()
	stop := time.Now().Add(1500 * time.Millisecond)
	deleted := 0
	for time.Now().Before(stop) {
		if _, err := n.in.Try("ip route del default table 2"); err == nil {
			deleted++
		}
	}
	l, _ := p.find(0, "the warning", func(l line) bool { return strings.HasPrefix(l.Msg, "what is repaired does not last") })
	if !strings.Contains(l.Prob, "process ") {
		t.Errorf("named is %q", l.Prob)
	}
	after := p.status()
	t.Logf("deleted %d times in 1.5 s, %v of processor; named: %s", deleted, after.CPU-before.CPU, l.Prob)
	if deleted > 10 || after.CPU-before.CPU > time.Second {
		t.Errorf("deleted %d times, %v of processor", deleted, after.CPU-before.CPU)
	}
	found := false
	for _, j := range after.Status.Jobs {
		for _, f := range j.Fights {
			found = found || f.What == "IPv4 table 2: default route" && f.Times > 3 && f.Next.After(f.Since)
		}
	}
	if !found {
		t.Errorf("the status has no fight: %+v", after.Status.Jobs)
	}
	poll(t, "peace", func() bool { return n.table(4, 2) != "" })
}
