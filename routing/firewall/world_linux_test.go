package firewall_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/firewall"
)

// How long a packet is waited for: an answer that should come has seconds, on a busy machine
// too; one that should not come is missed after a few hundred times what it takes.
const (
	patience = 5 * time.Second
	silence  = 120 * time.Millisecond
)

// world is the classic sheet's network: the firewall with eth0 outside and the bridge eth1
// inside, a server and a client behind it, and the internet. Its first host is the gateway
// 192.0.2.1, which routes the inside's IPv6 and knows nothing of the inside's IPv4; far is a
// network beyond it.
type world struct {
	t                                      *testing.T
	firewall, server, client, outside, far *nstest.NS
}

const (
	out4, out6       = "192.0.2.1", "2001:db8:123c:abd::1"
	box4, box6       = "192.0.2.2", "2001:db8:123c:abd::2" // the firewall outside
	lan4, lan6       = "198.51.100.1", "2001:db8:123d:abc::1"
	server4, server6 = "198.51.100.2", "2001:db8:123d:abc::2"
	client4, client6 = "198.51.100.3", "2001:db8:123d:abc::3"
	far4, far6       = "203.0.113.2", "2001:db8:fa::2"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t, nstest.New(t), nstest.New(t), nstest.New(t), nstest.New(t), nstest.New(t)}
	for _, ns := range []*nstest.NS{w.firewall, w.server, w.client, w.outside, w.far} {
		sysctl(t, ns, "ipv6/conf/default/accept_dad", "0") // nobody waits for link-local addresses
	}
	w.firewall.Pair("eth0", w.outside, "o0")
	w.firewall.Sh("ip link add eth1 type bridge forward_delay 0 mcast_snooping 0\nip link set eth1 up")
	for _, h := range []struct {
		ns             *nstest.NS
		port           string
		four, six, mac string
	}{{w.server, "p1", server4, server6, "02:00:00:00:00:02"}, {w.client, "p2", client4, client6, "02:00:00:00:00:03"}} {
		w.firewall.Pair(h.port, h.ns, "e0")
		w.firewall.Sh("ip link set " + h.port + " master eth1")
		address(h.ns, "e0", h.four+"/24", h.six+"/64")
		h.ns.Sh("ip route add default via " + lan4 + "\nip -6 route add default via " + lan6)
	}
	w.outside.Pair("o1", w.far, "f0")
	// With br_netfilter (docker loads it) the bridge hands frames to our chains by itself.
	for _, call := range []string{"iptables", "ip6tables"} {
		w.firewall.Do(func() { os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+call, []byte("0"), 0o644) }) //nolint:errcheck // absent without the module
	}
	address(w.firewall, "eth0", box4+"/24", box6+"/64")
	address(w.firewall, "eth1", lan4+"/24", lan6+"/64")
	w.firewall.Sh("ip route add default via " + out4 + "\nip -6 route add default via " + out6)
	address(w.outside, "o0", out4+"/24", out6+"/64")
	address(w.outside, "o1", "203.0.113.1/24", "2001:db8:fa::1/64")
	w.outside.Sh("ip -6 route add 2001:db8:123d:abc::/64 via " + box6)
	address(w.far, "f0", far4+"/24", far6+"/64")
	w.far.Sh("ip route add default via 203.0.113.1\nip -6 route add default via 2001:db8:fa::1")
	for _, r := range []*nstest.NS{w.firewall, w.outside} {
		sysctl(t, r, "ipv4/ip_forward", "1")
		sysctl(t, r, "ipv6/conf/all/forwarding", "1")
	}
	return w
}

func address(ns *nstest.NS, dev, four, six string) {
	ns.Sh("ip addr add " + four + " dev " + dev + "\nip -6 addr add " + six + " dev " + dev + " nodad")
}

func sysctl(t *testing.T, ns *nstest.NS, path, value string) {
	t.Helper()
	var err error
	ns.Do(func() { err = os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0o644) })
	if err != nil {
		t.Fatal(err)
	}
}

// load compiles a policy and sets it in the firewall's kernel by our own resource, and has it
// read back: the kernel holds what was compiled.
func (w *world) load(p firewall.Policy, in intent.Set) nft.Table {
	w.t.Helper()
	table := compile(w.t, p, in)
	want := nft.Own(table, "test")
	var err, again error
	w.firewall.Do(func() {
		var r nft.Resource
		ctx := context.Background()
		have, e := r.Get(ctx, want.Name)
		if err = e; e == nil {
			err = r.Set(ctx, want.Name, have, want.Attrs)
		}
		have, again = r.Get(ctx, want.Name)
		if again == nil && have[nft.AttrTable] != want.Attrs[nft.AttrTable] {
			again = errors.New("the table reads back otherwise than it was written")
		}
	})
	if err := errors.Join(err, again); err != nil {
		w.t.Fatal(err)
	}
	return table
}

