package fat

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Op is what becomes of a path.
type Op string

// Ops.
const (
	// Write makes a file with these contents, in place of one that is there, whose
	// name and attributes stay. Folders on the way to it are made.
	Write Op = "write"
	// Mkdir makes a folder, and those on the way to it.
	Mkdir Op = "mkdir"
	// Remove takes a file or an empty folder away; what is not there is no error.
	Remove Op = "remove"
	// RemoveAll takes a folder away with all that is in it.
	RemoveAll Op = "remove-all"
	// WriteSecret, Wipe and WipeAll are Write, Remove and RemoveAll of secrets: the bytes of
	// one are at no time where no entry leads to them, and nobody would find them again
	// after an interruption. What goes or is replaced becomes zeros while its entry still
	// leads there; what comes is zeros until an entry does. So an interruption may leave
	// zeros, where otherwise it leaves the old or the new file.
	WriteSecret Op = "write secret"
	Wipe        Op = "wipe"
	WipeAll     Op = "wipe-all"
)

// removes reports whether nothing is left at the path.
func (o Op) removes() bool { return o == Remove || o == RemoveAll || o.wipes() && o != WriteSecret }

// wipes reports whether it is about secrets.
func (o Op) wipes() bool { return o == WriteSecret || o == Wipe || o == WipeAll }

// Change is one wish. Paths are as in [Volume.Stat].
type Change struct {
	Op   Op
	Path string
	Data []byte // of Write and WriteSecret
}

// Errors that Plan's errors wrap.
var (
	// ErrFull: there are not enough free clusters or directory entries. A file that is
	// replaced needs room beside the old one.
	ErrFull = errors.New("it does not fit")
	// ErrDamaged: the file system contradicts itself and has to be repaired first.
	ErrDamaged = errors.New("the file system is damaged")
)

// Plan works out every write that the changes need. What is so already needs none:
// planning what has been done gives an empty plan. now is stamped on what is written,
// as it stands in its time zone: FAT keeps local time. Nothing is written here.
func (v *Volume) Plan(changes []Change, now time.Time) (*Plan, error) {
	if err := apart(changes); err != nil {
		return nil, err
	}
	problems, err := v.Check()
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("cannot change it: %w: %v (%d such problems or more): repair it with fsck.vfat, or Windows' chkdsk, and try again",
			ErrDamaged, problems[0], len(problems))
	}
	p := planner{v: v, now: now, table: bytes.Clone(v.table), folders: map[uint32]*folder{}, at: 2}
	for _, c := range changes {
		if err := p.change(c); err != nil {
			return nil, fmt.Errorf("cannot %s %s: %w", c.Op, c.Path, err)
		}
	}
	return p.finish()
}

// apart refuses changes of which one is about the other's path, so that their order
// means nothing.
func apart(changes []Change) error {
	paths := make([]string, len(changes))
	for i, c := range changes {
		// ToUpper and ToLower: what find takes for the same.
		paths[i] = strings.ToLower(strings.ToUpper(strings.Join(words(c.Path), "/")))
		if paths[i] == "" {
			return fmt.Errorf("cannot %s the root folder", c.Op)
		}
	}
	for i, a := range paths {
		for k, b := range paths {
			if i < k && a == b || i != k && changes[i].Op.removes() && strings.HasPrefix(b, a+"/") {
				return fmt.Errorf("cannot %s %s: another change is about %s", changes[i].Op, changes[i].Path, changes[k].Path)
			}
		}
	}
	return nil
}

// planner collects the edits of one plan, by stages.
type planner struct {
	v       *Volume
	now     time.Time
	table   []byte // as it will be
	at      uint32 // where the next free cluster is looked for
	last    uint32 // the cluster that was taken last
	folders map[uint32]*folder
	fresh   []*folder
	edits   [stages][]edit
	extents []Step // contents, which are written as they are
}

// edit is some bytes of the volume that change in a stage.
type edit struct {
	at   int64
	data []byte
}

func (p *planner) edit(s stage, at int64, data []byte) {
	p.edits[s] = append(p.edits[s], edit{at, data})
}

func (p *planner) change(c Change) error {
	names := words(c.Path)
	dir, name := names[:len(names)-1], names[len(names)-1]
	f, err := p.folder(p.v.root())
	if err != nil {
		return err
	}
	for _, d := range dir {
		e, ok := find(f.entries, d)
		switch {
		case ok && !e.Dir:
			return fmt.Errorf("%s is a file", e.Name)
		case ok:
			f, err = p.folder(e.first)
		case c.Op.removes():
			return nil
		default:
			f, err = p.mkdir(f, d)
		}
		if err != nil {
			return err
		}
	}
	e, ok := find(f.entries, name)
	if ok && f.written[e.slot] && c.Op != Mkdir {
		return fmt.Errorf("another change is about %s, which is the same file", e.Name)
	}
	switch c.Op {
	case Write, WriteSecret:
		return p.write(f, e, ok, name, c)
	case Mkdir:
		if ok && !e.Dir {
			return errors.New("it is a file")
		}
		if !ok {
			_, err = p.mkdir(f, name)
		}
		return err
	case Remove, RemoveAll, Wipe, WipeAll:
		if !ok {
			return nil
		}
		return p.remove(f, e, c)
	}
	return fmt.Errorf("there is no such operation as %q", c.Op)
}

