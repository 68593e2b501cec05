package wallclock

import (
	"context"
	"time"
)

// Every is how often the clock is saved: an hour is the most that it loses at a power cut, and
// little wear for a card.
const Every = time.Hour

// Keep saves the clock now, with each tick and at the end, when ctx is done. What cannot be saved is
// told and tried again.
func (c *Clock) Keep(ctx context.Context, tick <-chan time.Time, tell func(error)) {
	save := func() {
		if err := c.Save(); err != nil {
			tell(err)
		}
	}
	save()
	for {
		select {
		case <-ctx.Done():
			save()
			return
		case <-tick:
			save()
		}
	}
}
