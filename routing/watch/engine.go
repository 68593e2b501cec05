package watch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// Engine reads, lets the jobs look, and repairs. The zero value of a duration is its default.
type Engine struct {
	Source    Source
	Hand      Hand
	Runner    Runner    // nil: nothing is run
	Resources Resources // of "keep"
	Memory    Memory    // nil: nothing is kept
	// Lock is taken around each change; an error gives the change up until later.
	Lock func(ctx context.Context) (unlock func(), err error)
	// Managers names the running network managers, asked only when somebody has to be suspected.
	Managers func() []string
	// Overruns counts lost events for the status; nil: not known.
	Overruns func() uint64
	Log      *slog.Logger
	Boot     string           // of this boot: what was remembered in another one is forgotten
	Now      func() time.Time // nil: time.Now

	Quiet   time.Duration // how long events are waited for to come together; 5 ms
	MaxWait time.Duration // and at most, since the first; 25 ms
	Whole   time.Duration // everything is read again at least that often; 5 min

	jobs    []*running
	next    chan []Job
	results chan result
	wg      sync.WaitGroup

	have map[provision.Ref]provision.Attrs
	read struct {
		parts   facts.Parts // that have been read at all
		at      time.Time
		credit  time.Duration // at that time
		whole   time.Time
		failed  int
		pending Event // that has not been read yet
		first   time.Time
		wholly  bool // everything is to be read
		due     time.Time
	}
	saved  time.Time
	unsafe bool // something is remembered that is not saved
	past   map[string]jobMemory

	mu     sync.Mutex // of status
	status Status
}

// Defaults of Engine, and what it allows itself: in the long run a fifth of a processor for
// reading (restFactor is what it rests of a time that it reads), and without a rest what it has
// saved up, at most mostCredit. So a single event is never kept waiting, and a storm is not
// followed step by step.
const (
	defaultQuiet   = 5 * time.Millisecond
	defaultMaxWait = 25 * time.Millisecond
	defaultWhole   = 5 * time.Minute
	restFactor     = 4
	mostCredit     = 200 * time.Millisecond
	lockWait       = 5 * time.Second
	lockAgain      = 250 * time.Millisecond
	saveEvery      = time.Second
)

// running is a job with what the engine knows of it.
type running struct {
	Job
	attempts map[string]*attempt
	notes    map[string]noted
	looked   time.Time
	again    time.Time // when it wants to look again
	busy     bool      // its command runs
	status   JobStatus
	fresh    bool // has not looked yet
}

// SetJobs gives the engine its jobs, at the start or, from any goroutine, while it runs. A job
// of the same name takes over counts, back-off and memory.
func (e *Engine) SetJobs(jobs ...Job) {
	e.init()
	select {
	case <-e.next: // not taken yet: this is newer
	default:
	}
	e.next <- jobs
}

func (e *Engine) init() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.next != nil {
		return
	}
	e.next, e.results, e.have = make(chan []Job, 1), make(chan result), map[provision.Ref]provision.Attrs{}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	if e.Lock == nil {
		e.Lock = func(context.Context) (func(), error) { return func() {}, nil }
	}
	e.Quiet, e.MaxWait, e.Whole = cmpDuration(e.Quiet, defaultQuiet), cmpDuration(e.MaxWait, defaultMaxWait), cmpDuration(e.Whole, defaultWhole)
	e.status.Started = e.Now()
}

// Run follows events until ctx ends. It ends what it runs and saves what it remembers.
func (e *Engine) Run(ctx context.Context, events Events) error {
	e.init()
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		e.drain()
		e.save(true)
	}()
	e.recall()
	e.read.wholly = true
	e.taken()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case jobs := <-e.next:
			e.take(jobs)
		case <-events.Changed():
			e.heard(events.Take())
		case r := <-e.results:
			e.ended(r)
		case <-timer.C:
		}
		now := e.Now()
		at := e.due(now)
		if !at.After(now) {
			if err := e.look(ctx); err != nil && ctx.Err() == nil {
				e.Log.Warn("cannot read the state of the network, trying again", "err", err)
			}
			at = e.due(e.Now())
		}
		e.save(false)
		timer.Reset(max(0, at.Sub(e.Now())))
	}
}

// heard notes what may have changed and when to read it.
func (e *Engine) heard(ev Event) {
	if ev.Count == 0 && !ev.Overrun {
		return
	}
	now := e.Now()
	e.mu.Lock()
	e.status.Events += uint64(ev.Count)
	e.mu.Unlock()
	if ev.Overrun {
		e.Log.Debug("events of the network were lost, everything is read again")
		e.read.wholly = true
	}
	e.read.pending.add(ev)
	if e.read.first.IsZero() {
		e.read.first = now
	}
	e.read.due = now.Add(e.Quiet)
	if last := e.read.first.Add(e.MaxWait); last.Before(e.read.due) {
		e.read.due = last
	}
}

// taken takes jobs that wait to be taken.
func (e *Engine) taken() {
	select {
	case jobs := <-e.next:
		e.take(jobs)
	default:
	}
}

// take exchanges the jobs.
func (e *Engine) take(jobs []Job) {
	old := map[string]*running{}
	for _, j := range e.jobs {
		old[j.Name()] = j
	}
	e.jobs = nil
	for _, j := range jobs {
		r := &running{Job: j, attempts: map[string]*attempt{}, notes: map[string]noted{}, status: JobStatus{Name: j.Name()}, fresh: true}
		if o := old[j.Name()]; o != nil {
			r.attempts, r.notes, r.status = o.attempts, o.notes, o.status
			e.handOver(o.Job, j)
		} else {
			e.remind(r)
		}
		e.jobs = append(e.jobs, r)
	}
	e.tell()
}
