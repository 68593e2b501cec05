package forward

import (
	"context"
	"net"
	"net/netip"
)

// Source says where questions to an upstream leave from. Both may be empty.
type Source struct {
	Interface string     // SO_BINDTODEVICE
	Addr      netip.Addr // local address; the port is always the kernel's choice
}

// Dialer makes the sockets towards upstreams.
type Dialer interface {
	// DialUDP returns a connected UDP socket with a fresh random local port (RFC 5452 section 4.5). Being connected, it
	// gets datagrams of that peer only, and ICMP errors come back as errors of Read and Write, which is what makes a
	// dead server known at once.
	DialUDP(ctx context.Context, from Source, to netip.AddrPort) (net.Conn, error)
	// DialTCP connects within the context's deadline, with TCP_NODELAY.
	DialTCP(ctx context.Context, from Source, to netip.AddrPort) (net.Conn, error)
}
