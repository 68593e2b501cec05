package enginetest_test

import (
	"runtime/debug"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/enginetest"
)

func TestSoak(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	start := time.Now()
	rep := enginetest.Soak(enginetest.SoakOptions{Seed: 1, Pairs: 500, Transient: true, MaxBad: 3})
	t.Log(rep, time.Since(start))
	for _, b := range rep.Bad {
		t.Error(b)
	}
}
