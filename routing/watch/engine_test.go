package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// world is a machine of which a table may lack its default route.
type world struct {
	mu      sync.Mutex
	t       *testing.T
	has     bool // the default route
	undone  bool // somebody deletes it at once
	readErr error
	handErr error
	reads   int
	routes  int
	parts   []facts.Parts
	takes   time.Duration // of a reading
	value   string        // of the reference kept:x
	sets    int
	setErr  error
	runs    []string
	slow    chan struct{}
	changed chan struct{}
	pending Event
	memory  []byte
	saves   int
	log     bytes.Buffer
}

func newWorld(t *testing.T) *world {
	return &world{t: t, has: true, value: "good", changed: make(chan struct{}, 1)}
}

func (w *world) Read(_ context.Context, parts facts.Parts) (*facts.Live, error) {
	time.Sleep(w.takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	w.parts = append(w.parts, parts)
	if w.readErr != nil {
		return nil, w.readErr
	}
	text := twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2\n"
	if w.has {
		text += "route default via 10.0.0.1 dev eth1 table 2"
	}
	return parse(w.t, text).Live, nil
}

func (w *world) Martians(context.Context) (Martians, error)   { return Martians{}, nil }
func (w *world) Proxies(context.Context) ([]Neighbour, error) { return nil, nil }
func (w *world) Sysctl(context.Context, Sysctl) error         { return nil }
func (w *world) Proxy(context.Context, Proxy) error           { return nil }
func (w *world) Changed() <-chan struct{}                     { return w.changed }
func (w *world) Load() ([]byte, error)                        { return w.memory, nil }
func (w *world) Sample(context.Context, Sample) ([]Martian, error) {
	return []Martian{{"eth1", netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("10.0.1.20"), 3}}, nil
}

func (w *world) Save(text []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory = bytes.Clone(text)
	w.saves++
	return nil
}

func (w *world) Take() Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.pending
	w.pending = Event{}
	return e
}

func (w *world) Route(_ context.Context, r facts.Route) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handErr != nil {
		return w.handErr
	}
	w.routes++
	w.has = true
	if w.undone {
		w.has = false
		w.event(Event{Parts: facts.PartRoutes4, Count: 2})
	}
	return nil
}

func (w *world) Run(ctx context.Context, argv []string, r Run) ([]byte, error) {
	if w.slow != nil {
		select {
		case <-w.slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, strings.Join(argv, " "))
	if argv[0] == "list" {
		return []byte("abc123\ndef456\n"), nil
	}
	return []byte("ran " + strings.Join(argv, " ") + "\n"), nil
}

// event is called under the lock.
func (w *world) event(e Event) {
	w.pending = Join(w.pending, e)
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// loses makes the route vanish, with this cause.
func (w *world) loses(c Cause) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.has = false
	w.event(Event{Parts: facts.PartRoutes4, Count: 1, Causes: []Cause{c}})
}

func (w *world) counts() (reads, routes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads, w.routes
}

// Get and Set are of the kind "kept".
type kept struct{ *world }

func (k kept) Get(context.Context, string) (provision.Attrs, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return provision.Attrs{"value": k.value}, nil
}

func (k kept) Set(_ context.Context, _ string, have, want provision.Attrs) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sets++
	if k.setErr != nil {
		return k.setErr
	}
	if have["value"] != k.value {
		return provision.ErrStale
	}
	k.value = want["value"]
	return nil
}

func (w *world) engine() *Engine {
	return &Engine{
		Source: w, Hand: w, Runner: w, Memory: w, Boot: "boot", Resources: Resources{"kept": kept{w}},
		Managers: func() []string { return []string{"systemd-networkd"} },
		Log:      slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

// runs runs the engine in a bubble of its own time.
func runs(t *testing.T, w *world, e *Engine, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, w) }()
	synctest.Wait()
	f()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func job(s Status, name string) JobStatus {
	i := slices.IndexFunc(s.Jobs, func(j JobStatus) bool { return j.Name == name })
	if i < 0 {
		return JobStatus{}
	}
	return s.Jobs[i]
}

func TestRepairsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		e.SetJobs(&Tables{})
		runs(t, w, e, func() {
			w.loses(Cause{What: "route4 of table 2 gone", Table: 2, Gone: true, Who: "ip, process 7"})
			time.Sleep(10 * time.Millisecond)
			if _, routes := w.counts(); routes != 1 {
				t.Errorf("%d repairs within 10 ms", routes)
			}
			s := e.Status()
			if j := job(s, "tables"); j.Acted != 1 || j.Last.IsZero() || !strings.Contains(j.LastWhy, "10.0.0.1 on eth1") && !strings.Contains(j.LastWhy, "as it was seen") {
				t.Errorf("status %+v", j)
			}
			if s.Events != 1 || s.Reads != 2 {
				t.Errorf("status %+v", s)
			}
		})
		if !strings.Contains(w.log.String(), `event="route4 of table 2 gone" probably_by="ip, process 7"`) {
			t.Errorf("log: %s", w.log.String())
		}
		// Only what can have changed was read.
		if !slices.Equal(w.parts, []facts.Parts{facts.AllParts, facts.PartRoutes4}) {
			t.Errorf("read %v", w.parts)
		}
	})
}

