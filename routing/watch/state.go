package watch

import (
	"net/netip"
	"slices"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// State is one reading of the machine. It is valid until the next one; jobs keep copies.
type State struct {
	*facts.Live
	Now time.Time
	// Martians are the kernel's counters, and Proxies what it answers for: read only when a job
	// needs them.
	Martians Martians
	Proxies  []Neighbour
	// Have are the present values of references that a job needs: those that were read for this
	// look. A reference that is not in it is not known.
	Have map[provision.Ref]provision.Attrs
}

// Martians counts packets that the kernel dropped because of their addresses, since the boot of
// this network namespace.
type Martians struct {
	ReversePath uint64 `json:"reverse_path"` // TcpExt IPReversePathFilter of /proc/net/netstat: rp_filter
	Source      uint64 `json:"source"`       // in_martian_src of /proc/net/stat/rt_cache: of the whole machine, the former among them
	Destination uint64 `json:"destination"`  // in_martian_dst, of the whole machine
}

// Neighbour is an address that is answered for on a device.
type Neighbour struct {
	Index int
	Addr  netip.Addr
}

// link finds a device by its index: links are sorted by it.
func (s *State) link(index int) (facts.Link, facts.DeviceConf, bool) {
	i, ok := slices.BinarySearchFunc(s.Links, index, func(l facts.Link, index int) int { return l.Index - index })
	if !ok {
		return facts.Link{}, facts.DeviceConf{}, false
	}
	return s.Links[i], s.Conf[i], true
}

// byName finds a device by its name.
func (s *State) byName(name string) (facts.Link, facts.DeviceConf, bool) {
	for i := range s.Links {
		if s.Links[i].Name == name {
			return s.Links[i], s.Conf[i], true
		}
	}
	return facts.Link{}, facts.DeviceConf{}, false
}

// Event says what may have changed.
type Event struct {
	Parts facts.Parts
	NFT   bool // an nf_tables table
	Count int
	// Causes are the first of what happened, for the log and to name who fights.
	Causes  []Cause
	Overrun bool // events were lost: everything may have changed
}

// Cause is one thing that happened.
type Cause struct {
	What  string // "route4 of table 1000 gone"
	Table uint32 // of a route or rule
	Index int    // of the device that has changed, or its addresses
	NFT   bool   // in nf_tables
	Gone  bool
	Who   string // the process that did it, as far as known: "systemd-networkd, process 411"
}

// add joins another event to e.
func (e *Event) add(o Event) {
	e.Parts |= o.Parts
	e.NFT = e.NFT || o.NFT
	e.Count += o.Count
	e.Overrun = e.Overrun || o.Overrun
	if room := maxCauses - len(e.Causes); room > 0 {
		e.Causes = append(e.Causes, o.Causes[:min(room, len(o.Causes))]...)
	}
	if o.Overrun {
		e.Parts, e.NFT = facts.AllParts, true
	}
}

// maxCauses is how many causes are kept of what came together.
const maxCauses = 16

// Join makes one event of two.
func Join(a, b Event) Event {
	a.Causes = a.Causes[:len(a.Causes):len(a.Causes)]
	a.add(b)
	return a
}
