package facts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/provision-net/provision/provision/facts/tree"
)

// Bounds of what is read from a host.
const (
	maxFile  = 1 << 20  // bytes of one configuration file
	maxFiles = 4000     // configuration files in all
	maxTotal = 32 << 20 // bytes of all of them
	maxState = 64 << 10 // bytes of one state file or sysfs attribute
)

// Gatherer reads a host. The zero value reads the running system, with nothing
// more than its own process: no root, no D-Bus, no subprocess.
type Gatherer struct {
	// Root is the directory that holds the file tree; empty or "/" is the running
	// system's own.
	Root string
	// Kernel gives the network state. nil is the running kernel for the running
	// system's tree, and none (an image that is not running) for another Root.
	Kernel Kernel
	// Env looks up an environment variable; nil is os.LookupEnv for the running
	// system.
	Env func(string) (string, bool)
	// PID is the process whose ancestors may be an SSH server's; 0 is this one.
	PID int
	// EUID gives the effective user id; nil is os.Geteuid.
	EUID func() int
	// Bare leaves out who uses the network (clouds, Wi-Fi, sockets, SSH sessions and name servers) and the
	// versions of managers but systemd's number. Who makes a device needs none of it, the question for sockets
	// loads modules of the kernel, and the packages' database is large.
	Bare bool

	hook func(op, name string) error // tree.Tree.Hook
}

// gathering is one run of a Gatherer.
type gathering struct {
	Gatherer
	ctx     context.Context
	t       *tree.Tree
	offline bool // no kernel state: neither /proc nor /sys nor /run means anything

	mu    sync.Mutex // guards f.Files, f.Unreadable and total
	f     *Facts
	total int
	// externals are the profiles that only record what others configured, by UUID.
	externals map[string]bool

	mountsOnce sync.Once
	mountinfo  string // mounts
}

// Gather reads everything. What cannot be read is named in Facts.Unreadable; the
// error says that there is nothing to read at all, or that ctx ended.
func (g Gatherer) Gather(ctx context.Context) (*Facts, error) {
	t := tree.Live()
	if g.Root != "" && path.Clean(g.Root) != "/" {
		var err error
		if t, err = tree.Open(g.Root); err != nil {
			return nil, err
		}
	}
	defer t.Close()
	t.Hook = g.hook
	if g.Kernel == nil && t.Live() {
		g.Kernel = systemKernel()
	}
	if g.Env == nil {
		if t.Live() {
			g.Env = os.LookupEnv
		} else {
			g.Env = func(string) (string, bool) { return "", false }
		}
	}
	if g.EUID == nil {
		g.EUID = os.Geteuid
	}
	if g.PID == 0 {
		g.PID = os.Getpid()
	}
	r := &gathering{Gatherer: g, ctx: ctx, t: t, offline: g.Kernel == nil}
	r.f = &Facts{Schema: SchemaVersion, Files: map[string]File{}}
	r.run()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot gather facts: %w", err)
	}
	r.finish()
	return r.f, nil
}

// run reads in three strands that meet where one needs what another found. Two
// cores are common and most of the time is spent in the kernel.
func (r *gathering) run() {
	var wg sync.WaitGroup
	var procs processes
	var socks Sockets
	var pk packages
	var un units

	wg.Go(func() {
		un = r.units()
		pk = r.packages()
	})
	wg.Go(func() { procs = r.processes() })
	// On the caller's own thread, which may be in another network namespace than
	// the rest of the process.
	r.network(&socks)
	wg.Go(r.linkDetails)
	r.machine()
	r.collectConfig()
	r.managerState()
	wg.Wait()

	// From here on everything is in memory but a few files.
	r.daemons(procs, un, pk)
	r.initrd()
	r.usb(un, pk)
	r.clients(procs)
	if r.Bare {
		return
	}
	r.wireless(procs)
	r.cloudInit(un, procs)
	r.cloudAndCNI(procs)
	r.sessions(procs, socks)
	r.dns(procs)
}

// network fills links, addresses, routes, rules and sockets.
func (r *gathering) network(socks *Sockets) {
	if r.offline {
		return
	}
	n, err := r.Kernel.Network(r.ctx)
	if err != nil {
		r.problem("rtnetlink", err)
	}
	if n.Truncated {
		r.problem("rtnetlink", fmt.Errorf("more than %d routes: only the first ones and the default routes are kept", maxRoutes))
	}
	linkPorts(n.Links)
	r.f.Links, r.f.Addrs, r.f.Routes, r.f.Rules = n.Links, n.Addrs, n.Routes, n.Rules
	if r.Bare {
		return
	}
	if *socks, err = r.Kernel.Sockets(r.ctx); err != nil {
		*socks = r.procSockets(err)
	}
}

