package provision

import (
	"context"
	"errors"
	"time"
)

// Ref names one piece of state. Kind selects the Resource; Name is the
// resource's own canonical name. Names select devices by what stays true of them
// (a permanent MAC, a gadget function), so a device that apply itself creates can
// be wanted before it exists: "route-metric:inet dev mac:08:00:27:aa:bb:cc".
type Ref struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// String returns "kind:name".
//
//go:noinline
func (r Ref) String() string { return r.Kind + ":" + r.Name }

// Attrs are the attributes of one piece of state. A nil map means that it is
// absent; an attribute that is not listed in a Want is not touched. Values are
// canonical: Get after Set returns what was set. Values may hold any bytes. An
// attribute missing from what Get returns reads as the empty string, and setting it
// to the empty string must bring it back to being unset: going back relies on it.
type Attrs map[string]string

// Resource is all that a new sort of state must offer.
type Resource interface {
	// Get returns the present attributes of name, nil when it does not exist.
	// An error means "cannot be known" and stops a plan.
	Get(ctx context.Context, name string) (Attrs, error)
	// Set brings name from have to want; want nil removes it. It refuses with
	// ErrStale when the present state is no longer have (for the attributes that
	// want lists), and returns ErrPending when the state belongs to a daemon that
	// has not brought it about yet: the engine asks again until its deadline.
	Set(ctx context.Context, name string, have, want Attrs) error
}

// Class says how an attribute is compared and shown.
type Class int

const (
	Exact   Class = iota // compared byte for byte
	Initial              // set when the thing is created, never compared afterwards
	Secret               // compared by digest, masked wherever it is shown
)

// Classifier is implemented by resources with attributes that are not Exact.
type Classifier interface {
	Class(attr string) Class
}

// Delegate is implemented by resources whose values a daemon keeps bringing about by its
// own configuration. When such a value is given up and is neither what was written nor
// what was there first, its daemon has followed its files: nobody else has interfered.
type Delegate interface {
	Delegated() bool
}

// Property is implemented by resources whose state belongs to something else (a device's
// name, its parameters), which Set neither makes nor removes. What is given up and not
// there has gone with its bearer, and the first value with it: nobody waits for it.
type Property interface {
	Property() bool
}

// Lister is implemented by resources that can read all their state in one dump.
// The result holds the names asked for; a missing name is absent.
type Lister interface {
	List(ctx context.Context, names []string) (map[string]Attrs, error)
}

// Step is one effect: bring Name from Have to Want.
type Step struct {
	Name       string
	Have, Want Attrs
}

// Batcher is implemented by resources that can carry out several steps in one
// transaction: all of them happen or none.
type Batcher interface {
	SetAll(ctx context.Context, steps []Step) error
}

// Author is implemented by resources that recognise this program's own work. Where the
// state directory was lost, what it finds of its own was not there before it came, so
// that is what giving up and reverting return to.
type Author interface {
	Wrote(have Attrs) bool
}

// NamedAuthor is Author for resources that recognise this program's own work by its
// name (a gadget's directory).
type NamedAuthor interface {
	WroteNamed(name string, have Attrs) bool
}

// Loser is implemented by resources whose state can be lost by itself: a gadget whose
// controller has gone is unbound. That is nobody's change, and giving up goes on.
type Loser interface {
	Lost(name string, have Attrs) bool
}

// ErrStale is returned (wrapped) by Set when somebody else changed the state
// between Get and Set.
var ErrStale = errors.New("changed by somebody else meanwhile")

// ErrPending is returned (wrapped) by Set when only a daemon can bring the state
// about and it has not done so yet.
var ErrPending = errors.New("not brought about by its daemon yet")

// Mode says what a difference means.
type Mode int

const (
	// Must fails the apply when it cannot be reached.
	Must Mode = iota
	// IfPresent holds only for state that exists: a NIC without carrier or lease
	// has no default route, which is reported and not rolled back.
	IfPresent
	// Report never fails: the plan and verify tell the difference and why.
	Report
)

// Want is one piece of state that should hold.
type Want struct {
	Ref   `json:"ref"`
	Attrs Attrs  `json:"attrs"` // nil: should be absent
	Why   string `json:"why"`   // for people: which rule, file or key asks for it
	Mode  Mode   `json:"mode,omitempty"`
	// Via names the triggers that bring this about; when it does not hold though
	// no file differs (the daemon never heard of it), they run again.
	Via []string `json:"via,omitempty"`
}

// Hold keeps a reference in a state while any of While changes: a UDC unbound
// while the gadget's tree is rebuilt, a link down while its name changes. The
// value before the hold (or the wanted one, if it is wanted too) returns after.
type Hold struct {
	Ref   `json:"ref"`
	Attrs Attrs `json:"attrs"`
	While []Ref `json:"while"`
}

