package watching

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/provision-net/provision/provision/host/delegate"
	"github.com/provision-net/provision/routing/delegation"
	"github.com/provision-net/provision/routing/delegation/pd"
)

// Links are the links of this network namespace, for clients of prefix delegation.
type Links struct{}

// Open implements delegation.Link. The kernel makes the link-local address that servers answer to.
func (Links) Open(ctx context.Context, device string) (delegation.Conn, []byte, error) {
	l, err := net.InterfaceByName(device)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot ask for a prefix on %s: %w", device, err)
	}
	if len(l.HardwareAddr) != 6 {
		return nil, nil, fmt.Errorf("cannot ask for a prefix on %s: it has no Ethernet address, of which the identifier of this machine is made", device)
	}
	c, err := delegate.Open(ctx, device)
	if err != nil {
		return nil, nil, err
	}
	return delegated{c}, delegate.DUID(l.HardwareAddr), nil
}

// Rand implements delegation.Link.
func (Links) Rand() float64 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it does not fail (Go 1.24)
	return float64(binary.BigEndian.Uint32(b[:]))/float64(1<<32)*0.2 - 0.1
}

// XID implements delegation.Link.
func (Links) XID() (id [3]byte) {
	_, _ = rand.Read(id[:])
	return id
}

type delegated struct{ *delegate.Conn }

// Send implements delegation.Conn.
func (d delegated) Send(m pd.Message, length int) error {
	out := delegate.Message{Type: uint8(m.Type), XID: m.XID, Client: m.Client, Server: m.Server, IAID: m.IAID, HasIA: m.HasIA, Elapsed: m.Elapsed, Length: length}
	for _, p := range m.Prefix {
		out.Prefixes = append(out.Prefixes, delegate.Prefix(p))
	}
	return d.Conn.Send(out)
}

// Receive implements delegation.Conn.
func (d delegated) Receive(iaid uint32, deadline time.Time) (pd.Message, error) {
	in, err := d.Conn.Receive(iaid, deadline)
	if err != nil {
		return pd.Message{}, err
	}
	out := pd.Message{Type: pd.Type(in.Type), XID: in.XID, Client: in.Client, Server: in.Server, IAID: in.IAID, HasIA: in.HasIA,
		T1: in.T1, T2: in.T2, Status: in.Status, IA: in.IA, Pref: in.Preference, Elapsed: in.Elapsed, MaxRT: in.MaxRT}
	for _, p := range in.Prefixes {
		out.Prefix = append(out.Prefix, pd.Prefix(p))
	}
	return out, nil
}
