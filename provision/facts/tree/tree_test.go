//go:build unix

package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// world is a root with a file beside it that nothing inside may reach.
func world(t *testing.T) (root string) {
	t.Helper()
	top := t.TempDir()
	root = filepath.Join(top, "root")
	for _, d := range []string{"etc/a", "usr/lib", "run"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"root/etc/file": "inside", "root/usr/lib/os-release": "ID=x", "secret": "outside", "root/etc/big": strings.Repeat("x", 100)} {
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"etc/absolute": "/etc/file", "etc/relative": "../usr/lib/os-release", "etc/up": "../../../../../etc/file",
		"etc/out": "../../secret", "etc/outabs": filepath.Join(top, "secret"), "lib": "usr/lib", "etc/loop": "loop", "etc/a/chain": "/etc/absolute", "etc/dir": "/usr",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "etc/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestInsideTheRoot(t *testing.T) {
	tr, err := Open(world(t))
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	for _, c := range []struct{ name, want string }{
		{"/etc/file", "inside"}, {"/etc/absolute", "inside"}, {"/etc/relative", "ID=x"}, {"/etc/up", "inside"}, {"/lib/os-release", "ID=x"},
		{"/etc/a/chain", "inside"}, {"/etc/dir/lib/os-release", "ID=x"}, {"/../../etc/file", "inside"},
	} {
		b, err := tr.ReadFile(c.name, 1000)
		if err != nil || string(b) != c.want {
			t.Errorf("ReadFile(%s) is %q, %v; want %q", c.name, b, err, c.want)
		}
	}
	for _, name := range []string{"/etc/out", "/etc/outabs", "/secret", "/../secret", "/none", "/etc/file/x"} {
		if b, err := tr.ReadFile(name, 1000); err == nil {
			t.Errorf("ReadFile(%s) reads %q, which is not inside", name, b)
		}
	}
	if _, err := tr.ReadFile("/etc/loop", 1000); err == nil || !strings.Contains(err.Error(), "too many levels") {
		t.Errorf("a symlink to itself says %v", err)
	}
	e, err := tr.File("/etc/absolute", 1000)
	if err != nil || e.Target != "/etc/file" || e.Mode.Perm() != 0o640 || e.UID != os.Geteuid() {
		t.Errorf("File(/etc/absolute) is %+v, %v", e, err)
	}
	if p, err := tr.Resolve("/lib/os-release"); err != nil || p != "/usr/lib/os-release" {
		t.Errorf("Resolve is %q, %v", p, err)
	}
	if names, err := tr.ReadDir("/etc/dir"); err != nil || len(names) != 1 || names[0] != "lib" {
		t.Errorf("ReadDir through a symlink is %q, %v", names, err)
	}
	if !tr.Exists("/etc/absolute") || tr.Exists("/etc/outabs") || tr.Exists("/etc/none") {
		t.Error("Exists is wrong")
	}
}

func TestRefuses(t *testing.T) {
	root := world(t)
	rooted, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer rooted.Close()
	for prefix, tr := range map[string]*Tree{"": rooted, root: Live()} {
		done := make(chan error, 1)
		go func() { _, err := tr.ReadFile(prefix+"/etc/fifo", 1000); done <- err }()
		select {
		case err := <-done:
			if !errors.Is(err, ErrNotRegular) {
				t.Errorf("a FIFO says %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a FIFO blocks")
		}
		if _, err := tr.ReadFile(prefix+"/etc", 1000); !errors.Is(err, ErrNotRegular) {
			t.Errorf("a directory says %v", err)
		}
		if _, err := tr.ReadFile(prefix+"/etc/big", 99); !errors.Is(err, ErrTooLarge) {
			t.Errorf("100 bytes within 99 say %v", err)
		}
		if b, err := tr.ReadFile(prefix+"/etc/big", 100); err != nil || len(b) != 100 {
			t.Errorf("100 bytes within 100 are %d, %v", len(b), err)
		}
		if b, err := tr.Head(prefix+"/etc/big", 10); err != nil || len(b) != 10 {
			t.Errorf("the first 10 bytes are %d, %v", len(b), err)
		}
		if _, err := tr.ReadFile(prefix+"/etc/none", 99); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a missing file says %v", err)
		}
	}
	if _, err := Open(filepath.Join(root, "none")); err == nil {
		t.Error("a root that is not there opens")
	}
}

func TestHook(t *testing.T) {
	tr := Live()
	var asked []string
	tr.Hook = func(op, name string) error {
		asked = append(asked, op+" "+name)
		return syscall.EACCES
	}
	if _, err := tr.ReadFile("/etc/passwd", 1000); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a refused read says %v", err)
	}
	if tr.Exists("/etc/passwd") {
		t.Error("a refused stat finds the file")
	}
	if got := strings.Join(asked, ", "); got != "read /etc/passwd, stat /etc/passwd" {
		t.Errorf("asked for %s", got)
	}
}

// FuzzResolve lets hostile names and link targets try to leave the root.
func FuzzResolve(f *testing.F) {
	for _, s := range [][2]string{{"/etc/x", "../../secret"}, {"/x/../../secret", "/"}, {"/x/y", "//.././/../secret"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, name, target string) {
		if strings.ContainsRune(name+target, 0) || target == "" || len(name)+len(target) > 300 {
			return
		}
		top := t.TempDir()
		root := filepath.Join(top, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, "secret"), []byte("outside"), 0o644); err != nil {
			t.Fatal(err)
		}
		if os.Symlink(target, filepath.Join(root, "x")) != nil {
			return
		}
		tr, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		if b, err := tr.ReadFile(name, 1000); err == nil {
			t.Fatalf("%q with a link to %q reads %q", name, target, b)
		}
	})
}