// counted is how many packets the rules with that comment have counted in chains with that name.
func (w *world) counted(chain, comment string) (n uint64) {
	w.t.Helper()
	for _, c := range w.dump().Chains {
		for _, r := range c.Rules {
			if c.Name == chain && strings.HasPrefix(r.Comment, comment) {
				for _, e := range r.Exprs {
					if e.Counter != nil {
						n += e.Counter.Packets
					}
				}
			}
		}
	}
	return n
}

// logged says whether what this source sent was logged as refused.
func (w *world) logged(source string) bool {
	w.t.Helper()
	a := netip.MustParseAddr(source)
	for _, s := range w.dump().Sets {
		if s.Name != "logged.4" && s.Name != "logged.6" {
			continue
		}
		for _, e := range s.Elements {
			if string(e.Key) == string(a.AsSlice()) {
				return true
			}
		}
	}
	return false
}

func (w *world) dump() *nft.Table {
	w.t.Helper()
	var table *nft.Table
	var err error
	w.firewall.Do(func() { table, err = nft.Dump(context.Background(), nft.OwnFamily, nft.OwnTable) })
	if err != nil || table == nil {
		w.t.Fatalf("cannot read the table: %v", err)
	}
	return table
}

// serve answers on a port with the address that the client has there.
func serve(t *testing.T, ns *nstest.NS, network, at string) {
	t.Helper()
	ns.Do(func() {
		if strings.HasPrefix(network, "udp") {
			c, err := net.ListenPacket(network, at)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				b := make([]byte, 2000)
				for {
					_, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					c.WriteTo([]byte(from.String()), from) //nolint:errcheck // the client finds out
				}
			}()
			return
		}
		l, err := net.Listen(network, at)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					io.WriteString(c, c.RemoteAddr().String()+"\n") //nolint:errcheck // the client finds out
					io.Copy(io.Discard, c)                          //nolint:errcheck // until the client ends
				}()
			}
		}()
	})
}

// What comes of asking.
const (
	silent  = "silence"
	refused = "refused"
)

// ask connects and gives the source address that the server sees, or refused, or silence.
func ask(ns *nstest.NS, network, to string, wait time.Duration) (answer string) {
	ns.Do(func() { answer = talk((&net.Dialer{Timeout: wait}).Dial, network, to, wait) })
	return answer
}

func talk(dial func(network, to string) (net.Conn, error), network, to string, wait time.Duration) string {
	c, err := dial(network, to)
	if err != nil {
		return failure(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(wait)) //nolint:errcheck // a connection of the kernel's has deadlines
	if strings.HasPrefix(network, "udp") {
		if _, err := c.Write([]byte("who am I")); err != nil {
			return failure(err)
		}
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		return failure(err)
	}
	ap, err := netip.ParseAddrPort(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return err.Error()
	}
	return ap.Addr().Unmap().String()
}

func failure(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPERM): // EPERM: our own output
		return refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return silent
	}
	return err.Error()
}

// sees checks that the server is reached and which source it sees.
func (w *world) sees(what string, from *nstest.NS, network, to, source string) {
	w.t.Helper()
	if got := ask(from, network, to, patience); got != source {
		w.t.Errorf("%s: %s to %s: the server sees %s, want %s", what, network, to, got, source)
	}
}

// dropped checks that nothing comes back.
func (w *world) dropped(what string, from *nstest.NS, network, to string) {
	w.t.Helper()
	if got := ask(from, network, to, silence); got != silent {
		w.t.Errorf("%s: %s to %s: %s, want silence", what, network, to, got)
	}
}

// refuses checks that the client is told at once.
func (w *world) refuses(what string, from *nstest.NS, network, to string) {
	w.t.Helper()
	if got := ask(from, network, to, patience); got != refused {
		w.t.Errorf("%s: %s to %s: %s, want it refused", what, network, to, got)
	}
}

func (w *world) pings(what string, from *nstest.NS, to string, want bool) {
	w.t.Helper()
	wait := "5"
	if !want {
		wait = "0.15"
	}
	if _, err := from.Try("ping -n -c 1 -W " + wait + " " + to); (err == nil) != want {
		w.t.Errorf("%s: ping %s: answered %v, want %v", what, to, err == nil, want)
	}
}

// at joins an address and a port.
func at(addr, port string) string { return net.JoinHostPort(addr, port) }
