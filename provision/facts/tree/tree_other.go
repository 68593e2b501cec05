//go:build !unix

package tree

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

const nonblock = 0

func owner(fs.FileInfo) (uid, gid int) { return 0, 0 }

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

func readlink(name string) (string, error) { return os.Readlink(name) }

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
