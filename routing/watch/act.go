package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// noted is a note that was told.
type noted struct {
	why string
	at  time.Time
}

// noteAgain is the least time between two notes on one thing.
const noteAgain = time.Minute

// note tells something once, as long as it is true.
func (e *Engine) note(j *running, r Repair) {
	now := e.Now()
	old, told := j.notes[r.Key]
	if told && (old.why == r.Why || now.Sub(old.at) < noteAgain) {
		return
	}
	j.notes[r.Key] = noted{r.Why, now}
	j.status.Noted++
	j.status.LastNote = r.Why
	level := slog.LevelWarn
	if r.Harmless {
		level = slog.LevelInfo
	}
	e.Log.Log(context.Background(), level, r.Why, "job", j.Name())
}

// done notes and tells how a change went.
func (e *Engine) done(j *running, r Repair, err error, ev Event, first time.Time) {
	now := e.Now()
	a := j.attempts[r.Key]
	if a == nil {
		a = &attempt{urgent: r.Urgent}
		j.attempts[r.Key] = a
	}
	a.acted(now, err != nil, excused(r, ev))
	args := []any{"job", j.Name(), "what", r.Key, "why", r.Why}
	if err != nil {
		j.status.Failed++
		j.status.LastError = fmt.Sprintf("%s: %v", r.Key, err)
		if a.failed&(a.failed-1) == 0 {
			e.Log.Warn("cannot repair", append(args, "err", err, "again_in", a.wait)...)
		}
		return
	}
	j.status.Acted++
	j.status.Last, j.status.LastWhy = now, r.Why
	e.unsafe = true
	args = append(args, "did", r.What())
	if !first.IsZero() {
		args = append(args, "after", now.Sub(first).Round(10*time.Microsecond))
	}
	if len(ev.Causes) > 0 {
		args = append(args, "event", ev.Causes[0].What)
	}
	who := doer(r, ev.Causes)
	if who == "" {
		who = a.by
	}
	if a.by = ""; who != "" {
		a.who = who
		args = append(args, "probably_by", who)
	}
	loud := !a.fought() || a.loud(now)
	if !loud {
		return
	}
	e.Log.Info("repaired", args...)
	if a.fought() {
		if a.who == "" {
			a.who = e.suspects(r)
		}
		e.Log.Warn("what is repaired does not last: somebody undoes it", "job", j.Name(), "what", r.Key, "probably", a.who,
			"times", a.acts, "since", a.first.Format(time.RFC3339), "again_not_before", a.wait)
	}
}

// excused reports whether the device of a route has just changed: the kernel takes its routes
// away then, and nobody else.
func excused(r Repair, ev Event) bool {
	return slices.ContainsFunc(ev.Causes, func(c Cause) bool {
		return c.Index != 0 && slices.ContainsFunc(r.Routes, func(rt facts.Route) bool { return rt.Link == c.Index })
	})
}

// doer is the process that an event of the same thing names.
func doer(r Repair, causes []Cause) string {
	about := func(c Cause) bool {
		switch {
		case c.Who == "":
			return false
		case r.Routes != nil:
			return c.Table == r.Routes[0].Table
		case r.Set != nil && r.Set.Want.Kind == "nft":
			return c.NFT
		case r.Set != nil && (r.Set.Want.Kind == "route" || r.Set.Want.Kind == "rule"):
			return strings.HasPrefix(c.What, r.Set.Want.Kind)
		}
		return false
	}
	// Who has deleted something is more likely than who has added.
	for _, gone := range []bool{true, false} {
		if i := slices.IndexFunc(causes, func(c Cause) bool { return c.Gone == gone && about(c) }); i >= 0 {
			return causes[i].Who
		}
	}
	return ""
}

// suspects are the managers that run here.
func (e *Engine) suspects(r Repair) string {
	if r.Sysctl != nil || r.Set != nil && r.Set.Want.Kind == "sysctl" {
		return "a tool that writes kernel parameters (sysctl --system, tuned, an agent): the kernel does not tell who"
	}
	var names []string
	if e.Managers != nil {
		names = e.Managers()
	}
	if len(names) == 0 {
		return "nobody who is known here"
	}
	return strings.Join(names, " or ") + " (running here)"
}

// result is how something that took its time has ended.
type result struct {
	job      *running
	repair   Repair
	took     time.Duration
	output   string
	martians []Martian
	err      error
}

// start runs a command, or a sample, beside the loop.
func (e *Engine) start(ctx context.Context, j *running, r Repair) {
	if j.busy {
		return
	}
	if e.Runner == nil {
		e.settle(result{job: j, repair: r, err: errors.New("nothing can be run here")})
		return
	}
	j.busy = true
	e.Log.Info("begins", "job", j.Name(), "why", r.Why, "did", r.What())
	e.wg.Go(func() {
		begin := e.Now()
		res := result{job: j, repair: r}
		if r.Sample != nil {
			res.martians, res.err = e.Runner.Sample(ctx, *r.Sample)
		} else {
			res.output, res.err = run(ctx, e.Runner, *r.Run)
		}
		res.took = e.Now().Sub(begin)
		e.results <- res
	})
}

// ended takes a result, in the loop.
func (e *Engine) ended(res result) {
	res.job.busy = false
	e.settle(res)
	// The job may have been exchanged meanwhile.
	for _, j := range e.jobs {
		if j == res.job {
			e.remember(j)
		}
	}
	e.save(false)
	e.tell()
}

func (e *Engine) settle(res result) {
	j, r := res.job, res.repair
	if ender, ok := j.Job.(Ender); ok {
		ender.Ended(e.Now(), res.err)
	}
	args := []any{"job", j.Name(), "why", r.Why, "took", res.took.Round(time.Millisecond)}
	if res.output != "" {
		args = append(args, "output", res.output)
	}
	switch {
	case res.err != nil:
		j.status.Failed++
		j.status.LastError = res.err.Error()
		e.Log.Warn("has failed", append(args, "err", res.err)...)
	case r.Sample != nil:
		j.status.Martians = res.martians
		e.Log.Warn("martians", append(args, "which", martianText(res.martians))...)
	default:
		j.status.Acted++
		j.status.Last, j.status.LastWhy = e.Now(), r.Why
		e.unsafe = true
		e.Log.Info("is done", args...)
	}
}

func martianText(list []Martian) string {
	if len(list) == 0 {
		return "none came while it was looked"
	}
	var b strings.Builder
	for i, m := range list {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(m.String())
	}
	return b.String()
}

// drain waits for what runs; its context has ended.
func (e *Engine) drain() {
	done := make(chan struct{})
	go func() { e.wg.Wait(); close(done) }()
	for {
		select {
		case r := <-e.results:
			e.ended(r)
		case <-done:
			return
		}
	}
}