// A storm is a few readings, and a slow machine rests between them.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes = 100 * time.Millisecond
		e := w.engine()
		e.SetJobs(&Tables{})
		runs(t, w, e, func() {
			time.Sleep(time.Second)
			before, _ := w.counts()
			for range 3000 {
				w.mu.Lock()
				w.event(Event{Parts: facts.PartAddrs, Count: 1})
				w.mu.Unlock()
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			after, _ := w.counts()
			if n := after - before; n < 5 || n > 12 {
				t.Errorf("%d readings for 3000 events in three seconds, 100 ms each", n)
			}
			if s := e.Status(); s.Events != 3000 {
				t.Errorf("%d events", s.Events)
			}
		})
	})
}

func TestFightIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.undone = true
		e := w.engine()
		e.SetJobs(&Tables{})
		runs(t, w, e, func() {
			w.loses(Cause{What: "route4 of table 2 gone", Table: 2})
			time.Sleep(time.Hour)
			reads, routes := w.counts()
			if routes < 15 || routes > 25 || reads > 200 {
				t.Errorf("%d repairs and %d readings in an hour", routes, reads)
			}
			f := job(e.Status(), "tables").Fights
			if len(f) != 1 || f[0].Who != "systemd-networkd (running here)" || f[0].Times != routes || time.Until(f[0].Next) > 5*time.Minute {
				t.Errorf("fights %+v", f)
			}
			w.mu.Lock()
			w.undone = false
			w.mu.Unlock()
			time.Sleep(time.Hour)
			if f := job(e.Status(), "tables").Fights; f != nil {
				t.Errorf("peace, and still %+v", f)
			}
		})
		if !strings.Contains(w.log.String(), "somebody undoes it") {
			t.Errorf("log: %s", w.log.String())
		}
	})
}

// A device that flaps is nobody's fight.
func TestFlapsAreNoFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		e.SetJobs(&Tables{})
		runs(t, w, e, func() {
			for range 20 {
				w.loses(Cause{What: "link eth1", Index: 3})
				time.Sleep(100 * time.Millisecond)
			}
			if _, routes := w.counts(); routes != 20 {
				t.Errorf("%d repairs of 20", routes)
			}
			if f := job(e.Status(), "tables").Fights; f != nil {
				t.Errorf("fights %+v", f)
			}
		})
	})
}

func TestFailuresAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.readErr = errors.New("no")
		e := w.engine()
		e.SetJobs(&Tables{})
		runs(t, w, e, func() {
			time.Sleep(time.Minute)
			if reads, _ := w.counts(); reads < 10 || reads > 30 {
				t.Errorf("%d readings in a minute of failures", reads)
			}
			w.mu.Lock()
			w.readErr, w.handErr, w.has = nil, errors.New("unreachable"), false
			w.mu.Unlock()
			time.Sleep(time.Minute)
			if j := job(e.Status(), "tables"); j.Failed < 5 || j.Failed > 20 || !strings.Contains(j.LastError, "unreachable") {
				t.Errorf("status %+v", j)
			}
			w.mu.Lock()
			w.handErr = nil
			w.mu.Unlock()
			time.Sleep(time.Minute)
			if _, routes := w.counts(); routes != 1 {
				t.Errorf("%d repairs", routes)
			}
		})
	})
}

