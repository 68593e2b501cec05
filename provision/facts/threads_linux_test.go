package facts

import (
	"os"
	"strconv"
	"testing"

	"github.com/provision-net/provision/provision/facts/tree"
)

// What is left out as a thread of the kernel is one by its own flags, and no program is.
func TestKernelThreads(t *testing.T) {
	r := &gathering{t: tree.Live()}
	threads := r.kernelThreads()
	if _, err := os.Stat("/proc/2/task/2/children"); err == nil && kernelThread(r.quiet("/proc/2/stat", maxState)) && len(threads) < 2 {
		t.Errorf("kthreadd is there, and has no children: %v", threads)
	}
	for pid := range threads {
		if stat := r.quiet("/proc/"+pid+"/stat", maxState); stat != "" && !kernelThread(stat) {
			t.Errorf("%s is a program: %s", pid, stat)
		}
	}
	if threads[strconv.Itoa(os.Getpid())] {
		t.Error("this test is a thread of the kernel")
	}
}

func TestKernelThread(t *testing.T) {
	for stat, want := range map[string]bool{
		"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 2 0 0":              true,
		"2 (kthreadd) S 1 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 2 0 0":              false, // a container's program of that name
		"2 (a) S 0 0 0 0 -1 2129984) S 1 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 2 0": false,
		"2 (kthreadd) S 0 0": false,
		"":                   false,
	} {
		if kernelThread(stat) != want {
			t.Errorf("%q: %v", stat, !want)
		}
	}
}

// Whoever needs only devices and managers does not pay for the rest, and gets the same of these.
func TestBare(t *testing.T) {
	full, err := Gatherer{}.Gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bare, err := Gatherer{Bare: true}.Gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(bare.Links) != len(full.Links) || bare.Machine.Kernel != full.Machine.Kernel || bare.NM.Running != full.NM.Running || len(bare.Files) > len(full.Files) {
		t.Errorf("bare facts differ in what they hold: %d links, %+v", len(bare.Links), bare.Machine)
	}
	if bare.SSH != nil || bare.Clients != nil || bare.DHCPSockets != nil || bare.DNS.Servers != nil {
		t.Errorf("bare facts tell of who uses the network: %v %v %v %v", bare.SSH, bare.Clients, bare.DHCPSockets, bare.DNS)
	}
}
