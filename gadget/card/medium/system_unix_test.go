//go:build unix

package medium

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"
)

var fullError error = syscall.ENOSPC

// A file that may only be read is not written, and that is said before anything else.
func TestProtected(t *testing.T) {
	path := fatImage(t, "16", 16*mb)
	before, _ := os.ReadFile(path)
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		t.Log("root may write everything: only what the system says of a read-only file system is tried")
	} else if _, err := Open(path, true); !errors.Is(err, ErrProtected) {
		t.Errorf("%v", err)
	}
	m := open(t, bootFolder(t)).(*folder)
	m.write = func(string, []byte) error { return syscall.EROFS }
	if err := m.Write(changes(10)); !errors.Is(err, ErrProtected) {
		t.Errorf("%v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("it has been changed")
	}
}
