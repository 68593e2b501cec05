//go:build lab && linux

package routing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// box is the machine under test: namespaces of its own for network, mounts and processes. Its
// disk (/etc and /var/lib) outlives it, as over a reboot; /run does not.
type box struct {
	*lab.NetNS
	t    *testing.T
	disk string
}

// newDisk has the host's /etc below what the box writes.
func newDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"lib", "etc", "work"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newBox(t *testing.T, disk string) *box {
	t.Helper()
	b := &box{NetNS: lab.NewNS(t), t: t, disk: disk}
	b.sh(`set -e
mount -t proc proc /proc
mount --bind "` + disk + `/lib" /var/lib
mount -t overlay -o "lowerdir=/etc,upperdir=` + disk + `/etc,workdir=` + disk + `/work" etc /etc
mount -t tmpfs run /run
# A system with an init of its own, whatever the host is: of a mere container the host decides.
mkdir -p /run/openrc /etc/provision
ip link set lo up`)
	quick(b.NetNS, t)
	return b
}

// quick spares duplicate address detection, which takes seconds.
func quick(ns *lab.NetNS, t *testing.T) {
	t.Helper()
	on(t, ns, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0")
}

// on runs a shell script in a namespace.
func on(t *testing.T, ns *lab.NetNS, script string) string {
	t.Helper()
	out, err := ns.Call("sh", "-ec", script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *box) sh(script string) string {
	b.t.Helper()
	return on(b.t, b.NetNS, script)
}

// run runs a program in the box.
func (b *box) run(env []string, argv ...string) (stdout, stderr string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(b.PID()), "-n", "-m", "-p", "--"}, argv...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.ExitCode()
	default:
		code = -1
		msg.WriteString(err.Error())
	}
	return out.String(), msg.String(), code
}

// must runs the program under test, which has to end with this status, and returns all that it said.
func (b *box) must(code int, args ...string) string {
	b.t.Helper()
	out, msg, got := b.run(nil, append([]string{program}, args...)...)
	if got != code {
		b.t.Fatalf("provision %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, msg)
	}
	return out + msg
}

// config writes the configuration.
func (b *box) config(routing string) {
	b.t.Helper()
	text := "version: 1\nrouting:\n" + routing
	if err := os.WriteFile(b.Root()+"/etc/provision/provision.yaml", []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// kernel is all that the program may change in the kernel, as other programs show it.
func (b *box) kernel() string {
	b.t.Helper()
	return b.sh("nft -s list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all | sed 's/ expires [0-9]*sec//' | sort; " +
		"sysctl -a 2>/dev/null | grep -E '^net\\.ipv[46]\\.(ip_forward|conf)' | grep -v stable_secret")
}

// files are those that the program may write, with their digests.
func (b *box) files() string {
	b.t.Helper()
	return b.sh("find /etc /var/lib -xdev \\( -type f -o -type l \\) -not -path '/var/lib/provision/engine/*' -not -path /etc/provision/provision.yaml -newer /proc/1 -exec sha256sum {} +; ls -A /var/lib/provision 2>/dev/null | grep -vx engine || true")
}

// table is the own table as nft shows it, without counts; empty when there is none.
func (b *box) table() string {
	out, _, _ := b.run(nil, "nft", "list", "table", "inet", "provision")
	return stateless(out)
}

var counts = regexp.MustCompile(` packets \d+ bytes \d+| expires \w+`)

// stateless takes out what changes by itself.
func stateless(text string) string { return counts.ReplaceAllString(text, "") }

// watch is a running `provision watch`.
type watch struct {
	*lab.Daemon
	log *log
}

type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *log) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Len()
}

var _ io.Writer = (*log)(nil)

// watch starts one and waits until it answers.
func (b *box) watch() *watch {
	b.t.Helper()
	w := &watch{log: &log{}}
	d, err := b.Start(w.log, program, "watch")
	if err != nil {
		b.t.Fatal(err)
	}
	w.Daemon = d
	b.t.Cleanup(func() {
		d.Stop(syscall.SIGKILL)
		if b.t.Failed() {
			b.t.Logf("watch said:\n%s", w.log)
		}
	})
	lab.Await(b.t, 20*time.Second, func() error {
		select {
		case <-d.Done():
			return fmt.Errorf("watch has ended: %s", w.log)
		default:
		}
		if out, msg, code := b.run(nil, program, "watch", "--status"); code != 0 {
			return fmt.Errorf("no answer yet: %s%s", out, msg)
		}
		return nil
	})
	return w
}

// kill9 ends the watch as the kernel's out-of-memory killer does.
func (w *watch) kill9() {
	_ = w.Signal(syscall.SIGKILL)
	<-w.Done()
}

// since is what it has said after a mark.
func (w *watch) since(mark int) string { return w.log.String()[mark:] }
