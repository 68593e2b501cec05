// Package conntrack ends connections that the kernel tracks and translates to an address: their
// next packet is then the first one of a new connection, which goes by the present routes and
// gets the address of the interface it leaves by.
package conntrack

import "errors"

// ErrUnsupported says that this system tracks no connections that can be asked for.
var ErrUnsupported = errors.New("this kernel has no ctnetlink (CONFIG_NF_CT_NETLINK)")
