package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"
)

// ErrBusy is returned (wrapped) by Set when something else must be changed or
// removed first (configfs refuses to remove a function that is still linked). The
// engine goes on with the rest of the pass and asks again. EBUSY, EEXIST and
// ENOTEMPTY are understood the same way.
var ErrBusy = errors.New("busy")

// ErrNoSnapshot is returned by Rollback when there is nothing to go back to.
var ErrNoSnapshot = errors.New("no snapshot to go back to")

// ErrNotPending is returned by Confirm when no apply waits for a confirmation.
var ErrNotPending = errors.New("no apply waits for a confirmation")

// ErrExpired is returned by Confirm when it came too late: the machine has gone
// back to the snapshot.
var ErrExpired = errors.New("confirmation came too late, gone back to the snapshot")

// LockedError says who holds the state's lock (exit code 75).
type LockedError struct {
	Dir     string
	Pid     int       // 0 when unknown
	Command string    // the holder's command line, empty when unknown
	Since   time.Time // zero when unknown
}

func (e *LockedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot lock %s: held by ", e.Dir)
	if e.Pid == 0 {
		b.WriteString("another process")
	} else {
		fmt.Fprintf(&b, "process %d", e.Pid)
	}
	if e.Command != "" {
		fmt.Fprintf(&b, " (%s)", e.Command)
	}
	if !e.Since.IsZero() {
		fmt.Fprintf(&b, " since %s", e.Since.Format(time.RFC3339))
	}
	b.WriteString("; wait for it to end and try again")
	return b.String()
}

// FailedError means that the apply failed and that everything it had begun has
// been gone back on (exit code 1).
type FailedError struct {
	Cause error
	// Begun is false when the failure came before the first effect.
	Begun bool
}

func (e *FailedError) Error() string {
	if !e.Begun {
		return fmt.Sprintf("cannot apply, nothing was changed: %v", e.Cause)
	}
	return fmt.Sprintf("cannot apply, gone back to the state before: %v", e.Cause)
}

func (e *FailedError) Unwrap() error { return e.Cause }

// StuckError means that going back was not possible for all references (exit code
// 3). The snapshot is kept: the next command tries again.
type StuckError struct {
	Cause error // why it had to go back; nil when going back was asked for
	Refs  []Ref // what could not be restored
	Back  error // why not
}

func (e *StuckError) Error() string {
	names := make([]string, len(e.Refs))
	for i, r := range e.Refs {
		names[i] = r.String()
	}
	s := "cannot go back completely"
	if len(names) > 0 {
		s += ", not restored: " + strings.Join(names, ", ")
	}
	s += fmt.Sprintf(": %v; mend the cause and run provision rollback", e.Back)
	if e.Cause != nil {
		s += fmt.Sprintf(" (going back because: %v)", e.Cause)
	}
	return s
}

func (e *StuckError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Back}
	}
	return []error{e.Cause, e.Back}
}

// PendingError refuses a new apply while an earlier one waits for Confirm.
type PendingError struct {
	Left time.Duration // until it goes back by itself
}

func (e *PendingError) Error() string {
	return fmt.Sprintf("cannot apply: an earlier apply waits for its confirmation for another %s; "+
		"run provision confirm to keep it or provision rollback to undo it", e.Left.Round(time.Second))
}

// GuardError carries what the guard of an apply found; the engine went back
// because of it.
type GuardError struct{ Err error }

func (e *GuardError) Error() string { return fmt.Sprintf("the guard reports: %v", e.Err) }

func (e *GuardError) Unwrap() error { return e.Err }

// UnmetError lists what did not come true in time.
type UnmetError struct {
	Unmet []Unmet
	After time.Duration
}

func (e *UnmetError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "not reached within %s:", e.After)
	for i, u := range e.Unmet {
		if i > 0 {
			b.WriteString(";")
		}
		fmt.Fprintf(&b, " %s is %s, wanted %s", u.Ref, u.Have, u.Want)
		if u.Why != "" {
			fmt.Fprintf(&b, " (%s)", u.Why)
		}
	}
	return b.String()
}

// VersionError refuses state that a newer program has written.
type VersionError struct {
	File           string
	Version, Known int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("cannot read %s: it has state format %d and this program knows formats up to %d; "+
		"use the newer program, or its provision revert before a downgrade", e.File, e.Version, e.Known)
}

// CorruptError says that a state file is not what was written. Nothing is guessed
// from it.
type CorruptError struct {
	File string
	Why  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("cannot read %s: %s; the file is damaged, move it away to go on without it", e.File, e.Why)
}

// busy reports whether Set failed because something else must go first.
func busy(err error) bool {
	return errors.Is(err, ErrBusy) || errors.Is(err, syscall.EBUSY) || errors.Is(err, fs.ErrExist)
}
