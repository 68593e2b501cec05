package networkd

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

// TriggerName names the action that makes systemd-networkd take up our files.
const TriggerName = "systemd-networkd"

// Backend plans for NICs that systemd-networkd owns by itself.
type Backend struct{}

var _ backends.Backend = Backend{}

// New returns the backend.
func New() Backend { return Backend{} }

// Manager is backends.Networkd.
func (Backend) Manager() backends.Manager { return backends.Networkd }

// Desire returns, for each NIC, a drop-in for the file that configures it, a copy of
// that file where it also configures other links, or a file of its own where there is
// none; then the trigger that suits the version, and what the kernel should show.
func (Backend) Desire(f *facts.Facts, nics []backends.NIC) (provision.Desired, error) {
	p := planner{f: f, tree: unit.ReadTree(f, true), version: unit.Version(f)}
	for _, nic := range nics {
		if err := p.nic(nic); err != nil {
			p.errs = append(p.errs, fmt.Errorf("cannot plan for NIC %s under systemd-networkd: %w", nic.Link.Name, err))
		}
	}
	if len(p.errs) > 0 {
		return provision.Desired{}, errors.Join(p.errs...)
	}
	return p.finish(), nil
}

type planner struct {
	f       *facts.Facts
	tree    *unit.Tree
	version int
	d       provision.Desired
	on      []provision.Ref
	touched []backends.NIC
	plans   []outcome
	raised  []backends.NIC // that had no configuration
	errs    []error
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
	if nic.Metric4 == nil && nic.Metric6 == nil && !nic.BringUp && !nic.DemoteDNS {
		return nil
	}
	a := p.tree.Applied(nic.Link)
	if a == nil {
		return p.fresh(nic)
	}
	if nic.BringUp {
		p.note("info", nic, "%s already configures it: only its metrics are set", a.Path)
	}
	if !a.Certain {
		p.note("warning", nic, "whether %s applies depends on something that cannot be seen from here: check with \"networkctl status %s\"", a.Path, nic.Link.Name)
	}
	if a.Live != "" {
		p.note("info", nic, "systemd-networkd still uses %s; %s comes before it and takes over when networkd next reads its files", a.Live, a.Path)
	}
	for _, problem := range a.Problems {
		p.note("warning", nic, "%v", problem)
	}
	s := ReadSettings(a.Entries, p.version)
	if s.Unmanaged {
		return fmt.Errorf("%s says Unmanaged=yes", a.Path)
	}
	edit := p.edit(nic, a, s)
	if edit.Empty() {
		p.touched = append(p.touched, nic)
		return nil
	}
	sharers := p.tree.Sharers(a.Network, nic.Link)
	if len(sharers) == 0 {
		text, err := edit.Dropin(p.version)
		if err != nil {
			return err
		}
		at := DropinPath(a.Network, unit.EtcDir)
		if later := a.Later(path.Base(at)); len(later) > 0 {
			p.note("warning", nic, "%s is read after our %s and may win", strings.Join(later, ", "), path.Base(at))
		}
		if !a.Match.Specific() {
			p.note("info", nic, "%s may fit further NICs that are added later; they get these metrics too until the next apply", a.Path)
		}
		p.write(nic, at, text, nic.Why)
		return nil
	}
	if a.Unread != "" {
		return fmt.Errorf("%s configures %s too and cannot be copied for this NIC alone: %s", a.Path, plural(sharers), a.Unread)
	}
	name, ok := fileBefore(a.Base, nic.Link.Name)
	if !ok {
		return fmt.Errorf("%s configures %s too, and no file name sorts before it: rename it to begin with a higher number", a.Path, plural(sharers))
	}
	text, err := copyFor(a.Network, nic.Link, edit, p.version)
	if err != nil {
		return err
	}
	p.note("info", nic, "%s also configures %s, so a drop-in would change them all: a copy for this NIC alone comes before it; later changes to %s are copied at the next apply",
		a.Path, plural(sharers), a.Base)
	p.write(nic, path.Join(unit.EtcDir, name), text, nic.Why)
	return nil
}

