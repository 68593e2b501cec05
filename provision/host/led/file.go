package led

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/provision-net/provision/provision/host"
)

// Names are the lights that there are.
func Names(r host.Reader) ([]string, error) {
	list, err := r.ReadDir(Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the lights: %w", err)
	}
	names := make([]string, 0, len(list))
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names, nil
}

// File is a Memory in a file, whose directory exists; it should be in /run.
type File string

// Load implements Memory.
func (f File) Load() ([]byte, error) {
	info, err := os.Lstat(string(f))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not what was kept of a light", f)
	}
	return os.ReadFile(string(f))
}

// Save implements Memory.
func (f File) Save(b []byte) error {
	tmp := string(f) + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, string(f))
}

// Forget implements Memory.
func (f File) Forget() error {
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
