package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/provision-net/provision/provision"
)

// SoakOptions say how much is tried.
type SoakOptions struct {
	Seed  uint64
	Pairs int
	// Dir, when set, keeps the state of crash runs in real files there, without
	// fsync (a crash is not a power cut).
	Dir string
	// Transient also tries, for each third pair, refusals that must not matter, Broken references that
	// fail until they are mended, and a crash while going back.
	Transient bool
	// MaxBad ends the soak early; zero means 1.
	MaxBad int
}

// SoakReport counts.
type SoakReport struct {
	Pairs, Effects, Failures, Crashes, Others int
	Goal, Start                               int // end states
	Bad                                       []string
}

func (r SoakReport) String() string {
	return fmt.Sprintf("%d pairs, %d effects, %d failures, %d crashes, %d other faults: %d ended at the goal, %d at the start, %d elsewhere",
		r.Pairs, r.Effects, r.Failures, r.Crashes, r.Others, r.Goal, r.Start, len(r.Bad))
}

// world is a machine and its state directory at one moment.
type world struct {
	mo    *model
	state State
	files *MemFiles
	clock *Clock
}

// pair is one start and one goal.
type pair struct {
	mo          *model
	from, to    provision.Desired
	start, goal State
	at          world // at the start
	effects     int
}

// Soak tries random pairs of starts and goals.
func Soak(opt SoakOptions) SoakReport {
	if opt.MaxBad == 0 {
		opt.MaxBad = 1
	}
	s := &soak{opt: opt}
	for n := range opt.Pairs {
		rnd := newRand(opt.Seed, uint64(n))
		s.name = fmt.Sprintf("seed %d pair %d", opt.Seed, n)
		s.pair(rnd)
		s.rep.Pairs++
		if len(s.rep.Bad) >= opt.MaxBad {
			break
		}
	}
	return s.rep
}

type soak struct {
	opt  SoakOptions
	rep  SoakReport
	name string
	runs int
	ends int
}

func (s *soak) bad(p *pair, format string, args ...any) {
	msg := fmt.Sprintf("%s: %s", s.name, fmt.Sprintf(format, args...))
	s.rep.Bad = append(s.rep.Bad, msg)
}

func newPair(rnd *rand.Rand) *pair {
	mo := newModel(rnd)
	p := &pair{mo: mo, from: mo.desired(rnd), to: mo.desired(rnd)}
	p.start, p.goal = mo.expected(provision.Desired{}, p.from), mo.expected(p.from, p.to)
	return p
}

func (s *soak) pair(rnd *rand.Rand) {
	p := newPair(rnd)
	ctx := context.Background()
	opt := provision.ApplyOptions{}

	// The way to the start, from a machine that was never touched.
	m := NewMachine(p.mo.base, p.mo.rules())
	files := NewMemFiles()
	if _, err := m.Engine(files.Store(), p.from, p.to).Apply(ctx, p.from, opt); err != nil {
		s.bad(p, "first apply: %v", err)
		return
	}
	m.Settle()
	if d := m.State.Diff(p.start); d != "" {
		s.bad(p, "first apply ended elsewhere (is / should be):\n%s", d)
		return
	}
	p.at = world{p.mo, m.State.Clone(), files.Clone(), m.Clock}

	// The way to the goal, undisturbed.
	inj := &Injector{At: -1}
	e := inj.Wrap(m.Engine(files.Store(), p.from, p.to))
	res, err := e.Apply(ctx, p.to, opt)
	if err != nil {
		s.bad(p, "second apply: %v", err)
		return
	}
	if len(res.Triggers) > 1 {
		s.bad(p, "its one trigger ran %d times", len(res.Triggers))
		return
	}
	m.Settle()
	if d := m.State.Diff(p.goal); d != "" {
		s.bad(p, "second apply ended elsewhere (is / should be):\n%s", d)
		return
	}
	p.effects = inj.N
	s.rep.Effects += inj.N
	if res, err := e.Apply(ctx, p.to, opt); err != nil || res.Writes != 0 {
		s.bad(p, "apply is not idempotent: %d writes %v, %v", res.Writes, res.Effects, err)
		return
	}
	// And all the way back.
	if rnd.IntN(2) == 0 {
		if _, err := e.Rollback(ctx); err != nil && !errors.Is(err, provision.ErrNoSnapshot) {
			s.bad(p, "rollback: %v", err)
			return
		} else if m.Settle(); err != nil {
			// nothing to go back on
		} else if d := m.State.Diff(p.start); p.effects > 0 && d != "" {
			s.bad(p, "rollback ended elsewhere (is / should be):\n%s", d)
			return
		}
	}
	if _, err := e.Revert(ctx, false); err != nil {
		s.bad(p, "revert: %v", err)
		return
	}
	m.Settle()
	if d := p.fromBase(m); d != "" {
		s.bad(p, "revert ended elsewhere (is / should be):\n%s", d)
		return
	}

	transient := s.opt.Transient && s.rep.Pairs%3 == 0
	for at := range p.effects {
		for _, f := range []Fault{FailBefore, FailAfter, CrashBefore} {
			s.fault(p, Injector{At: at, Fault: f})
		}
		if at == p.effects-1 {
			s.fault(p, Injector{At: at, Fault: CrashAfter})
		}
		if transient {
			s.fault(p, Injector{At: at, Fault: []Fault{StaleOnce, BusyOnce, PendingOnce}[rnd.IntN(3)]})
		}
	}
	if transient && p.effects > 0 {
		s.broken(p, rnd)
		s.twice(p, rnd)
	}
}

