//go:build lab && linux

package routing

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/provision-net/provision/scripts/lab"
)

// world is a box between its client (usb0), the network that it is guest in (wlan0), and the far
// end of its tunnel (wg0). The tunnel is a veth pair: the kernel need not know WireGuard.
type world struct {
	*box
	t                *testing.T
	client, net, far *lab.NetNS
}

const (
	client4, client6 = "10.55.0.2", "fd55::2"
	target4, target6 = "192.0.2.80", "2001:db8:80::80" // on the internet, by the way out and by the tunnel
	endpoint         = "203.0.113.7"
	web              = 8080
)

func newWorld(t *testing.T) *world {
	t.Helper()
	need(t)
	w := &world{t: t, client: lab.NewNS(t), net: lab.NewNS(t), far: lab.NewNS(t)}
	for _, ns := range []*lab.NetNS{w.client, w.net, w.far} {
		quick(ns, t)
	}
	on(t, w.net, "ip addr add "+target4+"/32 dev lo; ip addr add "+target6+"/128 dev lo; ip addr add "+endpoint+"/32 dev lo")
	w.serve(w.net)
	w.box = newBox(t, newDisk(t))
	return w
}

// reboot gives the box another kernel's memory; its disk stays.
func (w *world) reboot() {
	w.t.Helper()
	w.sh("for l in usb0 wlan0 wg0; do ip link del $l 2>/dev/null || true; done")
	w.box = newBox(w.t, w.disk)
}

// pair joins the box and another namespace. Neighbours are known, so that a packet leaves when it is sent, or never.
func (w *world) pair(dev string, n int, other *lab.NetNS, peer string) {
	w.t.Helper()
	// Exec, because the process that holds the other namespace has a number on the host only.
	if _, err := w.Exec("ip", "link", "add", dev, "address", fmt.Sprintf("02:00:00:00:00:%02x", n), "type", "veth",
		"peer", "name", peer, "address", fmt.Sprintf("02:00:00:00:01:%02x", n), "netns", strconv.Itoa(other.PID())); err != nil {
		w.t.Fatal(err)
	}
	on(w.t, other, "ip link set "+peer+" up")
	w.sh("ip link set " + dev + " up")
}

// plug connects client and way out, with addresses and default routes.
func (w *world) plug() {
	w.t.Helper()
	w.pair("usb0", 1, w.client, "eth0")
	on(w.t, w.client, "ip addr add "+client4+"/24 dev eth0; ip addr add "+client6+"/64 dev eth0\n"+
		"ip route add default via 10.55.0.1; ip route add default via fd55::1\n"+
		"ip neigh replace 10.55.0.1 lladdr 02:00:00:00:00:01 dev eth0; ip neigh replace fd55::1 lladdr 02:00:00:00:00:01 dev eth0")
	w.sh("ip addr add 10.55.0.1/24 dev usb0; ip addr add fd55::1/64 dev usb0\n" +
		"ip neigh replace " + client4 + " lladdr 02:00:00:00:01:01 dev usb0; ip neigh replace " + client6 + " lladdr 02:00:00:00:01:01 dev usb0")
	w.uplink()
	w.settled("local fd55::1 dev usb0", "local 2001:db8:1::2 dev wlan0", "local fe80::ff:fe00:1 dev usb0", "local fe80::ff:fe00:2 dev wlan0")
}

// settled waits until the kernel's own table has the routes: it learns of a carrier some time after the device is up.
func (w *world) settled(routes ...string) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		table := w.sh("ip -6 route show table local")
		missing := slices.DeleteFunc(slices.Clone(routes), func(r string) bool { return strings.Contains(table, r) })
		if len(missing) == 0 {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("the box has no routes %q:\n%s", missing, table)
		}
	}
}

func (w *world) uplink() {
	w.t.Helper()
	w.pair("wlan0", 2, w.net, "up0")
	on(w.t, w.net, "ip addr add 198.51.100.1/24 dev up0; ip addr add 2001:db8:1::1/64 dev up0\n"+
		"ip neigh replace 198.51.100.2 lladdr 02:00:00:00:00:02 dev up0; ip neigh replace 2001:db8:1::2 lladdr 02:00:00:00:00:02 dev up0")
	w.sh("ip addr add 198.51.100.2/24 dev wlan0; ip addr add 2001:db8:1::2/64 dev wlan0\n" +
		"ip neigh replace 198.51.100.1 lladdr 02:00:00:00:01:02 dev wlan0; ip neigh replace 2001:db8:1::1 lladdr 02:00:00:00:01:02 dev wlan0\n" +
		"ip route add default via 198.51.100.1; ip route add default via 2001:db8:1::1")
}

// tunnel makes the tunnel as whoever owns it does: a device that is up and has addresses.
func (w *world) tunnel() {
	w.t.Helper()
	w.pair("wg0", 3, w.far, "far0")
	on(w.t, w.far, "ip addr add 10.66.0.1/24 dev far0; ip addr add fd66::1/64 dev far0\n"+
		"ip addr add "+target4+"/32 dev far0; ip addr add "+target6+"/128 dev far0")
	w.sh("ip addr add 10.66.0.2/24 dev wg0; ip addr add fd66::2/64 dev wg0")
}

// serve answers TCP and DNS on all addresses of a namespace.
func (w *world) serve(ns *lab.NetNS) {
	w.t.Helper()
	var l net.Listener
	var pc net.PacketConn
	if err := ns.Do(func() (err error) {
		if l, err = net.Listen("tcp", fmt.Sprintf(":%d", web)); err != nil {
			return err
		}
		pc, err = net.ListenPacket("udp", ":53")
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IP{192, 0, 2, 99}}}
		_ = rw.WriteMsg(m)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(c.RemoteAddr().String() + "\n"))
			c.Close()
		}
	}()
	w.t.Cleanup(func() { l.Close(); _ = srv.Shutdown() })
}

// dial connects from a namespace and returns what the server says: who it sees.
func dial(ns *lab.NetNS, addr string) (string, error) {
	var c net.Conn
	if err := ns.Do(func() (err error) {
		c, err = (&net.Dialer{Timeout: 2 * time.Second, FallbackDelay: -1}).Dial("tcp", net.JoinHostPort(addr, strconv.Itoa(web)))
		return err
	}); err != nil {
		return "", err
	}
	defer c.Close()
	buf := make([]byte, 256)
	n, err := c.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}

// passes has the client reach the target: ping, TCP and DNS, in both families.
func (w *world) passes(when, seen4, seen6 string) {
	w.t.Helper()
	for _, to := range []struct{ addr, seen string }{{target4, seen4}, {target6, seen6}} {
		if out, err := w.client.Call("ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", to.addr); err != nil {
			w.t.Errorf("%s: %v %s", when, err, out)
		}
		if got, err := dial(w.client, to.addr); err != nil || !strings.HasPrefix(got, to.seen) {
			w.t.Errorf("%s: TCP to %s: the server sees %q, want %q: %v", when, to.addr, got, to.seen, err)
		}
		if out, err := w.client.Call("dig", "+short", "+tries=2", "+time=2", "@"+to.addr, "example.org", "A"); err != nil || !strings.Contains(out, "192.0.2.99") {
			w.t.Errorf("%s: DNS of %s: %v %s", when, to.addr, err, out)
		}
	}
}
