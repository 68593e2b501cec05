package lease

import (
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Table is who holds what. It is safe for concurrent use.
type Table struct{}

func NewTable(Options) *Table                                             { panic("not built yet") }
func (*Table) Configure([]Network) error                                  { panic("not built yet") }
func (*Table) Of(network string, k Key) (Lease, bool)                     { panic("not built yet") }
func (*Table) At(addr netip.Addr) (Lease, bool)                           { panic("not built yet") }
func (*Table) ByHW(network string, hw HW) []Lease                         { panic("not built yet") }
func (*Table) All() []Lease                                               { panic("not built yet") }
func (*Table) ReservationOf(network string, c Client) (Reservation, bool) { panic("not built yet") }
func (*Table) Advance(now clock.Instant) []Lease                          { panic("not built yet") }
func (*Table) Next() (clock.Instant, bool)                                { panic("not built yet") }
func (*Table) Restore([]Lease, clock.Instant)                             { panic("not built yet") }
func (*Table) Written(Record)                                             { panic("not built yet") }
func (*Table) Withdraw(network string, k Key)                             { panic("not built yet") }
func (*Table) Addrs(label string) []netip.Addr                            { panic("not built yet") }
func (*Table) Name(addr netip.Addr) (string, bool)                        { panic("not built yet") }
func (*Table) Quarantine(network string, addr netip.Addr, until, now clock.Instant) *Record {
	panic("not built yet")
}
func (*Table) Propose(network string, c Client, wish netip.Addr, until, now clock.Instant) (Proposal, error) {
	panic("not built yet")
}
func (*Table) Bind(network string, c Client, addr netip.Addr, expiry, now clock.Instant) (Lease, *Record, error) {
	panic("not built yet")
}
func (*Table) Release(network string, k Key, addr netip.Addr, now clock.Instant) (*Record, bool) {
	panic("not built yet")
}
func (*Table) Decline(network string, k Key, addr netip.Addr, until, now clock.Instant) (*Record, bool) {
	panic("not built yet")
}
