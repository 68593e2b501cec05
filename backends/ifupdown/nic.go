package ifupdown

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
)

// job is one NIC on its way through the planner.
type job struct {
	*plan
	n        backends.NIC
	link     string
	selector string
	stanzas  []*interfaces.Stanza
	files    []string // those that the NIC's stanzas stand in
	metric4  *uint32
	metric6  *uint32
	// clientRA: the DHCP client handles router advertisements itself.
	clientRA bool
	// restart: the client takes a metric only when it is started anew. It follows from
	// the configuration, so that the same things are wanted while it does not run.
	restart bool
	// leaseRoute: dhclient may have been unable to add its default route.
	leaseRoute bool
	// made4: a stanza makes the IPv4 default route.
	made4 bool
	// waits: the live route cannot be moved for good before the next boot.
	waits bool
}

func (p *plan) nic(n backends.NIC) error {
	if n.Metric4 == nil && n.Metric6 == nil && !n.BringUp {
		return nil
	}
	j := &job{plan: p, n: n, link: n.Link.Name, selector: n.Link.Selector(), metric4: n.Metric4, metric6: n.Metric6}
	if err := j.plan4and6(); err != nil {
		return fmt.Errorf("cannot set up %s in ifupdown: %w", j.link, err)
	}
	return nil
}

func (j *job) plan4and6() error {
	if j.n.DemoteDNS {
		j.note("warning", j.link, "ifupdown cannot put the name servers of a NIC last: they stay as they are")
	}
	naming, err := j.logicals(j.link)
	if err != nil {
		return err
	}
	ownFile := daemon.IfupFile(j.link)
	ours := strings.HasPrefix(j.texts[ownFile], ourMark)
	j.stanzas = j.plan.stanzas(naming)
	elsewhere := slices.ContainsFunc(j.stanzas, func(s *interfaces.Stanza) bool { return s.File().Path != ownFile })
	switch {
	case j.n.BringUp && !elsewhere:
		return j.fresh(ownFile)
	case len(j.stanzas) == 0:
		return j.unmentioned()
	}
	if ours {
		// Wanted as a whole also when nothing changes: else it would be pruned.
		j.own[ownFile] = true
		j.change(ownFile, j.texts[ownFile], j.n.Why)
		j.restanza()
	}
	if err := j.edit(); err != nil {
		return err
	}
	if ours {
		j.triggerIfup(ownFile)
	}
	j.bootNotes(naming)
	j.liveState()
	return nil
}

// unmentioned is a NIC that no stanza is for: without any route it needs no metric,
// with one somebody else brought it up, whose files are not ours to guess.
func (j *job) unmentioned() error {
	index := j.n.Link.Index
	where := fmt.Sprintf("no stanza of %s or of the files it sources is for it", interfacesFile)
	for _, a := range j.f.Addrs {
		if a.Link == index && a.Scope == "global" && a.Prefix.Addr().Is4() {
			return fmt.Errorf("%s, though it is up with %s: whoever did that must set the metric", where, a.Prefix)
		}
	}
	if len(j.f.Defaults(index, 4))+len(j.f.Defaults(index, 6)) > 0 {
		return fmt.Errorf("%s, though it has a default route: whoever made that must set the metric", where)
	}
	j.note("info", j.link, "%s: nothing to do", where)
	return nil
}

// maxDhcpcd is the largest metric that dhcpcd reads (if-options.c); with a greater one
// it does not start, and the NIC would have no address at the next boot.
const maxDhcpcd = 1<<31 - 1

// oneMetric settles on one metric where the client has only one for both families.
func (j *job) oneMetric(client string) error {
	for _, m := range []*uint32{j.metric4, j.metric6} {
		if m != nil && *m > maxDhcpcd {
			return fmt.Errorf("%s takes metrics up to %d, not %d: choose a smaller one", client, maxDhcpcd, *m)
		}
	}
	switch {
	case j.metric4 == nil && j.metric6 == nil:
	case j.metric4 == nil:
		j.metric4 = j.metric6
		j.note("info", j.link, "%s has one metric for both families: IPv4 gets %d too", client, *j.metric6)
	case j.metric6 == nil:
		j.metric6 = j.metric4
		j.note("info", j.link, "%s has one metric for both families: IPv6 gets %d too", client, *j.metric4)
	case *j.metric4 != *j.metric6:
		if j.n.Role != facts.RoleNAT {
			return fmt.Errorf("%s has one metric for both families, so it cannot have %d for IPv4 and %d for IPv6: configure one", client, *j.metric4, *j.metric6)
		}
		// A NAT NIC shall lose: the greater one loses in both families.
		m := max(*j.metric4, *j.metric6)
		j.metric4, j.metric6 = &m, &m
		j.note("info", j.link, "%s has one metric for both families: both get %d", client, m)
	}
	return nil
}

// bootNotes says what decides when the NIC comes up.
func (j *job) bootNotes(n naming) {
	var classes []string
	for _, e := range n.entries {
		classes = append(classes, e.Class)
		if e.Class == "auto" && j.n.Optional && slices.ContainsFunc(j.stanzas, isDHCP4) {
			j.note("info", j.link, "auto at %v makes the boot wait for its DHCP; allow-hotplug would not", e.Place)
		}
		if interfaces.IsPattern(e.Name) {
			j.note("info", j.link, "the pattern %s at %v brings it up", e.Name, e.Place)
		}
	}
	if len(classes) == 0 {
		j.note("warning", j.link, "no auto or allow-hotplug line names it: ifup does not bring it up at boot")
	}
}
