// Package unit makes systemd take up a unit of ours whose file has come, changed or gone: one
// action, the same in both directions. It is for programs of this project alone; what network
// managers need is in package daemon.
package unit

import "github.com/provision-net/provision/provision"

// Kind is the kind of Action.
const Kind = "systemd-unit"

const argUnit = "unit"

// Action makes systemd read its files again, where it does not know this one as it is, and then brings the unit to what its file says: it
// is restarted (or started) when there is one, and stopped when there is none any more. Without
// systemd as init nothing is done.
func Action(name string) provision.Action {
	return provision.Action{Kind: Kind, Args: map[string]string{argUnit: name}}
}
