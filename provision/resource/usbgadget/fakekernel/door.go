package fakekernel

import (
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"syscall"

	"github.com/provision-net/provision/provision/host"
)

// find looks a path up in configfs or among the controllers.
func (k *Kernel) find(name string) (*node, error) {
	name = path.Clean(name)
	if rest, ok := strings.CutPrefix(name, Controllers); ok {
		return k.controllers().walk(rest)
	}
	if rest, ok := strings.CutPrefix(name, k.root.name); ok && (rest == "" || rest[0] == '/') {
		return k.root.walk(rest)
	}
	if name == Mount {
		top := &node{name: Mount, dir: true}
		top.children = []*node{k.root}
		return top, nil
	}
	return nil, syscall.ENOENT
}

func (k *Kernel) controllers() *node {
	n := &node{name: Controllers, dir: true}
	for u, c := range k.udcs {
		d := n.group(u)
		d.attr("function", func() string { return c.holder() + "\n" }, nil)
	}
	return n
}

func (c *controller) holder() string {
	if c.gadget != nil {
		return c.gadget.node.name
	}
	return c.driver
}

// ReadFile reads an attribute.
func (k *Kernel) ReadFile(name string, limit int64) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	switch {
	case err != nil:
	case n.dir || n.target != nil:
		err = host.ErrIrregular
	case n.show == nil:
		err = syscall.EACCES
	default:
		if v := n.show(); int64(len(v)) <= limit {
			return []byte(v), nil
		}
		err = host.ErrTooLarge
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: err}
}

// ReadValue reads an attribute and tells its mode.
func (k *Kernel) ReadValue(name string, limit int64) ([]byte, fs.FileMode, error) {
	data, err := k.ReadFile(name, limit)
	if err != nil {
		return nil, 0, err
	}
	info, err := k.Lstat(name)
	return data, info.Mode, err
}

// Lstat tells what a path is.
func (k *Kernel) Lstat(name string) (host.Info, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	if err != nil {
		return host.Info{}, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return host.Info{Mode: n.mode(), Size: 4096}, nil
}

func (n *node) mode() fs.FileMode {
	switch {
	case n.dir:
		return fs.ModeDir | 0o755
	case n.target != nil:
		return fs.ModeSymlink | 0o777
	}
	var m fs.FileMode
	if n.show != nil {
		m |= 0o444
	}
	if n.store != nil {
		m |= 0o200
	}
	return m
}

// ReadDir lists a directory by name.
func (k *Kernel) ReadDir(name string) ([]host.Entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var out []host.Entry
	for _, c := range n.children {
		out = append(out, host.Entry{Name: path.Base(c.name), Type: c.mode().Type()})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Names lists a directory as configfs_readdir does.
func (k *Kernel) Names(name string) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var out []string
	for _, c := range n.children {
		out = append(out, path.Base(c.name))
	}
	if k.OldestFirst {
		slices.Reverse(out)
	}
	return out, nil
}

// Readlink returns a link's target, which configfs gives relative to the link.
func (k *Kernel) Readlink(name string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	if err == nil && n.target == nil {
		err = syscall.EINVAL
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	up := strings.Count(strings.TrimPrefix(name, Mount), "/") - 1
	return strings.Repeat("../", up) + strings.TrimPrefix(n.target.path(), Mount+"/"), nil
}

// change does something to the directory or file of name, once Before has had its say.
func (k *Kernel) change(op, name string, do func(parent *node, base string) error) error {
	if k.Before != nil {
		k.Before(op, name)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	parent, err := k.find(path.Dir(name))
	if err == nil && k.ReadOnly {
		err = syscall.EROFS
	}
	if err == nil {
		err = do(parent, path.Base(name))
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	k.changes++
	k.log = append(k.log, op+" "+strings.TrimPrefix(name, k.root.name+"/"))
	return nil
}

// Mkdir makes a directory.
func (k *Kernel) Mkdir(name string) error {
	return k.change("mkdir", name, func(parent *node, base string) error { return parent.mkdir(base) })
}

// Rmdir removes one.
func (k *Kernel) Rmdir(name string) error {
	return k.at("rmdir", name, (*node).rmdir)
}

// Unlink removes a link.
func (k *Kernel) Unlink(name string) error {
	return k.at("unlink", name, (*node).drops)
}

func (k *Kernel) at(op, name string, do func(n *node) error) error {
	return k.change(op, name, func(parent *node, base string) error {
		n := parent.child(base)
		if n == nil {
			return syscall.ENOENT
		}
		return do(n)
	})
}

// Symlink makes a link; its target is looked up at once.
func (k *Kernel) Symlink(target, name string) error {
	return k.change("symlink", name, func(parent *node, base string) error {
		n, _ := k.find(target)
		return parent.symlink(base, n)
	})
}

// WriteValue writes to an attribute.
func (k *Kernel) WriteValue(name, value string) error {
	return k.at("write", name, func(n *node) error {
		switch {
		case n.dir:
			return syscall.EISDIR
		case n.store == nil:
			return syscall.EACCES
		case value == "":
			return nil // never reaches the attribute
		}
		return n.store(value)
	})
}
