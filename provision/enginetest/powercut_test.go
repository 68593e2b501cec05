package enginetest_test

import (
	"testing"
	"time"

	"github.com/provision-net/provision/provision/enginetest"
)

func TestPowerCut(t *testing.T) {
	start := time.Now()
	rep := enginetest.PowerCut(seed(), max(20, pairs()/250))
	t.Log(rep, time.Since(start))
	for _, b := range rep.Bad {
		t.Error(b)
	}
}
