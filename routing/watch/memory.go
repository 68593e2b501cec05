package watch

import (
	"encoding/json"
	"fmt"
	"time"
)

// memory is what is kept over a restart: counts for good, what jobs remember for this boot.
type memory struct {
	Version int                  `json:"version"`
	Boot    string               `json:"boot"`
	Jobs    map[string]jobMemory `json:"jobs"`
}

type jobMemory struct {
	Acted uint64          `json:"acted,omitempty"`
	Last  time.Time       `json:"last,omitzero"`
	Why   string          `json:"why,omitempty"`
	State json.RawMessage `json:"state,omitempty"`
}

const memoryVersion = 1

// recall loads what is kept. A memory that cannot be read is forgotten: it is worth less than a
// watch that does not start.
func (e *Engine) recall() {
	if e.past != nil {
		return
	}
	e.past = map[string]jobMemory{}
	if e.Memory == nil {
		return
	}
	text, err := e.Memory.Load()
	if err != nil {
		e.Log.Warn("what was remembered cannot be read, it is forgotten", "err", err)
		return
	}
	if len(text) == 0 {
		return
	}
	var m memory
	if err = json.Unmarshal(text, &m); err == nil && m.Version != memoryVersion {
		err = fmt.Errorf("its version is %d, not %d", m.Version, memoryVersion)
	}
	if err != nil {
		e.Log.Warn("what was remembered cannot be read, it is forgotten", "err", err)
		return
	}
	for name, j := range m.Jobs {
		if m.Boot != e.Boot {
			j.State = nil
		}
		e.past[name] = j
	}
}

// remind gives a new job what is kept of it.
func (e *Engine) remind(r *running) {
	e.recall()
	j, ok := e.past[r.Name()]
	if !ok {
		return
	}
	r.status.Acted, r.status.Last, r.status.LastWhy = j.Acted, j.Last, j.Why
	if rem, ok := r.Job.(Rememberer); ok && len(j.State) > 0 {
		if err := rem.Recall(j.State); err != nil {
			e.Log.Warn("what was remembered cannot be read, it is forgotten", "job", r.Name(), "err", err)
		}
	}
}

// handOver gives a new job what the one of the same name remembers.
func (e *Engine) handOver(old, next Job) {
	from, ok1 := old.(Rememberer)
	to, ok2 := next.(Rememberer)
	if !ok1 || !ok2 {
		return
	}
	state, _ := from.Remember()
	if state == nil {
		state = e.past[old.Name()].State // what it does not want kept yet
	}
	text, err := json.Marshal(state)
	if err == nil && string(text) != "null" {
		err = to.Recall(text)
	}
	if err != nil {
		e.Log.Warn("what was remembered is lost", "job", next.Name(), "err", err)
	}
}

// remember takes what a job wants kept, and says whether that is something new.
func (e *Engine) remember(r *running) bool {
	rem, ok := r.Job.(Rememberer)
	if !ok {
		return false
	}
	state, changed := rem.Remember()
	if !changed {
		return false
	}
	text, err := json.Marshal(state)
	if err != nil {
		e.Log.Warn("what a job remembers cannot be kept", "job", r.Name(), "err", err)
		return false
	}
	e.recall()
	j := e.past[r.Name()]
	j.State = text
	e.past[r.Name()] = j
	e.unsafe = true
	return true
}

// save writes what is kept, if it has changed and the last time was not just now.
func (e *Engine) save(now bool) {
	if !e.unsafe || e.Memory == nil || !now && e.Now().Sub(e.saved) < saveEvery {
		return
	}
	e.recall()
	m := memory{Version: memoryVersion, Boot: e.Boot, Jobs: map[string]jobMemory{}}
	for name, j := range e.past {
		m.Jobs[name] = j
	}
	for _, r := range e.jobs {
		j := m.Jobs[r.Name()]
		j.Acted, j.Last, j.Why = r.status.Acted, r.status.Last, r.status.LastWhy
		m.Jobs[r.Name()] = j
	}
	e.saved, e.unsafe = e.Now(), false
	text, err := json.Marshal(m)
	if err == nil {
		err = e.Memory.Save(text)
	}
	if err != nil {
		e.Log.Warn("what has to be remembered cannot be written: a restart will not know it", "err", err)
	}
}
