package facts

import (
	"context"
	"net/netip"
)

// Kernel is the kernel's network state. The running system's comes from
// rtnetlink and sock_diag; a captured machine's from a file.
type Kernel interface {
	// Network dumps links, addresses, routes (without the table local) and rules.
	// What the dump does not know (driver, udev properties) is left empty.
	Network(ctx context.Context) (Network, error)
	// Sockets dumps the established TCP connections and the sockets that DHCP
	// clients hold (UDP 68 and 546).
	Sockets(ctx context.Context) (Sockets, error)
	// SameNetwork reports whether the process has the network namespace of the
	// caller; known is false when that cannot be told.
	SameNetwork(pid int) (same, known bool)
}

// Network is one consistent dump of the kernel's network configuration.
type Network struct {
	Links  []Link    `json:"links"`
	Addrs  []Address `json:"addresses,omitempty"`
	Routes []Route   `json:"routes,omitempty"`
	Rules  []Rule    `json:"rules,omitempty"`
	// Truncated says that there were more routes than are kept: a router with a
	// full table. Default routes are always kept.
	Truncated bool `json:"truncated,omitempty"`
}

// Sockets are the sockets that say who talks to whom.
type Sockets struct {
	TCP []Socket `json:"tcp,omitempty"`
	UDP []Socket `json:"udp,omitempty"`
}

// Socket is one internet socket of this network namespace.
type Socket struct {
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote,omitzero"`
	Link   int            `json:"link,omitempty"` // SO_BINDTODEVICE
	UID    int            `json:"uid"`
	Inode  uint64         `json:"inode,omitempty"`
}

// maxRoutes bounds the routes that are kept beside the default ones.
const maxRoutes = 10000
