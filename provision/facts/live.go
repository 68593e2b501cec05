package facts

import (
	"errors"
	"strings"
)

// Parts are sorts of kernel state. A Reader reads the parts that it is asked for and keeps
// the others as they were.
type Parts uint16

// The parts.
const (
	PartLinks   Parts = 1 << iota // devices and their kernel parameters
	PartAddrs                     // addresses of both families
	PartRoutes4                   // routes of all IPv4 tables but local
	PartRoutes6
	PartRules4
	PartRules6
	AllParts = PartLinks | PartAddrs | PartRoutes4 | PartRoutes6 | PartRules4 | PartRules6
)

// String names the parts: "links,routes4".
func (p Parts) String() string {
	var names []string
	for i, name := range []string{"links", "addrs", "routes4", "routes6", "rules4", "rules6"} {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ",")
}

// DeviceConf are the kernel parameters of a device that a watcher compares: net.ipv4.conf and
// net.ipv6.conf of its name, as numbers. -1 is "the kernel did not say".
type DeviceConf struct {
	RPFilter, ProxyARP, LogMartians, Forwarding4 int32
	ProxyNDP, Forwarding6                        int32
}

// unsaid is a DeviceConf of which nothing is known.
func unsaid() DeviceConf { return DeviceConf{-1, -1, -1, -1, -1, -1} }

// Live is the kernel's state as a Reader has read it.
type Live struct {
	Network
	Conf []DeviceConf // of Links, by position
	All  DeviceConf   // of net.ipv4.conf.all and net.ipv6.conf.all: what the kernel tells of it
}

// ErrNoReader says that this system has no rtnetlink.
var ErrNoReader = errors.New("the kernel's state can be followed on Linux only")