// finish brings the facts into their canonical form: sorted, no empty maps.
func (r *gathering) finish() {
	f := r.f
	seen := map[Problem]bool{}
	var ps []Problem
	for _, p := range f.Unreadable {
		if !seen[p] {
			seen[p] = true
			ps = append(ps, p)
		}
	}
	sort.Slice(ps, func(i, j int) bool {
		if ps[i].Source != ps[j].Source {
			return ps[i].Source < ps[j].Source
		}
		return ps[i].Reason < ps[j].Reason
	})
	f.Unreadable = ps
}

// problem notes that a source could not be read.
func (r *gathering) problem(source string, err error) {
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Path == source {
		err = pe.Err
	}
	r.mu.Lock()
	r.f.Unreadable = append(r.f.Unreadable, Problem{Source: clean(source), Reason: clean(err.Error())})
	r.mu.Unlock()
}

// missing reports whether err only says that there is no such file: usual, and
// nothing to tell anybody.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir)
}

// value reads a small attribute or state file and trims it. Whatever goes wrong
// it is empty; only what is neither missing nor a device's own refusal is named.
func (r *gathering) value(name string) string {
	b, err := r.t.ReadFile(name, maxState)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, tree.ErrTooLarge) {
			r.problem(name, err)
		}
		return ""
	}
	return clean(strings.TrimSpace(strings.TrimRight(string(b), "\x00")))
}

// text reads a state file as it is; ok is false when it is missing or unreadable,
// and the latter is named.
func (r *gathering) text(name string, limit int) (string, bool) {
	if r.volatile(name) {
		return "", false
	}
	b, err := r.t.ReadFile(name, limit)
	if err != nil {
		if !missing(err) {
			r.problem(name, err)
		}
		return "", false
	}
	return string(b), true
}

// quiet reads a file that is only one of several sources, unreadable to most.
func (r *gathering) quiet(name string, limit int) string {
	b, err := r.t.ReadFile(name, limit)
	if err != nil {
		return ""
	}
	return string(b)
}

// collect reads a configuration file into Facts.Files and reports whether it is
// there, readable or not.
func (r *gathering) collect(name string) bool {
	if r.volatile(name) {
		return false
	}
	e, err := r.t.File(name, maxFile)
	if err != nil {
		// A symlink to /dev/null says that a file of this name must not count.
		if target, err := r.t.Readlink(name); err == nil && target == "/dev/null" {
			r.keep(name, File{Link: target})
			return true
		}
		if missing(err) {
			return false
		}
		r.problem(name, err)
		return true
	}
	r.keep(name, File{Mode: uint32(e.Mode.Perm()), UID: e.UID, GID: e.GID, Link: e.Target, Text: string(e.Data)})
	return true
}

// keep puts a file into the facts, within bounds.
func (r *gathering) keep(name string, f File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, have := r.f.Files[name]; have {
		return
	}
	if len(r.f.Files) >= maxFiles || r.total+len(f.Text) > maxTotal {
		r.f.Unreadable = append(r.f.Unreadable, Problem{Source: name, Reason: "too many or too large configuration files: left out"})
		return
	}
	r.total += len(f.Text)
	r.f.Files[name] = f
}

// volatile tells paths that mean nothing in an image that is not running, whatever
// lies there.
func (r *gathering) volatile(name string) bool {
	return r.offline && (strings.HasPrefix(name, "/run/") || strings.HasPrefix(name, "/proc/") || strings.HasPrefix(name, "/sys/"))
}

// file returns a collected file.
func (r *gathering) file(name string) (File, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.f.Files[name]
	return f, ok
}

// list returns the sorted names in a directory; missing is empty.
func (r *gathering) list(dir string) []string {
	if r.volatile(dir + "/") {
		return nil
	}
	names, err := r.t.ReadDir(dir)
	if err != nil && !missing(err) {
		r.problem(dir, err)
	}
	return names
}

// clean makes text from outside fit for JSON and for terminals' sake drops
// control characters.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.Map(func(c rune) rune {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return -1
		}
		return c
	}, s)
}
