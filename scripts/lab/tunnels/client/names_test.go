//go:build lab && linux

package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/lookup"
	"github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/watch"
	config "github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/names"
)

// lookupChild asks for a name in a process of its own, all of which is in one namespace: HOST SERVER MARK.
func lookupChild() {
	if len(os.Args) != 5 || os.Args[1] != "lookup" {
		return
	}
	mark, _ := strconv.ParseUint(os.Args[4], 10, 32)
	list, err := lookup.Addrs(context.Background(), os.Args[2], []netip.AddrPort{netip.MustParseAddrPort(os.Args[3])}, uint32(mark))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, a := range list {
		fmt.Println(a)
	}
	os.Exit(0)
}

// zone answers on the hub for one name.
type zone struct {
	mu    sync.Mutex
	addrs []string
}

func (z *zone) set(addrs ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.addrs = addrs
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if len(z.addrs) == 0 {
		m.Rcode = dns.RcodeServerFailure
	}
	for _, a := range z.addrs {
		typ := "A"
		if strings.Contains(a, ":") {
			typ = "AAAA"
		}
		rr, err := dns.NewRR(fmt.Sprintf("%s 1 IN %s %s", q.Question[0].Name, typ, a))
		if err == nil && rr.Header().Rrtype == q.Question[0].Qtype {
			m.Answer = append(m.Answer, rr)
		}
	}
	_ = w.WriteMsg(m)
}

// named is the client as the job sees it.
type named struct{ *world }

func (n named) Device(ctx context.Context, name string) (d *wireguard.Device, err error) {
	n.client.Do(func() { d, err = wireguard.Read(ctx, n.sockets+"client", name) })
	return d, err
}

func (n named) Lookup(_ context.Context, host string, mark uint32) (out []netip.Addr, err error) {
	var text []byte
	n.client.Do(func() {
		text, err = exec.Command(os.Args[0], "lookup", host, "203.0.113.53:53", fmt.Sprint(mark)).CombinedOutput()
	})
	if err != nil {
		return nil, errors.New(string(text))
	}
	for _, f := range strings.Fields(string(text)) {
		out = append(out, netip.MustParseAddr(f))
	}
	return out, nil
}

func (n named) Point(ctx context.Context, p config.Named, at netip.AddrPort) (err error) {
	n.client.Do(func() { err = wireguard.SetEndpoint(ctx, n.sockets+"client", p.Device, p.PublicKey, at.String()) })
	return err
}

func (named) Allow(context.Context, config.Named, netip.AddrPort) error { return nil }

// TestName has an endpoint by name while everything goes by the tunnel: applied without an answer, found
// when there is one, and found again when the far end has moved and the tunnel is dead. Questions go
// beside the tunnel.
func TestName(t *testing.T) {
	w := newWorld(t)
	z := &zone{}
	// The name server is reached by the default route alone.
	w.hub.Sh("ip addr add 203.0.113.53/32 dev lo")
	var conn net.PacketConn
	var err error
	w.hub.Do(func() { conn, err = net.ListenPacket("udp", "203.0.113.53:53") })
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: z}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })

	w.apply(w.planned(tunnelFile("vpn.example.org:51820", own4+"/24, "+own6+"/64", "0.0.0.0/0, ::/0")))
	w.reaches(target4, false)

	j := &names.Job{Named: []config.Named{{Device: "wg0", Peer: "exit", PublicKey: key(2).Public(), Host: "vpn.example.org", Port: 51820}},
		World: named{w}, Stale: 2 * time.Second, Every: 300 * time.Millisecond}
	look := func() []watch.Repair {
		var out []watch.Repair
		var err error
		w.client.Do(func() {
			r, e := facts.OpenReader()
			if err = e; err != nil {
				return
			}
			defer r.Close()
			l, e := r.Read(t.Context(), facts.AllParts)
			if err = e; err == nil {
				out = j.Look(&watch.State{Live: l, Now: time.Now()})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = j.Run(ctx) }()
	defer func() { cancel(); <-done }()

	look()
	until(t, "it is told that the name has no address", func() bool {
		r := look()
		return len(r) == 1 && strings.Contains(r[0].Why, "vpn.example.org")
	})
	z.set(far4)
	w.client.Sh("ip route add default via 192.0.2.1 metric 9") // something changes: asked at once
	look()
	w.reaches(target4, true)
	w.reaches(target6, true)

	w.far.Sh("ip addr del 198.51.100.2/24 dev eth0\nip addr add 198.51.100.3/24 dev eth0\nip route replace default via 198.51.100.1")
	z.set("198.51.100.3")
	w.reaches(target4, true)
	d, err := named{w}.Device(t.Context(), "wg0")
	if err != nil || d.Peers[0].Endpoint.String() != "198.51.100.3:51820" {
		t.Errorf("the far end is at %v, %v", d.Peers[0].Endpoint, err)
	}
	// Beside the tunnel: without the mark the same question gets no answer while the tunnel is dead.
	w.client.Sh("ip link set wg0 down")
	if _, err := (named{w}).Lookup(t.Context(), "vpn.example.org", d.Fwmark); err != nil {
		t.Errorf("with the mark: %v", err)
	}
	if list, err := (named{w}).Lookup(t.Context(), "vpn.example.org", 0); err == nil {
		t.Errorf("without it, beside a dead tunnel: %v", list)
	}
	w.client.Sh("ip link set wg0 up")
}

// until polls.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for over := time.Now().Add(patience); !done(); {
		if time.Now().After(over) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
