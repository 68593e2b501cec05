package udc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Watcher follows all controllers of the machine, in one goroutine that sleeps in poll(2).
type Watcher struct {
	// Emit is called for each event, from Run's goroutine.
	Emit func(Event)
	// Now is the time of events, time.Now when nil.
	Now func() time.Time

	sys    string // where sysfs is
	uevent int
	kmsg   int // -1: there is none, or it may not be read
	wake   [2]int
	states map[string]int // controller to its open attribute
	buf    []byte
	lines  budget
}

// budget is how many lines of the log may still be told in this second.
type budget struct {
	second int64
	left   int
}

// maxLines in a second: a driver that complains without end is heard, and takes no processor.
const maxLines = 20

// Open begins to follow: what happens from now on is told by Run, and before it what is there. sys is
// where sysfs is mounted, "/sys". Run has to be called, or Close.
func Open(sys string) (*Watcher, error) {
	w := &Watcher{sys: sys, uevent: -1, kmsg: -1, wake: [2]int{-1, -1}, states: map[string]int{}, buf: make([]byte, 16<<10)}
	if err := w.open(); err != nil {
		w.Close()
		return nil, fmt.Errorf("cannot follow USB device controllers: %w", err)
	}
	return w, nil
}

func (w *Watcher) open() (err error) {
	if w.uevent, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT); err != nil {
		return os.NewSyscallError("socket", err)
	}
	const kernel = 1 // the group of the kernel's own messages; udev's is 2
	if err := unix.Bind(w.uevent, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernel}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	// Coldplug brings hundreds at once.
	_ = unix.SetsockoptInt(w.uevent, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
	// The log is a help, not a need: a container has none.
	if fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err == nil {
		if _, err := unix.Seek(fd, 0, unix.SEEK_END); err == nil { // what was said before us is old
			w.kmsg = fd
		} else {
			unix.Close(fd)
		}
	}
	if err := unix.Pipe2(w.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	return nil
}

// Close releases a Watcher that is not run.
func (w *Watcher) Close() {
	for _, fd := range []*int{&w.uevent, &w.kmsg, &w.wake[0], &w.wake[1]} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	for name := range w.states {
		w.drop(name)
	}
}

// Run tells first the controllers that are there, with their states, and then what happens, until
// ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.Close()
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_, _ = unix.Write(w.wake[1], []byte{0})
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken // the pipe must not be closed under it
		}
	}()
	if err := w.rescan(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := w.once(); err != nil {
			return fmt.Errorf("cannot follow USB device controllers: %w", err)
		}
	}
	return nil
}

// once waits for something and tells it.
func (w *Watcher) once() error {
	fds := []unix.PollFd{{Fd: int32(w.wake[0]), Events: unix.POLLIN}, {Fd: int32(w.uevent), Events: unix.POLLIN}, {Fd: int32(w.kmsg), Events: unix.POLLIN}}
	names := make([]string, 0, len(w.states))
	for name := range w.states {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fds = append(fds, unix.PollFd{Fd: int32(w.states[name]), Events: unix.POLLPRI | unix.POLLERR})
	}
	if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
		return os.NewSyscallError("poll", err)
	}
	if fds[0].Revents != 0 {
		return nil // ctx has ended
	}
	// States first: a state that was reached before a controller went is told before that.
	for i, name := range names {
		if fds[i+3].Revents != 0 {
			w.tellState(name)
		}
	}
	if fds[1].Revents != 0 {
		if err := w.uevents(); err != nil {
			return err
		}
	}
	if fds[2].Revents != 0 {
		w.log()
	}
	return nil
}

// tellState reads a state, which also arms its next notice.
func (w *Watcher) tellState(name string) {
	n, err := unix.Pread(w.states[name], w.buf, 0)
	switch {
	case err == unix.EINTR:
	case err != nil: // ENODEV: it is gone, and its uevent is on the way
		w.drop(name)
		w.emit(State, name, "")
		w.emit(Removed, name, "")
	case w.unbound(name):
		w.emit(State, name, "not attached")
	default:
		w.emit(State, name, strings.TrimSpace(string(w.buf[:min(n, 64)])))
	}
}

