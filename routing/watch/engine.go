package watch

import (
	"context"
	"errors"
	"fmt"
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
	stale    Event     // what has been read and not been looked at
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

// due is when something has to be done next.
func (e *Engine) due(now time.Time) time.Time {
	var at time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	earlier(e.read.due)
	if e.read.whole.IsZero() || e.read.wholly {
		earlier(now)
	} else {
		earlier(e.read.whole.Add(e.Whole))
	}
	for _, j := range e.jobs {
		earlier(e.wants(j))
	}
	if at.IsZero() {
		at = now.Add(e.Whole)
	}
	// Who has read more than is allowed rests; one that failed waits longer each time.
	rest := max(0, restFactor*-e.read.credit)
	if e.read.failed > 0 {
		rest = doubled(failWait, e.read.failed-1, 5*time.Second)
	}
	if t := e.read.at.Add(rest); at.Before(t) {
		at = t
	}
	if e.unsafe {
		if t := e.saved.Add(saveEvery); t.Before(at) && t.After(now) {
			at = t
		}
	}
	return at
}

// wants is when a job has to look without an event.
func (e *Engine) wants(j *running) time.Time {
	at := j.again
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if every := j.Needs().Every; every > 0 {
		earlier(j.looked.Add(every))
	}
	if w, ok := j.Job.(Waker); ok && !j.busy {
		earlier(w.Wake())
	}
	if j.fresh {
		return time.Unix(1, 0)
	}
	return at
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

// look reads what may have changed and what jobs are due for, and lets them look.
func (e *Engine) look(ctx context.Context) error {
	begin := e.Now()
	ev, first := e.read.pending, e.read.first
	whole := e.read.wholly || e.read.whole.IsZero() || !begin.Before(e.read.whole.Add(e.Whole))
	if whole {
		ev.Parts, ev.NFT = facts.AllParts, true
	}
	var needed facts.Parts
	var due []*running
	counters, proxies := false, false
	for _, j := range e.jobs {
		n := j.Needs()
		needed |= n.Parts
		wants := e.wants(j)
		timely := !wants.IsZero() && !wants.After(begin)
		if timely {
			ev.Parts |= n.Parts // what it looks at must be of now
		}
		if timely || whole || ev.Parts&n.Parts != 0 || n.NFT && ev.NFT {
			due = append(due, j)
			counters, proxies = counters || n.Martians, proxies || n.Proxies
		}
	}
	parts := (ev.Parts | ^e.read.parts) & needed & facts.AllParts
	s := &State{Now: begin, Have: map[provision.Ref]provision.Attrs{}}
	err := e.fill(ctx, s, parts, counters, proxies)
	e.spend(begin)
	e.count(begin, err)
	if err != nil {
		e.read.failed++
		return err
	}
	e.read.failed, e.read.parts = 0, e.read.parts|parts
	e.read.pending, e.read.first, e.read.due = Event{}, time.Time{}, time.Time{}
	if whole {
		e.read.whole, e.read.wholly = begin, false
	}
	for _, j := range due {
		n := j.Needs()
		if len(n.Refs) > 0 {
			timely := j.fresh || n.Every > 0 && !begin.Before(j.looked.Add(n.Every)) || !j.again.IsZero() && !j.again.After(begin)
			if err := e.Resources.read(ctx, n.Refs, func(kind string) bool { return touches(kind, ev, whole || timely) }, s.Have); err != nil {
				e.Log.Warn("cannot read what is kept", "job", j.Name(), "err", err)
			}
		}
		e.work(ctx, j, s, ev, first)
	}
	return nil
}

// spend notes the time that a reading took.
func (e *Engine) spend(begin time.Time) {
	now := e.Now()
	saved := mostCredit
	if !e.read.at.IsZero() {
		saved = min(mostCredit, e.read.credit+begin.Sub(e.read.at)/restFactor)
	}
	e.read.at, e.read.credit = now, saved-now.Sub(begin)
}

func (e *Engine) fill(ctx context.Context, s *State, parts facts.Parts, counters, proxies bool) (err error) {
	if s.Live, err = e.Source.Read(ctx, parts); err != nil {
		return err
	}
	if counters {
		if s.Martians, err = e.Source.Martians(ctx); err != nil {
			return fmt.Errorf("cannot read the counters of martians: %w", err)
		}
	}
	if proxies {
		s.Proxies, err = e.Source.Proxies(ctx)
	}
	return err
}

// work lets one job look and does what it says.
func (e *Engine) work(ctx context.Context, j *running, s *State, ev Event, first time.Time) {
	j.looked, j.again, j.fresh = s.Now, time.Time{}, false
	repairs := j.Look(s)
	later := func(t time.Time) {
		if j.again.IsZero() || t.Before(j.again) {
			j.again = t
		}
	}
	seen := map[string]bool{}
	var do []Repair
	for _, r := range repairs {
		if r.Note() {
			seen[r.Key] = true
			e.note(j, r)
			continue
		}
		if a := j.attempts[r.Key]; a != nil && !excused(r, ev) && !a.settled(s.Now) && s.Now.Before(a.next()) {
			later(a.next())
			continue
		}
		do = append(do, r)
	}
	for key, n := range j.notes {
		// What is not true any more may be told again, after a while.
		if !seen[key] && s.Now.Sub(n.at) >= noteAgain {
			delete(j.notes, key)
		}
	}
	for key, a := range j.attempts {
		if a.settled(s.Now) {
			delete(j.attempts, key)
		}
	}
	if len(do) > 0 {
		e.repair(ctx, j, do, ev, first, later)
	}
	e.remember(j)
	e.tell()
}

// repair takes the lock once for all that a job asks for.
func (e *Engine) repair(ctx context.Context, j *running, repairs []Repair, ev Event, first time.Time, later func(time.Time)) {
	var changes []Repair
	for _, r := range repairs {
		if r.Run != nil || r.Sample != nil {
			e.start(ctx, j, r)
		} else {
			changes = append(changes, r)
		}
	}
	if len(changes) == 0 {
		return
	}
	wait, cancel := context.WithTimeout(ctx, lockWait)
	unlock, err := e.Lock(wait)
	cancel()
	if err != nil {
		if !errors.Is(err, ErrOutdated) {
			e.Log.Info("a repair waits", "job", j.Name(), "for", changes[0].Key, "err", err)
		}
		later(e.Now().Add(lockAgain))
		return
	}
	defer unlock()
	for _, r := range changes {
		err := e.do(ctx, r)
		if errors.Is(err, provision.ErrStale) || errors.Is(err, provision.ErrPending) || ctx.Err() != nil {
			later(e.Now().Add(lockAgain)) // not ours, or not yet: what is now decides
			continue
		}
		e.done(j, r, err, ev, first)
		if err != nil {
			later(j.attempts[r.Key].next())
		}
	}
}

// do makes one change.
func (e *Engine) do(ctx context.Context, r Repair) error {
	switch {
	case r.Routes != nil:
		for _, rt := range r.Routes {
			if err := e.Hand.Route(ctx, rt); err != nil {
				return err
			}
		}
		return nil
	case r.Sysctl != nil:
		return e.Hand.Sysctl(ctx, *r.Sysctl)
	case r.Proxy != nil:
		return e.Hand.Proxy(ctx, *r.Proxy)
	case r.Set != nil:
		res := e.Resources[r.Set.Want.Kind]
		if res == nil {
			return fmt.Errorf("there is no kind %s here", r.Set.Want.Kind)
		}
		return res.Set(ctx, r.Set.Want.Name, r.Set.Have, r.Set.Want.Attrs)
	}
	return nil
}
