package gadget

import (
	"errors"
	"fmt"
	"slices"
)

// What Plan refuses is a mistake in the configuration, unless its error is one of these: then
// nothing in the configuration is wrong.
var (
	// ErrLacks: the machine has not what any gadget, or this one, needs.
	ErrLacks = errors.New("the machine lacks it")
	// ErrHeld: the controller belongs to another program.
	ErrHeld = errors.New("somebody else holds it")
)

// refusal is what is wrong in one place.
type refusal struct {
	text string
	of   error // ErrLacks or ErrHeld; nil: of the configuration
}

func (r refusal) Error() string { return r.text }

// refused is all that is wrong as one error, a line or more for each.
type refused []refusal

func (r refused) Error() string {
	var errs []error
	for _, e := range r {
		errs = append(errs, e)
	}
	return errors.Join(errs...).Error()
}

// Is tells what kind of refusal it is. What is wrong in the configuration goes before what the
// machine lacks, and that before who holds the rest: each is of use only when the one before is
// mended.
func (r refused) Is(target error) bool {
	of := func(e error) bool { return slices.ContainsFunc(r, func(x refusal) bool { return x.of == e }) }
	switch target {
	case ErrLacks:
		return of(ErrLacks) && !of(nil)
	case ErrHeld:
		return of(ErrHeld) && !of(ErrLacks) && !of(nil)
	}
	return false
}

//go:noinline
func (p *planner) refuse(of error, path, format string, args []any) {
	p.errs = append(p.errs, refusal{fmt.Sprintf("gadget.%s: %s", path, fmt.Sprintf(format, args...)), of})
}

// fail refuses what the configuration asks for.
//
//go:noinline
func (p *planner) fail(path, format string, args ...any) { p.refuse(nil, path, format, args) }

// lacks refuses because of what the machine has not.
//
//go:noinline
func (p *planner) lacks(path, format string, args ...any) { p.refuse(ErrLacks, path, format, args) }

// held refuses because of what others have.
//
//go:noinline
func (p *planner) held(path, format string, args ...any) { p.refuse(ErrHeld, path, format, args) }
