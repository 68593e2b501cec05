// Package doctor finds out why a host on the USB cable has no network: it looks at
// the boot files, the controller, who holds it, what the host has done, and the
// network on the link, and names the culprit with its evidence and its cure.
//
// It never guesses. A finding has evidence; what could not be looked at is said to be
// so; that nothing wrong was found is an answer, with what was looked at. It is pure.
package doctor
