package lists

import (
	"errors"
	"fmt"

	"github.com/provision-net/provision/routing/lists/span"
)

// ErrShrunk is wrapped by errors about a list that has lost more than it may.
var ErrShrunk = errors.New("the list has shrunk")

// shrunk refuses a list that has lost more than percent of its addresses in one of the families:
// mostly the source is broken, and what would be missing would go the wrong way.
func shrunk(before, after span.Set, percent uint32) error {
	for _, f := range []struct {
		family   string
		was, now uint64
	}{{"IPv4", before.Count4(), after.Count4()}, {"IPv6", before.Count6(), after.Count6()}} {
		if f.now >= f.was {
			continue
		}
		// Neither product fits into 64 bits; a thousandth of a percent is exact enough.
		lost := float64(f.was-f.now) / float64(f.was) * 100
		if lost > float64(percent) {
			return fmt.Errorf("%w: it would lose %.0f percent of its %s addresses, and may lose %d at once; the last copy stays (if it is right: max-shrink: 100, or `provision lists refresh --force`)", ErrShrunk, lost, f.family, percent)
		}
	}
	return nil
}
