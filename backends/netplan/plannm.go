package netplan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/routemetric"
)

// forNM plans a NIC that netplan renders to NetworkManager. Its conf.d decides while
// the profile says nothing, so the netplan tree only has to change where an explicit
// metric would come out of it at the next boot.
func (p *planner) forNM(nic backends.NIC, id *netdef.ID) error {
	s := id.Settings()
	shared := p.tree.Sharers(p.f, id, nic.Link)
	handed := nic
	handed.BringUp = false
	for _, fam := range []struct {
		family       int
		want         **uint32
		on           bool
		over         *netdef.Value
		outer, inner string
	}{
		{4, &handed.Metric4, s.DHCP4 || s.Passthrough != nil, s.Over4, "dhcp4-overrides", "ipv4.route-metric"},
		{6, &handed.Metric6, s.DHCP6 || s.Passthrough != nil, s.Over6, "dhcp6-overrides", "ipv6.route-metric"},
	} {
		if *fam.want == nil {
			continue
		}
		metric := **fam.want
		if r, ok := s.StaticOf(fam.family); ok {
			*fam.want = nil
			p.note("warning", nic, "%s configures the IPv%d default route via %s itself: it stays; give it \"metric: %d\" there, under routes", r.Pos.Source(), fam.family, r.Gateway, metric)
			continue
		}
		if fam.family == 6 && !fam.on {
			// netplan writes method=ignore: the kernel takes router advertisements.
			*fam.want = nil
			p.kernelRA(nic, metric)
			continue
		}
		if !fam.on {
			p.note("info", nic, "no IPv%d default route to set a metric for: dhcp%d is off for id %s (%s)", fam.family, fam.family, id.Name, id.Pos.Source())
			*fam.want = nil
			continue
		}
		explicit := fam.over
		through := s.Passthrough[fam.inner]
		if through != nil && through.String() != "-1" {
			explicit = through
		}
		if explicit == nil {
			continue
		}
		// The profile that netplan writes carries a metric, and NetworkManager's own
		// planner leaves generated profiles alone.
		*fam.want = nil
		if explicit.String() != strconv.FormatUint(uint64(metric), 10) {
			if len(shared) > 0 {
				p.note("warning", nic, "%s sets the IPv%d metric of %s too: it stays; give this NIC an id of its own there", explicit.Pos.Source(), fam.family, strings.Join(shared, ", "))
				continue
			}
			n := p.delta.id(id.Type, id.Name)
			if explicit == through {
				nested(n, []string{"networkmanager", "passthrough"}, fam.inner, quoted(metric))
			} else {
				merge(n, fam.outer, "route-metric", number(metric))
			}
			p.generate = true
			p.say(fmt.Sprintf("%s: %s", nic.Link.Name, nic.Why))
		}
		p.nmExplicit = append(p.nmExplicit, outcome{nic, fam.family, metric})
	}
	if handed.Metric4 != nil || handed.Metric6 != nil || handed.DemoteDNS {
		p.nmNICs = append(p.nmNICs, handed)
	}
	return nil
}

func quoted(m uint32) *yaml.Node {
	n := str(strconv.FormatUint(uint64(m), 10))
	n.Style = yaml.DoubleQuotedStyle
	return n
}

// nested sets key in a mapping below n, making the mappings on the way.
func nested(n *yaml.Node, outer []string, key string, value *yaml.Node) {
	for _, name := range outer {
		var next *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				next = n.Content[i+1]
			}
		}
		if next == nil {
			next = mapping()
			set(n, name, next)
		}
		n = next
	}
	set(n, key, value)
}

// kernelRA sets the metric of default routes that the kernel makes of router
// advertisements (Linux 5.12 and later).
func (p *planner) kernelRA(nic backends.NIC, metric uint32) {
	if nic.Link.Sysctl["ipv6.disable_ipv6"] == "1" {
		p.note("info", nic, "no IPv6 default route to set a metric for: IPv6 is off on it")
		return
	}
	nic.Metric6 = &metric
	p.sysctls = append(p.sysctls, nic)
}

