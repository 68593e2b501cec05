package lists

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/provision-net/provision/routing/lists/plain"
	"github.com/provision-net/provision/routing/lists/rir"
	"github.com/provision-net/provision/routing/lists/span"
)

// Registries are where the five registries publish their files.
func Registries() []string {
	return []string{
		"https://ftp.afrinic.net/pub/stats/afrinic/delegated-afrinic-extended-latest",
		"https://ftp.apnic.net/stats/apnic/delegated-apnic-extended-latest",
		"https://ftp.arin.net/pub/stats/arin/delegated-arin-extended-latest",
		"https://ftp.lacnic.net/pub/stats/lacnic/delegated-lacnic-extended-latest",
		"https://ftp.ripe.net/pub/stats/ripencc/delegated-ripencc-extended-latest",
	}
}

func (l List) registries() []string {
	switch {
	case len(l.Countries) == 0:
		return nil
	case len(l.Registries) == 0:
		return Registries()
	}
	return l.Registries
}

// Fetched reports whether the list has registries or sources.
func (l List) Fetched() bool { return len(l.Countries)+len(l.Sources) > 0 }

// Where are all URLs and paths that it is read from.
func (l List) Where() []string { return append(slices.Clone(l.registries()), l.Sources...) }

func (l List) maxEntries() int {
	if l.MaxEntries == 0 {
		return 300000
	}
	return int(l.MaxEntries)
}

func (l List) maxBytes() int64 {
	if l.MaxBytes == 0 {
		return 32 << 20
	}
	return int64(l.MaxBytes)
}

func (l List) maxShrink() uint32 {
	if l.MaxShrink == nil {
		return 30
	}
	return *l.MaxShrink
}

// Source reads documents: https URLs and paths of files.
type Source interface {
	// Read calls take with the document, of at most most bytes. What take made of it counts only when
	// Read returns no error. With a validator that is still good, same is true and take is not called.
	Read(ctx context.Context, where string, most int64, known Validator, take func(io.Reader) error) (now Validator, same bool, err error)
}

// Outcome is what came of one list.
type Outcome struct {
	Copy Copy
	Err  error
	Note string // for people: lines that were no addresses
}

// Gather reads what the named lists are made of, every document once, and judges it. old are the
// last good copies; a list that fails keeps its own. Force takes also what has shrunk.
func (c Config) Gather(ctx context.Context, names []string, old map[string]Copy, src Source, now time.Time, force bool) map[string]Outcome {
	g := gathering{c: c, old: old, out: map[string]*part{}}
	var registries, sources []string
	for _, n := range names {
		l := c[n]
		if !l.Fetched() {
			continue
		}
		g.out[n] = &part{}
		g.names = append(g.names, n)
		for _, w := range l.registries() {
			if !slices.Contains(registries, w) {
				registries = append(registries, w)
			}
		}
		for _, w := range l.Sources {
			if !slices.Contains(sources, w) {
				sources = append(sources, w)
			}
		}
	}
	for _, w := range registries {
		g.read(ctx, src, w, List.registries, g.registry)
	}
	for _, w := range sources {
		g.read(ctx, src, w, func(l List) []string { return l.Sources }, g.plain)
	}
	return g.judge(now, force)
}

type gathering struct {
	c     Config
	names []string
	old   map[string]Copy
	out   map[string]*part
}

// part is a list on its way.
type part struct {
	b       span.Builder
	entries int
	data    time.Time
	same    bool
	known   Validator
	err     error
	note    string
}

// read reads one document for all lists that have it. One that failed already is not asked for again.
func (g *gathering) read(ctx context.Context, src Source, where string, of func(List) []string, take func(io.Reader, []string, string) error) {
	var names []string
	most, known, one := int64(0), Validator{}, false
	for _, n := range g.names {
		l := g.c[n]
		if g.out[n].err != nil || !slices.Contains(of(l), where) {
			continue
		}
		names = append(names, n)
		most = max(most, l.maxBytes())
		if o, ok := g.old[n]; ok && o.Spec == l.Spec() && len(l.Where()) == 1 {
			known, one = o.Known, true
		}
	}
	if len(names) == 0 {
		return
	}
	if one = one && len(names) == 1; !one {
		known = Validator{}
	}
	now, same, err := src.Read(ctx, where, most, known, func(r io.Reader) error { return take(r, names, where) })
	for _, n := range names {
		p := g.out[n]
		switch {
		case err != nil:
			p.err = err
		case len(g.c[n].Where()) == 1:
			p.known, p.same = now, same && one
		}
	}
}

func (g *gathering) registry(r io.Reader, names []string, where string) error {
	want, most := rir.Wanted{}, 0
	for _, n := range names {
		for _, cc := range g.c[n].Countries {
			want[cc] = append(want[cc], &g.out[n].b)
		}
		most = max(most, g.c[n].maxEntries())
	}
	f, err := rir.Add(r, want, most)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	for _, n := range names {
		p := g.out[n]
		if p.entries = p.b.Len(); !f.Date.IsZero() && (p.data.IsZero() || f.Date.Before(p.data)) {
			p.data = f.Date
		}
	}
	return nil
}

func (g *gathering) plain(r io.Reader, names []string, where string) error {
	most := 0
	for _, n := range names {
		most = max(most, g.c[n].maxEntries())
	}
	var b span.Builder
	got, err := plain.Add(&b, r, most)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	set := b.Set()
	for _, n := range names {
		p := g.out[n]
		p.b.AddSet(set)
		p.entries += got.Taken
		if got.Odd > 0 {
			p.note = fmt.Sprintf("%s: %d of its lines are no addresses (%s)", where, got.Odd, got.First)
		}
	}
	return nil
}

func (g *gathering) judge(now time.Time, force bool) map[string]Outcome {
	out := map[string]Outcome{}
	for _, n := range g.names {
		p, l := g.out[n], g.c[n]
		before, had := g.old[n]
		had = had && before.Spec == l.Spec()
		switch {
		case p.err != nil:
		case p.same && had:
			before.Made = now
			out[n] = Outcome{Copy: before}
			continue
		case p.entries > l.maxEntries() || p.b.Len() > l.maxEntries():
			p.err = plain.TooMany(l.maxEntries())
		}
		made := Copy{Name: n, Spec: l.Spec(), Made: now, Data: p.data, Entries: p.entries, Known: p.known}
		if p.err == nil {
			made.Set = p.b.Set()
			switch {
			case made.Set.Empty():
				p.err = errors.New("nothing is in it: are the countries right?")
			case had && !force:
				p.err = shrunk(before.Set, made.Set, l.maxShrink())
			}
		}
		if p.err != nil {
			out[n] = Outcome{Copy: before, Err: fmt.Errorf("list %s: %w", n, p.err)}
			continue
		}
		out[n] = Outcome{Copy: made, Note: p.note}
	}
	return out
}
