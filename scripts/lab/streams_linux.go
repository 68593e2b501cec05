package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The streams. The far ends of the on-link ones are the router's addresses on the NIC's own network, the far ends of the off-link
// ones are OffLink4 and OffLink6: the machine's answers to those follow its default route.
const (
	OnLink4Stream  = "IPv4 on-link"
	OffLink4Stream = "IPv4 off-link"
	OnLink6Stream  = "IPv6 on-link"
	OffLink6Stream = "IPv6 off-link"
	control        = "control" // over the provider's loopback: it stalls only if this host does
)

// StreamOpts says what to measure.
type StreamOpts struct {
	NIC      string        // whose addresses the streams go to, default "eth0"
	Interval time.Duration // between two writes of 8 bytes, default 10 ms
	NoIPv6   bool
}

// Stall is the longest time between two echoes of a stream.
type Stall struct {
	Stream string
	At     time.Time     // when the last echo before it came
	For    time.Duration // about one Interval if nothing was lost
	// Noise is how long the control stream stalled within the same time: the host was busy, not the network.
	Noise time.Duration
	Dead  string // why the stream's connection ended, "" while it lives
}

// Real is the part of the stall that the host's own business does not explain.
func (s Stall) Real() time.Duration { return max(0, s.For-s.Noise) }

func (s Stall) String() string {
	text := fmt.Sprintf("%s %d ms", s.Stream, s.For.Milliseconds())
	if s.Noise > 40*time.Millisecond {
		text += fmt.Sprintf(" (of which noise of the host %d ms)", s.Noise.Milliseconds())
	}
	if s.Dead != "" {
		text += ", dead: " + s.Dead
	}
	return text
}

// Meter writes 8 bytes every Interval into TCP connections from the provider's side to the machine, which echoes them, and keeps
// the time of each echo.
type Meter struct {
	w        *World
	interval time.Duration
	stop     atomic.Bool
	wait     sync.WaitGroup
	listen   []int
	mon      *Monitor

	mu      sync.Mutex
	streams []*stream
	mark    time.Time
	name    string
}

type stream struct {
	name string
	fd   int
	dead string
	got  []time.Time
}

const echoPort = 7777

// Streams starts the streams and returns when each has had its first echo. They end with the test.
func Streams(t testing.TB, w *World, o StreamOpts) *Meter {
	t.Helper()
	if o.NIC == "" {
		o.NIC = "eth0"
	}
	if o.Interval == 0 {
		o.Interval = 10 * time.Millisecond
	}
	m := &Meter{w: w, interval: o.Interval, mon: w.Monitor(t)}
	t.Cleanup(m.Stop)
	if err := m.connect(t, o); err != nil {
		t.Fatalf("lab: %v", err)
	}
	m.wait.Go(m.probe)
	Await(t, 10*time.Second, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, s := range m.streams {
			if len(s.got) == 0 {
				return fmt.Errorf("stream %s gets no echo %s", s.name, s.dead)
			}
		}
		return nil
	})
	m.Mark("start")
	return m
}

