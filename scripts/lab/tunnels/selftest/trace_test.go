//go:build lab && linux

package selftest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// conversation is what a thread has said to the kernel and heard from it by netlink: how many calls that
// were, how long they took in all, and the longest of those that sent.
type conversation struct {
	calls     int
	all, sent time.Duration
}

// traced runs f and has the guest's kernel note each call of this thread that sends or receives
// (Documentation/trace/events.rst), which are those of netlink alone: an apply has no other sockets. A
// dump is made while it is asked for and while it is received.
func traced(t testing.TB, f func()) conversation {
	t.Helper()
	const dir = "/sys/kernel/tracing"
	if _, err := os.Stat(filepath.Join(dir, "trace")); err != nil {
		if err := syscall.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
			t.Fatalf("cannot trace: %v", err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	calls := []string{"sendto", "sendmsg", "recvfrom", "recvmsg"}
	events := func(on string) {
		for _, c := range calls {
			write("events/syscalls/sys_enter_"+c+"/enable", on)
			write("events/syscalls/sys_exit_"+c+"/enable", on)
		}
	}
	write("set_event_pid", strconv.Itoa(unix.Gettid()))
	write("trace", "")
	events("1")
	f()
	events("0")
	text, err := os.ReadFile(filepath.Join(dir, "trace"))
	if err != nil {
		t.Fatal(err)
	}
	write("set_event_pid", "")
	c, err := parseTrace(string(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

// parseTrace reads lines such as "selftest-93 [000] ..... 7.914236: sys_sendto(fd: 9, ...)" and the next
// one's "7.914301: sys_sendto -> 0x24", of one thread.
func parseTrace(text string) (conversation, error) {
	var c conversation
	var begun float64
	for line := range strings.Lines(text) {
		at, what, ok := strings.Cut(line, ": sys_")
		if strings.HasPrefix(line, "#") || !ok {
			continue
		}
		now, err := strconv.ParseFloat(at[strings.LastIndexByte(at, ' ')+1:], 64)
		if err != nil {
			return c, fmt.Errorf("no time in %q", line)
		}
		if !strings.Contains(what, " -> ") {
			begun = now
			continue
		}
		if begun == 0 {
			continue // it was under way when the trace began
		}
		took := time.Duration((now - begun) * float64(time.Second))
		c.calls, c.all, begun = c.calls+1, c.all+took, 0
		if strings.HasPrefix(what, "send") {
			c.sent = max(c.sent, took)
		}
	}
	if c.calls == 0 {
		return c, fmt.Errorf("nothing was traced")
	}
	return c, nil
}
