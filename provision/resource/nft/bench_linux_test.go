package nft

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"golang.org/x/sys/unix"
)

// thousand is a table of 1,000 rules of many sorts.
func thousand() Table {
	t := Table{Family: OwnFamily, Name: OwnTable, Sets: []Set{{Name: "blocked", Key: []string{TypeIPv4}, Interval: true, Elements: ranges(200, 0)}}}
	for c := range 10 {
		ch := Chain{Name: fmt.Sprintf("zone%d", c)}
		for i := range 100 {
			switch i % 4 {
			case 0:
				ch.Rules = append(ch.Rules, rule(tcpPort(uint16(1000*c+i)), counter(), verdict("accept", ""), "a service"))
			case 1:
				ch.Rules = append(ch.Rules, rule(iif("eth0"), saddr4(), Expr{Cmp: &Cmp{Op: "==", Reg: 1, Data: []byte{10, 0, byte(c), byte(i)}}}, verdict("drop", "")))
			case 2:
				ch.Rules = append(ch.Rules, rule(saddr4(), Expr{Lookup: &Lookup{Set: "blocked", Reg: 1}}, Expr{Log: &Log{Prefix: "blocked: "}}, verdict("drop", "")))
			default:
				ch.Rules = append(ch.Rules, rule(iif("wlan0"), tcpPort(uint16(1000*c+i)), Expr{Limit: &Limit{Rate: 5, Per: 1, Burst: 5}}, counter(), verdict("accept", "")))
			}
		}
		t.Chains = append(t.Chains, ch)
	}
	return t
}

// alone runs f on a thread with a network namespace of its own, which ends with it.
func alone(b *testing.B, f func() error) {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("skipped: network namespaces need root")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCommit is a table of 1,000 rules, from nothing: by Set (which reads what is there,
// commits, reads it back and compares) and by `nft -f` of the same table, in turn. The ratio of
// the medians is printed, by the clock and by the processor's time; nft's start is part of what
// it takes.
func BenchmarkCommit(b *testing.B) {
	path, err := exec.LookPath("nft")
	if err != nil {
		b.Skip("skipped: no nft(8); install nftables")
	}
	table := thousand()
	if p := table.Problems(); p != nil {
		b.Fatal(p)
	}
	file := filepath.Join(b.TempDir(), "table.nft")
	if err := os.WriteFile(file, []byte(Text(table)), 0o600); err != nil {
		b.Fatal(err)
	}
	alone(b, func() error {
		ctx := context.Background()
		attrs := Own(table, "").Attrs
		r := &Resource{}
		name := Ref(table.Family, table.Name).Name
		clear := func() error {
			have, err := r.Get(ctx, name)
			if err != nil {
				return err
			}
			return r.Set(ctx, name, have, nil)
		}
		var ours, bare, theirs, oursCPU, bareCPU, theirsCPU []time.Duration
		for b.Loop() {
			start, before := time.Now(), cpu(b)
			if err := r.Set(ctx, name, nil, attrs); err != nil {
				return err
			}
			ours, oursCPU = append(ours, time.Since(start)), append(oursCPU, cpu(b)-before)
			if err := clear(); err != nil {
				return err
			}
			start, before = time.Now(), cpu(b)
			if err := commitOnly(ctx, table); err != nil {
				return err
			}
			bare, bareCPU = append(bare, time.Since(start)), append(bareCPU, cpu(b)-before)
			if err := clear(); err != nil {
				return err
			}
			start = time.Now()
			cmd := exec.Command(path, "-f", file)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("nft: %w: %s", err, out)
			}
			theirs = append(theirs, time.Since(start))
			theirsCPU = append(theirsCPU, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
			// What nft made of our text is the same table.
			if now, err := Dump(ctx, table.Family, table.Name); err != nil || Format(*now) != attrs[AttrTable] {
				return fmt.Errorf("nft made another table of it: %s, %w", firstDifference(Format(*now), attrs[AttrTable]), err)
			}
			if err := clear(); err != nil {
				return err
			}
		}
		report := func(name string, d []time.Duration) time.Duration {
			slices.Sort(d)
			m := d[len(d)/2]
			b.ReportMetric(float64(m.Microseconds())/1000, name+"-ms")
			b.Logf("%s: median %s, from %s to %s", name, m, d[0], d[len(d)-1])
			return m
		}
		o, c, n := report("set", ours), report("commit", bare), report("nft", theirs)
		b.ReportMetric(float64(o)/float64(n), "set/nft")
		b.ReportMetric(float64(c)/float64(n), "commit/nft")
		o, c, n = report("set-cpu", oursCPU), report("commit-cpu", bareCPU), report("nft-cpu", theirsCPU)
		b.ReportMetric(float64(o)/float64(n), "set/nft-cpu")
		b.ReportMetric(float64(c)/float64(n), "commit/nft-cpu")
		return nil
	})
}

// commitOnly makes a table where there is none, without reading it back.
func commitOnly(ctx context.Context, t Table) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	gen, err := generation(ctx, c)
	if err != nil {
		return err
	}
	batch, err := diff(nil, Canonical(t))
	if err != nil {
		return err
	}
	return batch.send(ctx, c, gen)
}

// BenchmarkUnchanged is what a look at a table of 1,000 rules costs: after somebody changed
// another table, and when nobody did.
func BenchmarkUnchanged(b *testing.B) {
	for _, touched := range []bool{true, false} {
		b.Run(map[bool]string{true: "touched", false: "untouched"}[touched], func(b *testing.B) {
			alone(b, func() error {
				ctx := context.Background()
				r, w := &Resource{}, Own(thousand(), "")
				if err := r.Set(ctx, w.Name, nil, w.Attrs); err != nil {
					return err
				}
				for b.Loop() {
					if touched {
						r.seen = nil
					}
					if got, err := r.Get(ctx, w.Name); err != nil || got[AttrTable] != w.Attrs[AttrTable] {
						return fmt.Errorf("it differs: %w", err)
					}
				}
				return nil
			})
		})
	}
}

// BenchmarkOneRule is one rule more in a table of 1,000, and one less.
func BenchmarkOneRule(b *testing.B) {
	alone(b, func() error {
		ctx := context.Background()
		r := &Resource{}
		a := thousand()
		c := thousand()
		c.Chains[3].Rules = slices.Insert(c.Chains[3].Rules, 50, rule(counter(), verdict("drop", "")))
		x, y := Own(a, ""), Own(c, "")
		if err := r.Set(ctx, x.Name, nil, x.Attrs); err != nil {
			return err
		}
		for b.Loop() {
			for _, s := range []provision.Step{{Have: x.Attrs, Want: y.Attrs}, {Have: y.Attrs, Want: x.Attrs}} {
				if err := r.Set(ctx, x.Name, s.Have, s.Want); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
