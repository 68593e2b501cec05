package life

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/gadget/verdict"
)

// hands are all of a Runner's.
type hands struct {
	mu      sync.Mutex
	did     []string
	counts  []Count
	err     error
	during  func() // in Switch
	saved   verdict.Table
	lights  []led.State
	blocked bool
}

func (h *hands) note(s string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, s)
	return h.err
}

func (h *hands) list() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.did, ", ")
}

func (h *hands) Reconnect(context.Context) error    { return h.note("reconnect") }
func (h *hands) Rebind(context.Context) error       { return h.note("rebind") }
func (h *hands) RebindDriver(context.Context) error { return h.note("rebind-driver") }
func (h *hands) Readdress(context.Context) error    { return h.note("readdress") }
func (h *hands) Restore(context.Context) error      { return h.note("restore") }
func (h *hands) Switch(ctx context.Context, p verdict.Profile) error {
	if h.during != nil {
		h.during()
	}
	if h.blocked {
		<-ctx.Done()
		h.note("interrupted")
		return ctx.Err()
	}
	time.Sleep(time.Second)
	return h.note("switch " + string(p))
}
func (h *hands) Count(context.Context) ([]Count, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts, nil
}
func (h *hands) Probe(context.Context) error { return h.note("probe") }
func (h *hands) Save(_ context.Context, t verdict.Table) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saved = t
	return nil
}
func (h *hands) Show(_ context.Context, s led.State) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lights = append(h.lights, s)
	return nil
}

type bubble struct{}

func (bubble) Now() time.Time                         { return time.Now() }
func (bubble) After(d time.Duration) <-chan time.Time { return time.After(d) }

// begin runs a Runner in the bubble of the test.
func begin(t *testing.T, h *hands) (r *Runner, events chan Event, end func()) {
	events = make(chan Event, 16)
	r = NewRunner(auto(), verdict.Table{}, Deps{Events: events, Cable: h, Planner: h, Meter: h, Desk: h, Clock: bubble{}, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, events, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{}
		r, events, end := begin(t, h)
		h.during = func() { // what the host says to the old profile is in the queue when the step ends
			time.Sleep(time.Second)
			events <- Heard{"usb0", linuxHost.seen}
		}
		for _, s := range []State{NotAttached, Default, Addressed} {
			events <- UDC{s}
		}
		time.Sleep(24 * time.Second)
		if got := h.list(); got != "" {
			t.Errorf("did %s", got)
		}
		time.Sleep(1500 * time.Millisecond)
		if s := r.Status(); s.Doing != Switch || s.LastWhy == "" {
			t.Errorf("%+v", s)
		}
		time.Sleep(2 * time.Second)
		if s := r.Status(); s.Doing != "" || s.Profile != verdict.Classic || s.Spoke {
			t.Errorf("%+v", s)
		}
		events <- UDC{Configured}
		events <- Carrier{"usb0", true}
		synctest.Wait()
		h.mu.Lock()
		h.counts = []Count{{"usb0", 7, 7}}
		h.mu.Unlock()
		time.Sleep(3 * time.Second) // no event tells it: the counters are read until then
		if s := r.Status(); !s.Spoke {
			t.Errorf("%+v", s)
		}
		events <- Heard{"usb0", windows7.seen}
		synctest.Wait()
		if hosts := h.saved.Hosts(); len(hosts) != 1 || hosts[0].Modern != verdict.Failed || hosts[0].Classic != verdict.Worked {
			t.Errorf("%+v", hosts)
		}
		time.Sleep(24 * time.Hour)
		end()
		if got := h.list(); got != "switch classic" {
			t.Errorf("did %s", got)
		}
		if len(h.lights) < 2 || h.lights[0] != led.NoHost || h.lights[1] != led.Enumerated {
			t.Errorf("%v", h.lights)
		}
	})
}

func TestRunEndsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{blocked: true}
		_, events, end := begin(t, h)
		events <- UDC{Default}
		events <- UDC{Addressed}
		time.Sleep(time.Minute)
		end()
		if got := h.list(); got != "interrupted" {
			t.Errorf("did %q: the step was not waited for", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		h := &hands{err: errors.New("busy")}
		r, events, end := begin(t, h)
		events <- UDC{Default}
		events <- UDC{Addressed}
		time.Sleep(time.Hour)
		if s := r.Status(); s.Fault != "cannot switch: busy" || h.list() != "switch classic" {
			t.Errorf("%+v %s", s, h.list())
		}
		close(events)
		time.Sleep(time.Second)
		end()
	})
}