// connect opens the echo servers and the streams.
func (m *Meter) connect(t testing.TB, o StreamOpts) error {
	n := m.w.nic(o.NIC)
	servers := []struct {
		ns   *NetNS
		addr netip.AddrPort
	}{
		{m.w.Machine, netip.AddrPortFrom(netip.IPv4Unspecified(), echoPort)},
		{m.w.Machine, netip.AddrPortFrom(netip.IPv6Unspecified(), echoPort)},
		{m.w.ISP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), echoPort)},
	}
	for _, s := range servers {
		if err := s.ns.Do(func() error {
			fd, err := listen(s.addr)
			if err == nil {
				m.listen = append(m.listen, fd)
			}
			return err
		}); err != nil {
			return fmt.Errorf("cannot listen on %s: %w", s.addr, err)
		}
	}
	m.wait.Go(m.echo)
	m.w.AwaitAddrs(t, 20*time.Second, o.NIC)
	to4, to6 := m.w.Global(o.NIC, 4), m.w.Global(o.NIC, 6)
	paths := []struct{ name, from, to string }{
		{control, "127.0.0.1", "127.0.0.1"},
		{OnLink4Stream, n.server4.String(), to4},
		{OffLink4Stream, OffLink4, to4},
	}
	if !o.NoIPv6 && to6 != "" {
		paths = append(paths, struct{ name, from, to string }{OnLink6Stream, n.server6.String(), to6},
			struct{ name, from, to string }{OffLink6Stream, OffLink6, to6})
	}
	for _, p := range paths {
		// A first connection meets ARP or neighbour discovery, and may be too early for a route.
		Await(t, 15*time.Second, func() error {
			err := m.w.ISP.Do(func() error {
				fd, err := dial(p.from, p.to)
				if err == nil {
					m.streams = append(m.streams, &stream{name: p.name, fd: fd})
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("stream %s cannot connect from %s to %s: %w", p.name, p.from, p.to, err)
			}
			return nil
		})
	}
	return nil
}

// Mark begins a new step: Longest and Require look at what comes after it.
func (m *Meter) Mark(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mark, m.name = time.Now(), name
}

// Longest returns each stream's longest stall since the mark, by name of the stream. A stall that still goes on counts up to now.
func (m *Meter) Longest() map[string]Stall {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	all := map[string]Stall{}
	var noise []time.Time
	for _, s := range m.streams {
		if s.name == control {
			noise = s.got
		}
	}
	for _, s := range m.streams {
		if s.name == control {
			continue
		}
		st := longest(s.got, m.mark, now)
		st.Stream, st.Dead = s.name, s.dead
		st.Noise = longest(noise, st.At, st.At.Add(st.For)).For
		if st.Noise < 2*m.interval+5*time.Millisecond {
			st.Noise = 0
		}
		all[s.name] = st
	}
	return all
}

// longest is the longest time without an echo between from and to.
func longest(got []time.Time, from, to time.Time) Stall {
	i, _ := slices.BinarySearchFunc(got, from, time.Time.Compare)
	last, best := from, Stall{At: from}
	for _, t := range append(slices.Clip(got[i:]), to) {
		if t.After(to) {
			t = to
		}
		if d := t.Sub(last); d > best.For {
			best.At, best.For = last, d
		}
		if !t.Before(to) {
			break
		}
		last = t
	}
	return best
}

// Report says all stalls since the mark in one line.
func (m *Meter) Report() string {
	all := m.Longest()
	var parts []string
	for _, name := range []string{OnLink4Stream, OffLink4Stream, OnLink6Stream, OffLink6Stream} {
		if s, ok := all[name]; ok {
			parts = append(parts, s.String())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.name + ": " + strings.Join(parts, "; ")
}

// Require fails the test if since the mark a stream has died or has stalled for longer than limit, noise of the host left out,
// and then prints what happened to the machine's links, addresses and routes. It always logs the stalls.
func (m *Meter) Require(t testing.TB, limit time.Duration) {
	t.Helper()
	t.Log("stalls, " + m.Report())
	bad := false
	for _, s := range m.Longest() {
		if s.Dead != "" {
			t.Errorf("stream %s", s)
			bad = true
		} else if s.Real() > limit {
			t.Errorf("stream %s: more than %v, beginning %v after %q", s, limit, s.At.Sub(m.mark).Round(time.Millisecond), m.name)
			bad = true
		}
	}
	if bad {
		t.Logf("since %q:\n%s", m.name, m.mon.Since(m.mark))
	}
}

// Stop ends the streams.
func (m *Meter) Stop() {
	if m.stop.Swap(true) {
		return
	}
	m.wait.Wait()
	for _, s := range m.streams {
		_ = unix.Close(s.fd)
	}
	for _, fd := range m.listen {
		_ = unix.Close(fd)
	}
	m.mon.Stop()
}

// urgent runs f on a thread of its own that goes before others: what is measured must not wait for a test's own work.
func urgent(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
	defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0) }()
	f()
}

// probe writes into all streams at each tick and notes when the echoes come.
func (m *Meter) probe() {
	urgent(func() {
		next := time.Now()
		buf := make([]byte, 64<<10)
		polls := make([]unix.PollFd, len(m.streams))
		for !m.stop.Load() {
			if now := time.Now(); !now.Before(next) {
				for _, s := range m.streams {
					if s.dead == "" {
						if _, err := unix.Write(s.fd, []byte("01234567")); err != nil && !errors.Is(err, unix.EAGAIN) {
							m.bury(s, err)
						}
					}
				}
				if next = next.Add(m.interval); next.Before(now) {
					next = now.Add(m.interval)
				}
			}
			for i, s := range m.streams {
				polls[i] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
				if s.dead != "" {
					polls[i].Fd = -1
				}
			}
			timeout := unix.NsecToTimespec(max(0, time.Until(next)).Nanoseconds())
			if _, err := unix.Ppoll(polls, &timeout, nil); err != nil {
				continue
			}
			now := time.Now()
			for i, s := range m.streams {
				if polls[i].Revents == 0 || polls[i].Fd < 0 {
					continue
				}
				n, err := unix.Read(s.fd, buf)
				switch {
				case n > 0:
					m.mu.Lock()
					s.got = append(s.got, now)
					m.mu.Unlock()
				case n == 0 && err == nil:
					m.bury(s, errors.New("the machine closed it"))
				case !errors.Is(err, unix.EAGAIN):
					m.bury(s, err)
				}
			}
		}
	})
}

func (m *Meter) bury(s *stream, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.dead = err.Error()
}

// echo serves all connections of all listeners.
func (m *Meter) echo() {
	urgent(func() {
		listeners := len(m.listen)
		fds := slices.Clone(m.listen)
		defer func() {
			for _, fd := range fds[listeners:] {
				_ = unix.Close(fd)
			}
		}()
		buf := make([]byte, 64<<10)
		for !m.stop.Load() {
			polls := make([]unix.PollFd, len(fds))
			for i, fd := range fds {
				polls[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
			}
			if n, err := unix.Poll(polls, 100); err != nil || n == 0 {
				continue
			}
			var gone []int
			for i, p := range polls {
				if p.Revents == 0 {
					continue
				}
				if i < listeners {
					if fd, _, err := unix.Accept4(int(p.Fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err == nil {
						_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
						fds = append(fds, fd)
					}
					continue
				}
				n, err := unix.Read(int(p.Fd), buf)
				if n > 0 {
					_, err = unix.Write(int(p.Fd), buf[:n])
				}
				if n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN) {
					gone = append(gone, int(p.Fd))
				}
			}
			for _, fd := range gone {
				_ = unix.Close(fd)
				fds = slices.DeleteFunc(fds, func(f int) bool { return f == fd })
			}
		}
	})
}

func socket(a netip.Addr) (int, error) {
	family := unix.AF_INET6
	if a.Is4() {
		family = unix.AF_INET
	}
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

func sockaddr(a netip.Addr, port int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: a.As16()}
}

func listen(at netip.AddrPort) (int, error) {
	fd, err := socket(at.Addr())
	if err != nil {
		return -1, err
	}
	if at.Addr().Is6() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := errors.Join(unix.Bind(fd, sockaddr(at.Addr(), int(at.Port()))), unix.Listen(fd, 16)); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// dial connects within a second.
func dial(from, to string) (int, error) {
	src, err := netip.ParseAddr(from)
	if err != nil {
		return -1, err
	}
	dst, err := netip.ParseAddr(to)
	if err != nil {
		return -1, err
	}
	fd, err := socket(dst)
	if err != nil {
		return -1, err
	}
	err = func() error {
		if err := unix.Bind(fd, sockaddr(src, 0)); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if err := unix.Connect(fd, sockaddr(dst, echoPort)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			return err
		}
		polls := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		for end := time.Now().Add(time.Second); ; {
			n, err := unix.Poll(polls, int(time.Until(end).Milliseconds()))
			if errors.Is(err, unix.EINTR) && time.Now().Before(end) {
				continue // Go's own signals
			}
			if err != nil {
				return err
			}
			if n == 0 {
				return unix.ETIMEDOUT
			}
			break
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		return err
	}()
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
