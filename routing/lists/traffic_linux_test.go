package lists_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/lists/span"
	"github.com/provision-net/provision/routing/policy"
)

// world is a router between a LAN, an uplink and a tunnel. The same addresses of the world are behind
// the uplink and behind the tunnel, so that whoever answers tells which way was taken.
type world struct {
	*testing.T
	box, lan, isp, far *nstest.NS
	tables             *nft.Resource
	numbers            policy.Numbers
}

const (
	listed4, other4 = "203.0.113.10", "198.51.100.10"
	listed6, other6 = "2001:db8:100::10", "2001:db8:200::10"
)

func newWorld(t *testing.T) *world {
	w := &world{T: t, box: nstest.New(t), lan: nstest.New(t), isp: nstest.New(t), far: nstest.New(t)}
	for _, ns := range []*nstest.NS{w.box, w.lan, w.isp, w.far} {
		for _, which := range []string{"all", "default"} {
			ns.Sh(fmt.Sprintf("sysctl -qw net.ipv6.conf.%[1]s.accept_dad=0\nsysctl -qw net.ipv6.conf.%[1]s.accept_ra=0\nsysctl -qw net.ipv4.conf.%[1]s.rp_filter=0", which))
		}
	}
	w.box.Sh("sysctl -qw net.ipv4.ip_forward=1\nsysctl -qw net.ipv6.conf.all.forwarding=1")
	w.box.Pair("lan0", w.lan, "eth0")
	w.box.Pair("wan0", w.isp, "box")
	w.box.Sh("ip address add 10.1.0.1/24 dev lan0\nip address add fd01::1/64 dev lan0\nip address add 10.2.0.2/24 dev wan0\nip address add fd02::2/64 dev wan0\n" +
		"ip route add default via 10.2.0.1\nip route add default via fd02::1")
	w.lan.Sh("ip address add 10.1.0.5/24 dev eth0\nip address add fd01::5/64 dev eth0\nip route add default via 10.1.0.1\nip route add default via fd01::1")
	w.isp.Sh("ip address add 10.2.0.1/24 dev box\nip address add fd02::1/64 dev box\nip route add default via 10.2.0.2\nip route add default via fd02::2")
	w.tunnel()
	for _, ns := range []*nstest.NS{w.isp, w.far} {
		for _, a := range []string{listed4, other4, listed6, other6} {
			ns.Sh("ip address add " + a + " dev lo")
		}
	}
	for name, ns := range map[string]*nstest.NS{"isp": w.isp, "far": w.far, "lan": w.lan, "box": w.box} {
		serve(t, ns, name)
	}
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	w.tables = &nft.Resource{Blobs: nft.Blobs{Files: root, Dir: t.TempDir() + "/sets"}}
	// Neighbours are known only a moment after the devices are up.
	for deadline := time.Now().Add(10 * time.Second); ; {
		missing := ""
		for _, a := range []string{listed4, listed6} {
			for name, ns := range map[string]*nstest.NS{"the box": w.box, "the LAN": w.lan} {
				if got := ask(ns, a); !strings.HasPrefix(got, "isp") {
					missing += name + " asks " + a + ": " + got + "; "
				}
			}
		}
		if missing == "" {
			return w
		}
		if time.Now().After(deadline) {
			t.Fatal(missing)
		}
	}
}

// tunnel makes the tunnel's device: point to point and without neighbours, as tunnels are. What comes
// there is only taken from the tunnel's own addresses, as WireGuard's allowed-ips do.
func (w *world) tunnel() {
	w.box.Pair("tun0", w.far, "tun0")
	w.box.Sh("ip address add 10.3.0.2/32 dev tun0\nip address add fd03::2/128 dev tun0\nip link set tun0 arp off address 02:00:00:00:00:01")
	w.far.Sh("ip link set tun0 arp off address 02:00:00:00:00:01\nip route add 10.3.0.2/32 dev tun0\nip route add fd03::2/128 dev tun0")
	w.far.Try("ip address add 10.3.0.1/32 dev tun0\nip address add fd03::1/128 dev tun0")
}

