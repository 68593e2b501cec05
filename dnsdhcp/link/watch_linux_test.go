package link

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/provision/host/nstest"
)

type bootClock struct{}

func (bootClock) Now() clock.Instant {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return clock.Instant(ts.Nano())
}

func (c bootClock) Read() clock.Reading { return clock.Reading{Boot: c.Now(), Wall: time.Now()} }

// open starts a Watcher in ns with a receive buffer of this size.
func open(t *testing.T, ns *nstest.NS, buffer int) *Watcher {
	t.Helper()
	var w *Watcher
	var err error
	ns.Do(func() { w, err = watch(Config{Clock: bootClock{}, Neighbours: true}, buffer) })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs w until the test ends.
func run(t *testing.T, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
	})
}

// until calls step with each update of s until it is true.
func until(t *testing.T, s *Subscription, what string, step func(Update) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case <-s.C():
			u := s.Next()
			if step(u) {
				return
			}
			t.Logf("%s: %+v", what, u)
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// truth is what ip(8) says, in the form of text.
func truth(t *testing.T, ns *nstest.NS) string {
	t.Helper()
	var links []struct {
		Index   int      `json:"ifindex"`
		Name    string   `json:"ifname"`
		MTU     int      `json:"mtu"`
		Address string   `json:"address"`
		Flags   []string `json:"flags"`
		Addrs   []struct {
			Local  string `json:"local"`
			Prefix int    `json:"prefixlen"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(ns.Sh("ip -j address")), &links); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range links {
		var addrs []string
		for _, a := range l.Addrs {
			addrs = append(addrs, fmt.Sprintf("%s/%d", netip.MustParseAddr(a.Local), a.Prefix))
		}
		slices.Sort(addrs)
		out = append(out, fmt.Sprintf("%d %s %d %s up=%v carrier=%v %v", l.Index, l.Name, l.MTU, l.Address,
			slices.Contains(l.Flags, "UP"), slices.Contains(l.Flags, "LOWER_UP"), addrs))
	}
	return strings.Join(out, "\n")
}

func show(links []Link) string {
	var out []string
	for _, l := range links {
		var addrs []string
		for _, a := range l.Addrs {
			addrs = append(addrs, a.Prefix.String())
		}
		slices.Sort(addrs)
		out = append(out, fmt.Sprintf("%d %s %d %s up=%v carrier=%v %v", l.Index, l.Name, l.MTU, l.MAC, l.Up, l.Carrier, addrs))
	}
	return strings.Join(out, "\n")
}

// agrees waits until the table says what ip(8) says.
func agrees(t *testing.T, ns *nstest.NS, w *Watcher, s *Subscription) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if truth(t, ns) == show(w.Snapshot()) {
			return
		}
		select {
		case <-s.C():
			s.Next()
		case <-deadline:
			t.Fatalf("kernel:\n%s\ntable:\n%s", truth(t, ns), show(w.Snapshot()))
		}
	}
}

func TestWatch(t *testing.T) {
	ns := nstest.New(t)
	ns.Sh("ip link add early type bridge")
	w := open(t, ns, receiveBuffer)
	if got, want := show(w.Snapshot()), truth(t, ns); got != want {
		t.Fatalf("at first\n%s\nwant\n%s", got, want)
	}
	run(t, w)
	s := w.Subscribe(false)
	defer s.Close()
	until(t, s, "the links that are there already", func(u Update) bool {
		return len(u.Links) == 2 && u.Links[0].Kind == Added && u.Links[1].Link.Name == "early" && u.Routing
	})

	ns.Sh("ip link add usb0 type veth peer name host0")
	var index int
	until(t, s, "usb0 added", func(u Update) bool {
		for _, c := range u.Links {
			if c.Kind == Added && c.Link.Name == "usb0" {
				index = c.Link.Index
			}
		}
		return index != 0
	})
	last := func(want Kind, name string, cond func(c Change) bool) func(Update) bool {
		return func(u Update) bool {
			return slices.ContainsFunc(u.Links, func(c Change) bool {
				return c.Kind == want && c.Link.Name == name && c.Link.Index == index && cond(c)
			})
		}
	}
	ns.Sh("ip link set usb0 up\nip link set host0 up")
	// The kernel does not speak of an address before duplicate address detection is over.
	until(t, s, "carrier and end of DAD", last(Updated, "usb0", func(c Change) bool {
		return c.Link.Up && c.Link.Carrier && c.Link.LinkLocal().IsValid()
	}))
	ns.Sh("ip addr add 10.9.0.1/24 dev usb0\nip addr add 2001:db8::1/64 dev usb0 valid_lft 1000 preferred_lft 500 nodad")
	until(t, s, "lifetimes", last(Updated, "usb0", func(c Change) bool {
		return slices.ContainsFunc(c.Link.Addrs, func(a Addr) bool {
			return a.Prefix.Addr().Is6() && a.Valid == 1000*time.Second && a.Preferred == 500*time.Second
		}) && slices.ContainsFunc(c.Link.Addrs, func(a Addr) bool {
			return a.Prefix == netip.MustParsePrefix("10.9.0.1/24") && a.Valid == Infinite && !a.Temporary
		})
	}))
	ns.Sh("ip link set usb0 name usb7")
	until(t, s, "renamed", last(Updated, "usb7", func(c Change) bool { return c.Old.Name == "usb0" }))
	ns.Sh("ip link add br0 type bridge\nip link set usb7 master br0")
	until(t, s, "enslaved", last(Updated, "usb7", func(c Change) bool { return c.Link.Master != 0 }))
	// The bridge says RTM_DELLINK of its port, which stays an interface.
	ns.Sh("ip link set usb7 nomaster")
	until(t, s, "freed", last(Updated, "usb7", func(c Change) bool { return c.Link.Master == 0 }))
	agrees(t, ns, w, s)

	ns.Sh("ip link del usb7\nip link add usb7 type bridge")
	var kinds []string
	until(t, s, "recreated", func(u Update) bool {
		for _, c := range u.Links {
			if c.Link.Name == "usb7" {
				kinds = append(kinds, fmt.Sprint(c.Kind, " ", c.Link.Index == index))
			}
		}
		return len(kinds) > 1
	})
	if want := fmt.Sprint([]string{fmt.Sprint(Removed, " true"), fmt.Sprint(Added, " false")}); fmt.Sprint(kinds) != want {
		t.Errorf("recreated: %v, want %s", kinds, want)
	}
}

// A reader that sleeps through a deletion and a creation under the same index has dead sockets nevertheless.
func TestSameIndexIsAnotherIncarnation(t *testing.T) {
	ns := nstest.New(t)
	ns.Sh("ip link add usb0 index 77 type bridge")
	w := open(t, ns, receiveBuffer)
	s, watching := w.Subscribe(false), w.Subscribe(false)
	s.Next()
	run(t, w)
	ns.Sh("ip link del usb0\nip link add usb0 index 77 type bridge\nip link set usb0 mtu 1400")
	until(t, watching, "the new one", func(Update) bool {
		l, _ := w.ByIndex(77)
		return l.MTU == 1400
	})
	u := s.Next()
	if len(u.Links) != 2 || u.Links[0].Kind != Removed || u.Links[1].Kind != Added || u.Links[0].Link.MTU != 1500 {
		t.Errorf("%+v", u.Links)
	}
}

func TestStorm(t *testing.T) {
	ns := nstest.New(t)
	w := open(t, ns, receiveBuffer)
	run(t, w)
	s := w.Subscribe(true)
	var script strings.Builder
	for i := range 100 {
		fmt.Fprintf(&script, "link add usb0 type veth peer name host0\nlink set usb0 up\nlink set host0 up\n"+
			"addr add 10.0.%d.1/24 dev usb0\nlink set usb0 down\nlink set usb0 name x%d\n", i, i)
		if i%3 != 0 {
			fmt.Fprintf(&script, "link del x%d\n", i)
		} else {
			fmt.Fprintf(&script, "link set host0 name y%d\n", i)
		}
	}
	batchIP(t, ns, script.String())
	agrees(t, ns, w, s)
	if n := len(w.Snapshot()); n != 1+2*34 {
		t.Errorf("%d links", n)
	}
	t.Logf("%+v", w.Status())
}

func TestOverrun(t *testing.T) {
	ns := nstest.New(t)
	// The smallest buffer that the kernel allows holds about one message, and nobody reads while the links are made.
	w := open(t, ns, 1)
	s := w.Subscribe(true)
	s.Next()
	var script strings.Builder
	for i := range 50 {
		fmt.Fprintf(&script, "link add d%d type veth peer name p%d\naddr add 10.0.%d.1/24 dev d%d\nlink set d%d up\nlink set p%d up\n", i, i, i, i, i, i)
	}
	script.WriteString("link del d7\nroute add default via 10.0.3.2 dev d3 metric 5\nneigh add 10.0.3.2 lladdr 02:00:00:00:00:09 dev d3\n")
	batchIP(t, ns, script.String())
	run(t, w)
	agrees(t, ns, w, s)
	if st := w.Status(); st.Overrun == 0 {
		t.Errorf("nothing was lost: %+v", st)
	}
	deadline := time.After(10 * time.Second)
	for {
		d, ok := w.Uplink(false, nil)
		if ok && d.Gateway == netip.MustParseAddr("10.0.3.2") && d.Metric == 5 {
			break
		}
		select {
		case <-s.C():
		case <-deadline:
			t.Fatalf("default route: %+v", w.Routing())
		}
	}
}

func batchIP(t *testing.T, ns *nstest.NS, script string) {
	t.Helper()
	file := t.TempDir() + "/batch"
	writeFile(t, file, script)
	ns.Sh("ip -batch " + file)
}

func TestRouting(t *testing.T) {
	ns := nstest.New(t)
	w := open(t, ns, receiveBuffer)
	run(t, w)
	s := w.Subscribe(false)
	wait := func(what string, ok func() bool) {
		t.Helper()
		until(t, s, what, func(Update) bool { return ok() })
	}
	up := func(v6 bool) int {
		d, ok := w.Uplink(v6, nil)
		if !ok {
			return 0
		}
		return d.Index
	}
	ns.Sh(`ip link add wlan0 type veth peer name ap
ip link add eth0 type veth peer name switch
ip link set ap up
ip link set switch up
ip addr add 10.1.0.2/24 dev wlan0
ip addr add 10.2.0.2/24 dev eth0
ip addr add 2001:db8:1::2/64 dev wlan0 nodad
ip link set wlan0 up
ip link set eth0 up
ip route add default via 10.1.0.1 metric 600
ip route add default via 10.2.0.1 metric 100
ip -6 route add default via 2001:db8:1::1`)
	index := func(name string) int {
		for _, l := range w.Snapshot() {
			if l.Name == name {
				return l.Index
			}
		}
		return -1
	}
	wait("both defaults", func() bool { return up(false) == index("eth0") && up(true) == index("wlan0") })
	if d, ok := w.Uplink(false, func(i int) bool { return i == index("eth0") }); !ok || d.Index != index("wlan0") {
		t.Errorf("without eth0: %+v, %v", d, ok)
	}
	// The kernel tells nobody of the IPv4 routes that go with a link.
	ns.Sh("ip link set eth0 down")
	wait("the other default", func() bool { return up(false) == index("wlan0") && len(w.Routing().Defaults) == 2 })
	ns.Sh("ip link set eth0 up\nip route add default via 10.2.0.1 metric 100")
	wait("back", func() bool { return up(false) == index("eth0") })
	ns.Sh("ip addr del 10.2.0.2/24 dev eth0")
	wait("the address takes the route along", func() bool { return up(false) == index("wlan0") })
	ns.Sh("ip route replace unreachable default metric 1\nip -6 route del default")
	wait("no default in IPv6", func() bool { return up(true) == 0 })
	ns.Sh("ip route add default table 77 via 10.1.0.1")
	wait("another table", func() bool { return len(w.Routing().Defaults) == 2 })

	if w.Routing().Forwards6() {
		t.Error("forwards")
	}
	ns.Sh("sysctl -q -w net.ipv6.conf.all.forwarding=1")
	wait("forwarding", func() bool { return w.Routing().Forwards6() && w.Routing().Forward6.Link[index("eth0")] })
	ns.Sh("sysctl -q -w net.ipv6.conf.all.forwarding=0\nsysctl -q -w net.ipv4.conf.wlan0.forwarding=1")
	wait("not forwarding", func() bool {
		r := w.Routing()
		return !r.Forwards6() && r.Forwards4(index("wlan0")) && !r.Forwards4(index("eth0"))
	})
	w2 := open(t, ns, receiveBuffer)
	defer w2.Close()
	if a, b := w.Routing(), w2.Routing(); !a.equal(b) {
		t.Errorf("by events %+v, by dump %+v", a, b)
	}
}

func TestNeighbours(t *testing.T) {
	a, b := nstest.New(t), nstest.New(t)
	a.Pair("usb0", b, "eth0")
	a.Sh("ip addr add 10.3.0.1/24 dev usb0")
	b.Sh("ip addr add 10.3.0.2/24 dev eth0")
	w := open(t, a, receiveBuffer)
	run(t, w)
	s := w.Subscribe(true)
	find := func(u Update) (Neighbour, bool) {
		for _, n := range u.Neighbours {
			if n.Addr == netip.MustParseAddr("10.3.0.2") {
				return n, true
			}
		}
		return Neighbour{}, false
	}
	a.Sh("ip neigh add 10.3.0.2 lladdr 02:00:00:00:00:02 nud stale dev usb0")
	until(t, s, "stale", func(u Update) bool {
		n, ok := find(u)
		return ok && !n.Reachable && n.MAC.String() == "02:00:00:00:00:02"
	})
	a.Sh("ip neigh replace 10.3.0.2 lladdr 02:00:00:00:00:02 nud reachable dev usb0")
	until(t, s, "reachable", func(u Update) bool { n, ok := find(u); return ok && n.Reachable })
	a.Sh("ip neigh del 10.3.0.2 dev usb0")
	until(t, s, "gone", func(u Update) bool { n, ok := find(u); return ok && n.Gone })
}
