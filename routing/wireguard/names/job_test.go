package names

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
	resource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fake is a machine with one tunnel.
type fake struct {
	peer    resource.Peer
	names   map[string][]netip.Addr
	did     []string
	absent  bool
	allowed []string
}

func (f *fake) Device(context.Context, string) (*resource.Device, error) {
	if f.absent {
		return nil, nil
	}
	return &resource.Device{Name: "wg0", Fwmark: 7, Peers: []resource.Peer{f.peer}}, nil
}

func (f *fake) Lookup(_ context.Context, host string, mark uint32) ([]netip.Addr, error) {
	f.did = append(f.did, fmt.Sprintf("ask %s mark %d", host, mark))
	if len(f.names[host]) == 0 {
		return nil, errors.New("no such host")
	}
	return f.names[host], nil
}

func (f *fake) Point(_ context.Context, _ wireguard.Named, at netip.AddrPort) error {
	f.did = append(f.did, "at "+at.String())
	f.peer.Endpoint = at
	return nil
}

func (f *fake) Allow(_ context.Context, _ wireguard.Named, at netip.AddrPort) error {
	f.allowed = append(f.allowed, at.String())
	return nil
}

// state is a machine with these default routes.
func state(families ...int) *watch.State {
	s := &watch.State{Live: &facts.Live{}}
	s.Links = []facts.Link{{Index: 2, Name: "eth0", Up: true, Carrier: true}, {Index: 3, Name: "wg0", Up: true, Carrier: true}}
	for _, f := range families {
		dst := netip.MustParsePrefix("0.0.0.0/0")
		if f == 6 {
			dst = netip.MustParsePrefix("::/0")
		}
		s.Routes = append(s.Routes, facts.Route{Dst: dst, Link: 2, Table: 254, Type: "unicast"})
	}
	// The tunnel's own way out is none.
	s.Routes = append(s.Routes, facts.Route{Dst: netip.MustParsePrefix("::/0"), Link: 3, Table: 254, Type: "unicast"})
	return s
}

func TestJob(t *testing.T) {
	a, b := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")
	f := &fake{names: map[string][]netip.Addr{}}
	now := start
	told := 0
	j := &Job{Named: []wireguard.Named{{Device: "wg0", Peer: "exit", Host: "vpn.example.org", Port: 51820}}, World: f, Now: func() time.Time { return now }, Tell: func(string) { told++ }}
	for _, step := range []struct {
		what  string
		after time.Duration
		do    func()
		want  string
	}{
		{"no way out", 0, func() { j.Look(state()) }, ""},
		{"no name", 0, func() { j.Look(state(4)) }, "ask vpn.example.org mark 7"},
		{"too soon", time.Second, func() {}, ""},
		{"the name comes", 15 * time.Second, func() { f.names["vpn.example.org"] = []netip.Addr{b, a} }, "ask vpn.example.org mark 7, at 198.51.100.1:51820"},
		{"it answers", time.Minute, func() { f.peer.LastHandshake = now; f.peer.Sent, f.peer.Received = 100, 100 }, ""},
		{"the name moves while it answers", time.Minute, func() { f.names["vpn.example.org"] = []netip.Addr{netip.MustParseAddr("198.51.100.2")} }, ""},
		{"it roams", 0, func() { f.peer.Endpoint = netip.MustParseAddrPort("203.0.113.5:999") }, ""},
		{"a link changes, and it answers", 0, func() { j.Look(state(4, 6)) }, ""},
		{"silent", Stale, func() { f.peer.Sent += 148 }, "ask vpn.example.org mark 7, at 198.51.100.2:51820"},
		{"called, one address", time.Minute, func() { f.peer.Sent += 148 }, "ask vpn.example.org mark 7"},
		{"the other family", 2 * time.Minute, func() {
			f.peer.Sent += 148
			f.names["vpn.example.org"] = []netip.Addr{netip.MustParseAddr("198.51.100.2"), b}
		}, "ask vpn.example.org mark 7, at [2001:db8::1]:51820"},
		{"nobody talks: it stays", 11 * time.Minute, func() {}, "ask vpn.example.org mark 7"},
		{"it answers again", 0, func() { f.peer.LastHandshake = now; f.peer.Received += 92 }, ""},
		{"its family has no way out any more", 0, func() { j.Look(state(4)) }, "ask vpn.example.org mark 7, at 198.51.100.2:51820"},
		{"the device is away", time.Hour, func() { f.absent = true }, ""},
	} {
		now = now.Add(step.after)
		f.did = nil
		step.do()
		j.round(t.Context())
		if got := strings.Join(f.did, ", "); got != step.want {
			t.Errorf("%s: %q, want %q", step.what, got, step.want)
		}
		if step.what == "no name" {
			if r := j.Look(state(4)); len(r) != 1 || !r[0].Note() || !strings.Contains(r[0].Why, "vpn.example.org") || told != 1 {
				t.Errorf("what is told: %+v, %d times", r, told)
			}
		}
	}
	// What is allowed is so before it is set, is where the peer was heard, and lasts.
	if got := strings.Join(f.allowed, " "); !strings.HasPrefix(got, "198.51.100.1:51820 203.0.113.5:999 ") || strings.Count(got, "198.51.100.2:51820") < 2 {
		t.Errorf("allowed: %s", got)
	}
	if r := j.Look(state(4)); len(r) > 0 || told != 2 {
		t.Errorf("what is told at the end: %+v, %d times", r, told)
	}
}

// Pauses grow to their limits and no farther.
func TestPauses(t *testing.T) {
	for _, tt := range []struct {
		known, calling bool
		want           string
	}{{true, true, "15s 30s 1m0s 1m0s"}, {true, false, "15s 30s 1m0s 2m0s 4m0s 8m0s 10m0s 10m0s"}, {false, false, "15s 30s 1m0s 2m0s 2m0s"}} {
		var s Seen
		var got []string
		for range strings.Fields(tt.want) {
			s.Asked(start, tt.known, tt.calling)
			got = append(got, s.Next.Sub(start).String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%v: %v", tt, got)
		}
	}
}

// Run ends with its context, and is woken by a change.
func TestRun(t *testing.T) {
	f := &fake{names: map[string][]netip.Addr{"vpn.example.org": {netip.MustParseAddr("198.51.100.1")}}}
	pointed := make(chan struct{})
	j := &Job{Named: []wireguard.Named{{Device: "wg0", Host: "vpn.example.org", Port: 1}}, World: pointing{f, pointed}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- j.Run(ctx) }()
	j.Look(state(4))
	select {
	case <-pointed:
	case <-time.After(10 * time.Second):
		t.Error("nothing was set")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type pointing struct {
	*fake
	pointed chan struct{}
}

func (p pointing) Point(ctx context.Context, n wireguard.Named, at netip.AddrPort) error {
	close(p.pointed)
	return p.fake.Point(ctx, n, at)
}
