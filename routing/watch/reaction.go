package watch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// Reaction runs a command when devices appear, change or go: once they have been quiet for a
// while, and not too often.
type Reaction struct {
	Title      string
	Interfaces []string // patterns
	// Appear, Change (up, carrier or address) and Vanish are what it is for.
	Appear, Change, Vanish bool
	Run                    Run
	Settle                 time.Duration // how long nothing may change before it runs; 0 is 1 s
	Pause                  time.Duration // the least time between two runs; 0 is 30 s
	// AtStart runs it also for what is there at the first start of all.
	AtStart bool

	mem     reactionMemory
	changed bool
	since   time.Time // the last change that has not been answered
	why     []string
	running bool
	failed  int
}

// reactionMemory is what devices were like; after a restart what changed meanwhile is answered.
type reactionMemory struct {
	Known bool              `json:"known"`
	Links map[string]seenIf `json:"links,omitempty"`
	Last  time.Time         `json:"last,omitzero"`
}

// seenIf is what of a device makes a change.
type seenIf struct {
	Index   int    `json:"index"`
	MAC     string `json:"mac,omitempty"`
	Up      bool   `json:"up"`
	Carrier bool   `json:"carrier"`
}

// Defaults of Reaction.
const (
	reactionSettle = time.Second
	reactionPause  = 30 * time.Second
	mostReasons    = 10
	mostFailures   = 3
)

// Name is "reaction" and the title.
func (j *Reaction) Name() string { return "reaction " + j.Title }

// Needs devices.
func (j *Reaction) Needs() Needs { return Needs{Parts: facts.PartLinks} }

// Wake implements Waker.
func (j *Reaction) Wake() time.Time {
	if j.since.IsZero() || j.running {
		return time.Time{}
	}
	at := j.since.Add(cmpDuration(j.Settle, reactionSettle))
	if next := j.mem.Last.Add(cmpDuration(j.Pause, reactionPause)); !j.mem.Last.IsZero() && next.After(at) {
		at = next
	}
	return at
}

func cmpDuration(d, or time.Duration) time.Duration {
	if d == 0 {
		return or
	}
	return d
}

// Look compares the devices with those of the last look.
func (j *Reaction) Look(s *State) []Repair {
	j.compare(s)
	at := j.Wake()
	if at.IsZero() || s.Now.Before(at) || j.running {
		return nil
	}
	why := strings.Join(j.why, "; ")
	run := j.Run
	run.Env = append(slices.Clone(run.Env), "PROVISION_REASON="+why, "PROVISION_INTERFACES="+strings.Join(slices.Sorted(maps.Keys(j.mem.Links)), " "))
	j.since, j.why = time.Time{}, nil
	j.mem.Last, j.changed, j.running = s.Now, true, true
	return []Repair{{Key: j.Name(), Why: why, Run: &run}}
}

// Ended implements Ender: a command that failed is run again after the pause, a few times.
func (j *Reaction) Ended(now time.Time, err error) {
	j.running = false
	if err == nil {
		j.failed = 0
		return
	}
	if j.failed++; j.failed >= mostFailures {
		j.failed = 0
		return
	}
	if j.since.IsZero() {
		j.since = now
	}
	j.why = append(j.why, "it failed before")
}

func (j *Reaction) compare(s *State) {
	first := !j.mem.Known
	if j.mem.Links == nil {
		j.mem.Links = map[string]seenIf{}
	}
	note := func(ours bool, format string, args ...any) {
		j.changed = true
		if !ours || first && !j.AtStart {
			return
		}
		j.since = s.Now
		if len(j.why) < mostReasons {
			j.why = append(j.why, fmt.Sprintf(format, args...))
		}
	}
	there := 0
	for _, l := range s.Links {
		if !fits(j.Interfaces, l) {
			continue
		}
		there++
		now := seenIf{l.Index, l.MAC, l.Up, l.Carrier}
		old, known := j.mem.Links[l.Name]
		if known && old == now {
			continue
		}
		j.mem.Links[l.Name] = now
		switch {
		case !known:
			note(j.Appear, "%s has appeared", l.Name)
		case old.Index != now.Index:
			note(j.Appear || j.Change, "%s has gone and come back", l.Name)
		case old.Up != now.Up || old.Carrier != now.Carrier:
			note(j.Change, "%s is now %s", l.Name, condition(now))
		default:
			note(j.Change, "%s has another MAC address", l.Name)
		}
	}
	if there < len(j.mem.Links) {
		maps.DeleteFunc(j.mem.Links, func(name string, _ seenIf) bool {
			if _, _, ok := s.byName(name); ok {
				return false
			}
			note(j.Vanish, "%s has gone", name)
			return true
		})
	}
	if first {
		j.mem.Known, j.changed = true, true
	}
}

func condition(i seenIf) string {
	switch {
	case !i.Up:
		return "down"
	case !i.Carrier:
		return "without carrier"
	}
	return "up"
}

// Remember implements Rememberer. What has not been answered yet is not kept as seen: after a
// restart it is a change again.
func (j *Reaction) Remember() (any, bool) {
	if !j.since.IsZero() || j.running {
		return nil, false
	}
	changed := j.changed
	j.changed = false
	return &j.mem, changed
}

// Recall implements Rememberer.
func (j *Reaction) Recall(state json.RawMessage) error { return json.Unmarshal(state, &j.mem) }
