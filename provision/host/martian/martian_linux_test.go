package martian

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
)

// A host outside sends from an address whose way back is another device: counted and named.
func TestNamesWhoIsDropped(t *testing.T) {
	in, out := nstest.New(t), nstest.New(t)
	in.Pair("eth1", out, "peer1")
	in.Sh("ip addr add 192.0.2.2/24 dev eth1\nip link add eth0 type veth peer name x0\nip link set eth0 up\nip link set x0 up\nip addr add 198.51.100.2/24 dev eth0\nip route add 203.0.113.0/24 via 198.51.100.1")
	out.Sh("ip addr add 192.0.2.1/24 dev peer1\nip addr add 203.0.113.9/32 dev peer1")
	in.Sh("sysctl -q -w net.ipv4.conf.eth1.rp_filter=1\nping -c 1 -W 2 192.0.2.1")
	var c *Counters
	var err error
	in.Do(func() { c, err = OpenCounters() })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		found []Found
		err   error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan struct{})
	go in.Do(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		close(ready)
		found, err := Sample(ctx, time.Second, 5)
		done <- result{found, err}
	})
	<-ready
	for r := (result{}); ; {
		_, _ = out.Try("ping -c 1 -W 0.05 -I 203.0.113.9 192.0.2.2")
		_, _ = out.Try("ping -c 1 -W 0.05 192.0.2.2")
		select {
		case r = <-done:
		default:
			continue
		}
		if r.err != nil {
			t.Fatal(r.err)
		}
		if len(r.found) != 1 || r.found[0].Link != "eth1" || r.found[0].Src.String() != "203.0.113.9" || r.found[0].Dst.String() != "192.0.2.2" || r.found[0].Packets == 0 {
			t.Errorf("found %+v", r.found)
		}
		break
	}
	after, err := c.Read()
	if err != nil || after.ReversePath <= before.ReversePath {
		t.Errorf("counted from %+v to %+v, %v", before, after, err)
	}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/conf/all/log_martians"); err == nil {
		t.Logf("log_martians stays %s", text)
	}
}
