package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Journal is the file that carries a Set over a crash.
type Journal struct{ Path string }

// maxJournal bounds what is read back; a full BGP table on a machine that this
// program configures would be a mistake, and it is refused rather than swallowed.
const maxJournal = 64 << 20

// Write stores s durably, mode 0600, in one step.
func (j Journal) Write(s Set) error {
	b, err := json.Marshal(s)
	if err == nil && len(b) > maxJournal {
		err = fmt.Errorf("%d routes, rules and addresses are more than can be kept", len(s.Foreign)+len(s.Leases))
	}
	if err == nil {
		err = j.write(b)
	}
	if err != nil {
		return fmt.Errorf("cannot save foreign routes to %s: %w", j.Path, err)
	}
	return nil
}

func (j Journal) write(b []byte) error {
	dir := filepath.Dir(j.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(j.Path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), j.Path)
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Read returns the stored Set and true, or false when there is none of this boot.
func (j Journal) Read() (Set, bool, error) {
	f, err := os.Open(j.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Set{}, false, nil
	}
	if err != nil {
		return Set{}, false, fmt.Errorf("cannot read saved foreign routes: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err == nil && len(b) > maxJournal {
		err = errors.New("file is too large")
	}
	var s Set
	if err == nil {
		s, err = decode(b)
	}
	if err != nil {
		return Set{}, false, fmt.Errorf("cannot read saved foreign routes from %s: %w; look at it and remove it", j.Path, err)
	}
	return s, s.Boot == bootID(), nil
}

func decode(b []byte) (Set, error) {
	var s Set
	if err := json.Unmarshal(b, &s); err != nil {
		return Set{}, err
	}
	for _, m := range append(append([]Message{}, s.Foreign...), s.Leases...) {
		if _, _, err := m.replay(0); err != nil {
			return Set{}, err
		}
	}
	return s, nil
}

// Remove forgets the stored Set.
func (j Journal) Remove() error {
	err := os.Remove(j.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(filepath.Dir(j.Path))
	}
	if err != nil {
		return fmt.Errorf("cannot forget saved foreign routes: %w", err)
	}
	return nil
}
