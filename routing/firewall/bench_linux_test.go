package firewall_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/firewall"
)

// BenchmarkCommit sets up the policy of 1,000 rules in the kernel by turns: compiled and
// committed by us, and the same ruleset by "nft -f". The kernel's time is in both.
func BenchmarkCommit(b *testing.B) {
	p := thousand()
	table, _, err := firewall.Compile(p, intent.Set{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		b.Skip("skipped: needs nft(8) and root")
	}
	var ours, theirs, cpu, theirCPU time.Duration
	text := nft.Text(table)
	inNamespace(b, func() error {
		var r nft.Resource
		ctx := context.Background()
		name := nft.Ref(nft.OwnFamily, nft.OwnTable).Name
		empty := func() error {
			have, err := r.Get(ctx, name)
			if err != nil || have == nil {
				return err
			}
			return r.Set(ctx, name, have, nil)
		}
		for b.Loop() {
			at, used := time.Now(), cpuTime()
			table, _, err := firewall.Compile(p, intent.Set{}, nil)
			if err == nil {
				want, made := nft.Make(table, "") // as apply does
				r.Know(made)
				err = r.Set(ctx, name, nil, want.Attrs)
			}
			ours, cpu = ours+time.Since(at), cpu+cpuTime()-used
			if err == nil {
				err = empty()
			}
			if err != nil {
				return err
			}
			cmd := exec.Command("nft", "-f", "-")
			cmd.Stdin = strings.NewReader(text)
			at = time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			theirs, theirCPU = theirs+time.Since(at), theirCPU+cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
			if err := empty(); err != nil {
				return err
			}
		}
		return nil
	})
	n := float64(b.N)
	b.ReportMetric(float64(ours.Milliseconds())/n, "ours-ms")
	b.ReportMetric(float64(cpu.Milliseconds())/n, "ours-cpu-ms")
	b.ReportMetric(float64(theirs.Milliseconds())/n, "nft-ms")
	b.ReportMetric(float64(theirCPU.Milliseconds())/n, "nft-cpu-ms")
	b.ReportMetric(float64(ours)/float64(theirs), "ours/nft")
}

func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u) //nolint:errcheck // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inNamespace runs f on a thread in a network namespace of its own.
func inNamespace(b *testing.B, f func() error) {
	b.Helper()
	end := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and the namespace with it
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		end <- err
	}()
	if err := <-end; err != nil {
		b.Fatal(err)
	}
}
