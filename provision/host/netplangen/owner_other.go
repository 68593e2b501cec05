//go:build !unix

package netplangen

import "io/fs"

func owner(fs.FileInfo) (uid, gid int) { return 0, 0 }
