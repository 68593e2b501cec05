package main

import (
	"os"
	"strings"
	"testing"
)

func TestConstant(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-00d7e000 r-xp 00000000 fe:00 393303                             /usr/bin/provision": true,
		"00d7e000-015c6000 r--p 0097e000 fe:00 393303                             /usr/bin/provision": true,
		"015c6000-0160d000 rw-p 011c6000 fe:00 393303                             /usr/bin/provision": false,
		"7f0b05f70000-7f0b06070000 ---p 00000000 00:00 0 ":                                            false,
		"7ffd79b80000-7ffd79ba1000 r-xp 00000000 00:00 0                          [vdso]":             false,
		"7f0000000000-7f0000001000 r--s 00000000 fe:00 393303                     /usr/bin/provision": false,
		"rubbish /usr/bin/provision": false,
	} {
		if from, to, got := constant(line, "/usr/bin/provision"); got != want || got && from >= to {
			t.Errorf("%s: %v %#x-%#x, want %v", line, got, from, to, want)
		}
	}
}

// What is given back comes back, and it is less until then.
func TestGiveBack(t *testing.T) {
	before := resident(t)
	giveBack()
	after := resident(t)
	if after >= before {
		t.Errorf("%d pages of files before, %d after", before, after)
	}
}

// resident is how many pages of files this process has mapped, by proc_pid_statm(5).
func resident(t *testing.T) (pages int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b))
	for _, c := range f[2] {
		pages = pages*10 + int(c-'0')
	}
	return pages
}
