package watching

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/provision/resource/vxlan"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/watch"
)

// childEnv makes the test binary be a watch, as the process of a namespace: what it is given is
// the configuration and the path of the memory.
const childEnv = "WATCHING_CHILD"

type childConfig struct {
	Watch  watch.Config
	Memory string
	Once   bool
	Path   string // of commands
	Keep   []provision.Want
	Under  []string // a command that runs it
	// Overlay has its costs measured, each 200 ms.
	Overlay *overlay.Config
}

// childEnd is what a watch prints when it is ended.
type childEnd struct {
	Status watch.Status
	CPU    time.Duration
	RSS    int64 // most, in KiB
	Err    string
}

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child() error {
	var c childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &c); err != nil {
		return err
	}
	root, err := host.OpenRoot("/")
	if err != nil {
		return err
	}
	sys, err := Open(&host.Exec{Path: c.Path}, root)
	if err != nil {
		return err
	}
	defer sys.Close()
	e := &watch.Engine{
		Source: sys, Hand: sys, Runner: sys, Memory: Memory(c.Memory), Managers: Managers, Overruns: sys.Overruns, Boot: BootID(),
		Log: slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	tables := &nft.Resource{}
	e.Resources = watch.Resources{"sysctl": &sysctl.Resource{Files: root, Devices: netdev.Read}, nft.Kind: tables,
		bridge.Kind: bridge.Resource{}, bridge.PortKind: bridge.Ports{}, vxlan.Kind: vxlan.Resource{}, link.Kind: link.Resource{}, address.Kind: address.Resource{}}
	jobs := c.Watch.Jobs()
	for _, j := range jobs {
		if m, ok := j.(*watch.MartianJob); ok {
			m.Every, m.For = 100*time.Millisecond, 500*time.Millisecond
		}
	}
	if c.Keep != nil {
		jobs = append(jobs, &watch.Keep{Wants: c.Keep, Class: func(kind, attr string) provision.Class {
			if k, ok := e.Resources[kind].(provision.Classifier); ok {
				return k.Class(attr)
			}
			return provision.Exact
		}})
	}
	measuring := &Overlay{Feed: sys.Feed, Every: 200 * time.Millisecond}
	if c.Overlay != nil {
		jobs = append(jobs, measuring.Job(*c.Overlay))
	}
	e.SetJobs(jobs...)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	var end childEnd
	usr := make(chan os.Signal, 1)
	signal.Notify(usr, syscall.SIGUSR1)
	e.Log.Info("begun")
	if c.Once {
		_, err = e.Once(ctx)
	} else {
		go func() { _ = sys.Follow(ctx) }()
		go func() { _ = sys.FollowTables(ctx, tables) }()
		go func() { _ = measuring.Run(ctx) }()
		go func() {
			for range usr { // the status, while it runs
				e.Log.Info("status", "end", ending(e, nil))
			}
		}()
		err = e.Run(ctx, sys)
	}
	end = ending(e, err)
	e.Log.Info("end", "end", end)
	return nil
}

func ending(e *watch.Engine, err error) childEnd {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	end := childEnd{Status: e.Status(), CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), RSS: u.Maxrss}
	if err != nil {
		end.Err = err.Error()
	}
	return end
}

// line is one line of a watch's log.
type line struct {
	Time  time.Time
	Level string
	Msg   string
	Job   string
	What  string
	Why   string
	Did   string
	After time.Duration
	By    string `json:"probably_by"`
	Prob  string `json:"probably"`
	Which string
	Out   string `json:"output"`
	Err   string
	End   childEnd
}

// process is a running watch.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	mu   sync.Mutex
	log  []line
	news chan struct{}
	done chan struct{}
}

// start starts a watch in the namespace.
func start(t testing.TB, ns *nstest.NS, c childConfig) *process {
	t.Helper()
	return startIn(t, ns.Do, c)
}

func startIn(t testing.TB, do func(func()), c childConfig) *process {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(c.Under, os.Args[0])
	p := &process{t: t, cmd: exec.Command(argv[0], argv[1:]...), news: make(chan struct{}, 1), done: make(chan struct{})}
	p.cmd.Env = []string{childEnv + "=" + string(text), "PATH=" + os.Getenv("PATH")}
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	do(func() { err = p.cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			var l line
			if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
				l.Msg, l.Err = sc.Text(), err.Error()
			}
			p.mu.Lock()
			p.log = append(p.log, l)
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default:
			}
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if stderr.Len() > 0 {
			t.Logf("stderr: %s", stderr.String())
		}
		if t.Failed() {
			p.mu.Lock()
			for _, l := range p.log {
				t.Logf("%s %s %s %s: %s %s %s %s", l.Time.Format("05.000"), l.Level, l.Job, l.Msg, l.What, l.Why, l.Did, l.Err)
			}
			p.mu.Unlock()
		}
	})
	return p
}

// find waits for a line that fits, from the given position of the log on.
func (p *process) find(from int, what string, fits func(line) bool) (line, int) {
	p.t.Helper()
	end := time.After(10 * time.Second)
	for {
		p.mu.Lock()
		for i := from; i < len(p.log); i++ {
			if fits(p.log[i]) {
				l := p.log[i]
				p.mu.Unlock()
				return l, i + 1
			}
		}
		p.mu.Unlock()
		select {
		case <-p.news:
		case <-p.done:
			p.t.Fatalf("the watch ended before it said: %s", what)
		case <-end:
			p.t.Fatalf("the watch never said: %s", what)
		}
	}
}

func (p *process) length() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.log)
}

// status asks for the present one.
func (p *process) status() childEnd {
	p.t.Helper()
	at := p.length()
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		p.t.Fatal(err)
	}
	l, _ := p.find(at, "status", func(l line) bool { return l.Msg == "status" })
	return l.End
}

// ready waits until the first reading was done.
func (p *process) ready() {
	p.t.Helper()
	p.find(0, "begun", func(l line) bool { return l.Msg == "begun" })
	poll(p.t, "a first reading", func() bool { return p.status().Status.Reads > 0 })
}

// end ends it and returns what it said.
func (p *process) end() childEnd {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	l, _ := p.find(0, "end", func(l line) bool { return l.Msg == "end" })
	<-p.done
	return l.End
}

// kill is what a power cut is to it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func repaired(job, what string) func(line) bool {
	return func(l line) bool { return l.Msg == "repaired" && l.Job == job && strings.Contains(l.What, what) }
}

// poll asks until it is so.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
