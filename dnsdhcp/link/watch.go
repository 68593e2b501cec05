package link

import (
	"log/slog"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Config is what a Watcher needs.
type Config struct {
	Clock      clock.Clock  // for Addr.At
	Log        *slog.Logger // nil discards
	Neighbours bool         // follow the neighbour tables as well: many events on busy links
}

// Status counts what a Watcher went through.
type Status struct {
	Events  uint64 // netlink messages
	Overrun uint64 // times that the kernel lost events for want of room, after which everything is read anew
	Dumps   uint64 // lists that were read
}
