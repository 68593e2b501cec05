package gadget

import (
	"errors"
	"fmt"
)

// Plan says what should exist for the gadgets of c: the device in configfs, its binding, and what
// its links need. Nothing is wanted when c is empty. The error lists everything that is wrong, a
// line or more for each, beginning with "gadget." and the path; then nothing is wanted. It is ErrLacks
// or ErrHeld where nothing but the machine is in the way.
func Plan(in Input, c Config) (Result, error) {
	var errs []error
	for _, p := range c.Problems() {
		errs = append(errs, fmt.Errorf("gadget.%s: %s", p.Path, p.Text))
	}
	if len(errs) > 0 || !c.Wanted() {
		return Result{}, errors.Join(errs...)
	}
	p := &planner{Input: in, c: c}
	p.plan()
	if len(p.errs) > 0 {
		return Result{}, p.errs
	}
	return p.r, nil
}
