package watch

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// Job looks at the state and says what should be done. It belongs to one goroutine.
type Job interface {
	Name() string
	// Needs tells what the job looks at. It is asked before each look.
	Needs() Needs
	// Look is called when something that the job needs may have changed.
	Look(s *State) []Repair
}

// Needs is what a job looks at.
type Needs struct {
	Parts    facts.Parts
	NFT      bool // look also when a table of nf_tables has changed
	Martians bool
	Proxies  bool
	Refs     []provision.Ref // State.Have
	// Every is the longest pause between two looks; 0: only when something has changed, or the
	// whole state is read again.
	Every time.Duration
}

// Rememberer is a job that has to know something of before.
type Rememberer interface {
	// Remember returns what is to be kept, and whether that has changed since the last call.
	Remember() (state any, changed bool)
	Recall(state json.RawMessage) error
}

// Waker is a job that wants to look again at a certain time; zero: no.
type Waker interface {
	Wake() time.Time
}

// Ender is a job that has to know how its Run went.
type Ender interface {
	Ended(now time.Time, err error)
}

// Repair is one thing to be done, or to be told. Of Routes, Sysctl, Proxy, Set, Run and Sample
// at most one is given; none makes it a note: Why is told once, as long as it is true.
type Repair struct {
	Key string // what it is about: "inet table 1000: default route"
	Why string // for people

	Routes []facts.Route // put in place, in this order
	Sysctl *Sysctl
	Proxy  *Proxy
	Set    *Fix
	Run    *Run
	Sample *Sample

	// Urgent keeps the pauses short where somebody undoes it: a firewall must not stay open.
	Urgent bool
	// Harmless makes a note an information, not a warning.
	Harmless bool
}

// Note reports whether there is nothing to do.
func (r Repair) Note() bool {
	return r.Routes == nil && r.Sysctl == nil && r.Proxy == nil && r.Set == nil && r.Run == nil && r.Sample == nil
}

// What says in short what the repair does.
func (r Repair) What() string {
	switch {
	case r.Routes != nil:
		var b strings.Builder
		for i, rt := range r.Routes {
			if i > 0 {
				b.WriteString("; ")
			}
			fmt.Fprintf(&b, "route %s", rt.Dst)
			if rt.Gateway.IsValid() {
				fmt.Fprintf(&b, " via %s", rt.Gateway)
			}
			fmt.Fprintf(&b, " device %d table %d", rt.Link, rt.Table)
			if rt.Metric != 0 {
				fmt.Fprintf(&b, " metric %d", rt.Metric)
			}
		}
		return b.String()
	case r.Sysctl != nil:
		return r.Sysctl.String()
	case r.Proxy != nil:
		return fmt.Sprintf("answer for %s on %s", r.Proxy.Addr, r.Proxy.Link)
	case r.Set != nil:
		return "set " + r.Set.Want.Ref.String()
	case r.Run != nil:
		return "run " + r.Run.String()
	case r.Sample != nil:
		return "look at packets for " + r.Sample.For.String()
	}
	return "nothing"
}

// Sysctl is a parameter of a device: net.FAMILY.conf.LINK.KEY.
type Sysctl struct {
	Family     string // ipv4, ipv6
	Link       string
	Key, Value string
}

func (s Sysctl) String() string {
	return fmt.Sprintf("net.%s.conf.%s.%s=%s", s.Family, s.Link, s.Key, s.Value)
}

// Proxy is an address to be answered for on a device.
type Proxy struct {
	Link  string
	Index int
	Addr  netip.Addr
}

// Fix brings a reference from Have to what Want says.
type Fix struct {
	Want provision.Want
	Have provision.Attrs
}

// Run is a command, or a small procedure: argument lists, no shell.
type Run struct {
	Command []string
	// List, when given, is run first: each line that it prints, made of letters, digits, dots and
	// dashes only, is put in the place of "{}" in each command of Each, line by line.
	List []string
	Each [][]string

	Env     []string      // PROVISION_INTERFACES and the like, added to a clean environment
	Timeout time.Duration // of each command
}

// String shows the commands.
func (r Run) String() string {
	if r.List == nil {
		return strings.Join(r.Command, " ")
	}
	parts := []string{strings.Join(r.List, " ")}
	for _, e := range r.Each {
		parts = append(parts, strings.Join(e, " "))
	}
	return strings.Join(parts, ", then for each line ")
}

// Sample asks which packets the kernel drops as martians: source and interface.
type Sample struct {
	For  time.Duration
	Most int // different ones
}

// Martian is a packet that the kernel drops because of its addresses.
type Martian struct {
	Link    string     `json:"interface"`
	Src     netip.Addr `json:"source"`
	Dst     netip.Addr `json:"destination"`
	Packets int        `json:"packets"` // seen, of those looked at
}

func (m Martian) String() string {
	return fmt.Sprintf("from %s to %s on %s (%d)", m.Src, m.Dst, m.Link, m.Packets)
}
