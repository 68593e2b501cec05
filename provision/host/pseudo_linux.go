package host

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Pseudo file systems (configfs, sysfs, cgroup) are changed by the bare system calls:
// a temporary name, a mode or an fsync would each be an effect of its own there, or
// an error. WriteValue writes to their files.

// Names returns the names in a directory in the order in which its file system lists
// them.
func (r *Root) Names(name string) ([]string, error) {
	dir, base, err := r.locate(name, true)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	defer unix.Close(dir)
	fd, err := openAt(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	f := os.NewFile(uintptr(fd), selfFD(fd))
	defer f.Close()
	names, err := f.Readdirnames(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, pathError("readdir", name, err)
	}
	return names, nil
}

// ReadValue returns what a file of the kernel holds and its mode. Unlike ReadFile it opens without looking first, for
// which a device could be meant that does something when it is opened: no such file system has devices.
func (r *Root) ReadValue(name string, limit int64) ([]byte, fs.FileMode, error) {
	data, mode, err := r.readValue(name, limit)
	return data, mode, pathError("read", name, err)
}

func (r *Root) readValue(name string, limit int64) ([]byte, fs.FileMode, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	dir, base, done, err := r.at(name, false)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	fd, err := openAt(dir, base, flags, 0)
	if err != nil {
		return nil, 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, 0, irregular(st.Mode)
	}
	data, err := readAll(fd, 0, limit)
	return data, fileMode(st.Mode), err
}

// Mkdir makes a directory, with the mode that its file system gives.
func (r *Root) Mkdir(name string) error {
	return r.bare("mkdir", name, func(dir int, base string) error { return unix.Mkdirat(dir, base, 0o755) })
}

// Rmdir removes a directory that the file system lets go.
func (r *Root) Rmdir(name string) error {
	return r.bare("rmdir", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR) })
}

// Symlink makes a link to an absolute path below the root. configfs looks the target
// up when the link is made, and from the machine's own root.
func (r *Root) Symlink(target, name string) error {
	if !path.IsAbs(target) {
		return &fs.PathError{Op: "symlink", Path: name, Err: unix.EINVAL}
	}
	if !r.live {
		target = path.Join(r.dir, target)
	}
	return r.bare("symlink", name, func(dir int, base string) error { return unix.Symlinkat(target, dir, base) })
}

// Unlink removes a link or a file.
func (r *Root) Unlink(name string) error {
	return r.bare("unlink", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
}

func (r *Root) bare(op, name string, do func(dir int, base string) error) error {
	dir, base, err := r.locate(name, false)
	if err != nil {
		return pathError(op, name, err)
	}
	defer unix.Close(dir)
	// configfs waits for a signal's end nowhere, but autoloading a module for mkdir does.
	_, err = eintr(func() (int, error) { return 0, do(dir, base) })
	return pathError(op, name, err)
}
