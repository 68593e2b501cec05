package netevents

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"golang.org/x/sys/unix"
)

// open makes a namespace with a veth pair, and a Watcher that follows it.
func open(t *testing.T, buffer int, run bool) (*nstest.NS, *Watcher) {
	ns := nstest.New(t)
	ns.Sh("ip link add eth0 type veth peer name eth1")
	var w *Watcher
	var err error
	ns.Do(func() { w, err = Open(buffer) })
	if err != nil {
		t.Fatal(err)
	}
	if run {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	return ns, w
}

// until collects batches until they have all of these kinds.
func until(t *testing.T, w *Watcher, kinds Kind) Batch {
	t.Helper()
	var all Batch
	end := time.After(5 * time.Second)
	for {
		b := w.Take()
		all.Kinds |= b.Kinds
		all.Count += b.Count
		all.Causes = append(all.Causes, b.Causes...)
		all.Overrun = all.Overrun || b.Overrun
		if all.Kinds&kinds == kinds {
			return all
		}
		select {
		case <-w.Changed():
		case <-end:
			t.Fatalf("waited for %v, got %v: %v", kinds, all.Kinds, all.Causes)
		}
	}
}

func TestKinds(t *testing.T) {
	ns, w := open(t, 0, true)
	for _, tt := range []struct {
		do   string
		want Kind
		text string
	}{
		{"ip link set eth0 up", Link, "link eth0"},
		{"ip addr add 192.0.2.2/24 dev eth0", Addr4, "addr4 of device"},
		{"ip addr add 2001:db8::2/64 dev eth0", Addr6, "addr6 of device"},
		{"ip route add default via 192.0.2.1 table 1000", Route4, "route4 of table 1000"},
		{"ip route add default via 2001:db8::1 table 1000", Route6, "route6 of table 1000"},
		{"ip rule add from 192.0.2.2 lookup 1000", Rule4, "rule4 of table 1000 (process "},
		{"ip -6 rule add from 2001:db8::2 lookup 1000", Rule6, "rule6 of table 1000"},
		{"ip rule del from 192.0.2.2 lookup 1000", Rule4, "rule4 of table 1000 gone"},
		{"ip route del default table 1000", Route4, "route4 of table 1000 gone"},
		{"sysctl -q -w net.ipv4.conf.eth0.rp_filter=2", Conf, "conf of device"},
		{"ip link del eth0", Link, "link eth0 gone"},
	} {
		w.Take()
		ns.Sh(tt.do)
		b := until(t, w, tt.want)
		found := false
		for _, c := range b.Causes {
			found = found || strings.HasPrefix(c.String(), strings.TrimSuffix(tt.text, "(process "))
		}
		if !found {
			t.Errorf("%s: %v, want %q", tt.do, b.Causes, tt.text)
		}
		if b.Overrun {
			t.Errorf("%s: events lost", tt.do)
		}
	}
	if s := w.Stats(); s.Events == 0 || s.Overrun != 0 {
		t.Errorf("%+v", s)
	}
}

// The kernel's silence that makes a new reading necessary: a link that goes down takes the IPv4
// routes of every table along, and only the link is told.
func TestRoutesGoInSilence(t *testing.T) {
	ns, w := open(t, 0, true)
	ns.Sh(`ip link set eth0 up
		ip link set eth1 up
		ip addr add 192.0.2.2/24 dev eth0
		ip route add default via 192.0.2.1 table 1000`)
	until(t, w, Route4)
	for len(w.Take().Causes) > 0 {
	}
	ns.Sh("ip link set eth0 down")
	b := until(t, w, Link)
	if out := ns.Sh("ip route show table all type unicast"); strings.Contains(out, "table 1000") {
		t.Fatalf("the route is still there: %s", out)
	}
	if b.Kinds&Route4 != 0 {
		t.Logf("this kernel tells it: %v", b.Causes)
	}
}

// A reader that was too slow is told so, once, and to read everything.
func TestOverrun(t *testing.T) {
	ns, w := open(t, 4096, false)
	var batch strings.Builder
	for i := range 200 {
		fmt.Fprintf(&batch, "addr add 10.0.%d.1/24 dev eth0\n", i)
	}
	ns.Do(func() {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(batch.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	if b := until(t, w, All); !b.Overrun {
		t.Errorf("not told: %+v", b)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s := w.Stats(); s.Overrun == 0 {
		t.Errorf("%+v", s)
	}
}

func TestWho(t *testing.T) {
	for _, tt := range []struct {
		c    Cause
		want string
	}{
		{Cause{Kind: Route4, Gone: true, Table: 7, Port: 411, Process: "systemd-network"}, "route4 of table 7 gone (systemd-network, process 411)"},
		{Cause{Kind: Rule6, Table: 7, Port: 812}, "rule6 of table 7 (process 812, which has ended)"},
		{Cause{Kind: Link, Link: "eth0", Port: 0xfffff123}, "link eth0"},
		{Cause{Kind: Addr4, Index: 3}, "addr4 of device 3"},
		{Cause{}, "nothing"},
	} {
		if got := tt.c.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte{32, 0, 0, 0, unix.RTM_NEWROUTE, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 254, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{48, 0, 0, 0, unix.RTM_NEWLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 0, 'e', 't', 'h', '0', 0, 0, 0, 0, 4, 0, 1, 0})
	f.Add([]byte{28, 0, 0, 0, unix.RTM_NEWNETCONF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 8, 0, 1, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		events(b, func(c Cause) {
			if n++; c.Kind == 0 || c.Kind&^All != 0 {
				t.Errorf("an event of no kind: %+v", c)
			}
		})
		if n > len(b)/unix.NLMSG_HDRLEN {
			t.Errorf("%d events in %d bytes", n, len(b))
		}
	})
}
