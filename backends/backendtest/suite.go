package backendtest

import (
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/routemetric"
)

// Machine is one kind of machine that the backend must serve.
type Machine struct {
	Name  string
	Facts func() *facts.Facts
	// Lossless: a path without lost packets is known for this version.
	Lossless bool
	// NoIPv4, NoIPv6: this family cannot be moved here, and a note must say so.
	NoIPv4, NoIPv6 bool
	// Config is the configuration that the policy is given.
	Config backends.Config
}

// Suite says what is special about a backend.
type Suite struct {
	New      func() backends.Backend
	Machines []Machine
	// LazyKinds are the kinds of actions that leave the daemon's leases alone and so
	// are allowed in lazy mode.
	LazyKinds []string
	// Own are shell patterns of further paths that are the backend's own, beside
	// 90-provision.* and provision-*.
	Own []string
	// Settle, when set, brings the rest of the model's facts to what they are after
	// the daemons have read d's files (a daemon's list of drop-ins, a new profile).
	Settle func(f *facts.Facts, d provision.Desired)
}

// Run holds the backend against every machine.
func Run(t *testing.T, s Suite) {
	for _, m := range s.Machines {
		t.Run(m.Name, func(t *testing.T) {
			t.Run("pure", func(t *testing.T) { s.pure(t, m) })
			t.Run("converges", func(t *testing.T) { s.converges(t, m) })
			t.Run("converges with other metrics", func(t *testing.T) { s.changes(t, m) })
			t.Run("own files", func(t *testing.T) { s.ownFiles(t, m) })
			t.Run("families", func(t *testing.T) { s.families(t, m) })
			t.Run("gap", func(t *testing.T) { s.gap(t, m) })
			t.Run("lazy", func(t *testing.T) { s.lazy(t, m) })
			t.Run("explains", func(t *testing.T) { s.explains(t, m) })
			t.Run("triggers", func(t *testing.T) { s.triggers(t, m) })
			t.Run("degraded facts", func(t *testing.T) { s.degraded(t, m) })
		})
	}
}

// nics are the NICs that the policy gives this backend on m.
func (s Suite) nics(t *testing.T, m Machine, f *facts.Facts, change func(*backends.NIC)) []backends.NIC {
	t.Helper()
	owners := backends.Owners(f)
	d, err := backends.Decide(f, owners, backends.Roles(f, owners), m.Config, backends.Memory{})
	if err != nil {
		t.Fatalf("the policy refuses this machine: %v", err)
	}
	b := s.New()
	var out []backends.NIC
	for _, n := range d.NICs {
		if n.Owner.Owner == b.Manager() {
			if change != nil {
				change(&n)
			}
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no NIC of %s on this machine: the test would show nothing (%+v)", b.Manager(), d.Notes)
	}
	return out
}

func (s Suite) desire(t *testing.T, f *facts.Facts, nics []backends.NIC) provision.Desired {
	t.Helper()
	d, err := s.New().Desire(f, nics)
	if err != nil {
		t.Fatalf("cannot desire: %v", err)
	}
	return d
}

// pure: the same question gives the same answer and touches neither facts nor NICs.
func (s Suite) pure(t *testing.T, m Machine) {
	f := m.Facts()
	nics := s.nics(t, m, f, nil)
	before, err := Clone(f)
	if err != nil {
		t.Fatal(err)
	}
	held := slices.Clone(nics)
	b := s.New()
	first, err1 := b.Desire(f, nics)
	second, err2 := b.Desire(f, nics)
	if !reflect.DeepEqual(first, second) || fmt.Sprint(err1) != fmt.Sprint(err2) {
		t.Errorf("two answers to one question:\n%+v\n%+v", first, second)
	}
	after, err := Clone(f)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before, after) || !reflect.DeepEqual(held, nics) {
		t.Error("Desire changed its arguments")
	}
	reloaded, err := Clone(f)
	if err != nil {
		t.Fatal(err)
	}
	third, err := b.Desire(reloaded, s.nics(t, m, reloaded, nil))
	if err != nil || !reflect.DeepEqual(first, third) {
		t.Errorf("facts that were printed and loaded again give another answer (%v):\n%+v\n%+v", err, first, third)
	}
}

