// Package host is the only door to files, commands, D-Bus and netlink. Paths are
// logical and absolute; a root directory is put before them, so everything can be
// pointed at a mounted image or a captured tree.
package host

import (
	"context"
	"io/fs"
	"time"
)

// File is a file with everything that must come back on rollback.
type File struct {
	Data   []byte
	Mode   fs.FileMode // permission and type bits
	UID    int
	GID    int
	Xattrs map[string]string
	Target string // symlink target, when Mode is a symlink
}

// Command is one external program run without a shell.
type Command struct {
	Argv    []string // Argv[0] is looked up in a fixed root-owned PATH
	Env     []string // added to a clean environment (LC_ALL=C, PATH)
	Stdin   []byte
	Timeout time.Duration // zero means 30 s; never unlimited
}

// Output is what a command left.
type Output struct {
	Stdout, Stderr []byte
	Code           int
}

// Runner runs commands; the real one counts the processes it spawned.
type Runner interface {
	Run(ctx context.Context, c Command) (Output, error)
}
