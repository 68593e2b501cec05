package facts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// coldEnv makes the test binary gather once and report, as a fresh process does.
const coldEnv = "FACTS_GATHER_COLD"

// The main thread stays with the main goroutine: a test that moved it into another
// namespace would take /proc/self along.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if os.Getenv(coldEnv) == "" {
		os.Exit(m.Run())
	}
	begin := time.Now()
	f, err := Gatherer{}.Gather(context.Background())
	took := time.Since(begin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(coldEnv) == "print" {
		if err := f.WriteJSON(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	cpu := time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	fmt.Println(took.Microseconds(), cpu.Microseconds(), len(f.Links))
	os.Exit(0)
}

func BenchmarkGather(b *testing.B) {
	for b.Loop() {
		if _, err := (Gatherer{}).Gather(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGatherCold measures what --detect pays: a new process on a machine with
// ten NICs.
func BenchmarkGatherCold(b *testing.B) {
	tenNICs(b)
	var gather, cpu, whole []float64
	for b.Loop() {
		begin := time.Now()
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{coldEnv + "=1"}
		out, err := cmd.Output()
		whole = append(whole, float64(time.Since(begin).Microseconds())/1000)
		if err != nil {
			b.Fatalf("cold process: %v", err)
		}
		f := strings.Fields(string(out))
		if len(f) != 3 {
			b.Fatalf("cold process said %q", out)
		}
		g, _ := strconv.ParseFloat(f[0], 64)
		c, _ := strconv.ParseFloat(f[1], 64)
		if n, _ := strconv.Atoi(f[2]); n < 11 {
			b.Fatalf("cold process saw %d links, want 10 NICs and lo", n)
		}
		gather, cpu = append(gather, g/1000), append(cpu, c/1000)
	}
	b.ReportMetric(median(gather), "ms-gather")
	b.ReportMetric(median(cpu), "ms-cpu")
	b.ReportMetric(median(whole), "ms-process")
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}

// tenNICs moves this thread, and the processes it starts, into a new network
// namespace with five veth pairs that have addresses and routes.
func tenNICs(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("making a network namespace needs root")
	}
	runtime.LockOSThread() // for good: the thread ends with its goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		tb.Skipf("cannot make a network namespace: %v", err)
	}
	for i := range 5 {
		a := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("eth%d", 2*i)}, PeerName: fmt.Sprintf("eth%d", 2*i+1)}
		if err := netlink.LinkAdd(a); err != nil {
			tb.Fatalf("cannot add %s: %v", a.Name, err)
		}
		for j, name := range []string{a.Name, a.PeerName} {
			l, err := netlink.LinkByName(name)
			if err != nil {
				tb.Fatal(err)
			}
			for _, s := range []string{fmt.Sprintf("10.%d.%d.1/24", i, j), fmt.Sprintf("fd00:%d:%d::1/64", i, j)} {
				addr, err := netlink.ParseAddr(s)
				if err != nil {
					tb.Fatal(err)
				}
				if err := netlink.AddrAdd(l, addr); err != nil {
					tb.Fatal(err)
				}
			}
			if err := netlink.LinkSetUp(l); err != nil {
				tb.Fatal(err)
			}
		}
	}
}
