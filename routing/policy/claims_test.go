package policy

import (
	"strings"
	"testing"
)

// Marks that the configuration's own rules compare are somebody's: our byte is another one, also when
// those rules are in the kernel already and ours by their protocol number.
func TestMarksOfTheConfiguration(t *testing.T) {
	for _, tc := range []struct {
		fwmark string
		was    uint32
		want   uint32
	}{
		{"0x1000000/0xff000000", 0, 0xff0000},
		{"0x1000000/0xff000000", 0xff000000, 0xff0000},
		{"0x1010000/0xffff0000", 0, 0xff},
		{"51820", 0, 0xff000000}, // compared as a whole: its own bits are 0xca6c
		{"0x2a000000", 0, 0xff0000},
	} {
		in := Input{Facts: twoNICs(), Memory: Memory{Mask: tc.was}, Config: Config{Rules: []Rule{{FWMark: tc.fwmark, Table: 100}}}}
		if n := allocated(t, in); n.Mask != tc.want {
			t.Errorf("%s: got 0x%x, want 0x%x", tc.fwmark, n.Mask, tc.want)
		}
	}
	in := Input{Facts: twoNICs(), Config: Config{MarkMask: 0xff, Rules: []Rule{{From: "192.0.2.9", Table: 5}, {FWMark: "0x10/0xf0", Table: 100}}}}
	if _, err := Allocate(in); err == nil || !strings.Contains(err.Error(), "routing.policy.rules[1].fwmark") {
		t.Errorf("got %v", err)
	}
}
