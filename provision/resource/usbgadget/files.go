package usbgadget

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/provision-net/provision/provision/host"
)

// Files is what the resources need of a host: host.Root has it on Linux. Paths are
// absolute; errors are *fs.PathError.
type Files interface {
	// ReadValue returns an attribute and its mode; fs.ErrPermission where it can only be written.
	ReadValue(path string, limit int64) ([]byte, fs.FileMode, error)
	Lstat(path string) (host.Info, error)
	ReadDir(path string) ([]host.Entry, error)
	// Names lists a directory in the order of its file system.
	Names(path string) ([]string, error)
	Readlink(path string) (string, error)

	// WriteValue writes to an existing file with one write(2).
	WriteValue(path, value string) error
	Mkdir(path string) error
	Rmdir(path string) error
	Symlink(target, path string) error
	Unlink(path string) error
}

// maxValue is the largest page of a kernel, which is the most that an attribute holds.
const maxValue = 1 << 16

// dir is a directory of configfs.
type dir struct {
	f    Files
	path string
}

//go:noinline
func (d dir) sub(name string) dir { return dir{d.f, d.path + "/" + name} }

func (d dir) name() string { return path.Base(d.path) }

// exists reports whether it is there; a configfs that is not mounted has nothing.
func (d dir) exists() (bool, error) {
	_, err := d.f.Lstat(d.path)
	if gone(err) {
		return false, nil
	}
	return err == nil, err
}

// has reports whether it has that file: not every kernel has every attribute.
func (d dir) has(name string) bool {
	_, err := d.f.Lstat(d.path + "/" + name)
	return err == nil
}

// read returns an attribute's bytes, and "" of one that is not there.
func (d dir) read(name string) (string, error) {
	data, _, err := d.f.ReadValue(d.path+"/"+name, maxValue)
	if gone(err) {
		return "", nil
	}
	return string(data), err
}

//go:noinline
func (d dir) write(name, value string) error { return d.f.WriteValue(d.path+"/"+name, value) }

// entries lists names by type, sorted.
func (d dir) entries(want fs.FileMode) ([]string, error) {
	list, err := d.f.ReadDir(d.path)
	if gone(err) {
		return nil, nil
	}
	var out []string
	for _, e := range list {
		if e.Type == want {
			out = append(out, e.Name)
		}
	}
	return out, err
}

// rmdirs removes the directories in d that people made, and goes on after errors.
func (d dir) rmdirs(made func(name string) bool) error {
	names, err := d.entries(fs.ModeDir)
	errs := []error{err}
	for _, n := range names {
		if made == nil || made(n) {
			errs = append(errs, d.sub(n).rmdir())
		}
	}
	return errors.Join(errs...)
}

// rmdir removes it; that it has gone already is as good.
func (d dir) rmdir() error { return ignoreGone(d.f.Rmdir(d.path)) }

// gone: it is not there, or has just been taken away with its directory.
//
//go:noinline
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func ignoreGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

// english is the language of the strings that are kept: 0x0409.
const english = "strings/0x409"

// setString sets one string of d, "" as the string that is not there.
func (d dir) setString(name, value string) error {
	s := d.sub(english)
	there, err := s.exists()
	if err != nil {
		return err
	}
	if !there {
		if value == "" {
			return nil
		}
		if err := d.f.Mkdir(s.path); err != nil {
			return err
		}
	}
	return s.write(name, orNewline(value))
}

// tidyStrings removes the strings' directory once all of names are empty in it.
func (d dir) tidyStrings(names ...string) error {
	s := d.sub(english)
	for _, n := range names {
		if v, err := s.read(n); err != nil || text(v) != "" {
			return err
		}
	}
	return s.rmdir()
}

// orNewline: a write of nothing does not reach the kernel, and of what ends with a
// newline the kernel takes one off.
//
//go:noinline
func orNewline(value string) string {
	if value == "" || value[len(value)-1] == '\n' {
		return value + "\n"
	}
	return value
}

// text takes off what the kernel adds: a newline, and the terminator that u_ether
// prints before it.
//
//go:noinline
func text(v string) string { return strings.TrimRight(strings.TrimSuffix(v, "\n"), "\x00") }
