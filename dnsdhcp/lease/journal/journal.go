// Package journal keeps leases on stable storage: an append-only file of checksummed records, written in groups.
package journal

import (
	"log/slog"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// Options of Open.
type Options struct {
	Dir   string
	Clock clock.Waker
	Log   *slog.Logger // nil: none
}

// Journal is the open file.
type Journal struct{}

// Open takes the directory for this process alone and loads what it holds.
func Open(Options) (*Journal, error) { panic("not built yet") }

// Leases is what was loaded, in the present boot's time, for Table.Restore.
func (*Journal) Leases() []lease.Lease { panic("not built yet") }

// Commit queues records. Done is called with nil once all of them are on stable storage, with an error if they may
// not be; in the order of the calls and from one goroutine that it must not hold up.
func (*Journal) Commit(recs []lease.Record, done func(error)) { panic("not built yet") }

// Degraded is why nothing can be made durable at the moment, or nil.
func (*Journal) Degraded() error { panic("not built yet") }

// Save makes a value durable before it returns; nil deletes the key.
func (*Journal) Save(key string, value []byte) error { panic("not built yet") }

// Load returns a value as last saved.
func (*Journal) Load(key string) ([]byte, bool) { panic("not built yet") }

// Close writes what is queued and gives the directory back.
func (*Journal) Close() error { panic("not built yet") }
