//go:build !linux

package agent

import (
	"context"
	"time"
)

func sleepBoottime(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
