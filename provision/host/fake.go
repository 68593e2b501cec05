package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Reporter is the part of testing.TB that a Fake needs.
type Reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// Fake is a host in memory: files, and commands with scripted answers. A command
// that nobody scripted fails the test. String prints what it holds and what was
// run, for golden files.
type Fake struct {
	// Fail, when set, is asked before each change of a file, with "write" or
	// "remove" and the path; its error is what the change answers (a full disk).
	Fail func(op, path string) error

	t Reporter

	mu      sync.Mutex
	files   map[string]fakeFile
	writes  uint64
	answers map[string][]Answer
	ran     []string
}

type fakeFile struct {
	File
	serial uint64
}

// Answer is what a scripted command does.
type Answer struct {
	Output
	Err error
	Do  func(f *Fake) // effects of the command on the files, may be nil
}

var (
	_ FS     = (*Fake)(nil)
	_ Runner = (*Fake)(nil)
)

// NewFake returns an empty host with a root directory.
func NewFake(t Reporter) *Fake {
	f := &Fake{t: t, files: map[string]fakeFile{}, answers: map[string][]Answer{}}
	f.files["/"] = fakeFile{File: File{Mode: fs.ModeDir | 0o755}}
	return f
}

// Put stores a root-owned regular file with mode 0644 and makes its parents.
func (f *Fake) Put(name, content string) {
	f.PutFile(name, File{Data: []byte(content), Mode: 0o644})
}

// PutFile stores file at name and makes its parents.
func (f *Fake) PutFile(name string, file File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if _, ok := f.files[dir]; !ok {
			f.store(dir, File{Mode: fs.ModeDir | 0o755})
		}
	}
	f.store(name, file)
}

func (f *Fake) store(name string, file File) {
	f.writes++
	file.Data = slices.Clone(file.Data)
	file.Xattrs = maps.Clone(file.Xattrs)
	f.files[name] = fakeFile{File: file, serial: f.writes}
}

// Answer scripts the answers of a command line, one for each run; the last one
// serves all further runs.
func (f *Fake) Answer(argv string, answers ...Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[argv] = append(f.answers[argv], answers...)
}

// Ran returns the command lines that were run.
func (f *Fake) Ran() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ran)
}

// Writes counts the changes made to files so far, those by Put included.
func (f *Fake) Writes() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// Run implements Runner.
func (f *Fake) Run(ctx context.Context, c Command) (Output, error) {
	f.t.Helper()
	if err := ctx.Err(); err != nil {
		return Output{}, err
	}
	line := c.String()
	f.mu.Lock()
	f.ran = append(f.ran, line)
	queue := f.answers[line]
	if len(queue) > 1 {
		f.answers[line] = queue[1:]
	}
	f.mu.Unlock()
	if len(queue) == 0 {
		f.t.Errorf("unexpected command: %s", line)
		return Output{}, fmt.Errorf("cannot run %q: nobody scripted it", line)
	}
	if queue[0].Do != nil {
		queue[0].Do(f)
	}
	return queue[0].Output, queue[0].Err
}

// ReadFile implements Reader.
func (f *Fake) ReadFile(name string, limit int64) ([]byte, error) {
	file, err := f.get(name, true)
	switch {
	case err != nil:
	case !file.Mode.IsRegular():
		err = ErrIrregular
	case int64(len(file.Data)) > limit:
		err = ErrTooLarge
	default:
		return slices.Clone(file.Data), nil
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: err}
}

// Lstat implements Reader.
func (f *Fake) Lstat(name string) (Info, error) { return f.stat("lstat", name, false) }

// Stat is Lstat of what a symlink leads to.
func (f *Fake) Stat(name string) (Info, error) { return f.stat("stat", name, true) }

