package enginetest_test

import (
	"github.com/provision-net/provision/provision"
	"testing"

	"github.com/provision-net/provision/provision/enginetest"
)

func TestKill(t *testing.T) {
	enginetest.Kill(t, enginetest.RandomCases(seed(), max(2, min(40, pairs()/10)))...)
}

func TestPlanner(t *testing.T) {
	for _, c := range enginetest.RandomCases(seed()+1, 60) {
		// A want of the model may need another one (a link its function), so
		// removing one alone is not always something to be desired.
		c.Without = append([]provision.Desired{}, provision.Desired{})
		enginetest.Planner(t, c)
	}
}
