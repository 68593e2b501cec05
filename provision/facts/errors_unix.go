//go:build unix

package facts

import "syscall"

// errNotDir: a component of the path is a file, so the path does not exist.
const errNotDir = syscall.ENOTDIR
