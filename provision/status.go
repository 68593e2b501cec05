package provision

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// Status is what the state directory tells of past runs.
type Status struct {
	Dir       string        `json:"dir"`
	Commit    uint64        `json:"commit,omitempty"`   // number of the last commit, 0 if there is none
	Committed time.Time     `json:"committed,omitzero"` // of the last commit
	Refs      int           `json:"refs"`               // what the last commit wants
	Rollbacks int           `json:"rollbacks"`          // how often Rollback can be called
	Pending   time.Duration `json:"pending,omitempty"`  // time left for Confirm
	// Interrupted: a run is unfinished and will
	// be gone back on by the next command that changes something.
	Interrupted bool `json:"interrupted,omitempty"`
	// Stuck names what going back could not restore.
	Stuck []Ref `json:"stuck,omitempty"`
}

// Status reads the state directory; it takes no lock and changes nothing.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	if err := context.Cause(ctx); err != nil || e.Store == nil {
		return Status{}, err
	}
	s := Status{Dir: e.Store.dir}
	st, err := e.Store.load()
	if err != nil {
		return s, err
	}
	if st.ledger != nil {
		s.Commit, s.Committed, s.Refs = st.ledger.Seq, st.ledger.Time, 0
		for _, r := range st.ledger.Refs {
			if e.within(r.Ref.ref()) {
				s.Refs++
			}
		}
		for i := len(st.committed) - 1; i >= 0; i-- {
			if st.committed[i] != st.ledger.Seq-uint64(s.Rollbacks) {
				break
			}
			s.Rollbacks++
		}
	}
	for _, name := range st.active {
		j, err := e.Store.openJournal(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the run has just ended: no lock is held here
		}
		if err != nil {
			return s, err
		}
		if left := j.waiting(e.clock()); left > 0 {
			s.Pending = left
			continue
		}
		s.Interrupted = true
		for _, en := range j.snap.Entries {
			if r := en.Ref.ref(); j.stuck[r] {
				s.Stuck = append(s.Stuck, r)
			}
		}
	}
	return s, nil
}
