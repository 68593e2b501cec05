//go:build !unix

package agent

import (
	"io"
	"io/fs"
	"os"
)

func trusted(string) error { return nil }

func ownerOf(os.FileInfo) int { return 0 }

func openRegular(path string) (*os.File, error) { return os.Open(path) }

// readJudged reads the first limit bytes of a file that judge has nothing against.
func readJudged(path string, limit int64, judge func(mode fs.FileMode, size int64, owner int) error) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = judge(info.Mode(), info.Size(), ownerOf(info))
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
