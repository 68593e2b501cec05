//go:build !linux

package provision

import "time"

// Boot knows only this process.
func (c systemClock) Boot() (string, time.Duration) { return c.processBoot() }
