package egress

import (
	"context"
	"testing"

	"github.com/provision-net/provision/provision/host/probe"
)

func TestLargest(t *testing.T) {
	for path, want := range map[int]int{1500: 1420, 1420: 1420, 1419: 1412, 1390: 1380, 1280: 1280, 600: 576, 500: 0} {
		asked := 0
		got := Largest(t.Context(), 1420, func(_ context.Context, n int) error {
			asked++
			if n > path {
				return probe.ErrSilent
			}
			return nil
		})
		if got != want || asked > 12 {
			t.Errorf("the path takes %d: %d after %d questions, want %d", path, got, asked, want)
		}
	}
}