func (f *Fake) stat(op, name string, follow bool) (Info, error) {
	file, err := f.get(name, follow)
	if err != nil {
		return Info{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return Info{Mode: file.Mode, UID: file.UID, GID: file.GID, Size: int64(len(file.Data))}, nil
}

// Readlink implements Reader.
func (f *Fake) Readlink(name string) (string, error) {
	file, err := f.get(name, false)
	if err == nil && file.Mode.Type() != fs.ModeSymlink {
		err = syscall.EINVAL
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return file.Target, nil
}

// ReadDir implements Reader.
func (f *Fake) ReadDir(name string) ([]Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, err := f.resolve(name, true, 0)
	if err == nil && !f.files[dir].Mode.IsDir() {
		err = syscall.ENOTDIR
		if _, ok := f.files[dir]; !ok {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var out []Entry
	for _, p := range f.paths() {
		if p != "/" && path.Dir(p) == dir {
			out = append(out, Entry{Name: path.Base(p), Type: f.files[p].Mode.Type()})
		}
	}
	return out, nil
}

// Load implements FS.
func (f *Fake) Load(name string, limit int64) (File, Version, error) {
	file, err := f.get(name, false)
	if err == nil && int64(len(file.Data)) > limit {
		err = ErrTooLarge
	}
	if err != nil {
		return File{}, Version{}, &fs.PathError{Op: "load", Path: name, Err: err}
	}
	out := file.File
	out.Data, out.Xattrs = slices.Clone(out.Data), maps.Clone(out.Xattrs)
	return out, Version{ino: file.serial}, nil
}

// Write implements FS. Unlike the kernel it makes no difference between an owner
// that is not given and root.
func (f *Fake) Write(name string, file File, v Version) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, old, err := f.change("write", name, v)
	if err == nil && file.Mode.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
		err = ErrIrregular
	}
	if err == nil && old != nil && old.Mode.IsDir() && !file.Mode.IsDir() && f.populated(at) {
		err = syscall.ENOTEMPTY
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	file.UID, file.GID = max(file.UID, 0), max(file.GID, 0)
	if old != nil && old.Mode.Type() == file.Mode.Type() {
		merged := maps.Clone(old.Xattrs)
		if merged == nil {
			merged = map[string]string{}
		}
		maps.Copy(merged, file.Xattrs)
		file.Xattrs = merged
		for _, name := range file.Drop {
			delete(merged, name)
		}
		file.Drop = nil
		if old.Mode == file.Mode && old.UID == file.UID && old.GID == file.GID && old.Target == file.Target &&
			bytes.Equal(old.Data, file.Data) && maps.Equal(old.Xattrs, merged) {
			return nil
		}
	}
	f.store(at, file)
	return nil
}

// Remove implements FS.
func (f *Fake) Remove(name string, v Version) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, old, err := f.change("remove", name, v)
	switch {
	case err != nil:
	case old == nil:
		err = fs.ErrNotExist
	case old.Mode.IsDir() && f.populated(at):
		err = syscall.ENOTEMPTY
	default:
		delete(f.files, at)
		f.writes++
		return nil
	}
	return &fs.PathError{Op: "remove", Path: name, Err: err}
}

// change resolves name for a change and checks that it is what v says.
func (f *Fake) change(op, name string, v Version) (at string, old *fakeFile, err error) {
	if f.Fail != nil {
		if err := f.Fail(op, name); err != nil {
			return "", nil, err
		}
	}
	if at, err = f.resolve(name, false, 0); err != nil {
		return "", nil, err
	}
	if !f.files[path.Dir(at)].Mode.IsDir() {
		return "", nil, fs.ErrNotExist
	}
	if file, ok := f.files[at]; ok {
		old = &file
	}
	if old == nil && v != (Version{}) || old != nil && v.ino != old.serial {
		return "", nil, ErrChanged
	}
	return at, old, nil
}

func (f *Fake) populated(dir string) bool {
	for p := range f.files {
		if p != dir && path.Dir(p) == dir {
			return true
		}
	}
	return false
}

func (f *Fake) get(name string, follow bool) (fakeFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := f.resolve(name, follow, 0)
	if err != nil {
		return fakeFile{}, err
	}
	file, ok := f.files[at]
	if !ok {
		return fakeFile{}, fs.ErrNotExist
	}
	return file, nil
}

// resolve follows the symlinks of name, its last component only with follow.
func (f *Fake) resolve(name string, follow bool, links int) (string, error) {
	if !path.IsAbs(name) {
		return "", errors.New("not an absolute path")
	}
	at := "/"
	parts := strings.Split(strings.Trim(name, "/"), "/")
	for i, part := range parts {
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		file, ok := f.files[next]
		last := i == len(parts)-1
		switch {
		case ok && file.Mode.Type() == fs.ModeSymlink && (follow || !last):
			if links++; links > 40 {
				return "", syscall.ELOOP
			}
			target := file.Target
			if !path.IsAbs(target) {
				target = at + "/" + target
			}
			return f.resolve(target+"/"+strings.Join(parts[i+1:], "/"), follow, links)
		case !last && !ok:
			return "", fs.ErrNotExist
		case !last && !file.Mode.IsDir():
			return "", syscall.ENOTDIR
		}
		at = next
	}
	return at, nil
}

func (f *Fake) paths() []string { return slices.Sorted(maps.Keys(f.files)) }

// String prints every file with mode, owner and content, and every command run.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, p := range f.paths() {
		file := f.files[p]
		fmt.Fprintf(&b, "%v %d:%d %s", file.Mode, file.UID, file.GID, p)
		if file.Target != "" {
			fmt.Fprintf(&b, " -> %s", file.Target)
		}
		for _, name := range slices.Sorted(maps.Keys(file.Xattrs)) {
			fmt.Fprintf(&b, " %s=%q", name, file.Xattrs[name])
		}
		b.WriteByte('\n')
		for line := range strings.Lines(string(file.Data)) {
			fmt.Fprintf(&b, "    %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	for _, line := range f.ran {
		fmt.Fprintf(&b, "$ %s\n", line)
	}
	return b.String()
}