// run applies what is wanted to a model until nothing differs.
func (s Suite) run(t *testing.T, m *model, machine Machine, change func(*backends.NIC)) (last provision.Desired, passes int) {
	t.Helper()
	for passes = 1; passes <= 3; passes++ {
		d := s.desire(t, m.f, s.nics(t, machine, m.f, change))
		changed, _, err := m.apply(d)
		if err != nil {
			t.Fatal(err)
		}
		if len(changed) == 0 {
			return d, passes
		}
		if s.Settle != nil {
			s.Settle(m.f, d)
		}
		last = d
	}
	t.Fatalf("does not settle: the third pass still changes things:\n%+v", backends.Differ(m.f, last))
	return last, passes
}

func start(t *testing.T, machine Machine) *model {
	t.Helper()
	f, err := Clone(machine.Facts())
	if err != nil {
		t.Fatal(err)
	}
	return &model{f: f, dirs: map[string]bool{}}
}

// converges: one apply reaches the goal, the second finds nothing to do, and the
// default routes of every NIC then have the wanted metric.
func (s Suite) converges(t *testing.T, machine Machine) {
	m := start(t, machine)
	nics := s.nics(t, machine, m.f, func(n *backends.NIC) { n.AllowGap = true })
	_, passes := s.run(t, m, machine, func(n *backends.NIC) { n.AllowGap = true })
	if passes != 2 {
		t.Errorf("it took %d passes until nothing differed, want 2: one that changes, one that finds nothing", passes)
	}
	for _, n := range nics {
		s.reached(t, machine, m.f, n)
	}
}

func (s Suite) reached(t *testing.T, machine Machine, f *facts.Facts, n backends.NIC) {
	t.Helper()
	for _, c := range []struct {
		family int
		want   *uint32
		cannot bool
	}{{4, n.Metric4, machine.NoIPv4}, {6, n.Metric6, machine.NoIPv6}} {
		if c.want == nil || c.cannot {
			continue
		}
		want := strconv.FormatUint(uint64(*c.want), 10)
		if have := backends.Metrics(f, n.Link.Index, c.family); have != "" && have != want {
			t.Errorf("%s: IPv%d default routes have the metrics %s, want %s", n.Link.Name, c.family, have, want)
		}
	}
}

// changes: other metrics replace the first ones in the same files, without leftovers.
func (s Suite) changes(t *testing.T, machine Machine) {
	m := start(t, machine)
	s.run(t, m, machine, func(n *backends.NIC) { n.AllowGap = true })
	files := len(m.f.Files)
	other := func(n *backends.NIC) {
		n.AllowGap = true
		for _, p := range []**uint32{&n.Metric4, &n.Metric6} {
			if *p != nil {
				v := **p + 4000
				*p = &v
			}
		}
	}
	s.run(t, m, machine, other)
	if len(m.f.Files) != files {
		t.Errorf("other metrics leave %d files, the first ones left %d", len(m.f.Files), files)
	}
	for _, n := range s.nics(t, machine, m.f, other) {
		s.reached(t, machine, m.f, n)
	}
}

// ownFiles: whole files are only our own and start with the marker; an edit in place
// touches nothing but metric lines; nothing of others is removed; directories that
// are not there are wanted first, so revert leaves nothing behind.
func (s Suite) ownFiles(t *testing.T, machine Machine) {
	m := start(t, machine)
	d := s.desire(t, m.f, s.nics(t, machine, m.f, nil))
	dirs := map[string]bool{}
	for _, w := range d.Wants {
		if w.Kind != file.Kind && w.Kind != file.SecretKind {
			continue
		}
		have, exists := m.f.Files[w.Name]
		ours := exists && have.Ours()
		switch {
		case w.Attrs == nil:
			if exists && !ours {
				t.Errorf("%s is not ours and would be removed", w.Name)
			}
		case w.Attrs[file.AttrType] == file.TypeDir:
			dirs[w.Name] = true
		case w.Attrs[file.AttrMode] == "": // in place
			if !exists {
				t.Errorf("%s would be edited in place, but is not there", w.Name)
			}
			if a, b := withoutMetrics(have.Text), withoutMetrics(w.Attrs[file.AttrContent]); a != b {
				t.Errorf("%s: more than metric lines would change:\n%s\nwas\n%s", w.Name, b, a)
			}
		default:
			if exists && !ours {
				t.Errorf("%s is not ours and would be replaced", w.Name)
			}
			if !s.ownName(w.Name) {
				t.Errorf("%s is not a name of ours", w.Name)
			}
			if first, _, _ := strings.Cut(w.Attrs[file.AttrContent], "\n"); first != facts.Marker {
				t.Errorf("%s does not say in its first line who wrote it: %q", w.Name, first)
			}
			for dir := path.Dir(w.Name); !dirKnown(m.f, dir); dir = path.Dir(dir) {
				if !dirs[dir] {
					t.Errorf("%s: its directory %s is not wanted before it, so revert could leave it behind", w.Name, dir)
				}
			}
		}
		if w.Why == "" {
			t.Errorf("%s does not say why it is wanted", w.Ref)
		}
	}
}

