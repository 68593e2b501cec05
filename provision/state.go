package provision

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// The types of this file are what the state directory holds; codec.go says how
// they are framed. Their JSON forms use text for every string that a resource or
// planner may fill with any bytes.

// ledger is the last commit: what was wanted, what was written, and what must run
// when a reference is given up.
type ledger struct {
	Seq      uint64        `json:"seq"` // the run that was committed last
	Time     time.Time     `json:"time"`
	Key      []byte        `json:"key"` // of the digests: equal secrets of two machines must not look equal
	Refs     []ledgerRef   `json:"refs"`
	Triggers []wireTrigger `json:"triggers,omitempty"`
	Holds    []wireHold    `json:"holds,omitempty"`
}

// ledgerRef is one reference of the last commit, in build-up order.
type ledgerRef struct {
	Ref  wireRef   `json:"ref"`
	Last wireAttrs `json:"last"` // digest per attribute last written; nil when removed
	// Lent marks state that exists on its own account (IfPresent): it is never
	// created by us, so it is never removed either.
	Lent bool `json:"lent,omitempty"`
}

// seen is one first-seen value: what was there before the reference was ever
// wanted.
type seen struct {
	Ref   wireRef   `json:"ref"`
	Value wireAttrs `json:"value"`
}

// firstFile holds the first-seen values of all references of the ledger.
type firstFile struct {
	Seen []seen `json:"seen"`
}

// snapshot is everything that going back needs, written before the first effect.
type snapshot struct {
	Seq      uint64        `json:"seq"`
	Time     time.Time     `json:"time"`
	Entries  []entry       `json:"entries"` // in build-up order
	Triggers []wireTrigger `json:"triggers,omitempty"`
	Holds    []wireHold    `json:"holds,omitempty"`
	Settle   time.Duration `json:"settle,omitempty"` // how long daemons were given
	Prev     *ledger       `json:"prev"`             // the ledger before the run
	Given    []seen        `json:"given,omitempty"`  // first-seen values of what the run gives up
}

// entry is one reference that the run may change.
type entry struct {
	Ref    wireRef   `json:"ref"`
	Value  wireAttrs `json:"value"`            // all that was there; nil: absent
	Keys   []text    `json:"keys,omitempty"`   // the attributes that the run writes
	Delete bool      `json:"delete,omitempty"` // the run removes it
	Held   bool      `json:"held,omitempty"`   // only held while others change
	Mode   Mode      `json:"mode,omitempty"`
	Why    text      `json:"why,omitempty"`
}

// record is one journal line behind a snapshot's body. One field is set.
type record struct {
	Dirty   []int     `json:"dirty,omitempty"`   // triggers (by index) whose On is about to change
	Clean   []int     `json:"clean,omitempty"`   // triggers that have run
	Late    *entry    `json:"late,omitempty"`    // first value of what appeared during the run
	Confirm *confirm  `json:"confirm,omitempty"` // the goal is reached and waits
	Back    bool      `json:"back,omitempty"`    // going back has begun, there is no more keeping
	Stuck   []wireRef `json:"stuck,omitempty"`   // going back has failed for these
}

// confirm is a commit that waits. Boot and At are the kernel's, because a wall
// clock jumps on machines that have no clock chip.
type confirm struct {
	Boot string        `json:"boot"`
	At   time.Duration `json:"at"` // of the kernel's run time
	Next ledger        `json:"next"`
}

func (c *confirm) left(clock Clock) time.Duration {
	id, up := clock.Boot()
	if id != c.Boot || up >= c.At {
		return 0
	}
	return c.At - up
}

// wireRef is "kind:name" in JSON.
type wireRef Ref

// wireAttrs are Attrs whose JSON form survives any bytes.
type wireAttrs Attrs

type wireAction struct {
	Kind text      `json:"kind"`
	Args wireAttrs `json:"args,omitempty"`
}

type wireTrigger struct {
	Name text       `json:"name"`
	On   []wireRef  `json:"on"`
	Do   wireAction `json:"do"`
	Why  text       `json:"why,omitempty"`
	Gap  text       `json:"gap,omitempty"`
}

type wireHold struct {
	Ref   wireRef   `json:"ref"`
	Attrs wireAttrs `json:"attrs"`
	While []wireRef `json:"while"`
}

//go:noinline
func toWireRef(r Ref) wireRef { return wireRef(r) }

//go:noinline
func (r wireRef) ref() Ref { return Ref(r) }

func toWireRefs(refs []Ref) []wireRef {
	w := make([]wireRef, len(refs))
	for i, r := range refs {
		w[i] = toWireRef(r)
	}
	return w
}

func fromWireRefs(w []wireRef) []Ref {
	refs := make([]Ref, len(w))
	for i, r := range w {
		refs[i] = r.ref()
	}
	return refs
}

func toWireTriggers(ts []Trigger) []wireTrigger {
	var w []wireTrigger
	for _, t := range ts {
		w = append(w, wireTrigger{Name: text(t.Name), On: toWireRefs(t.On), Why: text(t.Why), Gap: text(t.Gap),
			Do: wireAction{text(t.Do.Kind), t.Do.Args}})
	}
	return w
}

func fromWireTriggers(w []wireTrigger) []Trigger {
	var ts []Trigger
	for _, t := range w {
		ts = append(ts, Trigger{Name: string(t.Name), On: fromWireRefs(t.On), Why: string(t.Why), Gap: string(t.Gap),
			Do: Action{string(t.Do.Kind), t.Do.Args}})
	}
	return ts
}

func toWireHolds(hs []Hold) []wireHold {
	var w []wireHold
	for _, h := range hs {
		w = append(w, wireHold{toWireRef(h.Ref), wireAttrs(h.Attrs), toWireRefs(h.While)})
	}
	return w
}

func fromWireHolds(w []wireHold) []Hold {
	var hs []Hold
	for _, h := range w {
		hs = append(hs, Hold{h.Ref.ref(), Attrs(h.Attrs), fromWireRefs(h.While)})
	}
	return hs
}

// digest names a written value without keeping it. The reference is part of it, so
// that two devices with one password cannot be told from the ledger.
func digest(key []byte, ref Ref, attr, value string) string {
	m := hmac.New(sha256.New, key)
	for _, s := range []string{ref.Kind, ref.Name, attr} {
		m.Write([]byte(s))
		m.Write([]byte{0})
	}
	m.Write([]byte(value))
	return hex.EncodeToString(m.Sum(nil)[:16])
}
