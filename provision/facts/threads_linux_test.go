package facts

import (
	"fmt"
	"os"
	"reflect"
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
	if threads == nil {
		t.Skip("skipped: no kthreadd, or no list of its children, is to be seen here (a container)")
	}
	for pid := range threads {
		if stat := r.quiet("/proc/"+pid+"/stat", maxState); stat != "" && !kernelThread(stat) && parentPID(stat) != 2 {
			t.Errorf("%s is a program, and not the kernel's helper: %s", pid, stat)
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

// Who makes a device is told the same of devices, managers and files as everybody, and pays for nothing else.
func TestBare(t *testing.T) {
	left := 0
	for _, dir := range machines(t) {
		full, _, all := gatherNamed(t, dir)
		bare, _, some := gatherNamed(t, dir, func(g *Gatherer) { g.Bare = true })
		if bare.SSH != nil || bare.DHCPSockets != nil || bare.DNS.Servers != nil {
			t.Errorf("%s: who uses the network is told: %v %v %v", dir, bare.SSH, bare.DHCPSockets, bare.DNS)
		}
		if len(some) > len(all) {
			t.Errorf("%s: %d accesses to the tree instead of %d", dir, len(some), len(all))
		}
		left += len(full.SSH) + len(full.DHCPSockets)
		// The versions are the packages' database's, of which systemd's number is known by other means.
		var number [2]int
		for i, f := range []*Facts{bare, full} {
			_, _ = fmt.Sscanf(f.Networkd.Version, "%d", &number[i])
			f.Networkd.Version, f.NM.Version, f.Dhcpcd.Version = "", "", ""
		}
		if number[0] != number[1] {
			t.Errorf("%s: systemd is %d, and %d in full", dir, number[0], number[1])
		}
		bare.Machine.Cloud, bare.Machine.CNI = full.Machine.Cloud, full.Machine.CNI
		for what, same := range map[string]bool{
			"machine": reflect.DeepEqual(bare.Machine, full.Machine), "links": reflect.DeepEqual(bare.Links, full.Links), "addresses": reflect.DeepEqual(bare.Addrs, full.Addrs),
			"routes": reflect.DeepEqual(bare.Routes, full.Routes), "USB": reflect.DeepEqual(bare.USB, full.USB), "NetworkManager": reflect.DeepEqual(bare.NM, full.NM),
			"networkd": reflect.DeepEqual(bare.Networkd, full.Networkd), "dhcpcd": reflect.DeepEqual(bare.Dhcpcd, full.Dhcpcd), "clients": reflect.DeepEqual(bare.Clients, full.Clients), "sysctl": reflect.DeepEqual(bare.Sysctl, full.Sysctl),
		} {
			if !same {
				t.Errorf("%s: %s differ", dir, what)
			}
		}
	}
	if left == 0 {
		t.Error("no machine has a session or a socket that could be left out")
	}
}