// serve answers on a TCP port of all addresses who it is, and who asked, until the test ends.
func serve(t *testing.T, ns *nstest.NS, name string) {
	t.Helper()
	var l net.Listener
	var err error
	ns.Do(func() { l, err = net.Listen("tcp", "[::]:7777") })
	if err != nil {
		t.Fatal(err)
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
				a := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
				fmt.Fprintf(c, "%s %s\n", name, a)
				c.SetDeadline(time.Now().Add(20 * time.Second))
				io.Copy(c, c) // what is said comes back
			}()
		}
	}()
}

// ask connects and returns who answers; "no" with the reason if nobody does.
func ask(ns *nstest.NS, addr string) string {
	c, who := open(ns, addr)
	if c != nil {
		c.Close()
	}
	return who
}

func open(ns *nstest.NS, addr string) (net.Conn, string) {
	var c net.Conn
	var err error
	ns.Do(func() {
		d := net.Dialer{Timeout: 700 * time.Millisecond}
		c, err = d.Dial("tcp", net.JoinHostPort(addr, "7777"))
	})
	if err != nil {
		return nil, "no " + err.Error()
	}
	c.SetDeadline(time.Now().Add(3 * time.Second))
	line := make([]byte, 100)
	n, err := c.Read(line)
	if err != nil {
		c.Close()
		return nil, "no " + err.Error()
	}
	return c, strings.TrimSpace(string(line[:n]))
}

func (w *world) facts() *facts.Facts {
	f := &facts.Facts{Files: map[string]facts.File{}}
	var err error
	w.box.Do(func() {
		var r *facts.Reader
		if r, err = facts.OpenReader(); err != nil {
			return
		}
		defer r.Close()
		var l *facts.Live
		if l, err = r.Read(w.Context(), facts.AllParts); err == nil {
			f.Links, f.Addrs, f.Routes, f.Rules = slices.Clone(l.Links), slices.Clone(l.Addrs), slices.Clone(l.Routes), slices.Clone(l.Rules)
		}
	})
	if err != nil {
		w.Fatal(err)
	}
	return f
}

// apply plans and sets, twice: the second time there is nothing to do.
func (w *world) apply(c lists.Config, s lists.Smart, sets map[string]span.Set, ends ...intent.Endpoint) {
	w.Helper()
	if ps := c.Problems(s); len(ps) > 0 {
		w.Fatal(ps)
	}
	f := w.facts()
	in := policy.Input{Facts: f, Byways: s.Byways(), Memory: w.numbers.Memory}
	var err error
	if w.numbers, err = policy.Allocate(in); err != nil {
		w.Fatal(err)
	}
	if sets == nil {
		sets = c.WithUpstreams(c.Sets(nil))
	}
	r, err := lists.Plan(lists.Input{Facts: f, Config: c, Smart: s, Sets: sets, Numbers: w.numbers, Endpoints: ends})
	if err != nil {
		w.Fatal(err)
	}
	if ps := r.Table.Problems(); len(ps) > 0 {
		w.Fatal(ps)
	}
	if err := w.tables.Blobs.Save(r.Table); err != nil {
		w.Fatal(err)
	}
	kinds := map[string]provision.Resource{route.Kind: route.Resource{}, rule.Kind: rule.Resource{}, nft.Kind: w.tables}
	w.box.Do(func() {
		for round := range 2 {
			for _, want := range append([]provision.Want{nft.Own(r.Table, "")}, r.Desired.Wants...) {
				res := kinds[want.Kind]
				have, err := res.Get(w.Context(), want.Name)
				if err != nil {
					w.Error(err)
					continue
				}
				if round == 1 && have == nil && strings.Contains(want.Name, " dev ") {
					continue // its device is away
				}
				if round == 1 {
					for k, v := range want.Attrs {
						if have[k] != v {
							w.Errorf("%s is not as it was set: %s", want.Ref, k)
						}
					}
					continue
				}
				if err := res.Set(w.Context(), want.Name, have, want.Attrs); err != nil && !errors.Is(err, provision.ErrPending) {
					w.Error(err)
				}
			}
		}
	})
}

