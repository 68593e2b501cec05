package enginetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"sort"

	"github.com/provision-net/provision/provision"
)

// diskFiles are a state directory on a disk with caches: data is safe after Sync
// only, names after SyncDir only, and what is not safe may be there or not.
type diskFiles struct {
	dir    map[string]*inode
	synced map[string]*inode
	ops    []func(dir map[string]*inode) // on names, since the last SyncDir
	cut    func(what string)             // called after every operation
}

type inode struct{ data, durable []byte }

func newDisk() *diskFiles {
	return &diskFiles{dir: map[string]*inode{}, synced: map[string]*inode{}, cut: func(string) {}}
}

func (d *diskFiles) name(op func(map[string]*inode)) {
	op(d.dir)
	d.ops = append(d.ops, op)
}

func (d *diskFiles) Names() ([]string, error) {
	var names []string
	for n := range d.dir {
		names = append(names, n)
	}
	return names, nil
}

func (d *diskFiles) Read(name string) ([]byte, error) {
	i, ok := d.dir[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return bytes.Clone(i.data), nil
}

func (d *diskFiles) write(name string, data []byte, add bool) {
	i, ok := d.dir[name]
	if !ok {
		i = &inode{}
		d.name(func(dir map[string]*inode) { dir[name] = i })
	}
	if add {
		data = append(bytes.Clone(i.data), data...)
	}
	i.data = bytes.Clone(data)
}

func (d *diskFiles) Write(name string, data []byte) error {
	d.write(name, data, false)
	d.cut("write " + name)
	return nil
}

func (d *diskFiles) Append(name string, data []byte) error {
	d.write(name, data, true)
	d.cut("append " + name)
	return nil
}

func (d *diskFiles) Sync(name string) error {
	d.dir[name].durable = d.dir[name].data
	d.cut("sync " + name)
	return nil
}

func (d *diskFiles) Rename(from, to string) error {
	d.name(func(dir map[string]*inode) {
		if i, ok := dir[from]; ok {
			dir[to] = i
			delete(dir, from)
		}
	})
	d.cut("rename to " + to)
	return nil
}

func (d *diskFiles) Remove(name string) error {
	d.name(func(dir map[string]*inode) { delete(dir, name) })
	d.cut("remove " + name)
	return nil
}

func (d *diskFiles) SyncDir() error {
	d.synced, d.ops = maps.Clone(d.dir), nil
	d.cut("sync directory")
	return nil
}

// images returns the directories that a power cut may leave now, each once.
func (d *diskFiles) images() []*MemFiles {
	dirs := []map[string]*inode{d.dir, d.synced}
	for n := range d.ops {
		some := maps.Clone(d.synced) // the first ones have reached the disk
		for _, op := range d.ops[:n] {
			op(some)
		}
		one := maps.Clone(d.synced) // this one alone has
		d.ops[n](one)
		dirs = append(dirs, some, one)
	}
	var out []*MemFiles
	seen := map[[32]byte]bool{}
	for _, dir := range dirs {
		for _, keep := range []func(*inode) []byte{
			func(i *inode) []byte { return i.data },
			func(i *inode) []byte { return i.durable },
			func(i *inode) []byte { // torn in the middle
				if !bytes.HasPrefix(i.data, i.durable) {
					return i.data[:len(i.data)/2]
				}
				return i.data[:(len(i.data)+len(i.durable))/2]
			},
			func(i *inode) []byte { // the length has been written, the data have not
				if !bytes.HasPrefix(i.data, i.durable) {
					return make([]byte, len(i.data))
				}
				return append(bytes.Clone(i.durable), make([]byte, len(i.data)-len(i.durable))...)
			},
		} {
			f := NewMemFiles()
			for n, i := range dir {
				f.m[n] = keep(i)
			}
			if h := f.hash(); !seen[h] {
				seen[h] = true
				out = append(out, f)
			}
		}
	}
	return out
}

func (f *MemFiles) hash() [32]byte {
	names := make([]string, 0, len(f.m))
	for n := range f.m {
		names = append(names, n)
	}
	sort.Strings(names)
	h := sha256.New()
	for _, n := range names {
		fmt.Fprintf(h, "%d %s %d ", len(n), n, len(f.m[n]))
		h.Write(f.m[n])
	}
	return [32]byte(h.Sum(nil))
}

// PowerCutReport counts.
type PowerCutReport struct {
	Runs, Cuts, Images int
	Goal, Start        int
	Bad                []string
}

func (r PowerCutReport) String() string {
	return fmt.Sprintf("%d runs, cut at %d points, %d disk images: %d ended at the goal, %d at the start, %d elsewhere",
		r.Runs, r.Cuts, r.Images, r.Goal, r.Start, len(r.Bad))
}

// PowerCut applies, fails, rolls back and confirms on random machines, and cuts the
// power after every operation on the state directory and every effect.
func PowerCut(seed uint64, pairs int) PowerCutReport {
	var rep PowerCutReport
	for n := range pairs {
		rnd := newRand(seed, uint64(n))
		p := newPair(rnd)
		c := &cutter{p: p, rep: &rep, name: fmt.Sprintf("seed %d pair %d", seed, n)}
		for what := range 4 {
			if !c.run(what, rnd) {
				break
			}
			rep.Runs++
		}
		if len(rep.Bad) > 0 {
			break
		}
	}
	return rep
}

type cutter struct {
	p    *pair
	rep  *PowerCutReport
	name string
}

func (c *cutter) bad(format string, args ...any) bool {
	c.rep.Bad = append(c.rep.Bad, c.name+": "+fmt.Sprintf(format, args...))
	return false
}

// run makes the way to the start in peace and then cuts what follows.
func (c *cutter) run(what int, rnd *rand.Rand) bool {
	ctx := context.Background()
	disk := newDisk()
	m := NewMachine(c.p.mo.base, c.p.mo.rules())
	inj := &Injector{At: -1}
	e := inj.Wrap(m.Engine(mustOpen(disk), c.p.from, c.p.to))
	if _, err := e.Apply(ctx, c.p.from, provision.ApplyOptions{}); err != nil {
		return c.bad("first apply: %v", err)
	}
	m.Settle()
	cut := func(op string) {
		c.rep.Cuts++
		for _, img := range disk.images() {
			c.rep.Images++
			c.after(m, img, fmt.Sprintf("run %d cut after %s", what, op))
		}
	}
	watch := func() {
		disk.cut = cut
		m.Changed = func() { cut("effect") }
	}
	opt := provision.ApplyOptions{}
	switch what {
	case 0:
		watch()
	case 1: // fails and goes back
		watch()
		inj.At, inj.Fault = inj.N+rnd.IntN(6), FailAfter
	case 2: // is rolled back
	case 3: // waits, and is kept or goes back
		watch()
		opt.Confirm = 60e9
	}
	_, err := e.Apply(ctx, c.p.to, opt)
	var failed *provision.FailedError
	if err != nil && !(what == 1 && errors.As(err, &failed)) {
		return c.bad("apply: %v", err)
	}
	switch what {
	case 2:
		m.Settle()
		watch()
		if m.State.Diff(c.p.start) != "" {
			if _, err := e.Rollback(ctx); err != nil {
				return c.bad("rollback: %v", err)
			}
		}
	case 3:
		if rnd.IntN(2) == 0 {
			if err := e.Confirm(ctx); err != nil && !errors.Is(err, provision.ErrNotPending) {
				return c.bad("confirm: %v", err)
			}
		} else {
			m.Clock.After(60e9)
			if _, err := e.Recover(ctx); err != nil {
				return c.bad("recover: %v", err)
			}
		}
	}
	return len(c.rep.Bad) == 0
}

// after is what the next boot finds. Without the mark it does not even look.
func (c *cutter) after(m *Machine, img *MemFiles, what string) {
	if len(c.rep.Bad) > 0 {
		return
	}
	ctx := context.Background()
	next := NewMachine(m.State, m.Rules)
	next.Clock.up = m.Clock.up
	next.due = append(next.due, m.due...)
	e := next.Engine(img.Store(), c.p.from, c.p.to)
	next.Clock.Reboot() // nothing waits over a reboot
	next.Settle()
	if _, err := img.Read("unfinished"); err == nil { // as the boot's unit has it
		if _, err := e.Recover(ctx); err != nil {
			c.bad("%s: recover: %v", what, err)
			return
		}
		if _, err := img.Read("unfinished"); err == nil {
			c.bad("%s: when all was finished the mark was still there", what)
			return
		}
	}
	next.Settle()
	toGoal, toStart := next.State.Diff(c.p.goal), next.State.Diff(c.p.start)
	switch {
	case toGoal == "":
		c.rep.Goal++
	case toStart == "":
		c.rep.Start++
	default:
		c.bad("%s: ended neither at the goal nor at the start\nfrom the goal:\n%s\nfrom the start:\n%s", what, toGoal, toStart)
		return
	}
	if c.rep.Images%16 == 0 {
		if _, err := e.Apply(ctx, c.p.to, provision.ApplyOptions{}); err != nil {
			c.bad("%s: the next apply: %v", what, err)
		} else if next.Settle(); next.State.Diff(c.p.goal) != "" {
			c.bad("%s: the next apply ended elsewhere:\n%s", what, next.State.Diff(c.p.goal))
		} else if _, err := e.Revert(ctx, false); err != nil {
			c.bad("%s: revert: %v", what, err)
		} else if next.Settle(); c.p.fromBase(next) != "" {
			c.bad("%s: revert ended elsewhere:\n%s", what, c.p.fromBase(next))
		}
	}
}