// open makes the machine of a world anew, with files in memory or in a directory.
func (s *soak) open(p *pair, inj *Injector, crash bool) (m *Machine, e func() *provision.Engine, close func()) {
	m = NewMachine(p.at.state, p.mo.rules())
	var files provision.Files = p.at.files.Clone()
	close = func() {}
	if crash && s.opt.Dir != "" {
		s.runs++
		dir := filepath.Join(s.opt.Dir, fmt.Sprint(s.runs))
		if err := os.Mkdir(dir, 0o700); err != nil {
			panic(err)
		}
		for n, b := range p.at.files.m {
			if err := os.WriteFile(filepath.Join(dir, n), b, 0o600); err != nil {
				panic(err)
			}
		}
		files = unsynced{provision.DirFiles(dir)}
		close = func() { os.RemoveAll(dir) }
	}
	return m, func() *provision.Engine {
		e := m.Engine(mustOpen(files), p.from, p.to)
		if inj != nil {
			return inj.Wrap(e)
		}
		return e
	}, close
}

// unsynced leaves out what only a power cut can tell.
type unsynced struct{ provision.Files }

func (unsynced) Sync(string) error { return nil }
func (unsynced) SyncDir() error    { return nil }

func (s *soak) fault(p *pair, inj Injector) {
	ctx := context.Background()
	what := fmt.Sprintf("%s effect %d of %d", inj.Fault, inj.At, p.effects)
	crash := inj.Fault == CrashBefore || inj.Fault == CrashAfter
	m, engine, done := s.open(p, &inj, crash)
	defer done()
	var err error
	crashed := Crashes(func() { _, err = engine().Apply(ctx, p.to, provision.ApplyOptions{}) })
	if crashed != crash {
		s.bad(p, "%s: crashed is %v (%v)", what, crashed, err)
		return
	}
	switch {
	case crash:
		s.rep.Crashes++
		if s.rep.Crashes%4 == 0 { // nobody recovers, the next apply finds it
			res, err := engine().Apply(ctx, p.to, provision.ApplyOptions{})
			if m.Settle(); err != nil || !res.Recovered && inj.At > 0 || m.State.Diff(p.goal) != "" {
				s.bad(p, "%s: the next apply: %v (recovered: %v)\n%s", what, err, res.Recovered, m.State.Diff(p.goal))
				return
			}
			s.rep.Goal++
			return
		}
		if _, err := engine().Recover(ctx); err != nil {
			s.bad(p, "%s: recover: %v", what, err)
			return
		}
	case inj.Fault == FailBefore || inj.Fault == FailAfter:
		s.rep.Failures++
	default:
		s.rep.Others++
	}
	s.end(p, m, engine, what, err)
}

