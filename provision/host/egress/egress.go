// Package egress sees by which way packets leave: what the kernel's tables say, and how large a packet
// passes whole.
package egress

import (
	"context"
	"errors"
	"net/netip"

	"github.com/provision-net/provision/provision/host/probe"
)

// Way is what the kernel does with a packet of this machine without a mark.
type Way struct {
	Device string // empty: no way
	Source netip.Addr
}

// Sizes of packets that are tried, beside that of the device: what tunnels, mobile networks and PPPoE
// leave.
func sizes(most int) []int {
	out := []int{most}
	for _, n := range []int{1472, 1452, 1440, 1432, 1420, 1412, 1400, 1380, 1360, 1340, 1320, 1300, 1280, 1200, 576} {
		if n < most {
			out = append(out, n)
		}
	}
	return out
}

// Largest is the size of the largest packet through a device, at most, that is answered; 0: none was.
// Sizes are halved, each is asked twice, and each asker has the time that ctx leaves by ask.
func Largest(ctx context.Context, most int, ask func(ctx context.Context, size int) error) int {
	list := sizes(most)
	passes := func(n int) bool {
		for range 2 {
			err := ask(ctx, n)
			if err == nil {
				return true
			}
			if errors.Is(err, probe.ErrTooLarge) || ctx.Err() != nil {
				return false
			}
		}
		return false
	}
	if passes(list[0]) {
		return list[0]
	}
	// list[low] is too large, list[high] and what is behind it passes.
	low, high := 0, len(list)
	for high-low > 1 && ctx.Err() == nil {
		if m := (low + high) / 2; passes(list[m]) {
			high = m
		} else {
			low = m
		}
	}
	if high == len(list) {
		return 0
	}
	return list[high]
}
