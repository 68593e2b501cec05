package routemetric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func writeSysctl(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Skipf("skipped: cannot set %s: %v", path, err)
	}
}

// events listens to the route changes of one family.
type events struct {
	t *testing.T
	s *nl.NetlinkSocket
}

func listen(t *testing.T, group uint) events {
	t.Helper()
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, group)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return events{t, s}
}

// next returns the changes of default routes, "+" and "-" with their metrics: it
// waits up to five seconds for n of them, and then takes what else is there.
func (e events) next(n int) string {
	e.t.Helper()
	var out []string
	wait := unix.Timeval{Sec: 5}
	for {
		if err := e.s.SetReceiveTimeout(&wait); err != nil {
			e.t.Fatal(err)
		}
		msgs, _, err := e.s.Receive()
		if errors.Is(err, unix.EAGAIN) {
			return strings.Join(out, " ")
		}
		if err != nil {
			e.t.Fatal(err)
		}
		for _, m := range msgs {
			r, ok, err := decode(m.Data)
			if err != nil {
				e.t.Fatal(err)
			}
			if ok {
				sign := map[uint16]string{unix.RTM_NEWROUTE: "+", unix.RTM_DELROUTE: "-"}[m.Header.Type]
				out = append(out, sign+Format(r.metric))
			}
		}
		if len(out) >= n {
			wait = unix.Timeval{Usec: 1}
		}
	}
}

// The new route is there before the old one goes, and nothing else moves.
func TestAddBeforeDelete(t *testing.T) {
	for _, tc := range []struct {
		family, route, name string
		group               uint
	}{
		{"-4", "via 10.0.2.2 dev eth0 metric 100", "inet name:eth0", unix.RTNLGRP_IPV4_ROUTE},
		{"-6", "via fe80::2 dev eth0 metric 100", "inet6 name:eth0", unix.RTNLGRP_IPV6_ROUTE},
	} {
		t.Run(tc.name, func(t *testing.T) {
			network(t)
			nstest.IP(t, tc.family+" route add default "+tc.route)
			e := listen(t, tc.group)
			bring(t, Resource{}, tc.name, metrics("1000"))
			if got := e.next(2); got != "+1000 -100" {
				t.Errorf("events: %s", got)
			}
		})
	}
}

// The second of two routes cannot be added: the first is taken back.
func TestUndo(t *testing.T) {
	network(t)
	nstest.IP(t, "route add default via 10.0.2.2 dev eth0")
	nstest.IP(t, "route add 10.7.7.7 dev eth0")
	nstest.IP(t, "route add default via 10.7.7.7 dev eth0 metric 5")
	nstest.IP(t, "route del 10.7.7.7 dev eth0")
	first := defaults(t, "-4")
	err := Resource{}.Set(t.Context(), "inet name:eth0", metrics("0,5"), metrics("1000"))
	if !errors.Is(err, unix.ENETUNREACH) || !strings.Contains(err.Error(), "gateway is not on a connected network") {
		t.Errorf("got %v", err)
	}
	if got := defaults(t, "-4"); got != first {
		t.Errorf("got\n%s\nwant\n%s", got, first)
	}
}

