// Package ifupdown is the backend for Debian's ifupdown, with what differs in
// ifupdown-ng and ifupdown2. The metric of a default route stands in the stanza that
// makes it; the router advertisements of IPv6 are the kernel's, whose metric is a
// sysctl. Stanzas are edited where they stand, because ifup carries out every stanza
// of an interface: one of our own beside it would start the DHCP client twice.
package ifupdown

import (
	"errors"
	"fmt"
	"slices"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

const (
	interfacesFile = "/etc/network/interfaces"
	interfacesDir  = "/etc/network/interfaces.d"
	dhcpcdConf     = "/etc/dhcpcd.conf"
	ourMark        = facts.Marker + "\n"
)

// Backend is the planner for ifupdown.
type Backend struct{}

// New returns the backend.
func New() Backend { return Backend{} }

// Manager returns backends.Ifupdown.
func (Backend) Manager() backends.Manager { return backends.Ifupdown }

// Desire returns the edited files, the live metrics and what must happen in between.
func (Backend) Desire(f *facts.Facts, nics []backends.NIC) (provision.Desired, error) {
	if len(nics) == 0 {
		return provision.Desired{}, nil
	}
	p := newPlan(f)
	if err := p.readable(); err != nil {
		return provision.Desired{}, err
	}
	var errs []error
	for _, n := range nics {
		errs = append(errs, p.nic(n))
	}
	if err := errors.Join(errs...); err != nil {
		return provision.Desired{}, err
	}
	return p.desired(), nil
}

// plan collects what all NICs need: several of them may stand in one file.
type plan struct {
	f          *facts.Facts
	texts      map[string]string // files as they will be
	unreadable map[string]string
	config     *interfaces.Config
	whys       map[string][]string // edited files and why
	own        map[string]bool     // files that are ours as a whole
	kernelRA   []backends.NIC      // whose router advertisements the kernel handles
	live       provision.Desired
	restarts   []restarting
	ifups      []provision.Trigger // after the others: on the way back ifdown ends what they began
}

func newPlan(f *facts.Facts) *plan {
	p := &plan{f: f, texts: map[string]string{}, unreadable: map[string]string{}, whys: map[string][]string{}, own: map[string]bool{}}
	for name, file := range f.Files {
		if file.Masked {
			p.unreadable[name] = "its content is masked in these facts"
			continue
		}
		p.texts[name] = file.Text
	}
	for _, u := range f.Unreadable {
		p.unreadable[u.Source] = u.Reason
	}
	p.config = interfaces.Resolve(interfacesFile, p.texts, p.unreadable)
	return p
}

// readable refuses a configuration that ifup refuses, and one of which we do not see
// all. What ifup itself passes over is only reported.
func (p *plan) readable() error {
	var errs []error
	for _, b := range p.config.Broken() {
		if b.Fatal || b.Unknown {
			errs = append(errs, fmt.Errorf("cannot plan for ifupdown: %w", b))
			continue
		}
		p.note("warning", b.File, "%v: ifup reads no further in this file", b)
	}
	return errors.Join(errs...)
}

//go:noinline
func (p *plan) note(level, subject, format string, args ...any) {
	p.live.Notes = append(p.live.Notes, provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// change takes a new text of a file in.
func (p *plan) change(path, text, why string) {
	p.texts[path] = text
	if !slices.Contains(p.whys[path], why) {
		p.whys[path] = append(p.whys[path], why)
	}
	p.config = interfaces.Resolve(interfacesFile, p.texts, p.unreadable)
}

// desired puts files before what depends on them.
func (p *plan) desired() provision.Desired {
	var d provision.Desired
	for _, path := range p.order() {
		why := joinWhy(p.whys[path])
		if p.own[path] {
			d.Wants = append(d.Wants, file.Dir(interfacesDir, why), file.Want(path, []byte(p.texts[path]), 0o644, why))
		} else {
			d.Wants = append(d.Wants, file.Content(path, []byte(p.texts[path]), why))
		}
	}
	d.Append(backends.KernelRA(p.f, p.kernelRA))
	d.Append(p.live)
	d.Triggers = append(d.Triggers, p.inTurn()...)
	d.Triggers = append(d.Triggers, p.ifups...)
	d.Wants = once(d.Wants)
	return d
}

// restarting is a DHCP client that is started anew with another metric.
type restarting struct {
	trigger provision.Trigger
	link    int
	metric  uint32
}

// inTurn orders the restarts so that each client finds its metric free: the kernel has
// no room for two IPv4 default routes of one metric, and a client that cannot add its own
// goes on without. Where NICs exchange their metrics there is no such order.
func (p *plan) inTurn() []provision.Trigger {
	var out []provision.Trigger
	for rest := p.restarts; len(rest) > 0; {
		next := max(0, slices.IndexFunc(rest, func(r restarting) bool {
			return !slices.ContainsFunc(rest, func(o restarting) bool {
				return o.link != r.link && slices.ContainsFunc(p.f.Defaults(o.link, 4), func(d facts.Route) bool { return d.Metric == r.metric })
			})
		}))
		out = append(out, rest[next].trigger)
		rest = slices.Delete(slices.Clone(rest), next, next+1)
	}
	return out
}

// order is the reading order of ifup for files it reads already, then the new ones.
func (p *plan) order() []string {
	var out []string
	for _, path := range p.config.Order {
		if _, ok := p.whys[path]; ok && !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	return out
}

// once drops a want for a directory that was already wanted.
func once(wants []provision.Want) []provision.Want {
	seen := map[provision.Ref]bool{}
	return slices.DeleteFunc(wants, func(w provision.Want) bool {
		if seen[w.Ref] {
			return true
		}
		seen[w.Ref] = true
		return false
	})
}

func joinWhy(whys []string) string {
	var out string
	for i, w := range whys {
		if i > 0 {
			out += "; "
		}
		out += w
	}
	return out
}
