package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// environment of programs in the machine. Pagers would wait for keys.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root",
	"LANG=C.UTF-8", "TERM=dumb", "PAGER=cat", "SYSTEMD_PAGER=cat", "NO_COLOR=1"}

// Process is a program that runs in the machine.
type Process struct {
	m        *Machine
	cmd      *exec.Cmd
	cgroup   string
	out, msg *os.File
	done     chan struct{}
}

// Cmd is a program to run in the machine.
type Cmd struct {
	Argv  []string
	Env   []string // added to a login's minimal environment
	Stdin io.Reader
}

// Start runs a program in the machine, in all its namespaces and in a control group below its own, and does not wait for it.
func (m *Machine) Start(argv ...string) (*Process, error) { return m.StartCmd(Cmd{Argv: argv}) }

// StartCmd is Start with more to say.
func (m *Machine) StartCmd(c Cmd) (*Process, error) {
	if m.leader == 0 {
		return nil, errors.New("the machine is down")
	}
	dir, err := os.MkdirTemp(m.cgroupDir()+"/payload", "run-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a control group: %w", err)
	}
	cg, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer cg.Close()
	p := &Process{m: m, cgroup: dir, done: make(chan struct{})}
	// Files, not pipes: a daemon that the program leaves behind may keep them open for ever.
	if p.out, err = os.CreateTemp(m.World.dir, "out-"); err != nil {
		return nil, err
	}
	if p.msg, err = os.CreateTemp(m.World.dir, "err-"); err != nil {
		p.out.Close()
		return nil, err
	}
	p.cmd = exec.Command("nsenter", append([]string{"-t", strconv.Itoa(m.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"}, c.Argv...)...)
	p.cmd.Env = append(environment[:len(environment):len(environment)], c.Env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Stdin, p.out, p.msg
	p.cmd.SysProcAttr = dieWithParent()
	p.cmd.SysProcAttr.UseCgroupFD, p.cmd.SysProcAttr.CgroupFD = true, int(cg.Fd())
	if err := p.cmd.Start(); err != nil {
		p.out.Close()
		p.msg.Close()
		return nil, err
	}
	m.mu.Lock()
	m.running[p] = true
	m.mu.Unlock()
	go func() {
		_ = p.cmd.Wait()
		m.mu.Lock()
		delete(m.running, p)
		m.mu.Unlock()
		_ = os.Remove(dir) // fails, rightly, while a daemon lives in it
		close(p.done)
	}()
	return p, nil
}

// Wait returns what the program printed and its exit status, 128+n if signal n ended it.
func (p *Process) Wait() (stdout, stderr string, exit int) {
	<-p.done
	return p.Stdout(), p.Stderr(), exitStatus(p.cmd.ProcessState)
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stdout is what the program has printed so far.
func (p *Process) Stdout() string { return content(p.out) }

// Stderr is what the program has printed so far.
func (p *Process) Stderr() string { return content(p.msg) }

// PIDs lists the processes of the program, as the host numbers them: itself and what it has started and not moved elsewhere.
func (p *Process) PIDs() []int {
	b, _ := os.ReadFile(p.cgroup + "/cgroup.procs")
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil && pid != p.cmd.Process.Pid { // the latter is nsenter
			pids = append(pids, pid)
		}
	}
	return pids
}

// Kill9 ends the program and all it has started with SIGKILL, and waits for it.
func (p *Process) Kill9() {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Second)
	for {
		p.Signal(syscall.SIGKILL) // again, for those who were just being born
		select {
		case <-p.done:
			p.Signal(syscall.SIGKILL)
			return
		case <-deadline: // a program stuck in the kernel
			_ = os.WriteFile(p.cgroup+"/cgroup.kill", []byte("1"), 0)
			<-p.done
			return
		case <-tick.C:
		}
	}
}

// Signal sends a signal to the program's processes.
func (p *Process) Signal(sig syscall.Signal) {
	for _, pid := range p.PIDs() {
		_ = syscall.Kill(pid, sig)
	}
}

// Run runs a program in the machine. If ctx ends first, the program and all it has started are killed; exit is then -1 and
// stderr says why.
func (m *Machine) Run(ctx context.Context, name string, args ...string) (stdout, stderr string, exit int) {
	return m.RunCmd(ctx, Cmd{Argv: append([]string{name}, args...)})
}

// RunCmd is Run with more to say.
func (m *Machine) RunCmd(ctx context.Context, c Cmd) (stdout, stderr string, exit int) {
	p, err := m.StartCmd(c)
	if err != nil {
		return "", err.Error(), -1
	}
	defer p.out.Close()
	defer p.msg.Close()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill9()
		return p.Stdout(), p.Stderr() + "\nkilled: " + ctx.Err().Error(), -1
	}
	return p.Wait()
}

// MustRun is Run for what has to succeed within a minute; it returns standard output.
func (m *Machine) MustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, msg, exit := m.Run(ctx, name, args...)
	if exit != 0 {
		t.Fatalf("%s %s: exit status %d\n%s%s", name, strings.Join(args, " "), exit, out, msg)
	}
	return out
}

// Kill9 sends SIGKILL to a process, numbered as in the machine.
func (m *Machine) Kill9(t testing.TB, pid int) {
	t.Helper()
	m.MustRun(t, "kill", "-9", strconv.Itoa(pid))
}

// endSessions sends sig to the programs which tests still run in the machine, as the end of a login session does. It also continues
// what holds them from outside: at a shutdown systemd stops all processes before it kills them; nsenter then stops itself as its
// child did, and nobody in the machine could ever continue it and so have it reap the child.
func (m *Machine) endSessions(sig syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.running {
		p.Signal(sig)
		_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGCONT)
	}
}

func exitStatus(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

func content(f *os.File) string {
	b, _ := os.ReadFile(f.Name())
	return string(b)
}

// open opens a path of the machine as the machine would see it: symbolic links stay inside.
func (m *Machine) open(path string, flags int, mode fs.FileMode) (*os.File, error) {
	top := m.host("/")
	if m.leader != 0 {
		top = fmt.Sprintf("/proc/%d/root/", m.leader) // with /run and /tmp
	}
	dir, err := os.Open(top)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT}
	if flags&os.O_CREATE != 0 {
		how.Mode = uint64(mode.Perm())
	}
	fd, err := unix.Openat2(int(dir.Fd()), path, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// ReadFile reads a file of the machine, running or not.
func (m *Machine) ReadFile(path string) (string, error) {
	f, err := m.open(path, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return string(b), err
}

// WriteFile writes a file of the machine, running or not, and makes the directories above it.
func (m *Machine) WriteFile(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	if m.leader != 0 {
		m.MustRun(t, "mkdir", "-p", filepath.Dir(path))
	} else if err := os.MkdirAll(m.host(filepath.Dir(path)), 0o755); err != nil {
		t.Fatalf("lab: %v", err)
	}
	f, err := m.open(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// put writes one file of an overlay to the machine's disk.
func (m *Machine) put(path string, f File) error {
	to := m.host(path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if f.Link != "" {
		return os.Symlink(f.Link, to)
	}
	if f.Mode == 0 {
		f.Mode = 0o644
	}
	if err := os.WriteFile(to, []byte(f.Content), f.Mode); err != nil {
		return err
	}
	return os.Chmod(to, f.Mode)
}
