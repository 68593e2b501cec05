package watching

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/watch"
)

// tablesAgain is the pause before a listener that failed listens again.
const tablesAgain = time.Second

// FollowTables adds the changes of our own nf_tables table to the events, until ctx ends. tables
// is the resource that puts it back: what it changes itself is not told. The network namespace is
// that of the calling thread. A kernel without nf_tables has nothing to be followed.
func (s *System) FollowTables(ctx context.Context, tables *nft.Resource) error {
	for {
		err := s.followTables(ctx, tables)
		switch {
		case ctx.Err() != nil, errors.Is(err, nft.ErrUnsupported):
			return nil
		case err == nil:
			return errors.New("the changes of nf_tables have come to an end")
		}
		// Whatever came meanwhile was not heard.
		s.Feed(watch.Event{Count: 1, NFT: true, Causes: []watch.Cause{{What: err.Error(), NFT: true}}})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tablesAgain):
		}
	}
}

func (s *System) followTables(ctx context.Context, tables *nft.Resource) error {
	events, err := tables.Watch()
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		changed, err := events.Next(ctx)
		if err != nil {
			return err
		}
		if e, counts := tableEvent(changed, s.Foreign != nil && s.Foreign()); counts {
			s.Feed(e)
			if s.Tables != nil {
				s.Tables()
			}
		}
	}
}

// tableEvent is what a change of tables means; counts says whether our own is among them, or with
// foreign any at all.
func tableEvent(c nft.Changed, foreign bool) (e watch.Event, counts bool) {
	if c.Lost {
		e = watch.Event{Count: 1, NFT: true, Causes: []watch.Cause{{What: "changes of nf_tables were lost", NFT: true}}}
	}
	for _, t := range c.Tables {
		if !foreign && (t.Family != nft.OwnFamily || t.Table != nft.OwnTable) {
			continue
		}
		cause := watch.Cause{What: "table " + t.Family + " " + t.Table, NFT: true, Gone: true}
		if t.Process != "" {
			cause.Who = fmt.Sprintf("%s, process %d", t.Process, t.PID)
		}
		e.Count++
		e.NFT = true
		e.Causes = append(e.Causes, cause)
	}
	return e, e.NFT
}
