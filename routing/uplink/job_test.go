package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/routing/watch"
)

// prober answers for what is listed: "a ping 192.0.2.1"; the others are silent.
type prober struct {
	mu      sync.Mutex
	answers []string
	open    int
}

func (p *prober) Probe(ctx context.Context, device string, c Check) error {
	p.mu.Lock()
	ok := slices.Contains(p.answers, device+" "+c.String())
	p.open++
	p.mu.Unlock()
	defer func() { p.mu.Lock(); p.open--; p.mu.Unlock() }()
	if ok {
		return nil
	}
	<-ctx.Done()
	return errors.New("silence")
}

func check(t *testing.T, s string) Check {
	t.Helper()
	c, err := ParseCheck(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRound(t *testing.T) {
	r := Rules{Interface: "a", Timeout: 30 * time.Millisecond, Checks: []Check{check(t, "ping 192.0.2.1"), check(t, "dns 192.0.2.2"), check(t, "tcp [2001:db8::1]:443")}}
	p := &prober{answers: []string{"a dns 192.0.2.2:53"}}
	got := round(t.Context(), p, r)
	if len(got) != 2 || got[4] != nil || got[6] == nil || got[6].Error() != "tcp [2001:db8::1]:443: silence" {
		t.Errorf("%v", got)
	}
	if p.open != 0 {
		t.Errorf("%d are still asked", p.open)
	}
	// All families answer: nobody waits for the rest.
	r.Timeout = time.Minute
	p.answers = append(p.answers, "a tcp [2001:db8::1]:443")
	begin := time.Now()
	if got := round(t.Context(), p, r); got[4] != nil || got[6] != nil || time.Since(begin) > 10*time.Second {
		t.Errorf("%v after %v", got, time.Since(begin))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := round(ctx, &prober{}, r); got[4] == nil || got[6] == nil {
		t.Errorf("cut off: %v", got)
	}
}

// flowsOf notes what is to be ended.
type flowsOf struct{ ended chan []netip.Addr }

func (f flowsOf) Forget(_ context.Context, addrs []netip.Addr) error {
	f.ended <- addrs
	return nil
}

func look(m *machine, now time.Time) *watch.State {
	l := &facts.Live{Network: facts.Network{Links: m.Links, Routes: m.Routes, Addrs: []facts.Address{
		{Link: 1, Prefix: netip.MustParsePrefix("10.0.1.2/24"), Scope: "global"},
		{Link: 1, Prefix: netip.MustParsePrefix("fe80::2/64"), Scope: "link"},
		{Link: 2, Prefix: netip.MustParsePrefix("10.0.2.2/24"), Scope: "global"},
	}}}
	for range m.Links {
		l.Conf = append(l.Conf, facts.DeviceConf{RPFilter: 0})
	}
	l.Conf[0].RPFilter = 1
	return &watch.State{Live: l, Now: now}
}

func (m *machine) repair(t *testing.T, list []watch.Repair) {
	t.Helper()
	for _, r := range list {
		switch {
		case r.Routes != nil:
			n := r.Routes[0]
			n.Type = "unicast"
			m.Routes = append(m.Routes, n)
		case r.Set != nil:
			k, err := route.Parse(r.Set.Want.Name)
			if err != nil || r.Set.Want.Attrs != nil {
				t.Errorf("%+v, %v", r.Set, err)
			}
			m.drop(func(x facts.Route) bool {
				return x.Proto == 158 && x.Metric == k.Metric && x.Dst == k.Dst && "name:"+m.Links[x.Link-1].Name == k.Dev && r.Set.Have[route.AttrGateway] == x.Gateway.String()
			})
		}
	}
}

func TestJob(t *testing.T) {
	m := newMachine()
	now := t0
	var told []string
	ended := flowsOf{make(chan []netip.Addr, 1)}
	rr := rules()
	for i := range rr {
		rr[i].Checks = []Check{check(t, "ping 192.0.2.1")} // IPv6 goes the way of IPv4
	}
	j := &Job{Rules: rr, Flows: ended, Tell: func(s string) { told = append(told, s) }, Now: func() time.Time { return now }}
	first := j.Look(look(m, now))
	if len(first) != 1 || first[0].Sysctl == nil || first[0].Sysctl.Link != "a" || first[0].Sysctl.Value != "2" {
		t.Errorf("at first: %+v", first)
	}
	for range 3 {
		now = now.Add(time.Second)
		j.report(t.Context(), rr[0], map[int]error{4: errors.New("ping 192.0.2.1: silence")})
		j.report(t.Context(), rr[1], map[int]error{4: nil})
	}
	if want := []string{"uplink a IPv4 does not answer", "uplink a IPv6 does not answer"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	repairs := j.Look(look(m, now))[1:]
	if len(repairs) != 2 || !strings.HasPrefix(repairs[0].Why, "IPv4 goes by b; a is down (ping 192.0.2.1: silence)") || repairs[0].Routes[0].Metric != 99 {
		t.Fatalf("%+v", repairs)
	}
	select {
	case a := <-j.pending():
		t.Errorf("flows of %v end before there is another way", a)
	default:
	}
	if j.Wake().IsZero() {
		t.Error("does not look whether the route is there")
	}
	m.repair(t, repairs)
	if again := j.Look(look(m, now)); len(again) != 1 {
		t.Errorf("again: %+v", again)
	}
	if a := <-j.pending(); !slices.Equal(a, []netip.Addr{netip.MustParseAddr("10.0.1.2")}) {
		t.Errorf("flows of %v are ended", a)
	}

	// A restart.
	state, changed := j.Remember()
	text, err := json.Marshal(state)
	if err != nil || !changed {
		t.Fatalf("%v, changed %v", err, changed)
	}
	j2 := &Job{Rules: rr, Now: j.Now}
	if err := j2.Recall(text); err != nil {
		t.Fatal(err)
	}
	if again := j2.Look(look(m, now)); len(again) != 1 {
		t.Errorf("after a restart: %+v", again)
	}
	// No uplinks any more.
	j3 := &Job{Now: j.Now}
	if n := j3.Needs(); n.Parts != 0 {
		t.Errorf("without anything it needs %v", n.Parts)
	}
	if err := j3.Recall(text); err != nil {
		t.Fatal(err)
	}
	if n := j3.Needs(); n.Parts == 0 {
		t.Error("does not look for what was left")
	}
	gone := j3.Look(look(m, now))
	m.repair(t, gone)
	if len(gone) != 2 || m.takes(4) != "a" || m.takes(6) != "a" {
		t.Errorf("%+v, routes %v", gone, m.Routes)
	}
	_ = j3.Look(look(m, now))
	if n := j3.Needs(); n.Parts != 0 {
		t.Errorf("all is gone, and it needs %v", n.Parts)
	}
	if err := j3.Recall([]byte(`{"health":{"4":{}}}`)); err == nil {
		t.Error("a memory that is none is taken")
	}
}

// Run checks until its context ends, and leaves nothing behind.
func TestRun(t *testing.T) {
	rr := rules()
	for i := range rr {
		rr[i].Interval, rr[i].Timeout, rr[i].Fail = 2*time.Millisecond, time.Millisecond, 2
		rr[i].Checks = []Check{check(t, "ping 192.0.2.1"), check(t, "ping 2001:db8::1")}
	}
	p := &prober{answers: []string{"b ping 192.0.2.1", "b ping 2001:db8::1"}}
	told := make(chan string, 16)
	j := &Job{Rules: rr, Prober: p, Flows: flowsOf{make(chan []netip.Addr, 1)}, Tell: func(s string) { told <- s }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- j.Run(ctx) }()
	for range 2 {
		select {
		case s := <-told:
			if !strings.HasPrefix(s, "uplink a IPv") {
				t.Errorf("told %q", s)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was told")
		}
	}
	cancel()
	if err := <-done; err != nil || p.open != 0 {
		t.Errorf("%v, %d open", err, p.open)
	}
}
