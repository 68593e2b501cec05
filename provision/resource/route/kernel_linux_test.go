package route

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listen tells, when called, which events of routes of table 100 there were since.
func listen(t *testing.T) func() string {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	wait := unix.NsecToTimeval(int64(100 * time.Millisecond))
	if err := s.SetReceiveTimeout(&wait); err != nil {
		t.Fatal(err)
	}
	return func() string {
		out := ""
		for {
			msgs, _, err := s.Receive()
			if err != nil {
				return out
			}
			for _, m := range msgs {
				list, err := decode(m.Data, nil)
				if err != nil || len(list) == 0 || list[0].table != 100 {
					continue
				}
				if m.Header.Type == unix.RTM_NEWROUTE {
					out += "+"
				} else {
					out += "-"
				}
			}
		}
	}
}

// FuzzDecode: whatever comes, decoding ends and gives something that can be encoded.
func FuzzDecode(f *testing.F) {
	r := live{proto: Protocol, gateway: ip("192.0.2.1"), source: ip("192.0.2.2"), mtu: 1400, onlink: true}
	r.row = row{unix.AF_INET, 1000, pfx("198.51.100.0/24"), 7}
	r.kind, r.index = unix.RTN_UNICAST, 3
	f.Add(r.add())
	r.gateway = ip("fe80::1")
	f.Add(r.add())
	r.row = row{unix.AF_INET6, 70000, pfx("::/0"), 1024}
	r.source = ip("2001:db8::2")
	f.Add(r.add())
	f.Fuzz(func(t *testing.T, msg []byte) {
		list, err := decode(msg, nil)
		if err != nil {
			return
		}
		for _, r := range list {
			if r.table == unix.RT_TABLE_LOCAL {
				continue
			}
			again, err := decode(r.add(), nil)
			if err != nil || len(again) != 1 || r.row != again[0].row {
				t.Fatalf("%+v is read again as %+v: %v", r, again, err)
			}
		}
	})
}

// The figures are for 10,000 routes of 100 tables.
func BenchmarkList(b *testing.B) {
	names := many(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		all, err := Resource{}.List(b.Context(), names)
		if err != nil || len(all) != len(names) {
			b.Fatal(len(all), err)
		}
	}
}

// many makes n routes in a namespace of the benchmark's own.
func many(b *testing.B, n int) []string {
	if os.Geteuid() != 0 {
		b.Skip("skipped: namespaces need root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with its goroutine, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Skip("skipped: no namespace: ", err)
	}
	for _, c := range []string{"link add eth0 type veth peer name far0", "link set eth0 up", "link set far0 up", "addr add 192.0.0.2/24 dev eth0"} {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			b.Skipf("skipped: ip %s: %s", c, out)
		}
	}
	var names []string
	var steps []provision.Step
	for i := range n {
		w := Want(Spec{Key: Key{Dst: pfx(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)), Table: uint32(1000 + i%100), Dev: "name:eth0"}, Gateway: ip("192.0.0.1")}, "")
		names = append(names, w.Name)
		steps = append(steps, provision.Step{Name: w.Name, Want: w.Attrs})
	}
	start := time.Now()
	if err := (Resource{}).SetAll(b.Context(), steps); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d routes set in %v", n, time.Since(start))
	return names
}
