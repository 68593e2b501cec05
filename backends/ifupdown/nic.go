package ifupdown

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/dhcpcd/conf"
	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/leaseroute"
	"github.com/provision-net/provision/provision/resource/routemetric"
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

// edit sets the metric in every stanza that makes a default route.
func (j *job) edit() error {
	running, next := j.client(j.link)
	a := abilityOf(j.f.Ifupdown.Flavour, next)
	dhcp := slices.ContainsFunc(j.stanzas, isDHCP4)
	if dhcp && a.both {
		if err := j.oneMetric(next); err != nil {
			return err
		}
		j.clientRA, j.restart = true, a.restart
	}
	j.leaseRoute = dhcp && next == dhclient && a.refuse == ""
	var errs []error
	for i := range j.stanzas {
		s := j.stanzas[i]
		metric := j.metric4
		if s.Family == "inet6" {
			metric = j.metric6
		}
		if metric == nil {
			continue
		}
		o, err := j.optionFor(s, a)
		if err == nil && o.option != "" {
			j.made4 = j.made4 || s.Family == "inet"
			err = j.set(i, o, *metric)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 && j.metric4 != nil && !j.made4 && len(j.f.Defaults(j.n.Link.Index, 4)) > 0 {
		errs = append(errs, fmt.Errorf("its IPv4 default route comes from none of its stanzas (the first is at %v): set the metric where the route is made", j.stanzas[0].Place))
	}
	if dhcp && running != nil && j.metric4 != nil {
		errs = append(errs, j.running(*running, next))
	}
	return errors.Join(errs...)
}

// running looks at the client that serves the NIC now: it decides what can hold
// before the next boot.
func (j *job) running(c facts.DHCPClient, next string) error {
	a := abilityOf(j.f.Ifupdown.Flavour, c.Name)
	if a.refuse != "" {
		return fmt.Errorf("process %d serves it: %s", c.PID, a.refuse)
	}
	if c.Name != next {
		j.note("info", j.link, "%s serves it now (process %d), ifup would start %s", c.Name, c.PID, next)
	}
	switch {
	case a.restart:
		j.restart = true
	case !a.sticks:
		j.waits = true
		j.note("info", j.link, "the running %s (process %d) brings its old metric back at each renewal: the new one holds from the next boot on", c.Name, c.PID)
	case c.Env["IF_METRIC"] != fmt.Sprint(*j.metric4):
		j.note("info", j.link, "the running %s (process %d) was started without this metric: it leaves the moved route alone at renewals, but a lease with another address brings the old metric back until the next boot", c.Name, c.PID)
	}
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

func isDHCP4(s *interfaces.Stanza) bool { return s.Family == "inet" && s.Method == "dhcp" }

// optionFor says which option of a stanza is its default route's metric; none when
// it makes no default route.
func (j *job) optionFor(s *interfaces.Stanza, a ability) (ability, error) {
	switch {
	case isDHCP4(s):
		if a.refuse != "" {
			return a, fmt.Errorf("%v: %s", s.Place, a.refuse)
		}
		return a, nil
	case s.Family == "inet6" && (s.Method == "auto" || s.Method == "dhcp"):
		return ability{}, nil // kernel RA; DHCPv6 has no default route
	case s.Method == "static", s.Method == "tunnel", s.Method == "v4tunnel":
		if _, ok := s.Option("gateway"); !ok {
			return ability{}, j.byHand(s)
		}
		return ability{option: "metric", sticks: true}, j.byHand(s)
	case s.Method == "bootp", s.Method == "ppp", s.Method == "wvdial":
		return ability{}, fmt.Errorf("%v: method %s has no metric: set it where that program is configured", s.Place, s.Method)
	}
	return ability{}, j.byHand(s)
}

// byHand refuses a stanza whose commands make a default route: they are shell, and
// what they do is not ours to guess.
func (j *job) byHand(s *interfaces.Stanza) error {
	for _, o := range s.Options {
		if o.Name != "up" && o.Name != "pre-up" {
			continue
		}
		words := strings.Fields(o.Value)
		adds := slices.ContainsFunc(words, func(w string) bool { return w == "add" || w == "replace" || w == "append" || w == "change" })
		dst := slices.ContainsFunc(words, func(w string) bool { return w == "default" || w == "0.0.0.0/0" || w == "::/0" || w == "0/0" })
		if adds && dst && slices.Contains(words, "route") {
			return fmt.Errorf("%v: the command %q makes a default route: put the metric into that command by hand", o.Place, o.Value)
		}
	}
	return nil
}

// set changes one option of one stanza and proves that nothing else changes.
func (j *job) set(i int, a ability, metric uint32) error {
	s := j.stanzas[i]
	have, ok := s.Option(a.option)
	value := a.optionValue(have.Value, metric)
	path := s.File().Path
	if !slices.Contains(j.files, path) {
		j.files = append(j.files, path)
		j.cloudInit(path)
	}
	if ok && have.Value == value {
		j.change(path, j.texts[path], j.why(s, a.option, value))
		j.restanza()
		return nil
	}
	if ok && have.Inherited {
		return fmt.Errorf("%v: it inherits %s %q from the stanza of %s (%v), and ifupdown would join a second one to it: remove it there",
			s.Place, a.option, have.Value, s.Parent.Logical, have.Place)
	}
	if err := j.limited(s, j.link); err != nil {
		return err
	}
	text, err := interfaces.SetOption(s, a.option, value)
	if err != nil {
		return err
	}
	before := j.config
	j.change(path, text, j.why(s, a.option, value))
	if err := onlyThat(before, j.config, s, a.option, value); err != nil {
		return fmt.Errorf("%v: %w", s.Place, err)
	}
	j.restanza()
	return nil
}

// cloudInit says that the edited file is not only ours. There is no later file that
// could say otherwise: ifup would carry out both stanzas.
func (j *job) cloudInit(path string) {
	if path != j.n.Owner.CloudInit && !strings.HasSuffix(path, "/50-cloud-init") && !strings.HasSuffix(path, "/50-cloud-init.cfg") {
		return
	}
	when := j.n.Owner.Rewrites
	if when == "" {
		when = "new instance"
	}
	j.note("warning", j.link, "cloud-init wrote %s and writes it anew at every %s: apply again after that, or switch its network part off (network: {config: disabled})",
		path, strings.TrimPrefix(when, "every "))
}

func (j *job) why(s *interfaces.Stanza, option, value string) string {
	return fmt.Sprintf("%s %s for %s (%s)", option, value, j.link, j.n.Why)
}

// restanza finds the NIC's stanzas again in the edited configuration: an edit neither
// adds nor removes any.
func (j *job) restanza() {
	naming, err := j.logicals(j.link)
	if err == nil {
		j.stanzas = j.plan.stanzas(naming)
	}
}

// onlyThat compares two readings: one option of one stanza differs, nothing else.
func onlyThat(before, after *interfaces.Config, s *interfaces.Stanza, option, value string) error {
	moved := errors.New("the edit would change more than this one option")
	if len(before.Stanzas) != len(after.Stanzas) || len(before.Entries) != len(after.Entries) || len(before.Problems) != len(after.Problems) {
		return moved
	}
	for i, a := range before.Stanzas {
		b := after.Stanzas[i]
		var old, now []string
		for _, o := range a.Options {
			if a != s || o.Name != option {
				old = append(old, o.Name+"\x00"+o.Value)
			}
		}
		for _, o := range b.Options {
			if a != s || o.Name != option {
				now = append(now, o.Name+"\x00"+o.Value)
			} else if o.Value != value {
				return moved
			}
		}
		if a.Logical != b.Logical || a.Family != b.Family || a.Method != b.Method || !slices.Equal(old, now) {
			return moved
		}
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

// liveState moves the routes that are there now.
func (j *job) liveState() {
	if j.restart {
		j.restartDhcpcd()
	} else if j.made4 {
		j.move(4, *j.metric4)
		j.missing()
	}
	j.ipv6()
}

// missing brings the default route that dhclient had no room for. It is triggered by
// the stanza's file, so it runs in both directions, and stands in lazy mode too: the
// client is not touched.
func (j *job) missing() {
	if !j.leaseRoute || len(j.files) == 0 || j.f.Machine.Offline {
		return
	}
	t := provision.Trigger{Name: "ifupdown-lease-route-" + j.link, Do: leaseroute.Add(j.selector, j.link, *j.metric4),
		Why: "beside another default route without a metric dhclient could not add its own; with a metric there is room for it"}
	for _, f := range j.files {
		t.On = append(t.On, file.Ref(f))
	}
	j.live.Triggers = append(j.live.Triggers, t)
	if running, _ := j.client(j.link); running != nil && len(j.f.Defaults(j.n.Link.Index, 4)) == 0 {
		j.note("info", j.link, "it has no IPv4 default route, though dhclient serves it: if its lease has a router, the route is added")
	}
}

func (j *job) move(family int, metric uint32) {
	if j.f.Machine.Offline {
		return
	}
	why := j.n.Why
	expect := routemetric.Expect(family, j.selector, metric, why)
	if j.waits {
		expect.Mode = provision.Report
	} else {
		j.live.Wants = append(j.live.Wants, routemetric.Move(family, j.selector, metric, why))
	}
	j.expect(expect)
}

// restartDhcpcd has the running client started again with the stanza's metric: only
// its command line counts, and it undoes whatever else moves its routes.
func (j *job) restartDhcpcd() {
	if j.f.Machine.Offline {
		return
	}
	name := "ifupdown-dhcpcd-" + j.link
	if text, ok := j.texts[dhcpcdConf]; ok && !j.n.Lazy {
		// A file that cannot be parsed has no line either that could be relied on.
		if c, err := conf.Parse(dhcpcdConf, text); err != nil || !c.Global("persistent") {
			j.n.Lazy = true
			j.note("warning", j.link, "%s has no line persistent: stopping dhcpcd would take the address away; add that line to have the metric sooner", dhcpcdConf)
		}
	}
	if j.n.Lazy {
		j.note("info", j.link, "dhcpcd keeps its metric until it is started again: the new one holds from the next boot on")
	}
	j.prune(name)
	if j.n.Lazy || j.metric4 == nil {
		return
	}
	action := daemon.DhcpcdRestart(j.selector, j.link, *j.metric4, false)
	if !j.n.AllowGap {
		action = daemon.Probe(action)
	}
	t := provision.Trigger{Name: name, Do: action,
		Why: "dhcpcd started by ifup takes a metric only from its command line; it is stopped (persistent) and started again, without losing the address"}
	for _, f := range j.files {
		t.On = append(t.On, file.Ref(f))
	}
	j.live.Triggers = append(j.live.Triggers, t)
}

// prune wants what dhcpcd brings, and nothing left over beside it. via is the trigger
// that makes it do so; lazily, nobody does.
func (j *job) prune(via string) {
	if j.f.Machine.Offline {
		return
	}
	for _, family := range []int{4, 6} {
		m := map[int]*uint32{4: j.metric4, 6: j.metric6}[family]
		if m == nil {
			continue
		}
		if !j.n.Lazy {
			prune := routemetric.Prune(family, j.selector, *m, j.n.Why)
			if via != "" {
				prune.Via = []string{via}
			}
			j.live.Wants = append(j.live.Wants, prune)
		}
		j.expect(routemetric.Expect(family, j.selector, *m, j.n.Why))
	}
}
