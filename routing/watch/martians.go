package watch

import (
	"fmt"
	"strings"
	"time"
)

// MartianJob watches the kernel's counters of packets that it drops because of their addresses,
// and says so when they rise. On request it has packets looked at for a while, and the kernel
// asked about each, so that source and interface can be named.
//
// The kernel's own way to name them, the parameter log_martians, is not used: it is one more
// setting to be put back, its lines are limited in number for the whole machine together with
// other messages, and a container can neither read the kernel's log nor tell its lines from
// those of other network namespaces.
type MartianJob struct {
	NameThem bool
	Every    time.Duration // between two looks; 0 is 10 s
	Pause    time.Duration // between two samples; 0 is 5 min
	For      time.Duration // how long packets are looked at; 0 is 5 s

	last    Martians
	known   bool
	sampled time.Time
}

// Defaults of MartianJob.
const (
	martianEvery  = 10 * time.Second
	martianPause  = 5 * time.Minute
	martianSample = 5 * time.Second
	martianMost   = 20
)

// Name is "martians".
func (j *MartianJob) Name() string { return "martians" }

// Needs the counters.
func (j *MartianJob) Needs() Needs {
	every := j.Every
	if every == 0 {
		every = martianEvery
	}
	return Needs{Martians: true, Every: every}
}

// Look compares the counters with the last ones. The first look only learns them.
func (j *MartianJob) Look(s *State) []Repair {
	now, before, known := s.Martians, j.last, j.known
	j.last, j.known = now, true
	if !known || now == before {
		return nil
	}
	var rise []string
	for _, c := range []struct {
		now, before uint64
		what        string
	}{
		{now.ReversePath, before.ReversePath, "%d by the reverse path filter"},
		{now.Source - min(now.ReversePath, now.Source), before.Source - min(before.ReversePath, before.Source), "%d with another impossible source"},
		{now.Destination, before.Destination, "%d with an impossible destination"},
	} {
		if c.now > c.before {
			rise = append(rise, fmt.Sprintf(c.what, c.now-c.before))
		}
	}
	if rise == nil {
		return nil // counters of another boot
	}
	why := "the kernel has dropped martians: " + strings.Join(rise, ", ")
	out := []Repair{{Key: "martians", Why: why}}
	pause := j.Pause
	if pause == 0 {
		pause = martianPause
	}
	if j.NameThem && (j.sampled.IsZero() || s.Now.Sub(j.sampled) >= pause) {
		j.sampled = s.Now
		out = append(out, Repair{Key: "names of martians", Why: why, Sample: &Sample{For: cmpDuration(j.For, martianSample), Most: martianMost}})
	}
	return out
}
