// Package provision is the engine: it compares what a machine is with what it
// should be, changes the difference, checks the outcome and, when the outcome is
// wrong, converges back to where it started.
//
// Planners say what should exist (Desired). The engine calls Get on each
// reference, keeps a durable snapshot, calls Set until the next plan is empty,
// verifies the expectations and commits. Going back is the same walk towards the
// snapshot, in this process or in the next one; there is no undo code.
//
// The package uses the standard library only and touches the host through the
// Resources and Actors that its caller registers.
//
// # A walk
//
// A walk goes in passes. Each reads every reference (one List per kind that offers
// it, else one Get each), compares, and makes the differences: creations and
// updates in build-up order, then removals in reverse order. What an effect did to
// everything else is not predicted but seen by the next pass; a walk ends when a
// pass finds nothing. Adjacent steps of one kind go to a Batcher as one
// transaction.
//
// Within a pass a trigger runs once, right behind the last change of what it
// depends on, and the steps after it read their references again. A hold is set
// before the first change that it covers and released after the last; what is
// removed under a hold is removed before things are built behind it. While an
// addition of a kind is still missing, removals of that kind wait for it, for a
// while: add before delete.
//
// A Set that returns ErrStale is repeated with what is there now; ErrBusy (and
// EBUSY, EEXIST, ENOTEMPTY) is left to the next pass; ErrPending is asked again
// until Settle is over, and the triggers of its Via run once more. Forwards any
// other error ends the walk and the engine goes back; on the way back errors are
// collected and everything else is restored first. Passes with effects are bounded.
//
// # What a value means
//
// Only the attributes that a want lists are compared and set; Initial ones only
// when the reference is created. Going back gives the listed attributes their old
// values, and the whole old value to what is missing; so Get should return exactly
// what Set accepts. IfPresent state is never created and never removed; its first
// value is journalled when it appears in the middle of a run. Report is never
// written.
//
// # What is on disk
//
// The state directory (0700, files 0600) holds
//
//	lock             flock(2), with the holder's process and command while it changes something
//	ledger           the last commit: references in order, digests of what was written, triggers, holds
//	first            first-seen values of the ledger's references
//	snapshot-NNNNNN  all values before run N, its triggers and holds, the ledger before it; then its journal
//	rolling-NNNNNN   the same of a committed run that is being rolled back
//	unfinished       empty; there whenever a run has had an effect and is neither committed nor undone
//
// Each file begins with its format, length and checksum. A newer format is refused
// (*VersionError), damage is told (*CorruptError), nothing is guessed.
//
// Files are replaced by write, fsync, rename and, where order matters, fsync of the
// directory. The commit is the rename of the ledger: a snapshot with a number above
// the ledger's is a run to be undone. Before the first effect the snapshot and the
// first-seen values are durable; a committed run is undone under another name, so
// that a crash on the way is seen. Journal records follow the snapshot's body: a
// trigger is recorded as owed, durably, before the first change of what it depends
// on, and as done afterwards. A torn last record belongs to something that had not
// begun.
//
// An apply that changes nothing writes nothing: no snapshot, no ledger, no holder.
// The ledger alone is written when only what has to be remembered has changed.
//
// Secrets are kept where they are needed to go back (snapshots, first-seen values)
// and only as keyed digests in the ledger. They are masked in everything that is
// returned or logged.
//
// # Giving up
//
// What the last commit wanted and Desired does not want any more, a reference or
// single attributes, returns to its first-seen value, with the triggers and holds
// that the last commit had for it. The first-seen value is the one before the first
// committed run that wanted it; runs that failed went back to it, and for what they
// could not restore it is taken over from their snapshot. If the present value is
// not the one last written, somebody else owns it now: it is left, named and
// forgotten (by Revert: remembered, to be forced). So is what its daemon keeps
// although nobody wants it (ErrPending until Settle is over).
//
// # Time
//
// Confirmation deadlines are kept as boot id and CLOCK_BOOTTIME, because wall clocks
// jump on machines without a clock chip; another boot means expired. They count
// from before the first effect, as the armed timer does.
package provision
