package bridge

import "fmt"

// ID is who a bridge is in the spanning tree: its priority, and then its MAC (IEEE 802.1D-1998 section 9.2.5).
// The lowest of all is the root.
type ID struct {
	Priority uint16
	MAC      string
}

// String is the form of bridge(8): 8000.02:00:00:00:00:01, the priority in hexadecimal digits.
func (i ID) String() string { return fmt.Sprintf("%04x.%s", i.Priority, i.MAC) }

// Spanning is how a bridge stands in its spanning tree now.
type Spanning struct {
	Own, Root ID
	RootCost  uint32 // of the way to the root; 0 at the root
	RootPort  uint16 // number of the port on that way; 0 at the root
	Ports     []SpanningPort
}

// SpanningPort is a port of it.
type SpanningPort struct {
	Name  string
	No    uint16
	State string // one of the constants below
	Cost  uint32
	// Designated is who has the best way to the root of all bridges at this port, this one among them, and
	// DesignatedCost what that costs from there.
	Designated     ID
	DesignatedCost uint32
}

// States of a port (IEEE 802.1D-1998 section 8.4).
const (
	Disabled   = "disabled"
	Listening  = "listening"
	Learning   = "learning"
	Forwarding = "forwarding"
	Blocking   = "blocking"
)