// Action is an imperative step as data, so it can be journalled, shown in a plan
// and carried out by the next process.
type Action struct {
	Kind string            `json:"kind"`
	Args map[string]string `json:"args,omitempty"`
}

// Actor carries out actions of one kind. Do is repeatable: after a crash it may
// be called again for an action that had already finished. An action for a daemon
// that is not running is a no-op without error.
type Actor interface {
	Do(ctx context.Context, a Action) error
}

// Aloof is implemented by an Actor whose actions change nothing that a Resource reads: what was read before one need not
// be read again after it.
type Aloof interface {
	Aloof() bool
}

// Trigger runs its action once, right after the last change of any of On, in
// either direction (towards the goal or back to the snapshot).
type Trigger struct {
	Name string `json:"name"`
	On   []Ref  `json:"on"`
	Do   Action `json:"do"`
	Why  string `json:"why"`           // daemon, version and the path chosen for it
	Gap  string `json:"gap,omitempty"` // expected interruption, empty when lossless
}

// Note is something that people must know and no reference expresses: what takes
// effect only at the next boot, what a manager cannot do.
type Note struct {
	Level   string `json:"level"` // "info" or "warning"
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

// Desired is everything that should hold, in build-up order.
type Desired struct {
	Wants    []Want    `json:"wants"`
	Holds    []Hold    `json:"holds,omitempty"`
	Triggers []Trigger `json:"triggers,omitempty"`
	Expect   []Want    `json:"expect,omitempty"` // verified, never written
	Notes    []Note    `json:"notes,omitempty"`
}

// Append adds what other desires after what d desires.
//
//go:noinline
func (d *Desired) Append(other Desired) {
	d.Wants = append(d.Wants, other.Wants...)
	d.Holds = append(d.Holds, other.Holds...)
	d.Triggers = append(d.Triggers, other.Triggers...)
	d.Expect = append(d.Expect, other.Expect...)
	d.Notes = append(d.Notes, other.Notes...)
}

// Op is what a change does to its reference.
type Op string

const (
	Create Op = "create"
	Update Op = "update"
	Delete Op = "delete"
)

// Change is one difference between the machine and the goal. Secret attributes
// are masked in Have and Want when a Change is printed as JSON or text.
type Change struct {
	Ref    Ref    `json:"ref"`
	Op     Op     `json:"op"`
	Have   Attrs  `json:"have,omitempty"`
	Want   Attrs  `json:"want,omitempty"`
	Why    string `json:"why"`
	Pruned bool   `json:"pruned,omitempty"` // wanted by the last commit, by nobody now
}

// Plan is the difference, and what would be run because of it.
type Plan struct {
	Changes  []Change  `json:"changes"`
	Triggers []Trigger `json:"triggers,omitempty"`
	Unmet    []Unmet   `json:"unmet,omitempty"` // expectations that do not hold now
	Notes    []Note    `json:"notes,omitempty"`
}

// Empty reports whether apply would do nothing.
func (p Plan) Empty() bool { return len(p.Changes) == 0 && len(p.Triggers) == 0 }

// Unmet is an expectation that does not hold.
type Unmet struct {
	Ref  Ref    `json:"ref"`
	Have Attrs  `json:"have,omitempty"`
	Want Attrs  `json:"want,omitempty"`
	Why  string `json:"why"`
	Mode Mode   `json:"mode"`
}

// ApplyOptions adjust one apply.
type ApplyOptions struct {
	// Settle is how long verification waits for expectations; zero means 10 s.
	Settle time.Duration
	// Guard, when set, is asked again and again while effects are made and
	// verified; its first error means that the machine is about to be lost, and
	// the engine goes back at once.
	Guard func(ctx context.Context) error
	// GuardFor keeps the guard watching for this long after verification.
	GuardFor time.Duration
	// Confirm, when not zero, leaves the commit pending: unless Confirm is called
	// in time, whoever looks next (the armed timer, a later command, the boot unit)
	// goes back to the snapshot.
	Confirm time.Duration
	// Arm is called before the first effect of an apply with Confirm and must make
	// sure that Recover is run after the given time even if this process and its
	// terminal die (Recover, not Rollback: it does nothing once Confirm has come). An
	// error aborts before anything is changed.
	Arm func(ctx context.Context, after time.Duration) error
	// Replan, when set, is called under the lock if the goal was made for a machine
	// that has changed since: another process held the lock, another commit than Basis
	// stands, or an interrupted run was gone back on first. What it returns takes the
	// place of the goal and of these options.
	Replan func(ctx context.Context) (Desired, ApplyOptions, error)
	// Basis is Status.Commit from before the goal was made.
	Basis uint64
}
