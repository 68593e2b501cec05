package main

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestFrugal(t *testing.T) {
	for live, want := range map[uint64]int64{0: 14 << 20, 4 << 20: 14 << 20, 8 << 20: 18 << 20, 64 << 20: 88 << 20} {
		if got := frugal(live); got != want {
			t.Errorf("%d in use: %d, want %d", live, got, want)
		}
	}
	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("GOGC", "")
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(math.MaxInt64)
	beFrugal(t.Context())
	if got := debug.SetMemoryLimit(-1); got == math.MaxInt64 {
		t.Error("there is no limit")
	}
	debug.SetMemoryLimit(math.MaxInt64)
	t.Setenv("GOGC", "200")
	beFrugal(t.Context())
}
