package cache

import (
	"errors"
	"fmt"
	"time"
)

// Config is how much is kept, and for how long. Durations are whole seconds where they become TTLs.
type Config struct {
	// Bytes bounds the memory: three quarters are for the answers, the rest is what their index may grow to. 0 keeps nothing.
	Bytes int

	MinTTL time.Duration // shorter ones are raised to it; what has TTL 0 is never kept all the same (RFC 1035 section 3.2.1)
	MaxTTL time.Duration // RFC 8767 section 4: at most 7 days
	MaxNeg time.Duration // for NXDOMAIN and NODATA (RFC 2308 section 5: 1 to 3 hours)

	StaleFor time.Duration // how long an answer is of use after its end (RFC 8767: 1 to 3 days); 0 for none
	StaleTTL time.Duration // what a client is told of a stale answer (RFC 8767 section 5: 30 s)

	FailMin, FailMax time.Duration // first and longest time that a failure is remembered (RFC 9520 section 3.2: 1 s to 5 min)

	// An answer asked for PrefetchHits times is refreshed when less than PrefetchLeft of its life is left. 0 hits: never.
	PrefetchHits int
	PrefetchLeft float64
}

// Defaults is what is used when nothing else is asked for: about 5,000 ordinary answers.
func Defaults() Config {
	return Config{
		Bytes: 2 << 20, MaxTTL: 24 * time.Hour, MaxNeg: time.Hour,
		StaleFor: 24 * time.Hour, StaleTTL: 30 * time.Second,
		FailMin: time.Second, FailMax: 30 * time.Second,
		PrefetchHits: 3, PrefetchLeft: 0.1,
	}
}

// Limits.
const (
	minBytes = 64 << 10
	maxBytes = 1 << 30
	week     = 7 * 24 * time.Hour
)

// Validate says everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if c.Bytes != 0 && (c.Bytes < minBytes || c.Bytes > maxBytes) {
		bad("cache of %d bytes: must be 0 (none) or %d to %d", c.Bytes, minBytes, maxBytes)
	}
	if c.MinTTL < 0 || c.MinTTL > time.Hour {
		bad("least TTL %v: must be 0 to 1h", c.MinTTL)
	}
	if c.MaxTTL < max(c.MinTTL, time.Second) || c.MaxTTL > week {
		bad("greatest TTL %v: must be 1s to 168h and not below the least", c.MaxTTL)
	}
	if c.MaxNeg < 0 || c.MaxNeg > week {
		bad("greatest negative TTL %v: must be 0 to 168h", c.MaxNeg)
	}
	if c.StaleFor < 0 || c.StaleFor > week {
		bad("age of stale answers %v: must be 0 to 168h", c.StaleFor)
	}
	if c.StaleFor > 0 && (c.StaleTTL < time.Second || c.StaleTTL > time.Hour) {
		bad("TTL of stale answers %v: must be 1s to 1h", c.StaleTTL)
	}
	if c.FailMin < time.Second || c.FailMax < c.FailMin || c.FailMax > 5*time.Minute {
		bad("failures kept for %v to %v: must be 1s to 5m (RFC 9520)", c.FailMin, c.FailMax)
	}
	if c.PrefetchHits < 0 || c.PrefetchLeft < 0 || c.PrefetchLeft > 0.5 {
		bad("prefetch after %d hits in the last %v of the life: must be 0 or more, and 0 to 0.5", c.PrefetchHits, c.PrefetchLeft)
	}
	return errors.Join(errs...)
}
