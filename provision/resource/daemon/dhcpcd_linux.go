package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host"
)

const (
	dhcpcdConf = "/etc/dhcpcd.conf"
	dhcpcdUnit = "dhcpcd.service"
	maxFile    = 1 << 20
)

func (x *Actor) dhcpcd(ctx context.Context, r request) error {
	links, err := x.resolve(ctx, r.selectors)
	if err != nil {
		return err
	}
	if r.master {
		c, err := x.systemd(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		on, err := x.active(ctx, c, dhcpcdUnit)
		if err != nil {
			return err
		}
		if !on {
			return x.revive(ctx, c, dhcpcdUnit)
		}
		return x.dhcpcdAround(ctx, r, links, func(ctx context.Context) error {
			return x.restart(ctx, c, dhcpcdUnit)
		})
	}
	run, err := x.dhcpcdProcess(r.ifname)
	if err != nil || run == nil {
		return err
	}
	return x.dhcpcdAround(ctx, r, links, func(ctx context.Context) error { return x.dhcpcdReplace(ctx, r, run) })
}

func (x *Actor) dhcpcdAround(ctx context.Context, r request, links []link, do func(context.Context) error) error {
	conf, err := readBounded(x.path(dhcpcdConf))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !persistent(conf) {
		return fmt.Errorf("%s has no line \"persistent\": without it dhcpcd takes the addresses away when it stops; add it, or leave the change to the next boot", dhcpcdConf)
	}
	if r.probe {
		if err := x.probeAll(ctx, links); err != nil {
			return err
		}
	}
	return x.around(ctx, disturbance{name: "dhcpcd", links: links, lag: true, do: do})
}

// persistent finds the option outside of comments (dhcpcd.conf(5)).
func persistent(conf []byte) bool {
	for line := range bytes.Lines(conf) {
		w := bytes.Fields(line)
		if len(w) == 1 && string(w[0]) == "persistent" {
			return true
		}
	}
	return false
}

// process is the dhcpcd of one NIC.
type process struct {
	pid int // 0: a crash came between its end and the start of the next
	exe string
}

// dhcpcdProcess finds the daemon of one NIC by its pid file, or by the note of a
// restart that was cut off. nil means that none runs.
func (x *Actor) dhcpcdProcess(ifname string) (*process, error) {
	for _, p := range []string{
		"/run/dhcpcd/" + ifname + ".pid", "/run/dhcpcd/" + ifname + "-4.pid",
		"/run/dhcpcd-" + ifname + ".pid", "/run/dhcpcd-" + ifname + "-4.pid",
	} {
		b, err := readBounded(x.path(p))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || pid <= 1 {
			continue
		}
		proc := "/proc/" + strconv.Itoa(pid)
		comm, err := os.ReadFile(proc + "/comm")
		if err != nil || strings.TrimSpace(string(comm)) != "dhcpcd" {
			continue // a stale file
		}
		exe, err := os.Readlink(proc + "/exe")
		if err != nil {
			return nil, fmt.Errorf("cannot find the program of dhcpcd process %d: %w", pid, err)
		}
		exe = strings.TrimSuffix(exe, " (deleted)")
		if err := rootsAlone(exe); err != nil {
			// A stale number may be anybody's by now, and so may the name: what is
			// started again is started by root.
			x.log().Warn("a process calls itself dhcpcd and is not taken for it", "pid", pid, "reason", err)
			continue
		}
		return &process{pid, exe}, nil
	}
	exe, err := readBounded(x.dhcpcdNote(ifname))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(string(exe)) {
		return nil, fmt.Errorf("%s does not hold the path of dhcpcd", x.dhcpcdNote(ifname))
	}
	return &process{exe: string(exe)}, nil
}

// rootsAlone refuses a program that anybody but root (or who runs this) can have put
// there: it and the directories above it belong to root, and others cannot write to them.
func rootsAlone(program string) error {
	if !filepath.IsAbs(program) || !strings.HasPrefix(filepath.Base(program), "dhcpcd") {
		return fmt.Errorf("its program is %q", program)
	}
	for p := filepath.Clean(program); ; p = filepath.Dir(p) {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return fmt.Errorf("its program %s: %w", p, err)
		}
		sticky := st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			return fmt.Errorf("its program %s is a symlink", p) // the kernel gives none
		case st.Uid != 0 && int(st.Uid) != os.Geteuid():
			return fmt.Errorf("its program is in the hands of user %d (%s)", st.Uid, p)
		case st.Mode&0o022 != 0 && !sticky:
			return fmt.Errorf("others can write to %s (mode %04o)", p, st.Mode&0o7777)
		}
		if p == "/" {
			return nil
		}
	}
}

