package flash

import "time"

// Stage is what is being done.
type Stage string

// Stages, in their order.
const (
	Checking  Stage = "checking" // the image's checksum
	Writing   Stage = "writing"
	Verifying Stage = "verifying"
)

// Progress is how far a stage has come.
type Progress struct {
	Stage Stage
	Done  int64 // bytes
	Total int64 // -1: not known
	// Part of the whole from 0 to 1, guessed by how much of the packed file has been read where Total is not known; -1: not known.
	Part float64
	Rate float64       // bytes a second, of late
	Left time.Duration // -1: not known
	Over bool          // this stage is done
}

// window is how far back the rate looks: cards stop for a second now and then.
const window = 8 * time.Second

// meter makes rates of positions.
type meter struct {
	stage Stage
	total int64
	seen  []sample
}

type sample struct {
	at   time.Time
	done int64
	part float64
}

// add notes a position and tells what follows from it; part is -1 where the total says it.
func (m *meter) add(now time.Time, done int64, part float64) Progress {
	if m.total > 0 {
		part = float64(done) / float64(m.total)
	}
	if part > 1 {
		part = 1
	}
	for len(m.seen) > 2 && now.Sub(m.seen[1].at) > window {
		m.seen = m.seen[1:]
	}
	m.seen = append(m.seen, sample{now, done, part})
	p := Progress{Stage: m.stage, Done: done, Total: m.total, Part: part, Left: -1}
	first := m.seen[0]
	passed := now.Sub(first.at).Seconds()
	if passed <= 0 {
		return p
	}
	p.Rate = float64(done-first.done) / passed
	if speed := (part - first.part) / passed; part >= 0 && speed > 0 {
		if left := (1 - part) / speed; left < 1e6 {
			p.Left = time.Duration(left * float64(time.Second))
		}
	}
	return p
}
