package martian

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Counters are the kernel's files, kept open: they stay those of the network namespace that
// they were opened in.
type Counters struct{ netstat, cache *os.File }

// OpenCounters opens them. A kernel without one of them counts 0 there.
func OpenCounters() (*Counters, error) {
	// Of the thread: the caller may have entered a namespace.
	netstat, err := os.Open("/proc/thread-self/net/netstat")
	if err != nil {
		return nil, fmt.Errorf("cannot read the counters of martians: %w", err)
	}
	cache, err := os.Open("/proc/thread-self/net/stat/rt_cache")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		netstat.Close()
		return nil, fmt.Errorf("cannot read the counters of martians: %w", err)
	}
	return &Counters{netstat, cache}, nil
}

// Close closes the files.
func (c *Counters) Close() {
	c.netstat.Close()
	if c.cache != nil {
		c.cache.Close()
	}
}

// most is more than the files have on a machine with a thousand processors.
const most = 1 << 20

// Read reads the counters.
func (c *Counters) Read() (Counts, error) {
	var n Counts
	text, err := io.ReadAll(io.NewSectionReader(c.netstat, 0, most))
	if err == nil {
		n.ReversePath, err = reversePath(string(text))
	}
	if err != nil {
		return n, fmt.Errorf("cannot read /proc/net/netstat: %w", err)
	}
	if c.cache == nil {
		return n, nil
	}
	text, err = io.ReadAll(io.NewSectionReader(c.cache, 0, most))
	if err == nil {
		n.Source, n.Destination, err = cacheStat(string(text))
	}
	if err != nil {
		return n, fmt.Errorf("cannot read /proc/net/stat/rt_cache: %w", err)
	}
	return n, nil
}
