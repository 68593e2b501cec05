package netplan

import (
	"errors"
	"fmt"
	"path"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

// Names of the triggers.
const (
	TriggerGenerate = "netplan's generated files"
	TriggerNetworkd = "systemd-networkd (netplan)"
	TriggerNM       = "NetworkManager (netplan)"
)

// Planner plans for NICs that NetworkManager holds: the networkmanager backend.
type Planner interface {
	Desire(f *facts.Facts, nics []backends.NIC) (provision.Desired, error)
	Explain(f *facts.Facts, link facts.Link, key string) []backends.Reason
}

// Backend plans for NICs that netplan configures.
type Backend struct {
	nm Planner
}

var _ backends.Backend = Backend{}

// New returns the backend; nm plans what concerns NetworkManager's own files for the
// NICs that netplan renders to it.
func New(nm Planner) Backend { return Backend{nm: nm} }

// Manager is backends.Netplan.
func (Backend) Manager() backends.Manager { return backends.Netplan }

// Desire returns one YAML file that amends the existing ids, the triggers that bring
// the generated files and the running daemon in line, and what the kernel should show.
func (b Backend) Desire(f *facts.Facts, nics []backends.NIC) (provision.Desired, error) {
	p := planner{f: f, tree: netdef.ReadTree(f, true), version: unit.Version(f), nm: b.nm}
	p.errs = append(p.errs, p.tree.Errors...)
	for _, nic := range nics {
		if nic.Metric4 == nil && nic.Metric6 == nil && !nic.BringUp && !nic.DemoteDNS {
			continue
		}
		if err := p.nic(nic); err != nil {
			p.errs = append(p.errs, fmt.Errorf("cannot plan for NIC %s under netplan: %w", nic.Link.Name, err))
		}
	}
	d, err := p.finish()
	if err := errors.Join(append(p.errs, err)...); err != nil {
		return provision.Desired{}, err
	}
	return d, nil
}

type planner struct {
	f       *facts.Facts
	tree    *netdef.Tree
	version int // of systemd-networkd
	nm      Planner
	d       provision.Desired
	delta   delta
	why     []string

	yaml     []provision.Ref // our YAML file, when there is one
	generate bool            // the files under /run have to follow now
	on       []provision.Ref // further files that systemd-networkd has to read
	touched  []backends.NIC
	outcomes []outcome
	raised   []backends.NIC // that had no configuration, for systemd-networkd

	nmNICs  []backends.NIC // handed on
	nmFresh []string       // selectors of NICs that get a new profile
	// nmExplicit are metrics that netplan itself writes into the profile.
	nmExplicit []outcome
	sysctls    []backends.NIC
	errs       []error
}

// outcome is a metric that should hold for one family of one NIC.
type outcome struct {
	nic    backends.NIC
	family int
	metric uint32
}

//go:noinline
func (p *planner) note(level string, nic backends.NIC, format string, args ...any) {
	p.d.Notes = append(p.d.Notes, provision.Note{Level: level, Subject: nic.Link.Name, Text: fmt.Sprintf(format, args...)})
}

func (p *planner) nic(nic backends.NIC) error {
	for _, m := range []*uint32{nic.Metric4, nic.Metric6} {
		if m != nil && *m == netdef.NoMetric {
			return fmt.Errorf("metric %d is the same as none to netplan: choose a smaller one", *m)
		}
	}
	id, fits := p.tree.For(p.f, nic.Link)
	if id == nil {
		if !nic.BringUp {
			return errors.New("no id of the netplan tree fits it")
		}
		return p.fresh(nic)
	}
	if nic.BringUp {
		p.note("info", nic, "id %s (%s) already configures it: only its metrics are set", id.Name, id.Pos.Source())
	}
	for _, other := range fits[1:] {
		p.note("info", nic, "id %s (%s) fits too and has no effect: %s comes before it", other.Name, other.Pos.Source(), id.Name)
	}
	switch id.Renderer {
	case netdef.RendererNM:
		return p.forNM(nic, id)
	case netdef.RendererNetworkd:
		return p.forNetworkd(nic, id)
	}
	return fmt.Errorf("%s: renderer %q is neither networkd nor NetworkManager", id.RendererPos, id.Renderer)
}

// write wants a file of ours for systemd-networkd.
func (p *planner) write(nic backends.NIC, at, text string) {
	p.d.Wants = append(p.d.Wants, networkd.Dirs(at, nic.Why)...)
	p.d.Wants = append(p.d.Wants, file.Want(at, []byte(text), 0o644, nic.Why))
	p.on = append(p.on, file.Ref(at))
}

// say adds to the reasons of the YAML file.
func (p *planner) say(why string) {
	if len(p.why) == 0 || p.why[len(p.why)-1] != why {
		p.why = append(p.why, why)
	}
}

// finish adds the YAML file, the triggers and the expectations.
func (p *planner) finish() (provision.Desired, error) {
	if !p.delta.empty() {
		text, err := p.delta.text()
		if err != nil {
			return p.d, fmt.Errorf("cannot write netplan YAML: %w", err)
		}
		at := path.Join(netdef.EtcDir, fileName(p.tree))
		why := joined(p.why)
		p.yaml = []provision.Ref{file.Ref(at)}
		p.d.Wants = append([]provision.Want{file.Dir(netdef.EtcDir, why), file.Want(at, []byte(text), 0o600, why)}, p.d.Wants...)
	}
	var via []string
	if p.generate && !p.f.Machine.Offline {
		via = []string{TriggerGenerate}
		p.d.Triggers = append(p.d.Triggers, provision.Trigger{Name: TriggerGenerate, On: p.yaml, Do: daemon.NetplanGenerate(),
			Why: "netplan's generator on a scratch copy, of which only what differs is put in place: \"netplan generate\" would rewrite the files of every NIC, and systemd-networkd goes by their times"})
	}
	if len(p.on) > 0 || len(p.touched) > 0 {
		act := networkd.Activate(p.f, TriggerNetworkd, append(p.on, p.yaml...), p.touched)
		if act.Trigger != nil {
			p.d.Triggers = append(p.d.Triggers, *act.Trigger)
		} else {
			p.d.Notes = append(p.d.Notes, provision.Note{Level: "warning", Subject: "systemd-networkd", Text: act.Note})
		}
		for _, o := range p.outcomes {
			wants, expect := networkd.Outcome(o.nic, o.family, o.metric, act, via...)
			p.d.Wants = append(p.d.Wants, wants...)
			p.d.Expect = append(p.d.Expect, expect...)
		}
		p.d.Wants = append(p.d.Wants, networkd.Raised(p.raised, act)...)
	}
	err := p.finishNM(via)
	p.d.Wants = networkd.Unique(p.d.Wants)
	return p.d, err
}

func joined(why []string) string {
	out := ""
	for i, w := range why {
		if i > 0 {
			out += "; "
		}
		out += w
	}
	return out
}
