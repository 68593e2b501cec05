package enginetest_test

import (
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/enginetest"
)

func TestSoak(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	start := time.Now()
	rep := enginetest.Soak(enginetest.SoakOptions{Seed: seed(), Pairs: pairs(), Transient: true, MaxBad: 3})
	t.Log(rep, time.Since(start))
	for _, b := range rep.Bad {
		t.Error(b)
	}
}

// soak reads the number of random pairs from PROVISION_SOAK; the default fits into
// every test run.
func pairs() int {
	if n, err := strconv.Atoi(os.Getenv("PROVISION_SOAK")); err == nil {
		return n
	}
	return 10000
}

func seed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("PROVISION_SEED"), 10, 64); err == nil {
		return n
	}
	return 1
}
