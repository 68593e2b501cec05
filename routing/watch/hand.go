package watch

import (
	"context"
	"errors"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// Source reads the machine.
type Source interface {
	// Read reads parts anew; the result is valid until the next call (facts.Reader).
	Read(ctx context.Context, parts facts.Parts) (*facts.Live, error)
	Martians(ctx context.Context) (Martians, error)
	Proxies(ctx context.Context) ([]Neighbour, error)
}

// Hand changes it.
type Hand interface {
	// Route puts a route in the place of the one with the same destination, table and metric.
	Route(ctx context.Context, r facts.Route) error
	Sysctl(ctx context.Context, s Sysctl) error
	Proxy(ctx context.Context, p Proxy) error
}

// Runner takes its time: it is called beside the loop, once at a time per job.
type Runner interface {
	// Run runs one command with a clean environment and env, at most for r.Timeout, and returns
	// what it printed. A command that ended with another code than 0 is an error.
	Run(ctx context.Context, argv []string, r Run) (output []byte, err error)
	// Sample looks at packets and asks the kernel which of them it drops.
	Sample(ctx context.Context, s Sample) ([]Martian, error)
}

// Memory keeps what jobs remember, as one text, over a restart of the process. Load returns
// nothing without an error when there is none.
type Memory interface {
	Load() ([]byte, error)
	Save(text []byte) error
}

// Events says that something has changed (netevents.Watcher, nft.Events).
type Events interface {
	Changed() <-chan struct{}
	Take() Event
}

// ErrOutdated is returned (wrapped) by Engine.Lock when what the jobs keep is not what was
// committed last: the repair is given up, and the caller is expected to give new jobs.
var ErrOutdated = errors.New("the configuration has been applied anew meanwhile")

// Resources are the kinds of state that "keep" puts back.
type Resources map[string]provision.Resource

// read reads references, those of one kind together where the kind can.
func (rs Resources) read(ctx context.Context, refs []provision.Ref, wanted func(kind string) bool, into map[provision.Ref]provision.Attrs) error {
	byKind := map[string][]string{}
	for _, r := range refs {
		if wanted(r.Kind) {
			byKind[r.Kind] = append(byKind[r.Kind], r.Name)
		}
	}
	var errs []error
	for kind, names := range byKind {
		res := rs[kind]
		if res == nil {
			errs = append(errs, errors.New("cannot keep "+kind+": there is no such kind here"))
			continue
		}
		if lister, ok := res.(provision.Lister); ok {
			all, err := lister.List(ctx, names)
			if err == nil {
				for _, n := range names {
					into[provision.Ref{Kind: kind, Name: n}] = all[n]
				}
				continue
			}
			// One of them may be the reason: the others are read each for itself.
		}
		for _, n := range names {
			have, err := res.Get(ctx, n)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			into[provision.Ref{Kind: kind, Name: n}] = have
		}
	}
	return errors.Join(errs...)
}

// touches reports whether an event can have changed state of that kind.
func touches(kind string, e Event, whole bool) bool {
	switch {
	case whole:
		return true
	case kind == "nft":
		return e.NFT
	case kind == "route":
		return e.Parts&(facts.PartLinks|facts.PartAddrs|facts.PartRoutes4|facts.PartRoutes6) != 0
	case kind == "rule":
		return e.Parts&(facts.PartRules4|facts.PartRules6) != 0
	case kind == "sysctl":
		return e.Parts&facts.PartLinks != 0
	}
	return e.Parts != 0
}
