// Package host is the only door to files, commands, D-Bus and netlink. Paths are
// logical and absolute; a root directory is put before them, so everything can be
// pointed at a mounted image or a captured tree. Only facts reads files by itself:
// Root is made of Linux system calls, and facts/tree reads captured trees anywhere.
package host

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// File is a file with everything that must come back on rollback.
type File struct {
	Data   []byte
	Mode   fs.FileMode // permission and type bits
	UID    int         // negative in Write: as the kernel gives it
	GID    int
	Xattrs map[string]string
	Target string // symlink target, when Mode is a symlink
	// Drop names extended attributes that Write removes.
	Drop []string
}

// Info is what lstat(2) tells of a file.
type Info struct {
	Mode    fs.FileMode // permission and type bits
	UID     int
	GID     int
	Size    int64
	ModTime time.Time
}

// Entry is one name in a directory.
type Entry struct {
	Name string
	Type fs.FileMode // type bits only
}

// Version tells one state of a path from another: inode, size and times. The zero
// Version is that of a path where nothing exists.
type Version struct {
	dev, ino           uint64
	size, mtime, ctime int64
	mode               uint32
}

// Reader reads files. Symlinks are followed inside the root only; an absolute
// target starts again at the root. Errors are *fs.PathError with the logical path.
type Reader interface {
	// ReadFile returns the content of a regular file of at most limit bytes; a
	// longer one is ErrTooLarge, anything but a regular file ErrIrregular.
	ReadFile(path string, limit int64) ([]byte, error)
	// Lstat tells of path itself, a symlink included.
	Lstat(path string) (Info, error)
	// ReadDir returns the entries of a directory by ascending name.
	ReadDir(path string) ([]Entry, error)
	// Readlink returns the target of a symlink, as written.
	Readlink(path string) (string, error)
}

// FS reads and changes files.
type FS interface {
	Reader
	// Load returns the file, directory or symlink at path with owner, mode and
	// extended attributes, and its version. The last component is not followed.
	Load(path string, limit int64) (File, Version, error)
	// Write makes path what f says, if it still is what v says (else ErrChanged).
	// Readers see the old file or the new one; equal bytes are not written again.
	// Extended attributes that f does not list stay those of the replaced file.
	Write(path string, f File, v Version) error
	// Remove deletes a file, a symlink or an empty directory, if it still is what
	// v says.
	Remove(path string, v Version) error
}

// Errors that callers branch on; fs.ErrNotExist and syscall errors are wrapped too.
var (
	ErrChanged   = errors.New("changed by somebody else meanwhile")
	ErrTooLarge  = errors.New("larger than the limit")
	ErrIrregular = errors.New("not a regular file")
)

// Command is one external program run without a shell.
type Command struct {
	Argv    []string // Argv[0] is looked up in a fixed root-owned PATH
	Env     []string // added to a clean environment (LC_ALL=C, PATH)
	Stdin   []byte
	Timeout time.Duration // zero means 30 s; never unlimited
}

// String returns the argument list for people.
func (c Command) String() string { return strings.Join(c.Argv, " ") }

// Output is what a command left. Stdout and Stderr hold the first MiB each.
type Output struct {
	Stdout, Stderr []byte
	Code           int
	Truncated      bool // one of the two was longer
}

// Runner runs commands; the real one counts the processes it spawned. A command
// that ran and said no is an Output with Code and a nil error; an error means that
// it could not be started, or was killed because of its timeout or the context.
type Runner interface {
	Run(ctx context.Context, c Command) (Output, error)
}
