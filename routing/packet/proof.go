package packet

import (
	"slices"
)

// Exit is a way out of the machine that some packet takes.
type Exit struct {
	From    string `json:"from"` // the device it came in by; empty: this machine sent it
	Dev     string `json:"dev"`  // the device it leaves by
	Family  int    `json:"family"`
	Proto   string `json:"proto"`
	State   string `json:"state"`
	Certain bool   `json:"certain"`
	Count   int    `json:"count"`  // how many of the packets that were tried take it
	Sample  Packet `json:"sample"` // one of them
	Result  Result `json:"-"`      // what became of it
}

// Proof is what Exits has found.
type Proof struct {
	Exits []Exit `json:"exits"`
	Tried int    `json:"tried"`
	// Complete: a packet of every class was tried that the rules and routes tell apart by
	// destination, protocol, port and state. False if there were more than maxTries.
	Complete bool `json:"complete"`
}

// maxTries bounds the packets of one device and family: rulesets tell few classes apart, but
// large sets of addresses tell many.
const maxTries = 4000

// Exits sends packets of every kind from the devices named (an empty name is this machine
// itself) and lists by which devices they get out. The kinds are not drawn by lot: the bounds of
// all addresses and ports that a rule, a set or a route mentions divide the packets into
// classes, and one of each is tried, as a first packet and as one of an older flow. Of large
// sets the first elements stand for all, and the proof is then not complete. Packets of this
// machine carry no mark: what a program marks by itself is its own affair.
func Exits(w World, from []string) Proof {
	out := Proof{Complete: true}
	type id struct {
		from, dev, proto, state string
		family                  int
		certain                 bool
	}
	at := map[id]int{}
	for _, dev := range from {
		for _, family := range []int{4, 6} {
			k := classesOf(w, family)
			out.Complete = out.Complete && k.complete
			tries := 0
			for _, src := range k.sources(w, dev) {
				for _, p := range k.packets(dev, src) {
					if tries++; tries > maxTries {
						out.Complete = false
						break
					}
					out.Tried++
					r := Explain(w, p)
					if r.Verdict != Leaves || r.Dev == dev {
						continue
					}
					key := id{dev, r.Dev, p.Proto, p.State, family, r.Certain}
					i, ok := at[key]
					if !ok {
						i = len(out.Exits)
						at[key] = i
						out.Exits = append(out.Exits, Exit{From: dev, Dev: r.Dev, Family: family, Proto: p.Proto, State: p.State, Certain: r.Certain, Sample: p, Result: r})
					}
					out.Exits[i].Count++
				}
			}
		}
	}
	return out
}

// Only reports the exits that are not by one of these devices: what a kill switch must not have.
// An exit that could not be judged counts.
func (p Proof) Only(devs ...string) (leaks []Exit) {
	for _, e := range p.Exits {
		if !slices.Contains(devs, e.Dev) {
			leaks = append(leaks, e)
		}
	}
	return leaks
}