func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		ref := provision.Ref{Kind: "kept", Name: "x"}
		locked := 0
		var outdated atomic.Bool
		e.Lock = func(context.Context) (func(), error) {
			if outdated.Load() {
				return nil, fmt.Errorf("other wants: %w", ErrOutdated)
			}
			locked++
			return func() { locked-- }, nil
		}
		e.SetJobs(&Keep{Wants: []provision.Want{{Ref: ref, Attrs: provision.Attrs{"value": "good"}}}})
		change := func(value string, err error) (sets int, now string) {
			w.mu.Lock()
			w.value, w.setErr, w.sets = value, err, 0
			w.event(Event{NFT: true, Parts: facts.PartRules4, Count: 1, Causes: []Cause{{NFT: true, Gone: true, Who: "nft, process 9"}}})
			w.mu.Unlock()
			time.Sleep(900 * time.Millisecond)
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.sets, w.value
		}
		runs(t, w, e, func() {
			if sets, value := change("bad", nil); sets != 1 || value != "good" {
				t.Errorf("%d sets, %s", sets, value)
			}
			// What changes under its hand is looked at again, and is no failure.
			if sets, _ := change("bad", provision.ErrStale); sets < 2 || sets > 6 {
				t.Errorf("%d sets", sets)
			}
			if sets, _ := change("bad", provision.ErrPending); sets < 2 || sets > 6 {
				t.Errorf("%d sets", sets)
			}
			outdated.Store(true)
			if sets, _ := change("bad", nil); sets != 0 {
				t.Errorf("%d sets of what is outdated", sets)
			}
			// New jobs: the value is what is wanted now.
			outdated.Store(false)
			e.SetJobs(&Keep{Wants: []provision.Want{{Ref: ref, Attrs: provision.Attrs{"value": "bad"}}}})
			time.Sleep(time.Second)
			if sets, value := change("bad", nil); sets != 0 || value != "bad" {
				t.Errorf("%d sets, %s", sets, value)
			}
			if j := job(e.Status(), "keep"); j.Acted == 0 || j.Failed != 0 {
				t.Errorf("status %+v", j)
			}
			// Without an event: in a minute.
			w.mu.Lock()
			w.value, w.sets = "worse", 0
			w.mu.Unlock()
			time.Sleep(time.Minute)
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.value != "bad" {
				t.Errorf("still %s", w.value)
			}
		})
		if locked != 0 {
			t.Errorf("locked %d times more than unlocked", locked)
		}
	})
}

func TestMemoryOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		e.SetJobs(&Tables{}, &Reaction{Title: "r", Interfaces: []string{"*"}, Appear: true})
		runs(t, w, e, func() {
			w.loses(Cause{})
			time.Sleep(2 * time.Second)
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.saves == 0 || w.saves > 4 {
				t.Errorf("saved %d times", w.saves)
			}
		})
		var m memory
		if err := json.Unmarshal(w.memory, &m); err != nil || m.Boot != "boot" || m.Jobs["tables"].Acted != 1 || len(m.Jobs["tables"].State) < 10 {
			t.Fatalf("%v: %s", err, w.memory)
		}
		// Lost for good, so that nothing is learnt anew.
		w.has, w.handErr = false, errors.New("unreachable")
		for _, boot := range []string{"boot", "another"} {
			e = w.engine()
			e.Boot = boot
			tables := &Tables{}
			e.SetJobs(tables)
			runs(t, w, e, func() {
				if j := job(e.Status(), "tables"); j.Acted != 1 {
					t.Errorf("boot %s: %+v", boot, j)
				}
			})
			if n := len(tables.mem.Pictures); (n == 1) != (boot == "boot") {
				t.Errorf("boot %s: %d tables are remembered", boot, n)
			}
		}
		w.memory = []byte("{")
		e = w.engine()
		e.SetJobs(&Tables{})
		runs(t, w, e, func() {})
		if !strings.Contains(w.log.String(), "it is forgotten") {
			t.Error("nonsense is not told")
		}
	})
}

// A command does not hold up repairs, and is ended with the watch.
func TestCommandsRunBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.slow = make(chan struct{})
		e := w.engine()
		e.SetJobs(&Tables{}, &Reaction{Title: "r", Interfaces: []string{"eth*"}, Appear: true, AtStart: true, Run: Run{List: []string{"list"}, Each: [][]string{{"stop", "{}"}, {"remove", "{}"}}}})
		runs(t, w, e, func() {
			time.Sleep(2 * time.Second)
			if j := job(e.Status(), "reaction r"); !j.Running {
				t.Errorf("status %+v", j)
			}
			w.loses(Cause{})
			time.Sleep(100 * time.Millisecond)
			if _, routes := w.counts(); routes != 1 {
				t.Errorf("%d repairs while a command runs", routes)
			}
			close(w.slow)
			time.Sleep(time.Second)
			w.mu.Lock()
			if want := []string{"list", "stop abc123", "remove abc123", "stop def456", "remove def456"}; !slices.Equal(w.runs, want) {
				t.Errorf("ran %q", w.runs)
			}
			w.mu.Unlock()
			if j := job(e.Status(), "reaction r"); j.Running || j.Acted != 1 {
				t.Errorf("status %+v", j)
			}
		})
		if !strings.Contains(w.log.String(), "ran remove def456") {
			t.Errorf("the output is not logged: %s", w.log.String())
		}
		// One that never ends ends with the watch.
		w.slow, w.memory = make(chan struct{}), nil
		e = w.engine()
		e.SetJobs(&Reaction{Title: "r", Interfaces: []string{"eth*"}, Appear: true, AtStart: true, Run: Run{Command: []string{"x"}}})
		runs(t, w, e, func() { time.Sleep(2 * time.Second) })
	})
}

