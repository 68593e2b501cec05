package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// lay writes the same two files with other times, modes and order.
func lay(t *testing.T, names []string, open os.FileMode, when time.Time) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tool-1")
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o600) | open
		if name == "tool" {
			mode |= 0o700
		}
		if err := os.WriteFile(path, []byte("I am "+name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSameContentSameBytes(t *testing.T) {
	one := lay(t, []string{"tool", "doc/a"}, 0, time.Unix(1, 0))
	two := lay(t, []string{"doc/a", "tool"}, 0o044, time.Unix(1e9, 0))
	for _, kind := range []string{".tar.gz", ".zip"} {
		var got [2][]byte
		for i, dir := range []string{one, two} {
			out := filepath.Join(t.TempDir(), "x"+kind)
			if err := pack(out, dir, "1700000000"); err != nil {
				t.Fatal(err)
			}
			var err error
			if got[i], err = os.ReadFile(out); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got[0], got[1]) {
			t.Errorf("%s: the same content, other bytes", kind)
		}
		later := filepath.Join(t.TempDir(), "x"+kind)
		if err := pack(later, one, "1700000002"); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(later); err != nil || bytes.Equal(b, got[0]) {
			t.Errorf("%s: SOURCE_DATE_EPOCH has no effect (%v)", kind, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	dir := lay(t, []string{"tool"}, 0, time.Unix(1, 0))
	if err := os.Symlink("tool", filepath.Join(dir, "link")); err != nil {
		t.Skipf("skipped: no symbolic links here: %v", err)
	}
	for name, err := range map[string]error{
		"a link":  pack(filepath.Join(t.TempDir(), "x.zip"), dir, "1"),
		"no time": pack(filepath.Join(t.TempDir(), "x.zip"), dir, ""),
		"a kind":  pack(filepath.Join(t.TempDir(), "x.rar"), dir, "1"),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
