package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Monitor records what happens to the machine's links, addresses and routes. After a reboot of the machine a new one is needed.
type Monitor struct {
	proc *proc
	file string
}

// Change is one line of ip-monitor(8).
type Change struct {
	At   time.Time
	Text string
}

// Monitor starts to record; it ends with the test.
func (w *World) Monitor(t testing.TB) *Monitor {
	t.Helper()
	out, err := os.CreateTemp(w.dir, "monitor-")
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer out.Close()
	p, err := w.Machine.start(out, append(os.Environ(), "TZ=UTC"), "ip", "-ts", "monitor", "link", "address", "route")
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	w.procs = append(w.procs, p)
	m := &Monitor{proc: p, file: filepath.Clean(out.Name())}
	Await(t, runLimit, func() error { return subscribed(w.Machine, p.pid()) })
	return m
}

// subscribed says whether a netlink socket of the namespace listens to link changes (group 1, rtnetlink(7)): only from then on
// is nothing missed.
func subscribed(ns *NetNS, pid int) error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/netlink", ns.PID()))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		// sk Eth Pid Groups ...: the port is the process's number.
		f := strings.Fields(line)
		if len(f) > 3 && f[2] == strconv.Itoa(pid) {
			if groups, err := strconv.ParseUint(f[3], 16, 32); err == nil && groups&1 != 0 {
				return nil
			}
		}
	}
	return errors.New("ip monitor has not subscribed")
}

// Stop ends the recording.
func (m *Monitor) Stop() { m.proc.stop(syscall.SIGKILL) }

// Changes lists what has happened since then. Lines that ip continues are joined.
func (m *Monitor) Changes(since time.Time) []Change {
	b, err := os.ReadFile(m.file)
	if err != nil {
		return nil
	}
	var all []Change
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		stamp, rest, ok := strings.Cut(line, "] ")
		at, err := time.Parse("2006-01-02T15:04:05.000000", strings.TrimPrefix(stamp, "["))
		if ok && err == nil {
			all = append(all, Change{At: at, Text: strings.TrimSpace(rest)})
		} else if len(all) > 0 {
			all[len(all)-1].Text += " " + strings.TrimSpace(line)
		}
	}
	for i, c := range all {
		if !c.At.Before(since.Truncate(time.Microsecond)) {
			return all[i:]
		}
	}
	return nil
}

// Since is Changes as text, each line with its time after that moment.
func (m *Monitor) Since(moment time.Time) string {
	var b strings.Builder
	for _, c := range m.Changes(moment) {
		b.WriteString("  +" + c.At.Sub(moment).Round(100*time.Microsecond).String() + " " + c.Text + "\n")
	}
	if b.Len() == 0 {
		return "  (no change of a link, address or route)\n"
	}
	return b.String()
}
