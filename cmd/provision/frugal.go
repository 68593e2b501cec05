package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// The collector lets a small heap double before it looks at it, which on a device of 512 MB is memory that others could
// use: with 1,000 leases and a full query log it is 23 MB resident without a limit and 21 MB with one. A fixed limit would
// have the collector run without end once what is in use comes near to it, so it follows what is in use.
const (
	frugalFloor = 14 << 20 // the runtime itself has 5 MB of it
	frugalRest  = 8 << 20
	frugalTick  = time.Second
	// A reload needs again much of what the start needed. What serves comes back fault by fault, so this is seldom.
	frugalAgain = 10 * time.Minute
)

// A command that ends soon has no use for a small heap: the collector is a sixth of the time that a policy of 1,000 rules
// takes. The limit is for machines of 512 MB.
const (
	hastyPercent = 400
	hastyLimit   = 64 << 20
)

// beHasty lets the heap of a command that ends soon grow, until beFrugal.
func beHasty() {
	if os.Getenv("GOMEMLIMIT") == "" && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(hastyPercent)
		debug.SetMemoryLimit(hastyLimit)
	}
}

// frugal is how much memory there may be, in bytes, when this much is in use.
func frugal(live uint64) int64 {
	return int64(max(frugalFloor, frugalRest+live+live/4))
}

// beFrugal bounds the memory of a program that runs for long, from a moment after its start until ctx ends: who has just
// started has somebody waiting, and nothing to collect yet. Who has set the collector up by its own variables means it.
func beFrugal(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		return
	}
	go func() {
		tick := time.NewTicker(frugalTick)
		defer tick.Stop()
		var b bound
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if n == 0 {
				debug.SetGCPercent(100)
			}
			if givesBack(n) {
				giveBack()
			}
			b.follow()
		}
	}()
}

// givesBack says whether the nth tick is one at which code is given back.
func givesBack(n int) bool { return n%int(frugalAgain/frugalTick) == 0 }

// bound follows the heap. Package runtime/metrics has the figure, but what it prepares before main takes a fortieth of the time to
// the server's first answer.
type bound struct {
	stats debug.GCStats
	seen  int64 // collections
}

// follow sets the limit once after each collection: right after one the heap is nearly what is live, and between two it would be
// what is waste as well.
func (b *bound) follow() {
	if debug.ReadGCStats(&b.stats); b.stats.NumGC == b.seen && b.seen > 0 {
		return
	}
	b.seen = b.stats.NumGC
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetMemoryLimit(frugal(m.HeapAlloc))
}
