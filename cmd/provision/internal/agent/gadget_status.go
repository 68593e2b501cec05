package agent

import (
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/gadget/life"
	"github.com/provision-net/provision/gadget/verdict"
)

// GadgetSocket is where a running `gadget watch` answers.
const GadgetSocket = "/run/provision/gadget.sock"

// GadgetStatus is how the gadgets fare.
type GadgetStatus struct {
	// Controllers are those of the machine, whoever holds them.
	Controllers []Controller      `json:"controllers"`
	Gadgets     []GadgetOne       `json:"gadgets"`
	Links       []GadgetLinkState `json:"links"`
	// Watched: `gadget watch` runs; Served: `provision serve` does.
	Watched bool `json:"watched"`
	Served  bool `json:"server_running"`
	// Hosts is what profile auto remembers, the host that was seen last first.
	Hosts []verdict.Entry `json:"hosts,omitempty"`
}

// Controller is a USB device controller.
type Controller struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Speed string `json:"speed,omitempty"`
}

// GadgetOne is one gadget as it was brought up, and as it is.
type GadgetOne struct {
	gadget.Device
	// Bound is the controller that it is bound to now.
	Bound string `json:"bound"`
	State string `json:"state"` // of that controller
	// Life is what the watch knows of it.
	Life *life.Status `json:"life,omitempty"`
}

// GadgetLinkState is a link as it is.
type GadgetLinkState struct {
	GadgetLink
	There   bool     `json:"there"`
	Up      bool     `json:"up"`
	Carrier bool     `json:"carrier"`
	Live    []string `json:"live_addresses,omitempty"`
	RX      uint64   `json:"rx_packets"`
	TX      uint64   `json:"tx_packets"`
	// Leases are those of hosts on it.
	Leases []control.Lease `json:"leases,omitempty"`
}

// Well reports whether everything that was brought up is there.
func (s GadgetStatus) Well() bool {
	for _, g := range s.Gadgets {
		if g.Bound == "" || g.Bound != g.UDC {
			return false
		}
	}
	for _, l := range s.Links {
		if !l.There || !l.Up {
			return false
		}
	}
	return true
}