func (s Suite) ownName(p string) bool {
	base := path.Base(p)
	if strings.HasPrefix(base, "90-provision.") || strings.HasPrefix(base, "provision-") {
		return true
	}
	return slices.ContainsFunc(s.Own, func(pattern string) bool {
		ok, _ := path.Match(pattern, p)
		return ok
	})
}

var metricLine = regexp.MustCompile(`(?i)metric`)

// sectionLine matches headings of sections and of dhcpcd's interface blocks, which an
// edit may add for its metric.
var sectionLine = regexp.MustCompile(`^(\[[^\]]+\]|interface \S+)$`)

func withoutMetrics(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if metricLine.MatchString(line) || sectionLine.MatchString(line) || strings.TrimSpace(line) == "" {
			continue
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// families: both are moved and verified, or a note about the NIC says why not.
func (s Suite) families(t *testing.T, machine Machine) {
	f := machine.Facts()
	nics := s.nics(t, machine, f, func(n *backends.NIC) { n.AllowGap = true })
	d := s.desire(t, f, nics)
	for _, n := range nics {
		for _, c := range []struct {
			family int
			want   *uint32
			cannot bool
		}{{4, n.Metric4, machine.NoIPv4}, {6, n.Metric6, machine.NoIPv6}} {
			if c.want == nil {
				continue
			}
			watched := watches(d, c.family, n.Link.Selector())
			told := slices.ContainsFunc(d.Notes, func(x provision.Note) bool { return x.Subject == n.Link.Name })
			switch {
			case c.cannot && (watched || !told):
				t.Errorf("%s: IPv%d cannot be moved here: expected a note about it and no expectation (%+v)", n.Link.Name, c.family, d.Notes)
			case !c.cannot && !watched:
				t.Errorf("%s: nothing wants or expects its IPv%d metric", n.Link.Name, c.family)
			}
		}
	}
}

func watches(d provision.Desired, family int, selector string) bool {
	refs := []provision.Ref{routemetric.Ref(family, selector), routemetric.DaemonRef(family, selector)}
	return slices.ContainsFunc(slices.Concat(d.Wants, d.Expect), func(w provision.Want) bool { return slices.Contains(refs, w.Ref) })
}

// gap: without AllowGap nothing runs that loses packets, and where no lossless path is
// known a note says so; with it the gap is named.
func (s Suite) gap(t *testing.T, machine Machine) {
	f := machine.Facts()
	strict := s.desire(t, f, s.nics(t, machine, f, func(n *backends.NIC) { n.AllowGap = false }))
	for _, tr := range strict.Triggers {
		if tr.Gap != "" {
			t.Errorf("trigger %s has a gap (%s) that nobody allowed", tr.Name, tr.Gap)
		}
	}
	loose := s.desire(t, f, s.nics(t, machine, f, func(n *backends.NIC) { n.AllowGap = true }))
	lossy := slices.ContainsFunc(loose.Triggers, func(tr provision.Trigger) bool { return tr.Gap != "" })
	switch {
	case machine.Lossless && lossy:
		t.Errorf("a lossless path is known, but with AllowGap another one is taken: %+v", loose.Triggers)
	case !machine.Lossless && !lossy && len(strict.Triggers) != 0:
		t.Errorf("no lossless path is known, yet the trigger names no gap: %+v", loose.Triggers)
	case !machine.Lossless && len(strict.Notes) == 0:
		t.Error("no lossless path is known, and no note says that the change waits")
	}
}

// lazy: the daemon is left alone; nothing waits for it.
func (s Suite) lazy(t *testing.T, machine Machine) {
	f := machine.Facts()
	d := s.desire(t, f, s.nics(t, machine, f, func(n *backends.NIC) { n.Lazy = true; n.BringUp = false }))
	for _, tr := range d.Triggers {
		if !slices.Contains(s.LazyKinds, tr.Do.Kind) {
			t.Errorf("lazy, and yet %s would run", tr.Do.Kind)
		}
	}
	for _, w := range d.Wants {
		if w.Kind == routemetric.DaemonKind && w.Mode != provision.Report {
			t.Errorf("lazy, and yet %s waits for the daemon", w.Ref)
		}
	}
	for _, w := range d.Expect {
		if w.Mode != provision.Report {
			t.Errorf("lazy, and yet %s is expected at once", w.Ref)
		}
	}
	if len(d.Wants) == 0 && !machine.NoIPv4 {
		t.Error("lazy must still leave the files that the daemon will read")
	}
}

var fileAndLine = regexp.MustCompile(`^/[^:]+:\d+$`)

// explains: after an apply the file and line that decide the metric are named.
func (s Suite) explains(t *testing.T, machine Machine) {
	m := start(t, machine)
	nics := s.nics(t, machine, m.f, func(n *backends.NIC) { n.AllowGap = true })
	s.run(t, m, machine, func(n *backends.NIC) { n.AllowGap = true })
	for _, n := range nics {
		want := n.Metric4
		if want == nil || machine.NoIPv4 {
			continue
		}
		reasons := s.New().Explain(m.f, n.Link, "metric")
		if !slices.ContainsFunc(reasons, func(r backends.Reason) bool {
			return strings.Contains(r.Value, strconv.FormatUint(uint64(*want), 10)) && fileAndLine.MatchString(r.Source)
		}) {
			t.Errorf("%s: no reason names file:line for metric %d: %+v", n.Link.Name, *want, reasons)
		}
		if len(s.New().Explain(m.f, n.Link, "owner")) == 0 && len(s.New().Explain(m.f, n.Link, "dhcp4")) == 0 {
			t.Errorf("%s: explains neither owner nor dhcp4", n.Link.Name)
		}
	}
}

// triggers: each runs because of something that is wanted, says why, and nothing is
// triggered on a machine that already is as desired.
func (s Suite) triggers(t *testing.T, machine Machine) {
	m := start(t, machine)
	allow := func(n *backends.NIC) { n.AllowGap = true }
	d := s.desire(t, m.f, s.nics(t, machine, m.f, allow))
	for _, tr := range d.Triggers {
		if len(tr.On) == 0 || tr.Name == "" || tr.Why == "" || tr.Do.Kind == "" {
			t.Errorf("incomplete trigger %+v", tr)
		}
		for _, on := range tr.On {
			if !slices.ContainsFunc(d.Wants, func(w provision.Want) bool { return w.Ref == on }) {
				t.Errorf("trigger %s waits for %s, which nobody wants", tr.Name, on)
			}
		}
	}
	for _, w := range d.Wants {
		for _, via := range w.Via {
			if !slices.ContainsFunc(d.Triggers, func(tr provision.Trigger) bool { return tr.Name == via }) {
				t.Errorf("%s comes via %q, which is no trigger", w.Ref, via)
			}
		}
	}
	s.run(t, m, machine, allow)
	again := s.desire(t, m.f, s.nics(t, machine, m.f, allow))
	if changed, ran, err := m.apply(again); err != nil || len(changed) != 0 || len(ran) != 0 {
		t.Errorf("a second apply changes %v and runs %v (%v)", changed, ran, err)
	}
}

// degraded: facts with nothing readable must give an answer or an error, never a
// panic, and must not overwrite what could not be read.
func (s Suite) degraded(t *testing.T, machine Machine) {
	f := machine.Facts()
	nics := s.nics(t, machine, f, nil)
	blind := machine.Facts()
	for p := range blind.Files {
		blind.Unreadable = append(blind.Unreadable, facts.Problem{Source: p, Reason: "permission denied"})
	}
	blind.Files = map[string]facts.File{}
	d, err := s.New().Desire(blind, nics)
	if err != nil {
		return
	}
	for _, w := range d.Wants {
		if _, exists := f.Files[w.Name]; exists && w.Kind == file.Kind && !strings.HasPrefix(f.Files[w.Name].Text, facts.Marker) {
			t.Errorf("%s exists but was not readable, and would be overwritten", w.Name)
		}
	}
	for _, l := range f.Links {
		s.New().Explain(blind, l, "metric")
	}
}
