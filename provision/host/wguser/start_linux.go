package wguser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/rtnl"
)

// startLimit bounds how long a device may take to come and to go: a Pi Zero takes two seconds to start
// a program.
const startLimit = 20 * time.Second

// Start starts the device and returns when it answers, or with what the process says is wrong.
func (s Starter) Start(ctx context.Context, name string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	cmd := exec.Command(s.Program, "wireguard", "run", ReadyFlag, strconv.Itoa(ReadyFile), "--", name)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if s.Sockets != "" {
		cmd.Env = append(cmd.Env, SocketsVariable+"="+s.Sockets)
	}
	cmd.ExtraFiles = []*os.File{w} // ReadyFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.Tied {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the WireGuard device %s: %w", name, err)
	}
	go cmd.Wait() // it may end before us
	w.Close()
	said, err := hear(ctx, r)
	switch {
	case said == readyWord:
		return nil
	case err != nil:
		_ = cmd.Process.Kill()
		return fmt.Errorf("the WireGuard device %s does not come up: %w", name, err)
	case said == "":
		return fmt.Errorf("the process of the WireGuard device %s has ended at once", name)
	}
	return errors.New(strings.TrimSpace(said))
}

// hear reads until the word or the end.
func hear(ctx context.Context, r *os.File) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var said []byte
	b := make([]byte, 4096)
	for len(said) < 64<<10 {
		n, err := r.Read(b)
		said = append(said, b[:n]...)
		switch {
		case string(said) == readyWord || errors.Is(err, io.EOF):
			return string(said), nil
		case err != nil && ctx.Err() != nil:
			return "", ctx.Err()
		case err != nil:
			return "", err
		}
	}
	return string(said), nil
}

// Told is the other side of Start: the options of a process that was started with ReadyFlag, and what
// it calls with what Run returned.
func Told(fd int) (ready func(), failed func(error)) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "ready")
	ready = func() {
		_, _ = f.WriteString(readyWord)
		f.Close()
	}
	failed = func(err error) {
		_, _ = f.WriteString(err.Error() + "\n") // nobody hears it once we were ready
		f.Close()
	}
	return ready, failed
}

// Stop removes the network device, which ends the process, and returns when nobody answers any more.
func (s Starter) Stop(ctx context.Context, name string) error {
	c, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	body := rtnl.AppendAttr(nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize(), unix.IFLA_IFNAME, append([]byte(name), 0))
	if err := c.Do(ctx, unix.RTM_DELLINK, 0, body); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("cannot remove the WireGuard device %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.answers(name) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the process of the WireGuard device %s does not end: %w", name, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

func (s Starter) answers(name string) bool {
	dir := s.Sockets
	if dir == "" {
		dir = Sockets
	}
	c, err := net.Dial("unix", filepath.Join(dir, name+".sock"))
	if err != nil {
		return false
	}
	c.Close()
	return true
}
