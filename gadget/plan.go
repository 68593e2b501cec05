package gadget

import (
	"errors"
	"fmt"
)

// Plan says what should exist for the gadgets of c: the device in configfs, its binding, and what
// its links need. Nothing is wanted when c is empty. The error lists everything that is wrong.
func Plan(in Input, c Config) (Result, error) {
	var r Result
	if !c.Wanted() {
		return r, nil
	}
	var errs []error
	for _, p := range c.Problems() {
		errs = append(errs, fmt.Errorf("gadget.%s: %s", p.Path, p.Text))
	}
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	p := &planner{Input: in, c: c}
	p.plan()
	return p.r, errors.Join(p.errs...)
}
