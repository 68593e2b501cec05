package health

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// fake is a machine with one tunnel, or with none.
type fake struct {
	peer *wireguard.Peer
	err  error
}

func (f *fake) Device(context.Context, string) (*wireguard.Device, error) {
	if f.err != nil || f.peer == nil {
		return nil, f.err
	}
	p := *f.peer
	return &wireguard.Device{Name: "wg0", Peers: []wireguard.Peer{p, {PublicKey: wireguard.Key{9}, LastHandshake: start}}}, nil
}

// A stall is told once, with what to try, in words that stay the same; it is over when something comes,
// and what was seen outlives another list of peers.
func TestJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		live := &wireguard.Peer{PublicKey: wireguard.Key{1}, LastHandshake: begin, Received: 100, Sent: 100, Endpoint: netip.MustParseAddrPort("192.0.2.1:1")}
		f := &fake{peer: live}
		told := 0
		j := &Job{World: f, Tell: func(string) { told++ }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- j.Run(ctx) }()
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		said := func() string {
			var out []string
			for _, r := range j.Look(nil) {
				if !r.Note() {
					t.Errorf("%+v is no note", r)
				}
				out = append(out, r.Why)
			}
			return strings.Join(out, "; ")
		}
		if n := j.Needs(); n.Parts != 0 {
			t.Errorf("without peers it needs %+v", n)
		}
		watched := func(keepalive uint16) Watched {
			return Watched{"wg0": {wireguard.Key{1}: {Name: "phone", Keepalive: keepalive}}}
		}
		j.Keep(watched(25))
		if n := j.Needs(); n.Parts == 0 {
			t.Error("it is never asked")
		}
		for range 3 {
			pass(time.Minute)
			live.Sent += 148
		}
		if s := said(); s != "" || told != 0 {
			t.Errorf("the session may still be one: %q, told %d times", s, told)
		}
		pass(2 * time.Minute)
		first := said()
		if !strings.Contains(first, "peer phone of wg0: no handshake since "+begin.UTC().Format("2006-01-02 15:04")) || !strings.Contains(first, "try --keepalive 20") || told != 1 {
			t.Errorf("stalled: %q, told %d times", first, told)
		}
		live.Sent += 148
		pass(10 * time.Minute)
		if s := said(); s != first || told != 1 {
			t.Errorf("ten minutes later: %q, told %d times", s, told)
		}
		f.err = errors.New("busy")
		j.Keep(watched(20))
		pass(time.Minute)
		f.err = nil
		pass(time.Minute)
		if s := said(); !strings.Contains(s, "try --keepalive 15") {
			t.Errorf("with another keepalive: %q", s)
		}
		live.Received, live.LastHandshake = 200, time.Now()
		pass(time.Minute)
		if s := said(); s != "" {
			t.Errorf("it is back: %q", s)
		}
		f.peer = nil
		j.Keep(nil)
		pass(time.Minute)
		if s := said(); s != "" || len(j.seen) != 0 {
			t.Errorf("without peers: %q, %v", s, j.seen)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
