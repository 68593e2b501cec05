// Package trace remembers what the servers did and why, for as long as there is room: the answer to "why did this
// client get no address?" must not depend on somebody having turned a log on beforehand.
package trace

import (
	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Entry is one thing that happened. Reason is one of the constants of the package that reports it, never text from
// the network; all other strings may hold anything and are escaped by whoever shows them.
type Entry struct {
	At     clock.Instant
	Link   string // interface
	Proto  string // dhcp4, dhcp6, ra, dns, mdns, link
	What   string // what came in or happened: DISCOVER, REQUEST, RS, A ...
	HW     string // the client's hardware address, raw; empty if not known
	Name   string // the client's name, or the name asked for
	Addr   string // the address concerned
	Reply  string // what was answered: OFFER, ACK, NAK, NOERROR ...; empty for silence
	Reason string // why it was answered that way or not at all: a stable word
	Detail string // the same for people, with figures
}

// Recorder takes entries. It never blocks and bounds its memory.
type Recorder interface{ Record(Entry) }