// advertise sends one router advertisement (RFC 4861 section 4.2) from peer0.
func advertise(t *testing.T, lifetime byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	table, err := look(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	peer, _, _ := table.table.Find("name:peer0")
	from := &unix.SockaddrInet6{ZoneId: uint32(peer.Index), Addr: [16]byte{0: 0xfe, 1: 0x80, 15: 2}}
	all := &unix.SockaddrInet6{ZoneId: uint32(peer.Index), Addr: [16]byte{0: 0xff, 1: 2, 15: 1}}
	for _, err := range []error{
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255),
		unix.Bind(fd, from),
		unix.Sendto(fd, []byte{134, 0, 0, 0, 64, 0, 0, lifetime, 0, 0, 0, 0, 0, 0, 0, 0}, 0, all),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The kernel's own RA route: moved by netlink it keeps its protocol and lifetime,
// and with ra_defrtr_metric set the next RA refreshes it and adds no other.
func TestKernelRA(t *testing.T) {
	network(t)
	const metric = "/proc/sys/net/ipv6/conf/eth0/ra_defrtr_metric"
	writeSysctl(t, "/proc/sys/net/ipv6/conf/eth0/accept_ra", "2")
	nstest.IP(t, "address add fe80::2/64 dev peer0 nodad")
	e := listen(t, unix.RTNLGRP_IPV6_ROUTE)
	advertise(t, 200)
	if got := e.next(1); got != "+1024" {
		t.Fatalf("the first RA: %q", got)
	}
	writeSysctl(t, metric, "1000")
	bring(t, Resource{}, "inet6 name:eth0", metrics("1000"))
	if got := e.next(2); got != "+1000 -1024" {
		t.Errorf("the move: %q", got)
	}
	const want = "default via fe80::2 dev eth0 proto ra metric 1000 expires N hoplimit 64 pref medium"
	if got := defaults(t, "-6"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	left := func() uint32 {
		routes, err := dump(t.Context(), unix.AF_INET6)
		if err != nil || len(routes) != 1 {
			t.Fatalf("%v, %v", routes, err)
		}
		return routes[0].expires
	}
	if got := left(); got < 190 || got > 200 {
		t.Errorf("%d s left of 200", got)
	}
	advertise(t, 250)
	deadline(t, func() bool { return left() > 200 })
	if got := defaults(t, "-6"); got != want {
		t.Errorf("after the next RA\n%s\nwant\n%s", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	r := route{family: unix.AF_INET, kind: unix.RTN_UNICAST, metric: 5, hops: []hop{
		{link: 2, attrs: []attr{{unix.RTA_GATEWAY, []byte{10, 0, 2, 2}}}}, {link: 3, weight: 4},
	}}
	f.Add(r.add())
	f.Add(r.with(r.hops[:1]).add())
	f.Add(r.with(r.hops[1:]).del())
	f.Fuzz(func(t *testing.T, msg []byte) {
		_, _, _, _ = decodeNexthop(msg)
		r, ok, err := decode(msg)
		if err != nil || !ok || len(r.hops) == 0 {
			return
		}
		// What was read says the same when it is read again.
		again, ok, err := decode(r.add())
		if err != nil || !ok || again.metric != r.metric || again.proto != r.proto || len(again.attrs) != len(r.attrs) ||
			again.nexthop != r.nexthop || r.nexthop == 0 && !sameHops(again.hops, r.hops) {
			t.Fatalf("%+v became %+v, %v, %v", r, again, ok, err)
		}
	})
}

func sameHops(a, b []hop) bool {
	return bytes.Equal(encodeHops(a), encodeHops(b))
}

func TestParse(t *testing.T) {
	for _, s := range []string{"0", "100", "100,1000", "0,4294967295"} {
		m, err := Parse(s)
		if err != nil || Format(m...) != s {
			t.Errorf("%q: %v, %v", s, m, err)
		}
	}
	if got := Format(7, 3, 7); got != "3,7" {
		t.Errorf("got %q", got)
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"inet name:eth0", "inet6 mac:08:00:27:00:00:0a", "inet", "inet ", "inet7 name:x", "inet name:a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		family, selector, err := parse(name)
		if err != nil {
			return
		}
		n := 4
		if family == unix.AF_INET6 {
			n = 6
		}
		if Ref(n, selector).Name != name {
			t.Fatalf("%q reads as %d %q", name, n, selector)
		}
	})
}

// deadline waits for something that sends no event: the kernel tells nobody when an
// RA refreshes a lifetime.
func deadline(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it did not come within 5 s")
		}
	}
}

// To the kernel a deletion with IPv4 metric 0 means any metric: when a daemon has
// just taken the route with metric 0 away, the one that was to stay goes. It must
// come back.
func TestRestoresWhatTheKernelTook(t *testing.T) {
	network(t)
	nstest.IP(t, "route add default via 10.0.2.2 dev eth0 metric 1000")
	w, err := look(t.Context(), []string{"inet name:eth0"})
	if err != nil {
		t.Fatal(err)
	}
	d, us, err := w.units("inet name:eth0")
	if err != nil || len(us) != 1 {
		t.Fatal(us, err)
	}
	before := append([]unit{{route: us[0].at(0)}}, us...)
	for _, c := range []change{move(before, []uint32{1000}), prune(before, []uint32{1000})} {
		e := listen(t, unix.RTNLGRP_IPV4_ROUTE)
		err = Resource{}.make(t.Context(), "inet name:eth0", d, before, c, []uint32{1000})
		if !errors.Is(err, provision.ErrStale) {
			t.Errorf("got %v", err)
		}
		if got := e.next(2); got != "-1000 +1000" {
			t.Errorf("events: %s", got)
		}
		if got := defaults(t, "-4"); got != "default via 10.0.2.2 dev eth0 metric 1000" {
			t.Errorf("got\n%s", got)
		}
	}
}

// BenchmarkList is what a run without changes costs: both families of ten NICs.
func BenchmarkList(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("skipped: network namespaces need root")
	}
	done := make(chan error)
	go func() { // a thread of its own, which ends with its namespace
		runtime.LockOSThread()
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			var names []string
			for i := range 10 {
				n := strconv.Itoa(i)
				for _, args := range []string{
					"link add eth" + n + " type veth peer name peer" + n, "link set peer" + n + " up", "link set eth" + n + " up",
					"address add 10.0." + n + ".15/24 dev eth" + n, "route add default via 10.0." + n + ".2 dev eth" + n + " metric 10" + n,
				} {
					if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
						return fmt.Errorf("ip %s: %w: %s", args, err, out)
					}
				}
				names = append(names, "inet name:eth"+n, "inet6 name:eth"+n)
			}
			for b.Loop() {
				if all, err := (Resource{}).List(context.Background(), names); err != nil || len(all) != 10 {
					return fmt.Errorf("got %v, %w", all, err)
				}
			}
			return nil
		}()
	}()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
