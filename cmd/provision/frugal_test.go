package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
)

func TestFrugal(t *testing.T) {
	for live, want := range map[uint64]int64{0: 14 << 20, 4 << 20: 14 << 20, 8 << 20: 18 << 20, 64 << 20: 88 << 20} {
		if got := frugal(live); got != want {
			t.Errorf("%d in use: %d, want %d", live, got, want)
		}
	}
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(math.MaxInt64)
	var b bound
	runtime.GC()
	b.follow()
	if got := debug.SetMemoryLimit(-1); got == math.MaxInt64 {
		t.Error("there is no limit")
	}
	debug.SetMemoryLimit(math.MaxInt64)
	percent := debug.SetGCPercent(-1) // nothing is collected meanwhile
	b.follow()
	debug.SetGCPercent(percent)
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("nothing was collected, and the limit is %d", got)
	}
	runtime.GC()
	b.follow()
	if got := debug.SetMemoryLimit(-1); got == math.MaxInt64 {
		t.Error("the limit does not follow")
	}
}

// Code is given back right after the start, and then seldom.
func TestGivesBack(t *testing.T) {
	var at []int
	for n := range 1300 {
		if givesBack(n) {
			at = append(at, n)
		}
	}
	if want := []int{0, 600, 1200}; !slices.Equal(at, want) {
		t.Errorf("in the seconds %v, want %v", at, want)
	}
}
