package enginetest

import (
	"io/fs"
	"maps"

	"github.com/provision-net/provision/provision"
)

// MemFiles are a state directory in memory: the very bytes of the real one.
type MemFiles struct{ m map[string][]byte }

// NewMemFiles returns an empty directory.
func NewMemFiles() *MemFiles { return &MemFiles{m: map[string][]byte{}} }

// Clone copies the directory.
func (f *MemFiles) Clone() *MemFiles { return &MemFiles{m: maps.Clone(f.m)} }

// Store opens a store over the directory.
func (f *MemFiles) Store() *provision.Store { return mustOpen(f) }

func mustOpen(f provision.Files) *provision.Store {
	s, err := provision.Open("", provision.WithFiles(f))
	if err != nil {
		panic(err) // there is nothing that could fail
	}
	return s
}

// Names implements provision.Files, and so do the others.
func (f *MemFiles) Names() ([]string, error) {
	names := make([]string, 0, len(f.m))
	for n := range f.m {
		names = append(names, n)
	}
	return names, nil
}

func (f *MemFiles) Read(name string) ([]byte, error) {
	b, ok := f.m[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return append([]byte(nil), b...), nil
}

func (f *MemFiles) Write(name string, data []byte) error {
	f.m[name] = append([]byte(nil), data...)
	return nil
}

func (f *MemFiles) Append(name string, data []byte) error {
	old := f.m[name]
	f.m[name] = append(old[:len(old):len(old)], data...)
	return nil
}

func (f *MemFiles) Sync(string) error { return nil }

func (f *MemFiles) Rename(from, to string) error {
	b, ok := f.m[from]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	f.m[to] = b
	delete(f.m, from)
	return nil
}

func (f *MemFiles) Remove(name string) error {
	delete(f.m, name)
	return nil
}

func (f *MemFiles) SyncDir() error { return nil }
