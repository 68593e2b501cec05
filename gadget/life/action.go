package life

import (
	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/gadget/verdict"
)

// Verb is what an action does.
type Verb string

// The verbs. The first six are disruptive: one at a time, each is answered by Done.
const (
	Switch       Verb = "switch"        // to Profile
	Reconnect    Verb = "reconnect"     // soft_connect off and on
	Rebind       Verb = "rebind"        // UDC unbound and bound
	RebindDriver Verb = "rebind-driver" // the controller's driver unbound and bound
	Readdress    Verb = "readdress"     // plan again, with other subnets
	Restore      Verb = "restore"       // apply again what is wanted, for a controller that came back
	Ask          Verb = "count"         // Counts is wanted
	Probe        Verb = "probe"         // send the leased hosts something that they answer
	Show         Verb = "led"           // LED
	Save         Verb = "save"          // the table has changed
	Report       Verb = "report"        // to the log, nothing else
)

// Disruptive reports whether the verb is answered by Done.
func (v Verb) Disruptive() bool {
	return v == Switch || v == Reconnect || v == Rebind || v == RebindDriver || v == Readdress || v == Restore
}

// unplugs reports whether the host sees an unplug.
func (v Verb) unplugs() bool { return v.Disruptive() && v != Readdress && v != Restore }

// Action is what is to be done now, and why.
type Action struct {
	Do      Verb
	Profile verdict.Profile // of Switch
	LED     led.State       // of Show
	Why     string
}
