package dns

import (
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// Local is what is answered without asking anybody: local zones, special names, private reverse zones (package zone).
// Its methods are called at once from several goroutines, for every query, and allocate nothing when they can help it.
type Local interface {
	// Answer appends the answer and authority records for q to msg, which begins with a header and the question as it
	// was asked, so that its name may be referred to as 0xc00c. ok is false for a question that is not for it to
	// answer; msg is returned as it was then. The header is the caller's to complete from the result.
	Answer(msg []byte, q *wire.Query, link string, now clock.Instant) (reply []byte, result LocalResult, ok bool)
	// Route is the longest matching domain's group of upstreams. ok is false when no domain matches: the link's own
	// group is asked then. The name is in lower-case wire form.
	Route(name []byte) (group string, ok bool)
	// Forbidden says whether an answer from upstream for name must not hold addr: rebind protection, without its
	// exceptions. IPv4-mapped and NAT64 addresses are for it to see through.
	Forbidden(name []byte, addr netip.Addr) bool
}

// LocalResult is what belongs into the header of a local answer.
type LocalResult struct {
	Answers, Authority int
	Rcode              int
	AA                 bool
	EDE                int    // wire.NoEDE for none
	Reason             string // why, for refusals: a stable word; empty for an ordinary answer
}

// Nothing is a Local that knows nothing and forbids nothing.
type Nothing struct{}

// Answer has no answer.
func (Nothing) Answer(msg []byte, _ *wire.Query, _ string, _ clock.Instant) ([]byte, LocalResult, bool) {
	return msg, LocalResult{}, false
}

// Route has no route.
func (Nothing) Route([]byte) (string, bool) { return "", false }

// Forbidden forbids nothing.
func (Nothing) Forbidden([]byte, netip.Addr) bool { return false }
