package life

import (
	"sort"
	"time"

	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/gadget/verdict"
)

// Status is what a Decider knows, for people and programs.
type Status struct {
	State      State           `json:"state"` // of the controller, empty: there is none
	Since      time.Time       `json:"since"`
	Plugs      int             `json:"plugs"` // since the start
	Plugged    time.Time       `json:"plugged,omitzero"`
	Spoke      bool            `json:"host_spoke"` // in this plug
	SpokeAt    time.Time       `json:"host_spoke_at,omitzero"`
	Host       string          `json:"host,omitempty"` // its fingerprint, with the system where it is known
	Carrier    []string        `json:"carrier,omitempty"`
	Leased     bool            `json:"leased"`
	Profile    verdict.Profile `json:"profile"`
	Auto       bool            `json:"auto"`
	Verdict    string          `json:"verdict,omitempty"` // how the next plug begins, and why
	LED        led.State       `json:"led"`
	Fault      string          `json:"fault,omitempty"`
	Doing      Verb            `json:"doing,omitempty"`
	Last       string          `json:"last_action,omitempty"`
	LastWhy    string          `json:"last_reason,omitempty"`
	LastAt     time.Time       `json:"last_at,omitzero"`
	Steps      int             `json:"steps_in_last_hour"` // to revive the link
	SoftBroken bool            `json:"soft_connect_broken,omitempty"`
	Complaint  time.Time       `json:"driver_complained,omitzero"`
	Overlap    string          `json:"overlap,omitempty"`
}

// Status is the present one.
func (d *Decider) Status() Status {
	d.ladder.room(d.now, 0)
	s := Status{
		State: d.state, Since: d.since, Plugs: d.plugs, Leased: d.leased, Profile: d.profile, Auto: d.c.Auto, LED: d.shown, Fault: d.failure,
		Doing: d.pending, Last: d.last, LastWhy: d.lastWhy, LastAt: d.lastAt, Steps: len(d.ladder.steps), SoftBroken: d.noSoft, Complaint: d.ladder.complaint,
	}
	if p := d.plug; p != nil {
		s.Plugged, s.Spoke, s.SpokeAt = p.began, p.spoke, p.spokeAt
		if p.host != "" {
			s.Host = verdict.Entry{Host: p.host, Label: p.label}.Name()
		}
	}
	for name, l := range d.links {
		if l.carrier {
			s.Carrier = append(s.Carrier, name)
		}
	}
	sort.Strings(s.Carrier)
	if d.c.Auto {
		want, why := d.table.Start(d.c.Classic)
		s.Verdict = string(want) + ": " + why
	}
	if m := d.moving.list; len(m) > 0 {
		s.Overlap = m[0].Ours.String() + " with " + m[0].Theirs.String() + " of " + m[0].Device
	}
	return s
}
