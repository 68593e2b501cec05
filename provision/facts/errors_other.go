//go:build !unix

package facts

import "io/fs"

var errNotDir = fs.ErrNotExist