// edit decides what has to be said beyond what the file says, and records what the
// kernel should show.
func (p *planner) edit(nic backends.NIC, a *unit.Applied, s Settings) Edit {
	var edit Edit
	unread := a.Unread != ""
	for _, fam := range []struct {
		family  int
		want    *uint32
		have    Value
		enabled bool
		missing string
		set     **uint32
	}{
		{4, nic.Metric4, s.Metric4, s.DHCP4 || unread, "no DHCPv4", &edit.Metric4},
		{6, nic.Metric6, s.Metric6, s.RA || unread, "router advertisements are not accepted", &edit.Metric6},
	} {
		if fam.want == nil {
			continue
		}
		if static := s.StaticOf(fam.family); len(static) > 0 {
			r := static[0]
			p.note("warning", nic, "%s configures the IPv%d default route via %s with %s: a drop-in could only add a second route, so it stays; give it Metric=%d there, in a [Route] section",
				r.Source, fam.family, r.Gateway, metricText(r.Metric), *fam.want)
			continue
		}
		if !fam.enabled {
			p.note("info", nic, "no IPv%d default route to set a metric for: %s in %s", fam.family, fam.missing, a.Path)
			continue
		}
		if unread || fam.have.Metric != *fam.want || fam.have.Source == "" && fam.family == 6 {
			*fam.set = fam.want
		}
		p.plans = append(p.plans, outcome{nic, fam.family, *fam.want})
	}
	if p.version > 0 && p.version <= 245 {
		if edit.Metric6 != nil && nic.Metric4 == nil && s.DHCP4 {
			p.note("warning", nic, "systemd-networkd %d has one metric for DHCPv4 and router advertisements: IPv4 gets %d too", p.version, *edit.Metric6)
		}
		if edit.Metric4 != nil && nic.Metric6 == nil && s.RA {
			p.note("warning", nic, "systemd-networkd %d has one metric for DHCPv4 and router advertisements: IPv6 gets %d too", p.version, *edit.Metric4)
		}
	}
	if nic.DemoteDNS {
		ok, text := DemoteDNS(p.f, nic, p.version)
		edit.NoDefaultDNS = ok
		level := "info"
		if !ok {
			level = "warning"
		}
		p.note(level, nic, "%s", text)
	}
	return edit
}

func metricText(metric string) string {
	if metric == "" {
		return "no metric of its own"
	}
	return "metric " + metric
}

// fresh plans a NIC without configuration.
func (p *planner) fresh(nic backends.NIC) error {
	if !nic.BringUp {
		if by := unit.ManagedBy(nic.Link); by != "" {
			return fmt.Errorf("udev hands it to %s (ID_NET_MANAGED_BY)", by)
		}
		return errors.New("no .network file fits it")
	}
	at := NewFile(nic.Link.Name)
	text, err := newText(nic, p.version)
	if err != nil {
		return err
	}
	p.write(nic, at, text, nic.Why)
	p.raised = append(p.raised, nic)
	if nic.DHCP4 && nic.Metric4 != nil {
		p.plans = append(p.plans, outcome{nic, 4, *nic.Metric4})
	}
	if nic.DHCP6 && nic.Metric6 != nil {
		p.plans = append(p.plans, outcome{nic, 6, *nic.Metric6})
	}
	return nil
}

