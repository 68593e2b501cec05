package backends

import (
	"errors"
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// Plan decides owners, roles and metrics and asks each backend what should exist. The
// report is filled as far as things could be told, also when an error is returned;
// then nothing is wanted at all. A conflict of two live owners over a NIC that would
// be written is a *ConflictError in the error's chain.
func Plan(f *facts.Facts, cfg Config, mem Memory, list []Backend) (provision.Desired, Report, error) {
	owners := Owners(f)
	roles := Roles(f, owners)
	report := Detect(f, owners, roles)
	fail := func(err error) (provision.Desired, Report, error) {
		report.problem(err)
		return provision.Desired{}, report, err
	}

	var problems []error
	for _, p := range cfg.Problems() {
		problems = append(problems, fmt.Errorf("network.%s: %s", p.Path, p.Text))
	}
	if err := errors.Join(problems...); err != nil {
		return fail(err)
	}
	decision, err := Decide(f, owners, roles, cfg, mem)
	report.Notes = append(report.Notes, decision.Notes...)
	if err != nil {
		return fail(err)
	}

	var parts []provision.Desired
	var errs []error
	served := map[int]bool{}
	for _, b := range list {
		var nics []NIC
		for _, n := range decision.NICs {
			if n.Owner.Owner == b.Manager() {
				nics, served[n.Link.Index] = append(nics, n), true
			}
		}
		if len(nics) == 0 {
			continue
		}
		d, err := b.Desire(f, nics)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		parts = append(parts, d)
	}
	for _, n := range decision.NICs {
		if !served[n.Link.Index] {
			errs = append(errs, fmt.Errorf("cannot plan %s: no backend for its manager %s", n.Link.Name, n.Owner.Owner))
		}
	}
	want, err := Merge(parts...)
	if err := errors.Join(append(errs, err)...); err != nil {
		return fail(err)
	}
	if len(decision.NICs) > 0 {
		want.Wants = append(want.Wants, decision.Memory.Want())
	}
	report.add(f, decision, want)
	want.Notes = slices.Concat(decision.Notes, want.Notes)
	return want, report, nil
}