func (p *planner) write(f *folder, e Entry, exists bool, name string, c Change) error {
	v, data := p.v, c.Data
	if int64(len(data)) > math.MaxUint32 {
		return fmt.Errorf("%w: a file of FAT has less than 4 GiB", ErrFull)
	}
	if exists {
		if e.Dir {
			return errors.New("it is a folder")
		}
		if e.Size == int64(len(data)) {
			if have, err := v.contents(e); err != nil || bytes.Equal(have, data) {
				return err
			}
		}
	}
	chain, err := p.take((len(data) + v.cluster - 1) / v.cluster)
	if err != nil {
		return err
	}
	if c.Op.wipes() {
		p.secret(chain, data)
	} else if err := p.contents(chain, data); err != nil {
		return err
	}
	first := uint32(0)
	if len(chain) > 0 {
		first = chain[0]
	}
	if !exists {
		return p.add(f, name, attrArchive, first, int64(len(data)))
	}
	s := bytes.Clone(f.slots(e.slot, 1))
	aim(s, first, int64(len(data)), p.now)
	s[attrAt] |= attrArchive
	p.set(f, stageEntries, e.slot, s)
	f.written[e.slot] = true
	return p.release(e, c.Op.wipes())
}

func (p *planner) mkdir(f *folder, name string) (*folder, error) {
	v := p.v
	chain, err := p.take(1)
	if err != nil {
		return nil, err
	}
	parent := f.first
	if parent == v.root() {
		parent = 0 // what .. of the root is, whatever cluster that has
	}
	raw := make([]byte, v.cluster)
	copy(raw, entrySlot(short([]byte(".          ")), attrFolder, chain[0], 0, p.now))
	copy(raw[slotSize:], entrySlot(short([]byte("..         ")), attrFolder, parent, 0, p.now))
	if err := p.add(f, name, attrFolder, chain[0], 0); err != nil {
		return nil, err
	}
	made := &folder{v: v, first: chain[0], chain: chain, raw: raw, end: 2, written: map[int]bool{}, fresh: true}
	p.folders[made.first] = made
	p.fresh = append(p.fresh, made)
	return made, nil
}

func (p *planner) remove(f *folder, e Entry, c Change) error {
	if e.Dir {
		sub, err := p.folder(e.first)
		if err != nil {
			return err
		}
		if len(sub.entries) > 0 && c.Op != RemoveAll && c.Op != WipeAll {
			return errors.New("the folder is not empty")
		}
		if err := p.releaseTree(sub, c.Op.wipes()); err != nil {
			return err
		}
	} else if err := p.release(e, c.Op.wipes()); err != nil {
		return err
	}
	// The entry goes before its long name: a name without a file is nothing, a file
	// without its long name would have another name.
	for i := e.from; i <= e.slot; i++ {
		s := bytes.Clone(f.slots(i, 1))
		s[0] = gone
		at := stageGoneNames
		if i == e.slot {
			at = stageGone
		}
		p.set(f, at, i, s)
	}
	f.forget(e)
	return nil
}

// add puts a new entry into a folder.
func (p *planner) add(f *folder, name string, attr byte, first uint32, size int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	s, long, err := alias(name, f.taken)
	if err != nil {
		return err
	}
	var names []byte
	if long {
		names = longSlots(name, s)
	}
	n := len(names) / slotSize
	at, err := p.room(f, n+1)
	if err != nil {
		return err
	}
	end := f.end
	for i := range n {
		p.set(f, stageNames, at+i, names[i*slotSize:][:slotSize])
	}
	p.set(f, stageEntries, at+n, entrySlot(s, attr, first, size, p.now))
	// Behind the end there may be anything; now that the end moves, it must stay the end.
	if next := at + n + 1; next > end {
		f.end = next
		if next < f.count() && f.slots(next, 1)[0] != 0 {
			p.set(f, stageNames, next, make([]byte, slotSize))
		}
	}
	f.written[at+n] = true
	f.entries = append(f.entries, Entry{Name: name, Short: s.text(0), Dir: attr&attrFolder != 0, Size: size, first: first, raw: s, slot: at + n, from: at})
	return nil
}