func (x *Actor) dhcpcdNote(ifname string) string {
	return filepath.Join(x.state(), "dhcpcd-"+ifname)
}

// dhcpcdReplace ends the daemon and starts it with the metric that the stanza has now.
func (x *Actor) dhcpcdReplace(ctx context.Context, r request, p *process) error {
	argv := []string{p.exe, "-b"}
	if m, ok := x.stanzaMetric(ctx, r); ok {
		argv = append(argv, "-m", strconv.FormatUint(uint64(m), 10))
	}
	argv = append(argv, r.ifname)

	if err := writeDurable(x.dhcpcdNote(r.ifname), []byte(p.exe)); err != nil {
		return err
	}
	if p.pid != 0 {
		if err := terminate(ctx, p.pid, orElse(x.CallTimeout, 10*time.Second)); err != nil {
			return fmt.Errorf("cannot stop dhcpcd on %s: %w", r.ifname, err)
		}
	}
	if err := x.startDaemon(ctx, r.ifname, p.pid, argv); err != nil {
		return fmt.Errorf("cannot start dhcpcd on %s: %w", r.ifname, err)
	}
	return os.Remove(x.dhcpcdNote(r.ifname))
}

// stanzaMetric asks ifupdown what the stanza says now.
func (x *Actor) stanzaMetric(ctx context.Context, r request) (uint32, bool) {
	if x.Runner == nil {
		return r.metric, true
	}
	out, err := x.Runner.Run(ctx, host.Command{Argv: []string{"ifquery", r.ifname}, Timeout: 10 * time.Second})
	if err != nil || out.Code != 0 {
		return r.metric, true
	}
	s := bufio.NewScanner(bytes.NewReader(out.Stdout))
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), "metric:"); ok {
			if m, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32); err == nil {
				return uint32(m), true
			}
		}
	}
	return 0, false
}

// terminate sends SIGTERM through a pidfd, so that a reused number is never hit, and
// waits for the end.
func terminate(ctx context.Context, pid int, limit time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	end := time.Now().Add(limit)
	for time.Now().Before(end) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return fmt.Errorf("process %d did not end within %v", pid, limit)
}

// startDaemon starts argv in a service of its own: as our child it would live in our
// cgroup and end with it.
func (x *Actor) startDaemon(ctx context.Context, ifname string, old int, argv []string) error {
	c, err := x.systemd(ctx)
	if err != nil {
		if x.Runner == nil {
			return err
		}
		out, err := x.Runner.Run(ctx, host.Command{Argv: argv, Timeout: orElse(x.RestartTimeout, 30*time.Second)})
		if err == nil && out.Code != 0 {
			err = fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), out.Code, bytes.TrimSpace(out.Stderr))
		}
		return err
	}
	defer c.Close()
	unit := fmt.Sprintf("provision-dhcpcd-%s-%d.service", sd.PathBusEscape(ifname), old)
	return x.job(ctx, unit, func(ctx context.Context, ch chan<- string) (int, error) {
		return c.StartTransientUnitContext(ctx, unit, "replace", []sd.Property{
			sd.PropDescription("dhcpcd on " + ifname),
			sd.PropType("forking"),
			sd.PropExecStart(argv, false),
			{Name: "KillMode", Value: variant("process")},
			{Name: "CollectMode", Value: variant("inactive-or-failed")},
		}, ch)
	})
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, err
}
