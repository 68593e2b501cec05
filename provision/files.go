package provision

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Files is all that the Store does to its directory. Names have no path. Write and
// Append promise nothing about a power cut until Sync of that name has returned,
// and Write, Rename and Remove of a name nothing until SyncDir has.
type Files interface {
	// Names lists the directory; fs.ErrNotExist when it is not there.
	Names() ([]string, error)
	Read(name string) ([]byte, error)
	Write(name string, data []byte) error // creates or truncates
	Append(name string, data []byte) error
	Sync(name string) error
	Rename(from, to string) error
	Remove(name string) error
	SyncDir() error
}

// DirFiles returns the Files of a real directory, 0700 with files of 0600.
func DirFiles(dir string) Files { return dirFiles{dir} }

type dirFiles struct{ dir string }

func (d dirFiles) path(name string) string { return filepath.Join(d.dir, name) }

func (d dirFiles) Names() ([]string, error) {
	f, err := os.Open(d.dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d dirFiles) Read(name string) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &CorruptError{File: f.Name(), Why: "it is not a regular file"}
	}
	b := make([]byte, 0, min(st.Size(), maxState)+1)
	for {
		n, err := f.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) > maxState {
			return nil, &CorruptError{File: f.Name(), Why: fmt.Sprintf("it is larger than %d bytes", maxState)}
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

func (d dirFiles) open(name string, flag int, data []byte) error {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|flag, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func (d dirFiles) Write(name string, data []byte) error { return d.open(name, os.O_TRUNC, data) }

func (d dirFiles) Append(name string, data []byte) error { return d.open(name, os.O_APPEND, data) }

func (d dirFiles) Sync(name string) error {
	f, err := os.OpenFile(d.path(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d dirFiles) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d dirFiles) Remove(name string) error {
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d dirFiles) SyncDir() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	// Windows cannot sync a directory; its NTFS journals the names itself.
	if errors.Is(err, errors.ErrUnsupported) || os.PathSeparator == '\\' {
		err = nil
	}
	return errors.Join(err, f.Close())
}
