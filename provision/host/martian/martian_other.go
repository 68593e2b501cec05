//go:build !linux

package martian

import (
	"context"
	"time"
)

// Counters reads the counters: Linux only.
type Counters struct{}

// OpenCounters fails with ErrUnsupported.
func OpenCounters() (*Counters, error) { return nil, ErrUnsupported }

// Close does nothing.
func (*Counters) Close() {}

// Read fails with ErrUnsupported.
func (*Counters) Read() (Counts, error) { return Counts{}, ErrUnsupported }

// Sample fails with ErrUnsupported.
func Sample(context.Context, time.Duration, int) ([]Found, error) { return nil, ErrUnsupported }
