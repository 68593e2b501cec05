// Package uplink chooses among several ways to the internet: each is checked by asking hosts far
// behind it, and one that does not answer is left, by a default route of our own that has a
// better metric than those of the network managers. Their routes are never touched: ours is a
// copy of one of them, and goes when that goes.
//
// Deciding is pure: Judge makes a verdict of rounds of checks, with hysteresis; Decide makes
// routes of verdicts, with a hold-down that doubles with each fall of an uplink that flaps. Job
// joins both to routing/watch.
package uplink
