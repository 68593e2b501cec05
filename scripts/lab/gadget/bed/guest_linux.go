package bed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/gadget"
)

// InGuest says whether this is a guest of the lab, where tests may do what they like with modules, routes and configfs.
func InGuest() bool {
	line, err := os.ReadFile("/proc/cmdline")
	return err == nil && strings.Contains(string(line), gadget.Mark)
}

// Sh runs a script of bash, for a minute at most, and returns what it printed; it has to succeed.
func Sh(t testing.TB, script string) string {
	t.Helper()
	out, status := Try(script)
	if status != 0 {
		t.Fatalf("status %d of: %s\n%s", status, script, out)
	}
	return out
}

// Try runs a script of bash, for a minute at most, and returns what it printed and its exit status.
func Try(script string) (out string, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return string(said) + ctx.Err().Error(), -1
	}
	if err != nil && cmd.ProcessState == nil {
		return err.Error(), -1
	}
	return string(said), cmd.ProcessState.ExitCode()
}

// read is a file of sysfs, procfs or configfs without the blanks around it; "" if it cannot be read.
func read(path string) string {
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(strings.TrimRight(string(b), "\x00\n"))
}

// Write writes one value to a file of sysfs or configfs.
func Write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("cannot write %q: %w", value, err)
	}
	return nil
}
