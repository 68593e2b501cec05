package killswitch

import (
	"net/netip"
	"time"
)

// Status is what a person sees.
type Status string

const (
	// Armed: nothing leaves but by the tunnel. Whether the tunnel is up is another question.
	Armed Status = "armed"
	// Open: by choice, or because every way out is trusted.
	Open Status = "open"
	// Broken: a layer is missing. Nothing is forwarded until it is back.
	Broken Status = "broken"
)

// Observation is what was read of the machine just now.
type Observation struct {
	// Missing is what Missing says of the guard.
	Missing []string
	// Unreachable4 and 6: the last default route of the tunnel's table is there.
	Unreachable4, Unreachable6 bool
	// Rules are policy rules towards the tunnel's table that are missing, for people.
	Rules []string
	// Forwarding4 and 6: any value but 0.
	Forwarding4, Forwarding6 bool
	// NoIPv6: the kernel has none, so it needs neither route nor switch.
	NoIPv6 bool
	Tunnel TunnelState
	// Uplinks are the ways out that are up: not the tunnel, not inside.
	Uplinks []Uplink
	// Synchronised: the clock is.
	Synchronised bool
	// Detours are those that are in place.
	Detours Detours
}

// TunnelState is what is known of the tunnel's device.
type TunnelState struct {
	Present, Up bool
	// Fresh: a peer was heard within three minutes (WireGuard gives a session up after 180 s), or
	// the tunnel is of a sort that cannot tell.
	Fresh bool
}

// Uplink is one way out.
type Uplink struct {
	Name string
	Wifi bool
	// SSID is empty when it is not Wi-Fi, or not known.
	SSID string
	// Encrypted: the Wi-Fi asks for a key. Not known is false.
	Encrypted bool
	// DNS are the name servers that its network gave.
	DNS []netip.Addr
}

// Ask is what a person asked for.
type Ask struct {
	// Open opens every way out, for a time or with 0 until it is closed or the machine restarts.
	// Close ends that and any window.
	Open, Close bool
	// Window opens what a captive portal needs, for this machine (Self), a client, or both.
	Window, Self bool
	Client       netip.Addr
	For          time.Duration
	Who          string // for the log
}

// State is what the switch remembers. The zero value is that of a fresh start.
type State struct {
	Status  Status   `json:"status"`
	Reasons []string `json:"reasons,omitempty"` // why it is broken, or open
	Notes   []string `json:"notes,omitempty"`   // what else is to know: no tunnel, a window
	// Times are since the machine's start (CLOCK_BOOTTIME): wall clocks jump on machines that
	// have no clock chip.
	Since     time.Duration `json:"since"`
	OpenUntil time.Duration `json:"open_until,omitempty"` // 0: not by choice
	Window    Window        `json:"window,omitzero"`

	clean  bool          // the learnt sets hold what is told here and nothing else
	open   []string      // what is in SetOpen because of us
	done   []uint16      // what is in SetDone because of us
	renew  time.Duration // when SetOpen was filled
	closed time.Duration // when SetDone was filled
}

// Window is an open portal's window.
type Window struct {
	Until  time.Duration `json:"until"` // 0: none
	Self   bool          `json:"self,omitempty"`
	Client netip.Addr    `json:"client,omitzero"`
}

// Verb is what an action does.
type Verb string

// Verbs.
const (
	Forward Verb = "forward" // switch forwarding of Family to On
	Table   Verb = "table"   // bring the own table about
	Route   Verb = "route"   // bring the unreachable default route of Family about
	Rules   Verb = "rules"   // bring the policy rules about
	Clear   Verb = "clear"   // empty Set
	Add     Verb = "add"     // put Key into Set, for Timeout; renew it if it is there
	Around  Verb = "detours" // have exactly Detours in place
	Log     Verb = "log"     // tell Text
)

// Action is one effect, as data.
type Action struct {
	Do      Verb          `json:"do"`
	Family  int           `json:"family,omitempty"`
	On      bool          `json:"on,omitempty"`
	Set     string        `json:"set,omitempty"`
	Key     []byte        `json:"key,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	Detours Detours       `json:"detours,omitzero"`
	Text    string        `json:"text,omitempty"`
}