// unbound reports whether a controller has no gadget. That of dummy_hcd goes on saying `configured`
// then. Old kernels do not have the attribute.
func (w *Watcher) unbound(name string) bool {
	b, err := os.ReadFile(filepath.Join(w.sys, "class/udc", name, "function"))
	return err == nil && len(strings.TrimSpace(string(b))) == 0
}

func (w *Watcher) drop(name string) {
	unix.Close(w.states[name])
	delete(w.states, name)
}

func (w *Watcher) emit(k Kind, name, value string) {
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	w.Emit(Event{Kind: k, UDC: name, Value: value, At: now()})
}

// maxControllers bounds what is followed; a board has one or two.
const maxControllers = 32

// add follows a controller.
func (w *Watcher) add(name string) {
	if _, ok := w.states[name]; ok || len(w.states) >= maxControllers {
		return
	}
	fd, err := unix.Open(filepath.Join(w.sys, "class/udc", name, "state"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // gone again; if not, it is told once more when something is bound to it
	}
	w.states[name] = fd
	w.emit(Added, name, "")
	w.tellState(name)
}

// rescan makes what is followed what is there.
func (w *Watcher) rescan() error {
	list, err := os.ReadDir(filepath.Join(w.sys, "class/udc"))
	if err != nil && !errors.Is(err, os.ErrNotExist) { // no module has made the class yet
		return fmt.Errorf("cannot list USB device controllers: %w", err)
	}
	there := map[string]bool{}
	for _, e := range list {
		there[e.Name()] = true
	}
	for name := range w.states {
		if !there[name] {
			w.drop(name)
			w.emit(State, name, "")
			w.emit(Removed, name, "")
		}
	}
	for _, e := range list {
		if _, ok := w.states[e.Name()]; ok {
			w.tellState(e.Name())
		} else {
			w.add(e.Name())
		}
	}
	return nil
}

// uevents takes what the kernel told of devices.
func (w *Watcher) uevents() error {
	for {
		n, from, err := unix.Recvfrom(w.uevent, w.buf, 0)
		switch {
		case err == unix.EAGAIN:
			return nil
		case err == unix.EINTR:
			continue
		case err == unix.ENOBUFS:
			w.emit(Lost, "", "")
			if err := w.rescan(); err != nil {
				return err
			}
			continue
		case err != nil:
			return os.NewSyscallError("recvfrom", err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // only the kernel is believed
		}
		u, ok := parseUevent(w.buf[:n])
		if !ok {
			continue
		}
		switch u.action {
		case "add":
			w.add(u.name)
		case "remove":
			if _, ok := w.states[u.name]; ok {
				w.drop(u.name)
				w.emit(State, u.name, "")
				w.emit(Removed, u.name, "")
			}
		case "change":
			w.add(u.name)
			w.emit(Bound, u.name, u.driver)
			if _, ok := w.states[u.name]; ok && u.driver == "" {
				w.tellState(u.name)
			}
		}
	}
}

// log takes new records of the kernel log, a bounded number; the rest makes poll return again.
func (w *Watcher) log() {
	for range 64 {
		n, err := unix.Read(w.kmsg, w.buf)
		switch err {
		case nil:
		case unix.EINTR, unix.EPIPE: // EPIPE: records were overwritten; the next read has the oldest that is left
			continue
		case unix.EAGAIN:
			return
		default:
			unix.Close(w.kmsg)
			w.kmsg = -1
			return
		}
		line, ok := logLine(w.buf[:n])
		if !ok {
			continue
		}
		if s := time.Now().Unix(); s != w.lines.second {
			w.lines = budget{s, maxLines}
		}
		if w.lines.left > 0 {
			w.lines.left--
			w.emit(Logged, "", line)
		}
	}
}
