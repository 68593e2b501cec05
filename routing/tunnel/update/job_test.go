package update

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/watch"
)

// server is what a server is told, and how it answers.
type server struct {
	sent   []string
	answer func(addr string) Answer
	stamp  string
}

func (s *server) Stamp(Config) string { return s.stamp }

func (s *server) Send(_ context.Context, t Tunnel, w Way) Answer {
	addr := Named(t.Config, w)
	text := "what it sees"
	if addr.IsValid() {
		text = addr.String()
	}
	s.sent = append(s.sent, w.Device+" "+text)
	return s.answer(text)
}

// state is the network with this address on eth0, which has the default route.
func state(addr string) *watch.State {
	s := &watch.State{Now: time.Now(), Live: &facts.Live{Network: facts.Network{Links: []facts.Link{{Index: 2, Name: "eth0"}}}}}
	if addr != "" {
		s.Addrs = []facts.Address{{Link: 2, Prefix: netip.MustParsePrefix(addr), Scope: "global"}}
		s.Routes = []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2, Table: 254}}
	}
	return s
}

// A server is told once for each change, not while an address flaps, and not again after it has refused.
func TestJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{answer: func(a string) Answer { return Parse(200, "good "+a) }, stamp: "1"}
		var told []string
		j := &Job{Tunnels: []Tunnel{{Name: "he", Config: conf()}}, Sender: srv, Tell: func(what string) { told = append(told, what) }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = j.Run(ctx) }()
		expect := func(what string, pause time.Duration, want ...string) {
			t.Helper()
			time.Sleep(pause) // of the fake clock
			synctest.Wait()
			if !slices.Equal(srv.sent, want) {
				t.Errorf("%s: sent %q, want %q", what, srv.sent, want)
			}
			srv.sent = nil
		}
		look := func(addr string) []watch.Repair { return j.Look(state(addr)) }
		look("")
		expect("no network", time.Hour)
		look("203.0.113.7/24")
		expect("not yet", time.Second)
		expect("settled", 2*time.Second, "eth0 203.0.113.7")
		look("203.0.113.7/24")
		expect("nothing new", 30*24*time.Hour)
		look("203.0.113.8/24")
		time.Sleep(time.Second)
		look("")
		time.Sleep(time.Second)
		look("203.0.113.9/24")
		expect("flapped", time.Minute, "eth0 203.0.113.9")

		text, _ := json.Marshal(j.States())
		if _, changed := j.Remember(); !changed {
			t.Error("nothing is to be remembered")
		}
		cancel()
		<-done

		// Another process goes on where this one stood.
		j = &Job{Tunnels: []Tunnel{{Name: "he", Config: conf()}}, Sender: srv}
		if err := j.Recall(text); err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		done = make(chan struct{})
		go func() { defer close(done); _ = j.Run(ctx) }()
		look("203.0.113.9/24")
		expect("after a restart", time.Hour)
		srv.answer = func(string) Answer { return Parse(200, "badauth") }
		look("203.0.113.10/24")
		expect("refused", time.Minute, "eth0 203.0.113.10")
		look("203.0.113.11/24")
		expect("never again", 24*time.Hour)
		if r := look("203.0.113.11/24"); len(r) != 1 || !r[0].Note() || !strings.Contains(r[0].Why, "badauth") {
			t.Errorf("people are told %v", r)
		}
		srv.stamp, srv.answer = "2", func(a string) Answer { return Parse(200, "good "+a) }
		expect("another key", 2*time.Minute, "eth0 203.0.113.11")
		srv.answer = func(string) Answer { return Parse(503, "") }
		look("10.0.0.2/24")
		expect("behind a router, and the server in trouble", 4*time.Minute, "eth0 what it sees", "eth0 what it sees", "eth0 what it sees", "eth0 what it sees")
		srv.answer = func(string) Answer { return Parse(200, "good 203.0.113.99") }
		expect("back", time.Hour, "eth0 what it sees")
		if s := j.States()["he"]; s.Has.String() != "203.0.113.99" || s.Kind != Good {
			t.Errorf("%+v", s)
		}
		cancel()
		<-done
		if len(told) != 2 {
			t.Errorf("told %q", told)
		}
	})
}