// end judges where a run has ended, and that the next apply reaches the goal.
func (s *soak) end(p *pair, m *Machine, engine func() *provision.Engine, what string, err error) {
	ctx := context.Background()
	var failed *provision.FailedError
	if err != nil && !errors.As(err, &failed) {
		s.bad(p, "%s: %v", what, err)
		return
	}
	m.Settle()
	toGoal, toStart := m.State.Diff(p.goal), m.State.Diff(p.start)
	switch {
	case err == nil && toGoal == "":
		s.rep.Goal++
	case toStart == "":
		s.rep.Start++
	case toGoal == "":
		s.bad(p, "%s: is at the goal and reports %v", what, err)
		return
	default:
		s.bad(p, "%s: ended neither at the goal nor at the start (%v)\nfrom the goal:\n%s\nfrom the start:\n%s", what, err, toGoal, toStart)
		return
	}
	if s.ends++; s.ends%8 != 0 {
		return
	}
	if _, err := engine().Apply(ctx, p.to, provision.ApplyOptions{}); err != nil {
		s.bad(p, "%s: the next apply: %v", what, err)
	} else if m.Settle(); m.State.Diff(p.goal) != "" {
		d := m.State.Diff(p.goal)
		s.bad(p, "%s: the next apply ended elsewhere:\n%s", what, d)
	} else if _, err := engine().Revert(ctx, false); err != nil {
		s.bad(p, "%s: revert: %v", what, err)
	} else if m.Settle(); p.fromBase(m) != "" {
		d := p.fromBase(m)
		s.bad(p, "%s: revert ended elsewhere (is / should be):\n%s", what, d)
	}
}

// broken lets one reference fail for good in the middle: the engine cannot go back
// on it and says so; once it is mended, recovery ends at the start.
func (s *soak) broken(p *pair, rnd *rand.Rand) {
	ctx := context.Background()
	inj := &Injector{At: rnd.IntN(p.effects), Fault: FailBefore}
	m, engine, done := s.open(p, inj, false)
	defer done()
	refs := m.refs(p)
	inj.Broken = refs[rnd.IntN(len(refs))]
	what := fmt.Sprintf("%s effect %d with %s broken", inj.Fault, inj.At, inj.Broken)
	_, err := engine().Apply(ctx, p.to, provision.ApplyOptions{})
	s.rep.Others++
	inj.Broken, inj.At = provision.Ref{}, -1
	var stuck *provision.StuckError
	if errors.As(err, &stuck) {
		if _, err := engine().Recover(ctx); err != nil {
			s.bad(p, "%s: recover: %v", what, err)
			return
		}
		err = &provision.FailedError{Cause: err}
	}
	s.end(p, m, engine, what, err)
}

// twice fails in the middle and crashes on the way back.
func (s *soak) twice(p *pair, rnd *rand.Rand) {
	ctx := context.Background()
	inj := &Injector{At: rnd.IntN(p.effects), Fault: FailBefore}
	first := inj.At
	m, engine, done := s.open(p, inj, true)
	defer done()
	m.Changed = func() {
		if inj.N == first+1 { // the failure has been told: the next but one crashes
			inj.At, inj.Fault = first+1+rnd.IntN(3), CrashBefore
			inj.N++
		}
	}
	e := engine()
	var err error
	crashed := Crashes(func() { _, err = e.Apply(ctx, p.to, provision.ApplyOptions{}) })
	m.Changed = nil
	inj.At = -1
	s.rep.Others++
	what := fmt.Sprintf("failure at effect %d, then a crash", first)
	if crashed {
		if _, err := engine().Recover(ctx); err != nil {
			s.bad(p, "%s: recover: %v", what, err)
			return
		}
		err = &provision.FailedError{Cause: ErrInjected}
	}
	s.end(p, m, engine, what, err)
}

// fromBase says how the machine differs from the one that was never touched. A peer
// that was removed and made anew has lost its initial attribute.
func (p *pair) fromBase(m *Machine) string {
	base := p.mo.base.Clone()
	for _, w := range p.from.Wants {
		if now := m.State[w.Ref]; w.Kind == "peer" && w.Attrs == nil && now != nil && base[w.Ref] != nil {
			base[w.Ref]["endpoint"] = now["endpoint"]
		}
	}
	return m.State.Diff(base)
}

func (m *Machine) refs(p *pair) []provision.Ref {
	var refs []provision.Ref
	for _, d := range []provision.Desired{p.from, p.to} {
		for _, w := range d.Wants {
			refs = append(refs, w.Ref)
		}
	}
	if len(refs) == 0 {
		refs = append(refs, udc)
	}
	return refs
}
