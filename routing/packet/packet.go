// Package packet explains what becomes of a packet: which rule of which table meets it, which
// route it takes, what NAT makes of it, and whether it leaves, is delivered or is lost. It is a
// pure simulator of the kernel's path over data: facts (links, addresses, routes, policy rules)
// and the tables of nf_tables as they are or as they would be.
//
// What the simulator cannot know (a match of somebody else's that it cannot read, a user id
// that nobody gave) makes its answer uncertain; it never guesses.
package packet

import (
	"net/netip"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
)

// World is the machine.
type World struct {
	Facts *facts.Facts
	// Tables are all tables of nf_tables, ours and foreign ones, in the kernel's order.
	Tables []nft.Table
	// Planned: the own table was compiled and not read from the kernel, so what its sets have
	// learnt is not known.
	Planned bool
}

// States of connection tracking that a packet can be given.
const (
	New         = "new"
	Established = "established"
)

// Packet is what is sent. To is needed; Proto is tcp, udp, icmp (of the family) or a protocol
// number.
type Packet struct {
	From  netip.Addr `json:"from,omitzero"` // zero: the address that the route gives (packets of this machine)
	To    netip.Addr `json:"to"`
	Proto string     `json:"proto"`
	Sport uint16     `json:"sport,omitempty"` // 0: some ephemeral port
	Dport uint16     `json:"dport,omitempty"`
	In    string     `json:"in,omitempty"` // the device it comes in by; empty: this machine sends it
	State string     `json:"state,omitempty"`
	Mark  uint32     `json:"mark,omitempty"`

	Flags    uint8  `json:"tcp_flags,omitempty"` // 0: SYN when new, ACK when established
	ICMPType *uint8 `json:"icmp_type,omitempty"` // nil: echo request
	ICMPCode uint8  `json:"icmp_code,omitempty"`
	TTL      uint8  `json:"ttl,omitempty"`    // 0: 64, and 255 for neighbour discovery
	Length   int    `json:"length,omitempty"` // of the IP packet in bytes; 0: not known
	UID      *int   `json:"uid,omitempty"`    // owner of the sending socket; nil: not known
	Out      string `json:"out,omitempty"`    // device the sending socket is bound to

	// Reply asks also what the answer to it will meet.
	Reply bool `json:"reply,omitempty"`
	// All keeps in the trace the rules that do not match, too.
	All bool `json:"all,omitempty"`
}

// Verdict is what becomes of the packet.
type Verdict string

const (
	Leaves    Verdict = "leaves"    // by Dev
	Delivered Verdict = "delivered" // to this machine
	Dropped   Verdict = "dropped"   // silently
	Rejected  Verdict = "rejected"  // the sender is told
	NoRoute   Verdict = "no route"
)

// Result is the answer.
type Result struct {
	Verdict Verdict `json:"verdict"`
	// Certain is false if something that may change the verdict could not be judged; Doubts
	// say what. Verdict is then what happens if none of it applies.
	Certain bool     `json:"certain"`
	Doubts  []string `json:"doubts,omitempty"`
	Why     string   `json:"why"`          // who decided, in a sentence
	By      *Step    `json:"by,omitempty"` // the rule or policy that decided, if one did

	Dev     string     `json:"dev,omitempty"`
	Gateway netip.Addr `json:"gateway,omitzero"`
	Src     netip.Addr `json:"src,omitzero"` // as it leaves or is delivered
	Dst     netip.Addr `json:"dst,omitzero"`
	Sport   uint16     `json:"sport,omitempty"`
	Dport   uint16     `json:"dport,omitempty"`
	Mark    uint32     `json:"mark,omitempty"`
	Table   uint32     `json:"table,omitempty"` // of the route that was taken

	Steps []Step  `json:"steps"`
	Reply *Result `json:"reply,omitempty"`

	packet Packet
	flow   *flow
}

// Passes reports whether the packet leaves or is delivered for certain.
func (r Result) Passes() bool {
	return r.Certain && (r.Verdict == Leaves || r.Verdict == Delivered)
}

// Step is one line of the trace.
type Step struct {
	Hook    string `json:"hook"` // prerouting, routing, input, forward, output, postrouting
	Family  string `json:"family,omitempty"`
	Table   string `json:"table,omitempty"`
	Chain   string `json:"chain,omitempty"`
	Rule    int    `json:"rule,omitempty"` // from 1; 0: not a rule (policy, route, NAT of a known flow)
	Depth   int    `json:"depth,omitempty"`
	Text    string `json:"text"`
	Comment string `json:"comment,omitempty"`
	Effect  string `json:"effect"`
	Match   bool   `json:"match"`
}

// Explain follows the packet.
func Explain(w World, p Packet) Result {
	r := explain(w, p)
	if p.Reply && r.Verdict != NoRoute && (r.Verdict == Leaves || r.Verdict == Delivered) {
		a := answer(w, p, r)
		r.Reply = &a
	}
	return r
}

func explain(w World, p Packet) Result {
	if p.State != Established {
		m := newMachine(w, p)
		m.s.ctState = nft.StateNew
		return m.run()
	}
	// NAT and marks of a flow were decided by its first packet.
	first := p
	first.State, first.Flags, first.Reply = New, 0, false
	m0 := newMachine(w, first)
	m0.s.ctState = nft.StateNew
	r0 := m0.run()
	m := newMachine(w, p)
	m.s.ctState = nft.StateEstablished
	m.s.flow = m0.s.flow.settled()
	if r0.Verdict != Leaves && r0.Verdict != Delivered {
		m.note("the first packet of such a flow is " + string(r0.Verdict) + " today; this one is of a flow that is older")
	}
	return m.run()
}

// answer follows the reply to a packet that was sent or delivered.
func answer(w World, p Packet, r Result) Result {
	q := Packet{From: r.Dst, To: r.Src, Proto: p.Proto, Sport: r.Dport, Dport: r.Sport, State: Established, All: p.All, Flags: flagSYN | flagACK, TTL: p.TTL}
	if r.Verdict == Leaves {
		q.In = r.Dev
	}
	if r.packet.ICMPType == nil {
		t := uint8(0)
		if r.Dst.Is6() {
			t = 129
		}
		q.ICMPType = &t
	}
	m := newMachine(w, q)
	m.s.ctState = nft.StateEstablished
	m.s.flow = r.flow.settled()
	m.s.reply = true
	return m.run()
}
