package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// lockName is the file that is locked. It is never removed or renamed while the
// directory lives: a lock on a removed file excludes nobody.
const lockName = "lock"

// Lock excludes every other writer until Unlock.
type Lock struct {
	f        *os.File      // nil for a store without a directory
	c        chan struct{} // then this
	recorded bool
	waited   bool // somebody else held it first
}

// Unlock gives the lock back.
func (l *Lock) Unlock() {
	if l.f == nil {
		<-l.c
		return
	}
	if l.recorded {
		_ = l.f.Truncate(0) // the holder is only for people
	}
	l.f.Close()
}

// record writes who holds the lock, for the message of those who wait. It is done
// only before effects, so that an apply without changes writes nothing.
func (l *Lock) record(now time.Time) {
	if l.f == nil || l.recorded {
		return
	}
	cmd := strings.Join(os.Args, " ")
	if len(cmd) > 200 {
		cmd = cmd[:200] + "..."
	}
	// The wait for a lock must not depend on a full disk: errors are ignored.
	if _, err := l.f.WriteAt(fmt.Appendf(nil, "%d %s %s\n", os.Getpid(), now.UTC().Format(time.RFC3339), cmd), 0); err == nil {
		l.recorded = true
	}
}

// Lock takes the one lock of everything that changes state. It waits for the
// store's lock wait, then fails with *LockedError.
func (s *Store) Lock(ctx context.Context) (*Lock, error) {
	wait := time.NewTimer(s.lockWait)
	defer wait.Stop()
	if s.dir == "" {
		select {
		case s.mem <- struct{}{}:
			return &Lock{c: s.mem}, nil
		default:
		}
		select {
		case s.mem <- struct{}{}:
			return &Lock{c: s.mem, waited: true}, nil
		case <-wait.C:
			return nil, &LockedError{Dir: "the state in memory", Pid: os.Getpid()}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if err := secureDir(s.dir); err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, lockName)
	// flock(2) has no timeout, so it is asked again; 50 ms is nothing to people
	// and rare enough for a Pi Zero.
	for waited := false; ; waited = true {
		f, err := tryLock(path)
		if err != nil {
			return nil, fmt.Errorf("cannot lock %s: %w", s.dir, err)
		}
		if f != nil {
			return &Lock{f: f, waited: waited}, nil
		}
		if !waited {
			LockWaiting(s.lockWait).Tell(ctx)
		}
		select {
		case <-wait.C:
			return nil, s.holder()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// holder describes the present holder: from its record, or from the kernel when
// there is no record or it was left by a process that is gone.
func (s *Store) holder() *LockedError {
	path := filepath.Join(s.dir, lockName)
	e := &LockedError{Dir: s.dir}
	pid := lockPid(path)
	data, err := os.ReadFile(path)
	if err == nil && len(data) < 4096 {
		line, _, _ := bytes.Cut(data, []byte("\n"))
		f := strings.SplitN(string(line), " ", 3)
		if n, err := strconv.Atoi(f[0]); err == nil && len(f) == 3 && (pid == 0 || pid == n) {
			e.Pid, e.Command = n, f[2]
			e.Since, _ = time.Parse(time.RFC3339, f[1])
			return e
		}
	}
	e.Pid = pid
	e.Command = processCommand(pid)
	return e
}

// secureDir makes the state directory, 0700, or refuses one that others can write.
func secureDir(dir string) error {
	st, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return fmt.Errorf("cannot make the state directory: %w", err)
		}
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot make the state directory: %w", err)
		}
		st, err = os.Lstat(dir)
		if err != nil {
			return fmt.Errorf("cannot look at the state directory: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("cannot look at the state directory: %w", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("cannot use %s as state directory: it is not a directory", dir)
	}
	if err := ownDir(dir, st); err != nil {
		return err
	}
	if st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("cannot close the state directory to others: %w", err)
		}
	}
	return nil
}
