package medium

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/provision-net/provision/gadget/card"
	"github.com/provision-net/provision/gadget/card/bootfiles"
	"github.com/provision-net/provision/gadget/card/fat"
)

// disk is a file or device, whose writes may be watched by a test.
type disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// image is the boot partition in a raw image or on a device.
type image struct {
	name   string
	disk   disk
	size   int64
	place  card.Place
	volume *fat.Volume
	now    func() time.Time
}

func openImage(name string, f *os.File) (*image, error) {
	size, err := f.Seek(0, io.SeekEnd) // a device has no size in Stat
	if err != nil {
		return nil, fmt.Errorf("cannot tell the size of %s: %w", name, err)
	}
	if err := unpacked(name, f); err != nil {
		return nil, err
	}
	m := &image{name: name, disk: f, size: size, now: time.Now}
	return m, m.load()
}

// load reads the file system anew.
func (m *image) load() error {
	var err error
	if m.place, m.volume, err = card.Boot(m.disk, m.size); errors.Is(err, card.ErrNoBoot) {
		return fmt.Errorf("%w: %s: %w", ErrWrong, path.Base(m.name), err)
	}
	return err
}

// String says which file system it is.
func (m *image) String() string {
	s := fmt.Sprintf("FAT%d", m.volume.Bits())
	if l := m.volume.Label(); l != "" {
		s += " " + l
	}
	if m.place.Partition > 0 {
		s += fmt.Sprintf(" in partition %d", m.place.Partition)
	}
	return s
}

// Read gives a file.
func (m *image) Read(name string) ([]byte, error) {
	e, err := m.volume.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if e.Size > maxFile {
		return nil, fmt.Errorf("%s has %d bytes", name, e.Size)
	}
	return m.volume.ReadFile(name)
}

// Write plans everything before it writes anything.
func (m *image) Write(changes []bootfiles.Change) error {
	if len(changes) == 0 {
		return nil // whatever state the file system is in
	}
	whole, err := m.plan(changes)
	if err != nil || whole.Empty() {
		return err
	}
	var done []fat.Record
	// The first one may be the hook, which goes first, and the last one the hook that comes.
	// The record says how to go back, before what it is about, and not before that is true.
	from := 0
	for i := range changes {
		if i > 0 && i < len(changes)-2 && changes[i].Path != bootfiles.RecordName && changes[i+1].Path != bootfiles.RecordName {
			continue
		}
		p, err := m.plan(changes[from : i+1])
		from = i + 1
		if err == nil {
			done = append(done, p.Record())
			if err = p.Apply(m.place); err == nil {
				err = m.load()
			}
		}
		if err != nil {
			return m.back(err, done)
		}
	}
	if err := verify(m, changes); err != nil {
		return m.back(err, done)
	}
	return nil
}

func (m *image) plan(changes []bootfiles.Change) (*fat.Plan, error) {
	var out []fat.Change
	gone, kept, all := map[string]int{}, map[string]bool{}, map[string]fat.Op{} // by folder: how many files go, whether some come, and how all go
	for _, c := range changes {
		if dir := path.Dir(c.Path); c.After == nil {
			gone[dir]++
			if all[dir] != fat.WipeAll {
				all[dir] = op(c, fat.RemoveAll, fat.WipeAll)
			}
		} else {
			kept[dir] = true
		}
	}
	cleared := map[string]bool{}
	for _, c := range changes {
		dir := path.Dir(c.Path)
		if c.After != nil {
			out = append(out, fat.Change{Op: op(c, fat.Write, fat.WriteSecret), Path: c.Path, Data: c.After})
			continue
		}
		if dir != "." && !kept[dir] {
			list, err := m.volume.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if len(list) == gone[dir] { // with the last file the folder goes
				if !cleared[dir] {
					out = append(out, fat.Change{Op: all[dir], Path: dir})
				}
				cleared[dir] = true
				continue
			}
		}
		out = append(out, fat.Change{Op: op(c, fat.Remove, fat.Wipe), Path: c.Path})
	}
	p, err := m.volume.Plan(out, m.now())
	if errors.Is(err, fat.ErrFull) {
		return nil, fmt.Errorf("%w: the boot partition has %d kB left: %w", ErrFull, m.volume.Free()>>10, err)
	}
	return p, err
}

// op is the operation for a change: one of two, by whether it is about a secret.
func op(c bootfiles.Change, plain, secret fat.Op) fat.Op {
	if c.Secret {
		return secret
	}
	return plain
}

// back undoes what was written.
func (m *image) back(why error, done []fat.Record) error {
	for i := len(done) - 1; i >= 0; i-- {
		if err := done[i].Undo(m.place); err != nil {
			return fmt.Errorf("%w: %w; and %w: flash it anew", ErrStuck, why, err)
		}
	}
	if err := m.load(); err != nil {
		return fmt.Errorf("%w: %w; and %w: flash it anew", ErrStuck, why, err)
	}
	return fmt.Errorf("%w (the card is as it was before)", why)
}

// Problems looks through the file system.
func (m *image) Problems() (list []string, unclean, looked bool, err error) {
	found, err := m.volume.Check()
	for _, p := range found {
		list = append(list, p.String())
	}
	return list, m.volume.Dirty(), true, err
}

// Free is what the tables say.
func (m *image) Free() int64 { return m.volume.Free() }

// Close closes the file.
func (m *image) Close() error { return m.disk.Close() }
