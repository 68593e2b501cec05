// Package netevents tells that the kernel's network state has changed: links, addresses, routes
// and rules of both families, and kernel parameters of devices (rtnetlink(7)).
//
// It says that, not what: who hears of it reads the state again. For events are not the whole
// truth. The kernel drops the IPv4 routes of a device that goes down, in every table, and those
// whose source address is deleted, without a message (net/ipv4/fib_frontend.c fib_disable_ip,
// fib_sync_down_addr), and a reader that is too slow loses events. What came together is told
// together, with the first causes for the log.
package netevents

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is a sort of state, or a set of them.
type Kind uint16

// The kinds. Conf is a parameter of a device in net.ipv4.conf or net.ipv6.conf, of those that
// the kernel tells: forwarding, rp_filter, proxy_arp, proxy_ndp.
const (
	Link Kind = 1 << iota
	Addr4
	Addr6
	Route4
	Route6
	Rule4
	Rule6
	Conf
	All = Link | Addr4 | Addr6 | Route4 | Route6 | Rule4 | Rule6 | Conf
)

// String names the kinds: "link,route4".
func (k Kind) String() string {
	var names []string
	for i, name := range []string{"link", "addr4", "addr6", "route4", "route6", "rule4", "rule6", "conf"} {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ",")
}

// Cause is one event.
type Cause struct {
	Kind  Kind
	Gone  bool   // deleted, else new or changed
	Index int    // of the device, 0 when there is none
	Link  string // its name, where the event says it
	Table uint32 // of routes and rules
	// Port is the netlink port of who asked for it, 0 the kernel itself. A process's first
	// netlink socket has its process id (net/netlink/af_netlink.c netlink_autobind), so
	// Process is the name of that process where there is one: a hint, not a proof.
	Port    uint32
	Process string
}

// String is for the log: "link eth1", "route4 of table 1000 gone (ip, process 812)".
func (c Cause) String() string {
	var b strings.Builder
	b.WriteString(c.Kind.String())
	switch {
	case c.Table != 0:
		fmt.Fprintf(&b, " of table %d", c.Table)
	case c.Link != "":
		b.WriteString(" " + c.Link)
	case c.Index != 0:
		fmt.Fprintf(&b, " of device %d", c.Index)
	}
	if c.Gone {
		b.WriteString(" gone")
	}
	if who := c.Who(); who != "" {
		b.WriteString(" (" + who + ")")
	}
	return b.String()
}

// Who is the process that asked for it, as far as that can be told: "systemd-networkd, process
// 411".
func (c Cause) Who() string {
	switch {
	case c.Process != "":
		return fmt.Sprintf("%s, process %d", c.Process, c.Port)
	case c.Port != 0 && c.Port < 1<<22: // the most that a process id is, linux/threads.h PID_MAX_LIMIT
		return fmt.Sprintf("process %d, which has ended", c.Port)
	}
	return ""
}

// Batch is what has come since the last Take.
type Batch struct {
	Kinds   Kind
	Count   int     // events, those that matter
	Causes  []Cause // the first of them
	Overrun bool    // events were lost: Kinds is All
	First   time.Time
}

// Stats counts from the start.
type Stats struct {
	Events  uint64 // that matter
	Overrun uint64 // times that events were lost
}

// maxCauses is how many causes a batch has.
const maxCauses = 8

// ErrUnsupported says that this system has no rtnetlink.
var ErrUnsupported = errors.New("events of the network can be followed on Linux only")
