package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"

	"github.com/provision-net/provision/provision"
)

// Fault is what happens at one effect.
type Fault int

const (
	None        Fault = iota
	FailBefore        // an error, and nothing has happened
	FailAfter         // it has happened, and an error all the same
	CrashBefore       // the process ends (a panic that Crashes catches)
	CrashAfter
	KillBefore // SIGKILL to this very process
	KillAfter
	StaleOnce // refused once as stale, busy or pending: must not matter
	BusyOnce
	PendingOnce
)

func (f Fault) String() string {
	return [...]string{"none", "failure before", "failure after", "crash before", "crash after",
		"kill before", "kill after", "stale once", "busy once", "pending once"}[f]
}

// ErrInjected is the error of FailBefore and FailAfter.
var ErrInjected = errors.New("injected failure")

// Injector counts effects (Set, SetAll and Do that may change something) and lets
// one of them go wrong.
type Injector struct {
	At    int   // the effect, from 0
	Fault Fault // what happens there
	// Broken, when set, makes every effect on this reference fail from then on.
	Broken provision.Ref
	N      int // effects so far
}

type crash struct{}

// Crashes runs f and reports whether it ended in an injected crash.
func Crashes(f func()) (crashed bool) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case crash:
			crashed = true
		default:
			panic(p)
		}
	}()
	f()
	return false
}

func kill() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // the signal is on its way
}

func (i *Injector) effect(refs []provision.Ref, do func() error) error {
	n := i.N
	i.N++
	for _, r := range refs {
		if r == i.Broken {
			return fmt.Errorf("%s is broken: %w", r, ErrInjected)
		}
	}
	if n != i.At {
		return do()
	}
	switch i.Fault {
	case FailBefore:
		return ErrInjected
	case FailAfter:
		if err := do(); err != nil {
			return err
		}
		return ErrInjected
	case CrashBefore:
		panic(crash{})
	case CrashAfter:
		do()
		panic(crash{})
	case KillBefore:
		kill()
	case KillAfter:
		do()
		kill()
	}
	if refs != nil {
		switch i.Fault {
		case StaleOnce:
			return provision.ErrStale
		case BusyOnce:
			return provision.ErrBusy
		case PendingOnce:
			return provision.ErrPending
		}
	}
	return do()
}

// Wrap returns an engine whose effects pass through the injector.
func (i *Injector) Wrap(e *provision.Engine) *provision.Engine {
	w := *e
	w.Resources, w.Actors = maps.Clone(e.Resources), maps.Clone(e.Actors)
	for kind, r := range e.Resources {
		f := faulty{i, kind, r}
		l, dump := r.(provision.Lister)
		b, batch := r.(provision.Batcher)
		switch {
		case dump && batch:
			w.Resources[kind] = struct {
				faulty
				provision.Lister
				faultyBatcher
			}{f, l, faultyBatcher{f, b}}
		case dump:
			w.Resources[kind] = struct {
				faulty
				provision.Lister
			}{f, l}
		case batch:
			w.Resources[kind] = struct {
				faulty
				faultyBatcher
			}{f, faultyBatcher{f, b}}
		default:
			w.Resources[kind] = f
		}
	}
	for kind, a := range e.Actors {
		w.Actors[kind] = faultyActor{i, a}
	}
	return &w
}

type faulty struct {
	i    *Injector
	kind string
	r    provision.Resource
}

func (f faulty) Get(ctx context.Context, name string) (provision.Attrs, error) {
	return f.r.Get(ctx, name)
}

func (f faulty) Class(attr string) provision.Class {
	if c, ok := f.r.(provision.Classifier); ok {
		return c.Class(attr)
	}
	return provision.Exact
}

func (f faulty) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	return f.i.effect([]provision.Ref{{Kind: f.kind, Name: name}}, func() error { return f.r.Set(ctx, name, have, want) })
}

type faultyBatcher struct {
	f faulty
	b provision.Batcher
}

func (f faultyBatcher) SetAll(ctx context.Context, steps []provision.Step) error {
	var refs []provision.Ref
	for _, s := range steps {
		refs = append(refs, provision.Ref{Kind: f.f.kind, Name: s.Name})
	}
	return f.f.i.effect(refs, func() error { return f.b.SetAll(ctx, steps) })
}

type faultyActor struct {
	i *Injector
	a provision.Actor
}

func (f faultyActor) Do(ctx context.Context, a provision.Action) error {
	return f.i.effect(nil, func() error { return f.a.Do(ctx, a) })
}