// want asks from the box and from the LAN.
func (w *world) want(what string, answers map[string]string) {
	w.Helper()
	for who, ns := range map[string]*nstest.NS{"box": w.box, "lan": w.lan} {
		for addr, want := range answers {
			for _, only := range []string{"box", "lan"} { // for one of them
				if v, ok := strings.CutPrefix(want, only+":"); ok {
					if want = v; only != who {
						want = ""
					}
				}
			}
			if want == "" {
				continue
			}
			got := ask(ns, addr)
			// A first packet may be lost; one that went the wrong way is answered by somebody else.
			for range 3 {
				if want != "no" && strings.HasPrefix(got, "no") {
					got = ask(ns, addr)
				}
			}
			if !strings.HasPrefix(got+" ", want+" ") {
				w.Errorf("%s: %s asks %s and is answered by %q, want %q", what, who, addr, got, want)
			}
		}
	}
}

func TestPacketsTakeTheirWay(t *testing.T) {
	w := newWorld(t)
	w.want("before", map[string]string{listed4: "isp", other4: "isp", listed6: "isp", other6: "isp"})

	world := lists.Config{"world": {Addresses: []string{"203.0.113.0/24", "2001:db8:100::/48"}}}
	w.apply(world, lists.Smart{{Lists: []string{"world"}, Uplink: "tun0"}}, nil)
	// Packets get the tunnel's address: nothing else comes back.
	w.want("listed", map[string]string{listed4: "far 10.3.0.2", listed6: "far fd03::2", other4: "isp", other6: "isp"})
	if got := ask(w.lan, other4); got != "isp 10.1.0.5" {
		t.Errorf("what is not listed keeps its address: %q", got)
	}
	// From outside to the box and to the LAN, from a listed address: answers go back as they came.
	w.isp.Sh("ip route add 10.1.0.0/24 via 10.2.0.2 src " + listed4 + "\nip route replace 10.2.0.2/32 dev box src " + listed4 +
		"\nip route add fd01::/64 via fd02::2 src " + listed6)
	for addr, want := range map[string]string{"10.1.0.5": "lan " + listed4, "10.2.0.2": "box " + listed4, "fd01::5": "lan " + listed6} {
		if got := ask(w.isp, addr); got != want {
			t.Errorf("from outside to %s: %q, want %q", addr, got, want)
		}
	}
	// The LAN is the LAN, even where a list holds it, and what the main table has a route for.
	w.apply(lists.Config{"all": {Addresses: []string{"0.0.0.0/0", "::/0"}}}, lists.Smart{{Lists: []string{"all"}, Uplink: "tun0"}}, nil)
	w.want("everything", map[string]string{other4: "far 10.3.0.2", other6: "far fd03::2", "10.2.0.1": "isp", "fd02::1": "isp", "10.1.0.5": "box:lan 10.1.0.1", "fd01::5": "box:lan fd01::1"})
	if got := ask(w.lan, "10.1.0.1"); got != "box 10.1.0.5" {
		t.Errorf("the box itself: %q", got)
	}
	// A tunnel's endpoint is where it is.
	w.apply(lists.Config{"all": {Addresses: []string{"0.0.0.0/0", "::/0"}}}, lists.Smart{{Lists: []string{"all"}, Uplink: "tun0"}}, nil,
		intent.Endpoint{Tunnel: "tun0", Proto: "tcp", Addr: netip.MustParseAddr(other4), Port: 7777}, intent.Endpoint{Tunnel: "tun0", Proto: "tcp", Addr: netip.MustParseAddr(other6), Port: 7777})
	w.want("endpoint", map[string]string{other4: "box:isp", other6: "box:isp"})

	// The tunnel goes: nothing leaves beside it.
	w.apply(world, lists.Smart{{Lists: []string{"world"}, Uplink: "tun0"}}, nil)
	w.box.Sh("ip link del tun0")
	w.want("without the tunnel", map[string]string{listed4: "no", listed6: "no", other4: "isp", other6: "isp"})
	w.apply(world, lists.Smart{{Lists: []string{"world"}, Uplink: "tun0", Fallback: lists.Direct}}, nil)
	w.box.Do(func() { // as the plan that has it no more would
		for _, f := range []int{4, 6} {
			b, _ := w.numbers.Byway("list tun0")
			k := route.Key{Family: f, Table: b.Table, Type: route.Unreachable, Dst: route.Any(f), Metric: route.Worst}
			have, err := route.Resource{}.Get(t.Context(), k.String())
			if err == nil {
				err = route.Resource{}.Set(t.Context(), k.String(), have, nil)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	w.want("fallback", map[string]string{listed4: "isp", listed6: "isp", other4: "isp"})
}

func TestBlockDirectAndOrder(t *testing.T) {
	w := newWorld(t)
	no := false
	c := lists.Config{
		"bad":  {Addresses: []string{listed4, listed6}},
		"near": {Addresses: []string{other4, other6}},
		"some": {Addresses: []string{"203.0.113.0/24", "2001:db8:100::/48"}, Except: []string{"bad"}},
	}
	for _, a := range []string{"203.0.113.11", "2001:db8:100::11"} {
		w.isp.Sh("ip address add " + a + " dev lo")
		w.far.Sh("ip address add " + a + " dev lo")
	}
	// The first rule that fits decides, the last is for everything; direct is past a full tunnel.
	w.apply(c, lists.Smart{{Lists: []string{"bad"}, Uplink: lists.Block}, {Lists: []string{"near"}, Uplink: lists.Direct}, {Uplink: "tun0"}}, nil)
	w.box.Sh("ip route add default dev tun0 table 99\nip -6 route add default dev tun0 table 99\nip rule add pref 29999 lookup main suppress_prefixlength 0\nip -6 rule add pref 29999 lookup main suppress_prefixlength 0\nip rule add pref 30000 lookup 99\nip -6 rule add pref 30000 lookup 99")
	w.want("three rules", map[string]string{listed4: "no", listed6: "no", other4: "isp", other6: "isp", "203.0.113.11": "far 10.3.0.2", "2001:db8:100::11": "far fd03::2"})
	if got := ask(w.box, other4); got != "isp 10.2.0.2" {
		t.Errorf("an address that was chosen for the tunnel: %q", got)
	}
	if got := ask(w.box, listed4); !strings.Contains(got, "no") || strings.Contains(got, "timeout") {
		t.Errorf("what is blocked is told so: %q", got)
	}
	// Only the LAN, and only what is not taken out.
	w.apply(c, lists.Smart{{Lists: []string{"some"}, Uplink: "tun0", Own: &no}}, nil)
	w.box.Sh("ip rule del pref 30000\nip -6 rule del pref 30000")
	w.want("forwarded only", map[string]string{listed4: "isp", listed6: "isp", "203.0.113.11": "lan:far 10.3.0.2", other6: "isp"})
	if got := ask(w.box, "203.0.113.11"); got != "isp 10.2.0.2" {
		t.Errorf("own: %q", got)
	}
	w.apply(c, lists.Smart{{Lists: []string{"some"}, Uplink: "tun0", Interfaces: []string{"wan*"}}, {Lists: []string{"near"}, Uplink: "tun0", Interfaces: []string{"la*"}}}, nil)
	if a, b, c := ask(w.lan, "203.0.113.11"), ask(w.lan, other6), ask(w.box, other4); a != "isp 10.1.0.5" || b != "far fd03::2" || c != "isp 10.2.0.2" {
		t.Errorf("by interfaces: %q %q %q", a, b, c)
	}
}

// TestConnectionsKeepTheirWay: what is decided once holds, whatever lists say later; what is new takes the new way.
func TestConnectionsKeepTheirWay(t *testing.T) {
	w := newWorld(t)
	empty := lists.Config{"world": {Addresses: []string{"192.0.2.99"}, Domains: []string{"video.example"}}}
	full := lists.Config{"world": {Addresses: []string{"203.0.113.0/24", "2001:db8:100::/48"}, Domains: []string{"video.example"}}}
	smart := lists.Smart{{Lists: []string{"world"}, Uplink: "tun0"}}
	talk := func(c net.Conn) error {
		if _, err := c.Write([]byte("still there?")); err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(3 * time.Second))
		_, err := io.ReadFull(c, make([]byte, len("still there?")))
		return err
	}
	w.apply(empty, smart, nil)
	var old []net.Conn
	for _, ns := range []*nstest.NS{w.box, w.lan} {
		for _, a := range []string{listed4, listed6} {
			c, who := open(ns, a)
			if c == nil || !strings.HasPrefix(who, "isp") {
				t.Fatal(who)
			}
			defer c.Close()
			old = append(old, c)
		}
	}
	w.apply(full, smart, nil)
	w.want("listed now", map[string]string{listed4: "far 10.3.0.2", listed6: "far fd03::2"})
	var learnt []net.Conn
	for _, ns := range []*nstest.NS{w.box, w.lan} {
		c, who := open(ns, listed4)
		if c == nil || !strings.HasPrefix(who, "far") {
			t.Fatal(who)
		}
		defer c.Close()
		learnt = append(learnt, c)
	}
	w.apply(empty, smart, nil)
	w.want("not listed any more", map[string]string{listed4: "isp", listed6: "isp"})
	for i, c := range append(old, learnt...) {
		if err := talk(c); err != nil {
			t.Errorf("connection %d was cut by a list that changed: %v", i, err)
		}
	}
}

// TestLearnt: addresses of names are listed as soon as they are learnt, stay when the table is set anew
// with other addresses in the same set, and go with their time.
func TestLearnt(t *testing.T) {
	w := newWorld(t)
	c := lists.Config{"video": {Domains: []string{"video.example"}, Sources: []string{"/x"}}}
	smart := lists.Smart{{Lists: []string{"video"}, Uplink: "tun0"}}
	w.apply(c, smart, map[string]span.Set{})
	w.want("nothing learnt", map[string]string{listed4: "isp", listed6: "isp"})
	learn := func(a string, ms uint64) {
		ip := netip.MustParseAddr(a)
		family := 4
		if ip.Is6() {
			family = 6
		}
		var err error
		w.box.Do(func() {
			err = w.tables.Learn(t.Context(), nft.OwnFamily, nft.OwnTable, lists.NamesSet("video", family), []nft.Element{{Key: ip.AsSlice(), Timeout: ms}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	learn(listed4, 600000)
	learn(listed6, 1000)
	w.want("learnt", map[string]string{listed4: "far 10.3.0.2", listed6: "far fd03::2", other4: "isp"})
	var b span.Builder
	for i := range 3000 { // a large set, which is not in the table's text
		if err := b.Add(netip.AddrFrom4([4]byte{11, byte(i >> 7), byte(i << 1), 0}), netip.AddrFrom4([4]byte{11, byte(i >> 7), byte(i << 1), 200})); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.AddPrefix(netip.MustParsePrefix("198.51.100.0/24")); err != nil {
		t.Fatal(err)
	}
	w.apply(c, smart, map[string]span.Set{"video": b.Set()})
	w.want("and by address", map[string]string{listed4: "far 10.3.0.2", other4: "far 10.3.0.2", other6: "isp"})
	for deadline := time.Now().Add(5 * time.Second); !strings.HasPrefix(ask(w.box, listed6), "isp"); {
		if time.Now().After(deadline) {
			t.Fatal("what was learnt for a second is still listed")
		}
	}
}
