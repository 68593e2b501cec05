package life

import (
	"net/netip"

	"github.com/provision-net/provision/gadget/verdict"
)

// State is that of a controller, as the kernel spells it (drivers/usb/common/common.c
// usb_state_string), and empty while there is no controller.
type State string

// The states.
const (
	Absent          State = ""
	NotAttached     State = "not attached"
	Attached        State = "attached"
	Powered         State = "powered"
	Reconnecting    State = "reconnecting"
	Unauthenticated State = "unauthenticated"
	Default         State = "default"
	Addressed       State = "addressed"
	Configured      State = "configured"
	Suspended       State = "suspended"
)

// host reports whether a host has done something with the device in this state.
func (s State) host() bool {
	return s == Default || s == Addressed || s == Configured || s == Suspended
}

// Event is a fact that came in.
type Event interface{ event() }

type (
	// UDC is the controller's state. It is told at the start, and whenever the kernel says that it
	// may have changed, even if it has not.
	UDC struct{ State State }
	// Carrier of a link of the gadget; of one that does not exist it is false. In a profile of two
	// configurations the link with carrier tells which one the host chose.
	Carrier struct {
		Link string
		Up   bool
	}
	// Counts answers the action Count.
	Counts struct{ Links []Count }
	// Heard is a packet that the server got on a link of the gadget: DISCOVER, SOLICIT, router
	// solicitation, whatever it answers. Seen is what the host showed of itself in it.
	Heard struct {
		Link string
		Seen verdict.Seen
	}
	// Leased tells whether a host has a lease on a link of the gadget.
	Leased struct{ Up bool }
	// Logged is a line of the kernel log that is about the controller.
	Logged struct{ Line string }
	// Ways tells which ways out there are.
	Ways struct{ Uplink, Tunnel bool }
	// Overlaps are all clashes of the gadget's subnets with others, none when all is well.
	Overlaps struct{ List []Overlap }
	// Done tells that a disruptive action has ended.
	Done struct {
		Do  Verb
		Err error
	}
)

func (UDC) event()      {}
func (Carrier) event()  {}
func (Counts) event()   {}
func (Heard) event()    {}
func (Leased) event()   {}
func (Logged) event()   {}
func (Ways) event()     {}
func (Overlaps) event() {}
func (Done) event()     {}

// Count is packets of one link's device, since the kernel made it.
type Count struct {
	Link   string
	RX, TX uint64
}

// Overlap is a subnet of the gadget that a route of another device covers or is covered by.
type Overlap struct {
	Ours, Theirs netip.Prefix
	Device       string
}