func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.has = false
		e := w.engine()
		e.SetJobs(&Tables{}, &Reaction{Title: "r", Interfaces: []string{"eth*"}, Appear: true, AtStart: true, Run: Run{Command: []string{"x"}}})
		s, err := e.Once(t.Context())
		if _, routes := w.counts(); err != nil || routes != 1 || job(s, "tables").Acted != 1 || !slices.Equal(w.runs, []string{"x"}) {
			t.Errorf("%v: %+v, ran %q", err, s, w.runs)
		}
		w.has, w.handErr = false, errors.New("unreachable")
		e = w.engine()
		e.SetJobs(&Tables{})
		if _, err := e.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("got %v", err)
		}
		w.readErr = errors.New("no")
		if _, err := w.engine().Once(t.Context()); err == nil {
			t.Error("a reading that failed is told by nobody")
		}
	})
}

// State is read again when an event can have changed it, and not otherwise.
func TestTouches(t *testing.T) {
	for _, tt := range []struct {
		kind  string
		event Event
		want  bool
	}{
		{"nft", Event{NFT: true}, true},
		{"nft", Event{Parts: facts.AllParts}, false},
		{"route", Event{Parts: facts.PartLinks}, true},
		{"route", Event{Parts: facts.PartRules4, NFT: true}, false},
		{"rule", Event{Parts: facts.PartRules6}, true},
		{"rule", Event{Parts: facts.PartRoutes4}, false},
		{"sysctl", Event{Parts: facts.PartLinks}, true},
		{"sysctl", Event{Parts: facts.PartRoutes4}, false},
		{"other", Event{Parts: facts.PartRoutes4}, true},
	} {
		if got := touches(tt.kind, tt.event, false); got != tt.want || !touches(tt.kind, tt.event, true) {
			t.Errorf("%s by %+v: %v", tt.kind, tt.event, got)
		}
	}
}

func TestProcedures(t *testing.T) {
	for _, bad := range []string{"-rf", "a/b", "a b;", "", ".x", "$x", strings.Repeat("a", 200)} {
		if plain(bad) {
			t.Errorf("%q is taken for an identifier", bad)
		}
	}
	if !plain("0f1e2d.x-y_Z") {
		t.Error("an identifier is refused")
	}
}

func TestMetrics(t *testing.T) {
	s := Status{
		Started: time.Unix(1000, 0), Events: 7, Overruns: 1, Reads: 3, LastTook: 20 * time.Millisecond,
		Jobs: []JobStatus{{Name: "tables", Acted: 2, Last: time.Unix(2000, 5e8), Failed: 1, Fights: []Fight{{}}}, {Name: `reaction a"b`}},
	}
	var b bytes.Buffer
	if err := s.WriteMetrics(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# TYPE provision_watch_actions_total counter\nprovision_watch_actions_total{job=\"tables\"} 2\nprovision_watch_actions_total{job=\"reaction a\\\"b\"} 0\n",
		"provision_watch_last_action_timestamp_seconds{job=\"tables\"} 2000.5\n",
		"provision_watch_last_action_timestamp_seconds{job=\"reaction a\\\"b\"} 0\n",
		"provision_watch_fights{job=\"tables\"} 1\n", "provision_watch_events_total 7\n", "provision_watch_last_read_duration_seconds 0.02\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(b.String()), "\n") {
		if !strings.HasPrefix(line, "# HELP provision_watch_") && !strings.HasPrefix(line, "# TYPE provision_watch_") && !strings.HasPrefix(line, "provision_watch_") {
			t.Errorf("line %q", line)
		}
	}
	if text, err := json.Marshal(s); err != nil || !strings.Contains(string(text), `"acted":2`) {
		t.Errorf("%s, %v", text, err)
	}
}
