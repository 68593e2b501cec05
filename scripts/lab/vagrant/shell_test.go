//go:build lab && linux

package vagrant

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shell is a world with one shell in it, inside of a program that prepares more of it where there is one. A process that joined the world later would stand outside of its control groups, and
// LXC could make none for a container.
type shell struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// mark begins the line that ends the output of a command; its status follows.
const mark = "--- status "

func newShell(t *testing.T, dir string, env []string, inside ...string) *shell {
	t.Helper()
	cmd := exec.Command("./world", append(inside, "bash")...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		in.Close()
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		r.Close()
	})
	s := &shell{t, in, bufio.NewReader(r)}
	s.must(time.Minute, "cd "+dir)
	return s
}

// run runs a line of sh and returns what it printed on both streams, and its status.
func (s *shell) run(limit time.Duration, line string) (string, int) {
	s.t.Helper()
	start := time.Now()
	if _, err := fmt.Fprintf(s.in, "{ %s\n} </dev/null 2>&1; status=$?; echo; echo \"%s$status\"\n", line, mark); err != nil {
		s.t.Fatalf("the world has ended: %v", err)
	}
	type answer struct {
		text   string
		status int
		err    error
	}
	got := make(chan answer, 1)
	go func() {
		var text strings.Builder
		for {
			l, err := s.out.ReadString('\n')
			if rest, ok := strings.CutPrefix(l, mark); ok {
				n, err := strconv.Atoi(strings.TrimSpace(rest))
				got <- answer{text.String(), n, err}
				return
			}
			text.WriteString(l)
			if err != nil {
				got <- answer{text.String(), -1, err}
				return
			}
		}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			s.t.Fatalf("%s: %v\n%s", line, a.err, a.text)
		}
		s.t.Logf("%.1f s: %s", time.Since(start).Seconds(), line)
		return strings.TrimSpace(a.text), a.status
	case <-time.After(limit):
		s.t.Fatalf("%s: not done after %v", line, limit)
	}
	return "", -1
}

func (s *shell) must(limit time.Duration, line string) string {
	s.t.Helper()
	out, status := s.run(limit, line)
	if status != 0 {
		s.t.Fatalf("%s: status %d\n%s", line, status, out)
	}
	return out
}

// ssh runs a command in the machine by `vagrant ssh -c`.
func (s *shell) ssh(command string) string {
	s.t.Helper()
	return s.sshTo("", command)
}

// sshTo is ssh where there is more than one machine.
func (s *shell) sshTo(machine, command string) string {
	s.t.Helper()
	return s.must(5*time.Minute, "vagrant ssh "+machine+" --no-tty -c "+quote(command))
}

// lives waits until the connection of connect has said something more, and fails where it is gone or silent.
const lives = `n=$(wc -l < stream); for _ in $(seq 600); do [ $(wc -l < stream) -lt $((n + 3)) ] || break; sleep 0.2; done; ` +
	`kill -0 $(cat stream.pid) && [ $(wc -l < stream) -ge $((n + 3)) ] || { tail stream; false; }`

// connect opens a connection by SSH that says what time it is in the machine, five times a second.
func (s *shell) connect() {
	s.must(time.Minute, `vagrant ssh --no-tty -c 'while date +%s.%N; do sleep 0.2; done' > stream 2>&1 & echo $! > stream.pid`)
	s.must(3*time.Minute, lives)
}

// disconnect ends it; until then it has to have lived.
func (s *shell) disconnect(t *testing.T) {
	s.must(3*time.Minute, lives)
	t.Logf("the connection was silent for at most %.1f s, by the guest's clock", longest(s.must(time.Minute, "pkill -P $(cat stream.pid); cat stream")))
}

// longest is the greatest step between lines that are times in seconds.
func longest(text string) float64 {
	var last, most float64
	for _, l := range strings.Fields(text) {
		at, err := strconv.ParseFloat(l, 64)
		if err != nil {
			continue
		}
		if last > 0 {
			most = max(most, at-last)
		}
		last = at
	}
	return most
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

var boxing sync.Mutex

// box is the box of Debian packages, made once.
func box(t *testing.T, name string) string {
	t.Helper()
	boxing.Lock()
	defer boxing.Unlock()
	out := filepath.Join(made, name+".box")
	if _, err := os.Stat(out); err != nil {
		makeBox(t, out, name)
	}
	return out
}

func makeBox(t *testing.T, out string, args ...string) {
	t.Helper()
	if said, err := exec.Command("./box", append([]string{out}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("cannot make the box: %v\n%s", err, said)
	}
}

// beside puts the program for guests of this host's kind beside a Vagrantfile.
func beside(t *testing.T, dir string) {
	t.Helper()
	command(t, "", os.Environ(), "cp", binary, filepath.Join(dir, "provision-linux-"+runtime.GOARCH))
}
