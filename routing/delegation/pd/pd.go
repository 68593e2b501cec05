// Package pd is a client of DHCPv6 prefix delegation (RFC 8415 sections 6.3 and 18.2) as a state machine:
// messages and times come in, messages and the time of the next look come out. Clock and randomness
// are given; who calls it has the socket and the codec.
package pd

import (
	"bytes"
	"net/netip"
	"time"
)

// Type of a message (RFC 8415 section 7.3).
type Type uint8

const (
	Solicit   Type = 1
	Advertise Type = 2
	Request   Type = 3
	Renew     Type = 5
	Rebind    Type = 6
	Reply     Type = 7
	Release   Type = 8
)

// Status codes (section 21.13).
const (
	Success       = 0
	NoBinding     = 3
	NoPrefixAvail = 6
)

// Infinity is a lifetime without end (section 7.7).
const Infinity = 0xffffffff * time.Second

// Message is what of a message concerns prefix delegation.
type Message struct {
	Type    Type
	XID     [3]byte
	Client  []byte // DUID
	Server  []byte // DUID
	IAID    uint32
	HasIA   bool // it has an IA_PD with that IAID
	T1, T2  time.Duration
	Prefix  []Prefix
	Status  int // of the message
	IA      int // status of the IA_PD
	Pref    uint8
	Elapsed time.Duration
	// MaxRT is SOL_MAX_RT as the server has it (section 21.24); 0: it does not say.
	MaxRT time.Duration
}

// Prefix is one prefix with its lifetimes from when it came.
type Prefix struct {
	Prefix           netip.Prefix
	Preferred, Valid time.Duration
}

// Lease is what a server has delegated.
type Lease struct {
	Server   []byte      `json:"server"`
	Prefixes []Delegated `json:"prefixes"`
	T1       time.Time   `json:"t1"` // of the renewal
	T2       time.Time   `json:"t2"` // of asking everybody
}

// Delegated is one prefix. A time that is zero is never.
type Delegated struct {
	Prefix    netip.Prefix `json:"prefix"`
	Preferred time.Time    `json:"preferred,omitzero"`
	Valid     time.Time    `json:"valid,omitzero"`
}

// Parameters of section 7.6.
const (
	solMaxDelay = time.Second
	solTimeout  = time.Second
	solMaxRT    = time.Hour
	reqTimeout  = time.Second
	reqMaxRT    = 30 * time.Second
	reqMaxRC    = 10
	renTimeout  = 10 * time.Second
	renMaxRT    = 10 * time.Minute
	rebTimeout  = 10 * time.Second
	rebMaxRT    = 10 * time.Minute
	cnfTimeout  = time.Second
	cnfMaxRT    = 4 * time.Second
	cnfMaxRD    = 10 * time.Second
	relTimeout  = time.Second
	relMaxRC    = 4
	relMaxRT    = time.Hour // there is none: four transmissions take 15 s
	// A server that gives nothing is not asked again and again at once.
	nothingPause = time.Minute
	leastT1      = 5 * time.Second
)

// valid reports whether a message answers the open exchange (sections 16.3 and 16.10).
func (c *Client) valid(m Message) bool {
	return c.open && m.XID == c.xid && len(m.Server) > 0 && bytes.Equal(m.Client, c.DUID) &&
		(m.Type == Advertise && c.state == soliciting || m.Type == Reply && c.state != soliciting)
}

// usable are the prefixes of a message that can be used, and whether its times make sense (section
// 21.21: T1 after T2 makes all of it void; section 21.22: preferred beyond valid makes that prefix so).
func usable(m Message) ([]Prefix, bool) {
	if !m.HasIA || m.T1 > m.T2 && m.T2 > 0 {
		return nil, false
	}
	var out []Prefix
	for _, p := range m.Prefix {
		if p.Preferred <= p.Valid && p.Prefix.IsValid() && p.Prefix.Addr().Is6() && p.Prefix.Bits() >= 1 && p.Prefix.Bits() <= 64 &&
			p.Prefix == p.Prefix.Masked() && !p.Prefix.Addr().IsMulticast() && !p.Prefix.Addr().IsLinkLocalUnicast() {
			out = append(out, p)
		}
	}
	return out, true
}

// some reports whether any of the prefixes lives.
func some(list []Prefix) bool {
	for _, p := range list {
		if p.Valid > 0 {
			return true
		}
	}
	return false
}