// newText is the .network file of a NIC that had no configuration.
func newText(nic backends.NIC, version int) (string, error) {
	dhcp := "no"
	switch {
	case nic.DHCP4 && nic.DHCP6:
		dhcp = "yes"
	case nic.DHCP4:
		dhcp = "ipv4"
	case nic.DHCP6:
		dhcp = "ipv6"
	}
	sections, err := Edit{Metric4: nic.Metric4, Metric6: nic.Metric6}.Sections(version)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(facts.Marker + "\n" + matchSection(nic.Link, version))
	if nic.Optional {
		b.WriteString("\n[Link]\nRequiredForOnline=no\n")
	}
	fmt.Fprintf(&b, "\n[Network]\nDHCP=%s\nLinkLocalAddressing=ipv6\n", dhcp)
	if nic.DHCP6 {
		b.WriteString("IPv6AcceptRA=yes\n")
	}
	if sections != "" {
		b.WriteString("\n" + sections)
	}
	return b.String(), nil
}

// DemoteDNS decides whether the NIC's name servers can be put last: only
// systemd-resolved knows such an order, and only while another link has servers.
func DemoteDNS(f *facts.Facts, nic backends.NIC, version int) (bool, string) {
	if f.DNS.Owner != "systemd-resolved" {
		owner := f.DNS.Owner
		if owner == "" {
			owner = "nobody known"
		}
		return false, fmt.Sprintf("its name servers are kept: only systemd-resolved can put one link's servers last, and %s is in charge of name resolution", owner)
	}
	if version > 0 && version < 240 {
		return false, fmt.Sprintf("its name servers are kept: systemd-networkd %d has no DNSDefaultRoute=", version)
	}
	for name, servers := range f.DNS.ByLink {
		if name != nic.Link.Name && len(servers) > 0 {
			return true, "its name servers are asked only for the link's own domains (DNSDefaultRoute=no)"
		}
	}
	return false, "its name servers are kept: no other link has any"
}

func (p *planner) write(nic backends.NIC, at, text, why string) {
	p.d.Wants = append(p.d.Wants, Dirs(at, why)...)
	p.d.Wants = append(p.d.Wants, file.Want(at, []byte(text), 0o644, why))
	p.on = append(p.on, file.Ref(at))
	p.touched = append(p.touched, nic)
}

// Dirs wants the directories of one of our files that may be missing.
func Dirs(at, why string) []provision.Want {
	var out []provision.Want
	for _, root := range []string{unit.EtcDir, unit.RunDir} {
		if !strings.HasPrefix(at, root+"/") {
			continue
		}
		out = append(out, file.Dir(root, why))
		if d := path.Dir(at); d != root {
			out = append(out, file.Dir(d, why))
		}
	}
	return out
}

// finish adds the trigger, the leftovers to remove and the expectations.
func (p *planner) finish() provision.Desired {
	if len(p.on) == 0 && len(p.plans) == 0 {
		return p.d
	}
	p.d.Wants = Unique(p.d.Wants)
	act := Activate(p.f, TriggerName, p.on, p.touched)
	if act.Trigger != nil {
		p.d.Triggers = append(p.d.Triggers, *act.Trigger)
	} else if len(p.on) > 0 {
		p.d.Notes = append(p.d.Notes, provision.Note{Level: "warning", Subject: "systemd-networkd", Text: act.Note})
	}
	for _, o := range p.plans {
		wants, expect := Outcome(o.nic, o.family, o.metric, act)
		p.d.Wants = append(p.d.Wants, wants...)
		p.d.Expect = append(p.d.Expect, expect...)
	}
	p.d.Wants = append(p.d.Wants, Raised(p.raised, act)...)
	return p.d
}

// Unique drops wants of directories that were wanted before.
func Unique(wants []provision.Want) []provision.Want {
	seen := map[provision.Ref]bool{}
	return slices.DeleteFunc(wants, func(w provision.Want) bool {
		if w.Attrs[file.AttrType] != file.TypeDir {
			return false
		}
		was := seen[w.Ref]
		seen[w.Ref] = true
		return was
	})
}

func plural(links []string) string {
	if len(links) == 1 {
		return links[0]
	}
	return fmt.Sprintf("%s and %s", strings.Join(links[:len(links)-1], ", "), links[len(links)-1])
}
