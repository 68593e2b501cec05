// Package dhcpcd is the backend for dhcpcd in master mode: one daemon that takes every
// NIC it is not told to leave alone, for DHCPv4, DHCPv6 and router advertisements
// (Raspberry Pi OS bullseye, Debian's dhcpcd). A NIC's metric is one number for both
// families, in its interface block of /etc/dhcpcd.conf.
package dhcpcd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/dhcpcd/conf"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/routemetric"
)

const (
	confFile    = "/etc/dhcpcd.conf"
	triggerName = "dhcpcd-restart"
)

// Backend is the planner for dhcpcd.
type Backend struct{}

// New returns the backend.
func New() Backend { return Backend{} }

// Manager returns backends.Dhcpcd.
func (Backend) Manager() backends.Manager { return backends.Dhcpcd }

// Desire returns the edited dhcpcd.conf, the restart and what it must bring.
func (Backend) Desire(f *facts.Facts, nics []backends.NIC) (provision.Desired, error) {
	nics = slices.DeleteFunc(slices.Clone(nics), func(n backends.NIC) bool { return n.Metric4 == nil && n.Metric6 == nil })
	if len(nics) == 0 {
		return provision.Desired{}, nil
	}
	c, err := read(f)
	if err != nil {
		return provision.Desired{}, err
	}
	p := &plan{f: f, conf: c}
	var errs []error
	for _, n := range nics {
		if err := p.nic(n); err != nil {
			errs = append(errs, fmt.Errorf("cannot set up %s in dhcpcd: %w", n.Link.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return provision.Desired{}, err
	}
	return p.desired(), nil
}

// read parses dhcpcd.conf. Without the file dhcpcd would run with built-in defaults,
// of which nothing could be kept.
func read(f *facts.Facts) (*conf.File, error) {
	for _, u := range f.Unreadable {
		if u.Source == confFile {
			return nil, fmt.Errorf("cannot plan for dhcpcd: %s: %s", confFile, u.Reason)
		}
	}
	have, ok := f.Files[confFile]
	switch {
	case !ok:
		return nil, fmt.Errorf("cannot plan for dhcpcd: %s is not there: put the package's own file back", confFile)
	case have.Masked:
		return nil, fmt.Errorf("cannot plan for dhcpcd: the content of %s is masked in these facts", confFile)
	}
	c, err := conf.Parse(confFile, have.Text)
	if err != nil {
		return nil, fmt.Errorf("cannot plan for dhcpcd: %w", err)
	}
	return c, nil
}

// plan collects what all NICs need from one file and one daemon.
type plan struct {
	f         *facts.Facts
	conf      *conf.File
	why       []string
	live      provision.Desired
	kernelRA  []backends.NIC
	selectors []string // of the NICs that the restart is for
	ifname    string
	metric    uint32
	gap       bool // every NIC may lose packets
}

//go:noinline
func (p *plan) note(level, subject, format string, args ...any) {
	p.live.Notes = append(p.live.Notes, provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

func (p *plan) nic(n backends.NIC) error {
	name := n.Link.Name
	if l, denied := p.conf.Denied(name); denied {
		return fmt.Errorf("%s:%d: %s keeps dhcpcd off it: change that line, or give the NIC to another manager", confFile, l.Number, strings.TrimSpace(l.Option+" "+l.Value))
	}
	if n.DemoteDNS {
		p.note("warning", name, "dhcpcd orders name servers by its own rules: they stay as they are")
	}
	ra := p.handlesRA(name)
	if !ra && n.Metric6 != nil {
		p.kernelRA = append(p.kernelRA, n)
		n.Metric6 = nil
		if n.Metric4 == nil {
			return nil
		}
	}
	if l, ok := p.conf.Last(name, "nogateway"); ok {
		p.note("warning", name, "nogateway at %s:%d: it has no default route, so its metric decides nothing", confFile, l.Number)
	}
	metric, err := p.oneMetric(n, ra)
	if err != nil {
		return err
	}
	text, err := p.conf.SetMetric(name, metric)
	if err != nil {
		return err
	}
	if p.conf, err = conf.Parse(confFile, text); err != nil {
		return err
	}
	p.why = append(p.why, fmt.Sprintf("metric %d for %s (%s)", metric, name, n.Why))
	p.live4and6(n, ra, metric)
	return nil
}

// handlesRA reports whether dhcpcd takes router advertisements from the kernel.
func (p *plan) handlesRA(name string) bool {
	for _, off := range []string{"noipv6rs", "noipv6", "ipv4only"} {
		if _, ok := p.conf.Last(name, off); ok {
			return false
		}
	}
	return true
}

// oneMetric settles on the one metric that dhcpcd has for both families.
func (p *plan) oneMetric(n backends.NIC, ra bool) (uint32, error) {
	switch {
	case n.Metric6 == nil:
		if ra {
			p.note("info", n.Link.Name, "dhcpcd has one metric for both families: IPv6 gets %d too", *n.Metric4)
		}
		return *n.Metric4, nil
	case n.Metric4 == nil:
		p.note("info", n.Link.Name, "dhcpcd has one metric for both families: IPv4 gets %d too", *n.Metric6)
		return *n.Metric6, nil
	case *n.Metric4 == *n.Metric6:
		return *n.Metric4, nil
	case n.Role == facts.RoleNAT:
		// It shall lose: the greater one loses in both families.
		m := max(*n.Metric4, *n.Metric6)
		p.note("info", n.Link.Name, "dhcpcd has one metric for both families: both get %d", m)
		return m, nil
	}
	return 0, fmt.Errorf("dhcpcd has one metric for both families, so it cannot have %d for IPv4 and %d for IPv6: configure one", *n.Metric4, *n.Metric6)
}

// live4and6 asks for what the restarted daemon brings. It undoes whatever else moves
// its routes, so nothing is moved by netlink; old routes that it leaves are deleted.
func (p *plan) live4and6(n backends.NIC, ra bool, metric uint32) {
	if p.f.Machine.Offline {
		return
	}
	families := []int{4, 6}
	if !ra {
		families = families[:1]
	}
	waits := n.Lazy
	if !waits && !p.conf.Global("persistent") {
		waits = true
		p.note("warning", n.Link.Name, "%s has no line persistent: a restart of dhcpcd would take the address away, so the metric holds from the next boot on; add that line to have it sooner", confFile)
	} else if waits {
		p.note("info", n.Link.Name, "dhcpcd reads the metric when it is started: it holds from the next boot on")
	}
	for _, family := range families {
		if waits {
			n.Lazy = true
			p.expect(n, family, metric)
			continue
		}
		prune := routemetric.Prune(family, n.Link.Selector(), metric, n.Why)
		prune.Via = []string{triggerName}
		p.live.Wants = append(p.live.Wants, prune)
		p.expect(n, family, metric)
	}
	if waits {
		return
	}
	if p.ifname == "" {
		p.ifname, p.metric, p.gap = n.Link.Name, metric, true
	}
	p.selectors = append(p.selectors, n.Link.Selector())
	p.gap = p.gap && n.AllowGap
}

// expect verifies a metric; lazily it is only looked at.
func (p *plan) expect(n backends.NIC, family int, metric uint32) {
	w := routemetric.Expect(family, n.Link.Selector(), metric, n.Why)
	if n.Lazy {
		w.Mode = provision.Report
	}
	p.live.Expect = append(p.live.Expect, w)
}

func (p *plan) desired() provision.Desired {
	var d provision.Desired
	if len(p.why) > 0 {
		d.Wants = append(d.Wants, file.Content(confFile, []byte(p.conf.String()), strings.Join(p.why, "; ")))
	}
	d.Append(backends.KernelRA(p.f, p.kernelRA))
	d.Append(p.live)
	if len(p.selectors) == 0 {
		return d
	}
	action := daemon.DhcpcdRestart(strings.Join(p.selectors, ","), p.ifname, p.metric, true)
	if !p.gap {
		// A silent DHCP server would cost the addresses 7 s after the restart.
		action = daemon.Probe(action)
	}
	d.Triggers = append(d.Triggers, provision.Trigger{Name: triggerName, On: []provision.Ref{file.Ref(confFile)}, Do: action,
		Why: "dhcpcd takes a metric only when it starts; with persistent a restart keeps addresses and routes, while dhcpcd -n and SIGHUP drop them for 7 s"})
	return d
}
