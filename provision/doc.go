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
package provision
