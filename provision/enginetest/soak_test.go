package enginetest_test

import (
	"github.com/provision-net/provision/provision"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/enginetest"
)

func TestSoak(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(2000))
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
	return 4000
}

func seed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("PROVISION_SEED"), 10, 64); err == nil {
		return n
	}
	return 1
}

// The same over real files, in which a crash leaves what it leaves.
func TestSoakFiles(t *testing.T) {
	rep := enginetest.Soak(enginetest.SoakOptions{Seed: seed() + 1, Pairs: max(50, pairs()/100), Dir: t.TempDir(), Transient: true})
	t.Log(rep)
	for _, b := range rep.Bad {
		t.Error(b)
	}
}

// A link that is only held, never wanted, has to be up again after any crash.
func TestHeldOnly(t *testing.T) {
	link, name := provision.Ref{Kind: "link", Name: "l"}, provision.Ref{Kind: "name", Name: "l"}
	c := enginetest.Case{
		Start: enginetest.State{link: {"up": "1", "mtu": "1500"}},
		Desired: provision.Desired{
			Wants: []provision.Want{{Ref: name, Attrs: provision.Attrs{"is": "lan0"}}},
			Holds: []provision.Hold{{Ref: link, Attrs: provision.Attrs{"up": ""}, While: []provision.Ref{name}}},
		},
		Rules: enginetest.Rules{Refuse: func(m *enginetest.Machine, r provision.Ref, _, _ provision.Attrs) error {
			if r == name && m.State[link]["up"] != "" {
				return provision.ErrBusy
			}
			return nil
		}},
	}
	enginetest.Planner(t, c)
}
