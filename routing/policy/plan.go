package policy

import (
	"errors"
	"fmt"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// Plan says which routes and rules should exist, in build-up order: routes before the rules that
// lead to them. It wants nothing, not even memory, when nothing is asked for. The tunnels' own wants
// are made by Tunnel.Wants.
func Plan(in Input, n Numbers) (provision.Desired, error) {
	var d provision.Desired
	if err := in.check(); err != nil {
		return d, err
	}
	for _, text := range n.Notes {
		d.Notes = append(d.Notes, provision.Note{Level: "warning", Subject: "routing.policy", Text: text})
	}
	var rules []provision.Want
	ignore := func(string, string, ...any) {}
	for i, r := range in.Config.Routes {
		for _, s := range r.problems(ignore) {
			if in.lacks(s.Family, &d, fmt.Sprintf("routes[%d]", i)) {
				continue
			}
			d.Wants = append(d.Wants, route.Want(s, fmt.Sprintf("routing.policy.routes[%d]", i)))
		}
	}
	next := uint32(priorityRules)
	for i, r := range in.Config.Rules {
		priority := r.Priority
		if priority == 0 {
			next = n.free(next)
			priority = next
			next++
		} else if n.taken(priority) {
			d.Notes = append(d.Notes, provision.Note{Level: "info", Subject: fmt.Sprintf("routing.policy.rules[%d]", i), Text: fmt.Sprintf("a rule of somebody else has the priority %d too: of the two the kernel asks the older one first", priority)})
		}
		for _, s := range r.problems(ignore) {
			if in.lacks(s.Family, &d, fmt.Sprintf("rules[%d]", i)) {
				continue
			}
			s.Priority = priority
			rules = append(rules, rule.Want(s, fmt.Sprintf("routing.policy.rules[%d]", i)))
		}
	}
	sv := in.survey()
	nics := sv.nics()
	d.Wants = append(d.Wants, sv.replies(nics, n)...)
	d.Wants = append(d.Wants, rules...)
	d.Notes = append(d.Notes, sv.lent(nics)...)
	if in.Config.PerNICReplies && len(nics) == 0 {
		d.Notes = append(d.Notes, provision.Note{Level: "info", Subject: "routing.policy.per-nic-replies", Text: "only one NIC has a default route, so all replies leave by it anyway"})
	}
	return d, nil
}

// lacks reports, and notes, that the kernel does not know the family of what is asked for.
func (in Input) lacks(family int, d *provision.Desired, at string) bool {
	if in.has(family) {
		return false
	}
	d.Notes = append(d.Notes, provision.Note{Level: "info", Subject: "routing.policy." + at, Text: fmt.Sprintf("this machine's kernel has no IPv%d: left out there", family)})
	return true
}

// Keep is what Plan's and the tunnels' wants need beside themselves, when there are any: memory, and
// a systemd-networkd that leaves them alone. It comes before them.
func Keep(in Input, n Numbers) provision.Desired {
	d := Networkd(in.Facts)
	if len(n.Memory.Tables) > 0 || n.Memory.Mask != 0 {
		d.Wants = append(d.Wants, n.Memory.Want())
	}
	return d
}

func (in Input) check() error {
	var errs []error
	for _, p := range in.Config.Problems() {
		errs = append(errs, fmt.Errorf("routing.policy.%s: %s", p.Path, p.Text))
	}
	return errors.Join(errs...)
}
