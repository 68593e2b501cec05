package enginetest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

// killEnv carries the work of a child process.
const killEnv = "PROVISION_ENGINETEST_KILL"

// killed is what a child is to do.
type killed struct {
	Dir   string
	At    int
	Fault Fault
	Case  int
}

// Kill runs the apply of each case in processes of their own and ends each by
// SIGKILL before and after every effect. The next process then recovers, and the
// machine has to be at the start or at the goal. It runs this very test again as the
// child, so it must be the first thing that the test does, with the same cases.
func Kill(t *testing.T, cases ...Case) {
	t.Helper()
	if env := os.Getenv(killEnv); env != "" {
		killChild(t, env, cases)
		return
	}
	total := 0
	for i, c := range cases {
		n, err := c.kill(t, i)
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		total += n
	}
	t.Logf("%d processes killed", total)
}

func (c Case) kill(t *testing.T, number int) (int, error) {
	ctx := context.Background()
	count := &Injector{At: -1}
	m, e := c.machine(c.Start, NewMemFiles())
	if _, err := count.Wrap(e).Apply(ctx, c.Desired, provision.ApplyOptions{}); err != nil {
		return 0, fmt.Errorf("apply: %w", err)
	}
	m.Settle()
	goal := m.State.Clone()
	n := 0
	for at := range count.N {
		for _, f := range []Fault{KillBefore, KillAfter} {
			if err := c.killOne(t, killed{t.TempDir(), at, f, number}, goal); err != nil {
				return n, fmt.Errorf("%s effect %d of %d: %w", f, at, count.N, err)
			}
			n++
		}
	}
	return n, nil
}

func (c Case) killOne(t *testing.T, k killed, goal State) error {
	ctx := context.Background()
	if err := saveState(k.Dir, c.Start); err != nil {
		return err
	}
	env, err := json.Marshal(k)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(limit, os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), killEnv+"="+string(env))
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.Exited() {
		return fmt.Errorf("the process was not killed: %v\n%s", err, out)
	}
	m, e, err := c.onDisk(k.Dir)
	if err != nil {
		return err
	}
	if _, err := e.Recover(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	m.Settle()
	if d := m.State.Diff(c.Start); d != "" && m.State.Diff(goal) != "" {
		return fmt.Errorf("ended neither at the goal nor at the start (is / start):\n%s", d)
	}
	if _, err := e.Apply(ctx, c.Desired, provision.ApplyOptions{}); err != nil {
		return fmt.Errorf("the next apply: %w", err)
	}
	m.Settle()
	if d := m.State.Diff(goal); d != "" {
		return fmt.Errorf("the next apply ended elsewhere (is / goal):\n%s", d)
	}
	return nil
}

func killChild(t *testing.T, env string, cases []Case) {
	var k killed
	if err := json.Unmarshal([]byte(env), &k); err != nil {
		t.Fatal(err)
	}
	c := cases[k.Case]
	_, e, err := c.onDisk(k.Dir)
	if err != nil {
		t.Fatal(err)
	}
	inj := &Injector{At: k.At, Fault: k.Fault}
	_, err = inj.Wrap(e).Apply(context.Background(), c.Desired, provision.ApplyOptions{})
	t.Fatalf("still alive after %d effects: %v", inj.N, err)
}

// onDisk is the machine whose state is a file, saved with every change, and an
// engine with a real state directory.
func (c Case) onDisk(dir string) (*Machine, *provision.Engine, error) {
	s, err := loadState(dir)
	if err != nil {
		return nil, nil, err
	}
	m := NewMachine(s, c.Rules)
	m.Changed = func() {
		if err := saveState(dir, m.State); err != nil {
			panic(err)
		}
	}
	store, err := provision.Open(filepath.Join(dir, "state"))
	if err != nil {
		return nil, nil, err
	}
	return m, m.Engine(store, append(c.without(), c.Desired)...), nil
}

// onFile is one reference of a state file; byte slices survive JSON.
type onFile struct {
	Kind, Name []byte
	Attrs      map[string][]byte
}

func saveState(dir string, s State) error {
	var all []onFile
	for r, a := range s {
		f := onFile{[]byte(r.Kind), []byte(r.Name), map[string][]byte{}}
		for k, v := range a {
			f.Attrs[k] = []byte(v)
		}
		all = append(all, f)
	}
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "machine.tmp")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, "machine"))
}

func loadState(dir string) (State, error) {
	b, err := os.ReadFile(filepath.Join(dir, "machine"))
	if err != nil {
		return nil, err
	}
	var all []onFile
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	s := State{}
	for _, f := range all {
		a := provision.Attrs{}
		for k, v := range f.Attrs {
			a[k] = string(v)
		}
		s[provision.Ref{Kind: string(f.Kind), Name: string(f.Name)}] = a
	}
	return s, nil
}

// RandomCases draws starts and goals of the model, for Kill and Planner. A start is
// a machine that was never touched.
func RandomCases(seed uint64, n int) []Case {
	var out []Case
	for i := range n {
		p := newPair(newRand(seed, uint64(i)))
		rules := p.mo.rules()
		p.mo.slow = 0 // a daemon that is about to act dies with the process
		out = append(out, Case{Start: p.mo.base, Desired: p.from, Rules: rules})
	}
	return out
}
