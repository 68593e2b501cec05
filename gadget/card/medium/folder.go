package medium

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/provision-net/provision/gadget/card/bootfiles"
)

// staged is the ending of files that wait to take another one's place.
const staged = ".provision-new"

// folder is a mounted boot partition.
type folder struct {
	dir   string
	write func(name string, data []byte) error // a file with what is in it on the card
}

func openFolder(dir string) (*folder, error) {
	m := &folder{dir, writeFile}
	for _, name := range []string{"config.txt", "cmdline.txt"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return m, nil
		}
	}
	for _, sub := range []string{"boot/firmware", "boot", "firmware"} {
		if _, err := os.Stat(filepath.Join(dir, sub, "cmdline.txt")); err == nil {
			return nil, fmt.Errorf("%w: %s holds one: give %s", ErrWrong, dir, filepath.Join(dir, sub))
		}
	}
	return nil, fmt.Errorf("%w: the folder %s has neither config.txt nor cmdline.txt: the boot partition is the small one of the card, often called bootfs", ErrWrong, dir)
}

// String says which folder it is.
func (m *folder) String() string { return "the mounted folder " + m.dir }

func (m *folder) at(name string) string { return filepath.Join(m.dir, filepath.FromSlash(name)) }

// Read gives a file.
func (m *folder) Read(name string) ([]byte, error) {
	info, err := os.Stat(m.at(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of a boot partition", m.at(name))
	}
	return os.ReadFile(m.at(name))
}

// Write puts every new file beside its place first: then it is known that they fit.
func (m *folder) Write(changes []bootfiles.Change) error {
	if err := m.leftovers(changes); err != nil {
		return err
	}
	var beside, made []string
	clean := func() {
		for _, name := range beside {
			wipe(name) // most of them are small, and any may be a secret
			os.Remove(name)
		}
		for i := len(made) - 1; i >= 0; i-- {
			os.Remove(made[i]) // where it is not empty it stays
		}
	}
	for _, c := range changes {
		if c.After == nil {
			continue
		}
		if dir := path.Dir(c.Path); dir != "." {
			if err := os.Mkdir(m.at(dir), 0o755); err == nil {
				made = append(made, m.at(dir))
			} else if !errors.Is(err, fs.ErrExist) {
				clean()
				return m.cannot(c.Path, err)
			}
		}
		name := m.at(c.Path) + staged
		beside = append(beside, name)
		err := m.write(name, hidden(c))
		if err == nil && c.Secret {
			// Now that a name leads there, on the card too, a power cut cannot lose the way to it.
			err = errors.Join(syncFolder(filepath.Dir(name)), fill(name, c.After))
		}
		if err != nil {
			clean()
			return m.cannot(c.Path, err)
		}
	}
	for i, c := range changes {
		var err error
		if c.Path == bootfiles.RecordName {
			err = m.settle(changes[:i])
		}
		if err == nil {
			err = m.switchTo(c)
		}
		if err != nil {
			err = m.back(m.cannot(c.Path, err), changes[:i])
			clean()
			return err
		}
	}
	if err := verify(m, changes); err != nil {
		return m.back(err, changes)
	}
	for _, c := range changes {
		if dir := path.Dir(c.Path); c.After == nil && dir != "." {
			os.Remove(m.at(dir)) // when it was the last file
		}
	}
	return syncFolder(m.dir)
}

// settle has the names of what was changed on the card: what comes next counts on it.
func (m *folder) settle(done []bootfiles.Change) error {
	var err error
	for _, c := range done {
		err = errors.Join(err, syncFolder(m.at(path.Dir(c.Path))))
	}
	return err
}

// switchTo puts one change into effect, on a file that is still as it was read.
func (m *folder) switchTo(c bootfiles.Change) error {
	now, err := m.Read(c.Path)
	if err != nil {
		return err
	}
	if (now == nil) != (c.Before == nil) || !bytes.Equal(now, c.Before) {
		return errors.New("somebody else has changed it in this moment")
	}
	if c.Secret && now != nil {
		err = wipe(m.at(c.Path))
	}
	switch {
	case err != nil:
	case c.After == nil:
		err = os.Remove(m.at(c.Path))
	default:
		err = os.Rename(m.at(c.Path)+staged, m.at(c.Path))
	}
	if err != nil && c.Secret && now != nil {
		if e := fill(m.at(c.Path), now); e != nil {
			return fmt.Errorf("%w; and %w", err, e)
		}
	}
	return err
}

// leftovers takes away what an interruption left beside the places of changes. It has the
// bytes of files that were to come, secrets among them.
func (m *folder) leftovers(changes []bootfiles.Change) error {
	dirs := map[string]bool{".": true, bootfiles.Folder: true}
	for _, c := range changes {
		dirs[path.Dir(c.Path)] = true
	}
	for dir := range dirs {
		list, err := os.ReadDir(m.at(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range list {
			if name := path.Join(dir, e.Name()); e.Type().IsRegular() && strings.HasSuffix(name, staged) {
				if err := errors.Join(wipe(m.at(name)), os.Remove(m.at(name))); err != nil {
					return m.cannot(name, err)
				}
			}
		}
	}
	return nil
}

// hidden is what is written first: of a secret only its size, as zeros.
func hidden(c bootfiles.Change) []byte {
	if c.Secret {
		return make([]byte, len(c.After))
	}
	return c.After
}

// wipe writes zeros over a file, in place: what is freed can be read for long. FAT has
// no other place for them; a file system that keeps copies, or the card below, may.
func wipe(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return fill(name, make([]byte, info.Size()))
}

// fill writes over a file of that size, in place.
func fill(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// back undoes the changes that were made.
func (m *folder) back(why error, done []bootfiles.Change) error {
	for i := len(done) - 1; i >= 0; i-- {
		c := done[i]
		var err error
		if c.Secret {
			err = wipe(m.at(c.Path))
		}
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
		case c.Before == nil:
			err = os.Remove(m.at(c.Path))
		default:
			err = m.write(m.at(c.Path), c.Before)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w; and cannot go back: %w: what %s says is not trustworthy", ErrStuck, why, err, c.Path)
		}
	}
	return fmt.Errorf("%w (the card is as it was before)", why)
}

// cannot says why a file was not written.
func (m *folder) cannot(name string, err error) error {
	switch {
	case full(err):
		return fmt.Errorf("cannot write %s: %w: %w", name, ErrFull, err)
	case readOnly(err):
		return fmt.Errorf("cannot write %s: %w: look at the switch at the card's side, or mount it for writing", name, ErrProtected)
	}
	return fmt.Errorf("cannot write %s: %w", name, err)
}

// Problems cannot be seen from above the file system.
func (m *folder) Problems() (list []string, unclean, looked bool, err error) {
	return nil, false, false, nil
}

// Free is what the system says.
func (m *folder) Free() int64 { return free(m.dir) }

// Close has nothing to close.
func (m *folder) Close() error { return nil }

// writeFile writes a file whose contents are on the card when it returns.
func writeFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
