package fakekernel

import (
	"slices"
	"strings"
	"syscall"
)

// node is a directory, attribute or link of configfs (fs/configfs/dir.c).
type node struct {
	name     string
	parent   *node
	children []*node // newest first: configfs_new_dirent adds at the head of the list

	// A directory.
	dir     bool
	auto    bool                             // made by the kernel (CONFIGFS_USET_DEFAULT)
	make    func(name string) (*node, error) // make_group or make_item
	drop    func()                           // drop_item
	allow   func(target *node) error         // allow_link
	unlink  func(target *node)               // drop_link
	links   int                              // links to it (s_links)
	element any                              // what it is in the subsystem

	// An attribute.
	show  func() string
	store func(v string) error

	// A link.
	target *node
}

func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (n *node) add(c *node) *node {
	c.parent = n
	n.children = slices.Insert(n.children, 0, c)
	return c
}

func (n *node) remove() {
	n.parent.children = slices.DeleteFunc(n.parent.children, func(c *node) bool { return c == n })
}

// group adds a directory that the kernel makes together with its parent.
func (n *node) group(name string) *node { return n.add(&node{name: name, dir: true, auto: true}) }

// attr adds an attribute; a nil show or store is one that lacks the permission.
func (n *node) attr(name string, show func() string, store func(string) error) {
	n.add(&node{name: name, show: show, store: store})
}

func (n *node) path() string {
	if n.parent == nil {
		return n.name
	}
	return n.parent.path() + "/" + n.name
}

// walk finds a path, through links.
func (n *node) walk(path string) (*node, error) {
	for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
		if part == "" {
			continue
		}
		if n.target != nil {
			n = n.target
		}
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		if n = n.child(part); n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// mkdir is configfs_mkdir: EPERM where the directory's type makes nothing.
func (n *node) mkdir(name string) error {
	if n.child(name) != nil {
		return syscall.EEXIST
	}
	if !n.dir {
		return syscall.ENOTDIR
	}
	if n.make == nil {
		return syscall.EPERM
	}
	c, err := n.make(name)
	if err != nil {
		return err
	}
	c.name, c.dir = name, true
	n.add(c)
	return nil
}

// rmdir is configfs_rmdir.
func (n *node) rmdir() error {
	if !n.dir {
		return syscall.ENOTDIR
	}
	if n.auto {
		return syscall.EPERM
	}
	if err := n.detachable(); err != nil {
		return err
	}
	if n.drop != nil {
		n.drop()
	}
	n.remove()
	return nil
}

// detachable is configfs_detach_prep: EBUSY for the target of a link, ENOTEMPTY for
// what people have made below, in the directories of the kernel's own too.
func (n *node) detachable() error {
	if n.links > 0 {
		return syscall.EBUSY
	}
	for _, c := range n.children {
		if c.auto {
			if err := c.detachable(); err != nil {
				return err
			}
		} else if c.dir || c.target != nil {
			return syscall.ENOTEMPTY
		}
	}
	return nil
}

// symlink is configfs_symlink: EPERM where links are not allowed.
func (n *node) symlink(name string, target *node) error {
	if n.child(name) != nil {
		return syscall.EEXIST
	}
	if n.allow == nil {
		return syscall.EPERM
	}
	if target == nil {
		return syscall.ENOENT
	}
	if err := n.allow(target); err != nil {
		return err
	}
	target.links++
	n.add(&node{name: name, target: target})
	return nil
}

// drops is configfs_unlink: EPERM for attributes.
func (n *node) drops() error {
	if n.target == nil {
		return syscall.EPERM
	}
	n.parent.unlink(n.target)
	n.target.links--
	n.remove()
	return nil
}
