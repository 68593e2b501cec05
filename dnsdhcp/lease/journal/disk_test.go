package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"
)

// disk is a directory on a disk with caches. Data are safe after Sync only, names after SyncDir only; what is not safe
// may be there after a power cut, or not, or in part. A Sync that fails leaves the pages clean and unwritten: the next
// one succeeds and makes nothing safe, as in Linux.
type disk struct {
	mu     sync.Mutex
	dir    map[string]*inode
	synced map[string]*inode
	ops    []func(map[string]*inode) // on names since the last SyncDir
	cut    func(what string)         // called after every operation, without the lock
	fault  func(op string) error     // what the next operation meets
	n      int                       // operations so far
	locked bool
}

type inode struct {
	data, durable []byte
	poisoned      bool
}

func newDisk() *disk { return &disk{dir: map[string]*inode{}, synced: map[string]*inode{}} }

// begin counts an operation and asks whether it fails; the lock is held from here on.
func (d *disk) begin(op string) error {
	d.mu.Lock()
	d.n++
	if d.fault == nil {
		return nil
	}
	return d.fault(op)
}

func (d *disk) end(what string) {
	cut := d.cut
	d.mu.Unlock()
	if cut != nil {
		cut(what)
	}
}

func (d *disk) name(op func(map[string]*inode)) {
	op(d.dir)
	d.ops = append(d.ops, op)
}

func (d *disk) Lock() (func() error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return nil, ErrInUse
	}
	d.locked = true
	return func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.locked = false
		return nil
	}, nil
}

func (d *disk) Names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.dir)), nil
}

func (d *disk) Read(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.dir[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return bytes.Clone(i.data), nil
}

func (d *disk) Create(name string) (File, error) {
	err := d.begin("create")
	defer d.end("create " + name)
	if err != nil {
		return nil, err
	}
	i := &inode{}
	d.name(func(dir map[string]*inode) { dir[name] = i })
	return &diskFile{d, i, name}, nil
}

func (d *disk) Rename(from, to string) error {
	err := d.begin("rename")
	defer d.end("rename to " + to)
	if err != nil {
		return err
	}
	d.name(func(dir map[string]*inode) {
		if i, ok := dir[from]; ok {
			dir[to] = i
			delete(dir, from)
		}
	})
	return nil
}

func (d *disk) Remove(name string) error {
	err := d.begin("remove")
	defer d.end("remove " + name)
	if err != nil {
		return err
	}
	d.name(func(dir map[string]*inode) { delete(dir, name) })
	return nil
}

func (d *disk) SyncDir() error {
	err := d.begin("syncdir")
	defer d.end("sync directory")
	if err != nil {
		return err
	}
	d.synced, d.ops = maps.Clone(d.dir), nil
	return nil
}

type diskFile struct {
	d    *disk
	i    *inode
	name string
}

// Write with a fault writes half of it.
func (f *diskFile) Write(b []byte) (int, error) {
	err := f.d.begin("write")
	defer f.d.end("write " + f.name)
	n := len(b)
	if err != nil {
		n /= 2
	}
	if errors.Is(err, errShort) {
		err = nil
	}
	f.i.data = append(f.i.data[:len(f.i.data):len(f.i.data)], b[:n]...)
	return n, err
}

func (f *diskFile) Sync() error {
	err := f.d.begin("sync")
	defer f.d.end("sync " + f.name)
	if err != nil {
		f.i.poisoned = true
		return err
	}
	if !f.i.poisoned {
		f.i.durable = f.i.data
	}
	return nil
}

func (f *diskFile) Close() error { return nil }

var (
	errShort = errors.New("short write without an error")
	errFull  = fmt.Errorf("no room: %w", syscall.ENOSPC)
	errIO    = fmt.Errorf("broken: %w", syscall.EIO)
)

// images are the disks that a power cut may leave now, each once.
func (d *disk) images() []*disk {
	d.mu.Lock()
	defer d.mu.Unlock()
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
	keeps := []func(*inode) []byte{
		func(i *inode) []byte { return i.data },
		func(i *inode) []byte { return i.durable },
		func(i *inode) []byte { return i.data[:(len(i.data)+len(i.durable))/2] },
		func(i *inode) []byte { return i.data[:max(len(i.durable), len(i.data)-1)] },
		func(i *inode) []byte { // the length has been written, the data have not
			return append(bytes.Clone(i.durable), make([]byte, len(i.data)-len(i.durable))...)
		},
		func(i *inode) []byte { // the second half has, the first has not
			b := bytes.Clone(i.data)
			clear(b[len(i.durable) : (len(i.data)+len(i.durable))/2])
			return b
		},
	}
	var out []*disk
	seen := map[[32]byte]bool{}
	for _, dir := range dirs {
		for _, keep := range keeps {
			img, h := newDisk(), sha256.New()
			for _, n := range slices.Sorted(maps.Keys(dir)) {
				b := slices.Clip(keep(dir[n]))
				img.dir[n] = &inode{data: b, durable: b}
				fmt.Fprintf(h, "%s %d %x\n", n, len(b), b)
			}
			img.synced = maps.Clone(img.dir)
			if sum := [32]byte(h.Sum(nil)); !seen[sum] {
				seen[sum] = true
				out = append(out, img)
			}
		}
	}
	return out
}