// freshNM plans a new NIC under NetworkManager: the YAML, of which the generator makes
// a profile, and NetworkManager reads that.
func (p *planner) freshNM(nic backends.NIC, n *yaml.Node) {
	for _, fam := range []struct {
		family int
		on     bool
		metric *uint32
		outer  string
	}{{4, nic.DHCP4, nic.Metric4, "dhcp4-overrides"}, {6, nic.DHCP6, nic.Metric6, "dhcp6-overrides"}} {
		if !fam.on || fam.metric == nil {
			continue
		}
		merge(n, fam.outer, "route-metric", number(*fam.metric))
		e := routemetric.Expect(fam.family, nic.Link.Selector(), *fam.metric, nic.Why)
		if !p.f.NM.Running || nic.Lazy {
			e.Mode = provision.Report
		} else {
			e.Via = []string{TriggerGenerate, TriggerNM}
		}
		p.d.Expect = append(p.d.Expect, e)
	}
	if p.f.NM.Running && !nic.Lazy {
		p.nmFresh = append(p.nmFresh, nic.Link.Selector())
	}
}

// finishNM adds the sysctls, what the networkmanager backend wants, and our trigger.
func (p *planner) finishNM(via []string) error {
	ra := backends.KernelRA(p.f, p.sysctls)
	p.d.Append(ra)
	if len(p.nmFresh) > 0 && len(via) > 0 {
		p.d.Triggers = append(p.d.Triggers, provision.Trigger{Name: TriggerNM, On: p.yaml, Do: daemon.NMReloadConnections(p.nmFresh...),
			Why: "NetworkManager: read the new profile and bring up the NICs that have none active"})
	}
	p.finishExplicit(via)
	if len(p.nmNICs) == 0 {
		return nil
	}
	if p.nm == nil {
		return fmt.Errorf("cannot plan for NIC %s: netplan renders it to NetworkManager, and no planner for NetworkManager is there", p.nmNICs[0].Link.Name)
	}
	d, err := p.nm.Desire(p.f, p.nmNICs)
	if err != nil {
		return err
	}
	p.d.Append(d)
	return nil
}

// finishExplicit makes NetworkManager take up profiles that netplan wrote with another
// metric: by Reapply where that moves routes of both families without loss (1.58 and
// later), else by a restart, which keeps the addresses.
func (p *planner) finishExplicit(via []string) {
	if len(p.nmExplicit) == 0 {
		return
	}
	var selectors []string
	live := p.f.NM.Running && !p.f.Machine.Offline
	lazy := true
	for _, o := range p.nmExplicit {
		selectors = append(selectors, o.nic.Link.Selector())
		lazy = lazy && o.nic.Lazy
	}
	slices.Sort(selectors)
	selectors = slices.Compact(selectors)
	add := func(name string, do provision.Action, why string) {
		via = append(via, name)
		p.d.Triggers = append(p.d.Triggers, provision.Trigger{Name: name, On: p.yaml, Do: do, Why: "NetworkManager " + p.f.NM.Version + ": " + why})
	}
	switch {
	case !live || lazy || len(p.yaml) == 0:
		if lazy && live {
			p.d.Notes = append(p.d.Notes, provision.Note{Level: "warning", Subject: "NetworkManager", Text: "lazy: a changed profile takes effect when it is next activated"})
		}
	case reapplies(p.f.NM.Version):
		add(TriggerNM+" profiles", daemon.NMReloadConnections(), "the generated profiles are read again")
		add(TriggerNM+" reapply", daemon.NMReapply(selectors...), "Reapply moves the routes of both families without loss (since 1.58)")
	default:
		add(TriggerNM+" restart", daemon.NMRestart(selectors...), "a restart takes up the generated profiles and keeps the addresses, Reapply of a changed profile drops those of IPv6")
	}
	for _, o := range p.nmExplicit {
		e := routemetric.Expect(o.family, o.nic.Link.Selector(), o.metric, o.nic.Why)
		if !live || o.nic.Lazy {
			e.Mode = provision.Report
			p.d.Expect = append(p.d.Expect, e)
			continue
		}
		e.Via = slices.Clone(via)
		w := routemetric.Prune(o.family, o.nic.Link.Selector(), o.metric, "NetworkManager brings it: "+o.nic.Why)
		w.Via = e.Via
		p.d.Wants = append(p.d.Wants, w)
		p.d.Expect = append(p.d.Expect, e)
	}
}

// reapplies reports NetworkManager 1.58 or later.
func reapplies(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (major > 1 || major == 1 && minor >= 58)
}
