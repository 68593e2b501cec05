// Command bench runs the program and what people would otherwise run in turn, in the same namespace world, and prints the
// ratio of each pair with its spread. The machine may be noisy: wall-clock time stands beside CPU time (getrusage), and the
// ratio is taken pair by pair.
//
//	bench [-n RUNS] BINARY
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// peer is one thing people would otherwise run to see what the network of a machine is.
type peer struct {
	name, pkg string
	argv      []string
}

var peers = []peer{
	{"ip -j addr; ip -j route", "iproute2", []string{"sh", "-c", "ip -j addr; ip -j route; ip -j -6 route; ip -j rule"}},
	{"nmcli device show", "network-manager", []string{"nmcli", "device", "show"}},
	{"networkctl status -a", "systemd", []string{"networkctl", "status", "-a", "--no-pager"}},
	{"netplan get", "netplan.io", []string{"netplan", "get"}},
	{"cloud-init query --all", "cloud-init", []string{"cloud-init", "query", "--all"}},
	{"ansible -m setup (network)", "ansible-core", []string{"ansible", "localhost", "-m", "setup", "-a", "gather_subset=!all,network"}},
}

func main() {
	n := flag.Int("n", 15, "counted `runs` of each command")
	flag.Parse()
	if flag.NArg() != 1 || *n < 3 {
		fmt.Fprintln(os.Stderr, "usage: bench [-n RUNS] BINARY (at least 3 runs)")
		os.Exit(64)
	}
	ours := []string{flag.Arg(0), "--detect", "-o", "json"}
	links, _ := os.ReadDir("/sys/class/net")
	fmt.Printf("%d network devices here; %d runs of each, in turn; medians, and the ratio peer/provision with its range\n", len(links), *n)
	fmt.Printf("provision --detect: %s\n\n", spawned(ours))
	fmt.Printf("%-28s %12s %12s %12s %12s %22s\n", "peer", "peer wall", "our wall", "peer cpu", "our cpu", "wall ratio")
	for _, p := range peers {
		if _, err := exec.LookPath(p.argv[0]); err != nil {
			fmt.Printf("%-28s not installed here (Debian package %s)\n", p.name, p.pkg)
			continue
		}
		a, b, ratio, err := pair(p.argv, ours, *n)
		if err != nil {
			fmt.Printf("%-28s %v\n", p.name, err)
			continue
		}
		fmt.Printf("%-28s %12s %12s %12s %12s %7.1f (%.1f .. %.1f)\n", p.name, a.wall, b.wall, a.cpu, b.cpu,
			ratio[len(ratio)/2], ratio[0], ratio[len(ratio)-1])
	}
}

// cost is the median of a command's runs.
type cost struct{ wall, cpu time.Duration }

// pair runs a and b in turn, one uncounted round first.
func pair(a, b []string, n int) (ca, cb cost, ratio []float64, err error) {
	var wa, wb, pa, pb []time.Duration
	for i := -1; i < n; i++ {
		w1, c1, err := once(a)
		if err != nil {
			return ca, cb, nil, err
		}
		w2, c2, err := once(b)
		if err != nil {
			return ca, cb, nil, err
		}
		if i < 0 {
			continue
		}
		wa, wb, pa, pb = append(wa, w1), append(wb, w2), append(pa, c1), append(pb, c2)
		ratio = append(ratio, float64(w1)/float64(w2))
	}
	slices.Sort(ratio)
	return cost{median(wa), median(pa)}, cost{median(wb), median(pb)}, ratio, nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2].Round(10 * time.Microsecond)
}

// once runs a command and returns wall-clock and CPU time; a status other than 0 counts too, as long as it ran.
func once(argv []string) (wall, cpu time.Duration, err error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	begin := time.Now()
	runErr := cmd.Run()
	wall = time.Since(begin)
	var exit *exec.ExitError
	if runErr != nil && !errors.As(runErr, &exit) {
		return 0, 0, runErr
	}
	if exit != nil && wall < time.Millisecond {
		return 0, 0, fmt.Errorf("ends at once with %v", runErr)
	}
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// spawned counts the processes that a command starts, by strace.
func spawned(argv []string) string {
	if _, err := exec.LookPath("strace"); err != nil {
		return "processes spawned not counted, strace is not installed (Debian package strace)"
	}
	out, err := exec.Command("strace", append([]string{"-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", "/dev/stdout"}, append(argv, "--output", "yaml")...)...).Output()
	if err != nil && len(out) == 0 {
		return fmt.Sprintf("processes spawned not counted: strace: %v", err)
	}
	n := 0
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "execve(") && strings.Contains(line, "= 0") {
			n++
		}
	}
	return fmt.Sprintf("%d processes spawned (strace)", n-1)
}
